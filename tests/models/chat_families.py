"""Chat templates as the usual families write them, cut to what one user turn needs.

Data for tests: what stands around a user's words and an answer is what these families' published
templates put there, to the last space.
"""

import json
from dataclasses import dataclass
from functools import cache

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

BYTE_LEVEL, FIRST, ALWAYS, LEGACY = "byte-level", "metaspace-first", "metaspace-always", "prepended"
KINDS = (BYTE_LEVEL, FIRST, ALWAYS, LEGACY)


@dataclass(frozen=True)
class Family:
    """Attributes:
    template: jinja source.
    bos, eos: of the tokenizer; eos is not always what ends a turn.
    special: further special tokens; those of ``ordinary`` are added tokens but not special.
    end: the token that ends an answer.
    thought: what stands before an answer where the model thinks first; part of the prompt.
    """

    template: str
    bos: str = "<s>"
    eos: str = "</s>"
    special: tuple[str, ...] = ()
    ordinary: tuple[str, ...] = ()
    end: str = "</s>"
    thought: str = ""


def _turns(user: str, assistant: str, opening: str, begin: str = "") -> str:
    """A template of one form for user turns, one for answers and one for an answer to come."""
    return (
        f"{begin}{{% for message in messages %}}"
        "{% if message['role'] == 'user' %}" + user + "{% elif message['role'] == 'assistant' %}"
        f"{assistant}{{% else %}}{{{{ raise_exception('no system turn') }}}}{{% endif %}}"
        "{% endfor %}{% if add_generation_prompt %}" + opening + "{% endif %}"
    )


_CHATML_TURN = (
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
)
_CHATML_OPENING = "{{ '<|im_start|>assistant\\n' }}"
_THINKING_ANSWER = (
    "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + message['content']"
    " + '<|im_end|>\\n' }}"
)
_CHATML = ("<|im_start|>", "<|im_end|>")
_THINK = ("<think>", "</think>")

FAMILIES: dict[str, Family] = {
    "Llama 2": Family(
        _turns(
            "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}",
            "{{ ' ' + message['content'].strip() + ' ' + eos_token }}",
            "",
        )
    ),
    "Llama 3": Family(
        _turns(
            "{{ '<|start_header_id|>user<|end_header_id|>\\n\\n' + message['content'] | trim"
            " + '<|eot_id|>' }}",
            "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' + message['content'] | trim"
            " + '<|eot_id|>' }}",
            "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}",
            "{{ bos_token }}",
        ),
        bos="<|begin_of_text|>",
        eos="<|end_of_text|>",
        special=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        end="<|eot_id|>",
    ),
    "Mistral": Family(
        _turns(
            "{{ '[INST] ' + message['content'] + '[/INST]' }}",
            "{{ ' ' + message['content'] + eos_token }}",
            "",
            "{{ bos_token }}",
        ),
        special=("[INST]", "[/INST]"),
    ),
    "Mistral, no spaces": Family(
        _turns(
            "{{ '[INST]' + message['content'] + '[/INST]' }}",
            "{{ message['content'] + eos_token }}",
            "",
            "{{ bos_token }}",
        ),
        special=("[INST]", "[/INST]"),
    ),
    "Mistral, words as marks": Family(
        _turns(
            "{{ '[INST] ' + message['content'] + ' [/INST]' }}",
            "{{ message['content'] + eos_token + ' ' }}",
            "",
            "{{ bos_token }}",
        ),
    ),
    "Qwen 2.5": Family(
        _turns(_CHATML_TURN, _CHATML_TURN, _CHATML_OPENING),
        bos="<|endoftext|>",
        eos="<|im_end|>",
        special=_CHATML,
        end="<|im_end|>",
    ),
    "ChatML, base's end": Family(
        _turns(_CHATML_TURN, _CHATML_TURN, _CHATML_OPENING),
        bos="<|endoftext|>",
        eos="<|endoftext|>",
        ordinary=_CHATML,
        end="<|im_end|>",
    ),
    "Qwen 3": Family(
        _turns(_CHATML_TURN, _THINKING_ANSWER, _CHATML_OPENING),
        bos="<|endoftext|>",
        eos="<|im_end|>",
        special=_CHATML,
        ordinary=_THINK,
        end="<|im_end|>",
        thought="<think>\n\n</think>\n\n",
    ),
    "Qwen 3, thinks always": Family(
        _turns(_CHATML_TURN, _THINKING_ANSWER, "{{ '<|im_start|>assistant\\n<think>\\n' }}"),
        bos="<|endoftext|>",
        eos="<|im_end|>",
        special=_CHATML,
        ordinary=_THINK,
        end="<|im_end|>",
        thought="<think>\n\n</think>\n\n",
    ),
    "Gemma": Family(
        _turns(
            "{{ '<start_of_turn>user\\n' + message['content'] | trim + '<end_of_turn>\\n' }}",
            "{{ '<start_of_turn>model\\n' + message['content'] | trim + '<end_of_turn>\\n' }}",
            "{{ '<start_of_turn>model\\n' }}",
            "{{ bos_token }}",
        ),
        bos="<bos>",
        eos="<eos>",
        special=("<start_of_turn>", "<end_of_turn>"),
        end="<end_of_turn>",
    ),
    "Phi 3": Family(
        _turns(
            "{{ '<|user|>\\n' + message['content'] + '<|end|>\\n' }}",
            "{{ '<|assistant|>\\n' + message['content'] + '<|end|>\\n' }}",
            "{{ '<|assistant|>\\n' }}",
        ),
        eos="<|endoftext|>",
        special=("<|user|>", "<|assistant|>", "<|end|>"),
        end="<|end|>",
    ),
    "Zephyr, TinyLlama": Family(
        _turns(
            "{{ '<|user|>\\n' + message['content'] + eos_token + '\\n' }}",
            "{{ '<|assistant|>\\n' + message['content'] + eos_token + '\\n' }}",
            "{{ '<|assistant|>' }}",
        )
    ),
    "DeepSeek": Family(
        _turns(
            "{{ '<｜User｜>' + message['content'] }}",
            "{{ '<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>' }}",
            "{{ '<｜Assistant｜>' }}",
            "{{ bos_token }}",
        ),
        bos="<｜begin▁of▁sentence｜>",
        eos="<｜end▁of▁sentence｜>",
        special=("<｜User｜>", "<｜Assistant｜>"),
        end="<｜end▁of▁sentence｜>",
    ),
    "DeepSeek R1": Family(
        _turns(
            "{{ '<｜User｜>' + message['content'] }}",
            "{{ '<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>' }}",
            "{{ '<｜Assistant｜><think>\\n' }}",
            "{{ bos_token }}",
        ),
        bos="<｜begin▁of▁sentence｜>",
        eos="<｜end▁of▁sentence｜>",
        special=("<｜User｜>", "<｜Assistant｜>"),
        ordinary=_THINK,
        end="<｜end▁of▁sentence｜>",
    ),
    "Command R": Family(
        _turns(
            "{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + message['content']"
            " + '<|END_OF_TURN_TOKEN|>' }}",
            "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' + message['content']"
            " + '<|END_OF_TURN_TOKEN|>' }}",
            "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}",
            "{{ bos_token }}",
        ),
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        special=("<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"),
        end="<|END_OF_TURN_TOKEN|>",
    ),
    "Vicuna": Family(
        _turns(
            "{{ 'USER: ' + message['content'] + ' ' }}",
            "{{ 'ASSISTANT: ' + message['content'] + eos_token }}",
            "{{ 'ASSISTANT:' }}",
            "{{ bos_token }}",
        )
    ),
    "Vicuna, prompt ends in a space": Family(
        _turns(
            "{{ 'USER: ' + message['content'] + ' ' }}",
            "{{ 'ASSISTANT: ' + message['content'] + eos_token }}",
            "{{ 'ASSISTANT: ' }}",
            "{{ bos_token }}",
        )
    ),
    "Alpaca": Family(
        _turns(
            "{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}",
            "{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}",
            "{{ '### Response:\\n' }}",
            "{{ bos_token }}",
        )
    ),
}

_WORDS = [
    "the film was a delight from start to finish. positive box 12 negative yes no",
    "[INST] put 3 coins into the box [/INST] USER: ASSISTANT: ### Instruction: ### Response:",
    "user assistant model system <|user|> <|assistant|> two lines of text, one after the other",
    "Review: Answer: Question: Input: Output: the capital of France is Paris",
]


def tokenizer_of(family: Family, kind: str) -> PreTrainedTokenizerFast:
    """A tiny tokenizer of one kind with a family's special tokens and chat template."""
    backend = Tokenizer.from_str(_learned(kind))
    special = dict.fromkeys(("<unk>", family.bos, family.eos, *family.special))
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    backend.add_tokens([AddedToken(text, normalized=False) for text in family.ordinary])
    if family.bos == "<s>":  # as Llama's and Mistral's do
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=family.bos, eos_token=family.eos, unk_token="<unk>"
    )
    tokenizer.chat_template = family.template
    return tokenizer


@cache
def _learned(kind: str) -> str:
    return (_byte_level() if kind == BYTE_LEVEL else _metaspace(kind)).to_str()


def _byte_level() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(_WORDS, trainer)
    return backend


def _metaspace(kind: str) -> Tokenizer:
    """As SentencePiece's tokenizers are converted: spaces are ▁, unknown characters are bytes."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(_WORDS, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    model = json.loads(learner.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    vocabulary.setdefault("▁", len(vocabulary))
    merges = [tuple(pair) for pair in model["merges"]]
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    if kind == LEGACY:
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        scheme = "first" if kind == FIRST else "always"
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return backend
