"""Tiny random models on disk, for tests: they load like real ones and know nothing.

Two families with two different tokenizers, as in a real transfer: a Llama with a chat template
("source") and a Gemma 3 without one ("target"). Nothing here downloads. The folders are plain
Hugging Face folders, so ``AutoTokenizer`` and ``AutoModelForCausalLM`` read them offline.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from workbench.recipe import LoraSettings

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Enough text for a few dozen merges; the two tokenizers learn different ones.
SOURCE_TEXT = [
    "Review: the film was a delight from start to finish.\nAnswer: positive\n",
    "Is this from the data set? Answer yes or no.\nAnswer: no\n",
    "1. the plot is thin and the acting is worse\n2. a warm and funny story\n3. ",
]
TARGET_TEXT = [
    "Classify the sentence. Sentence: stocks fell on Monday. Label: business\n",
    "The capital of France is Paris. 12 + 30 = 42\n",
    "Answer: positive\nAnswer: negative\nAnswer: neutral\n",
]

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_source(folder: Path, seed: int = 0, layers: int = 2, middle: int = 128) -> Path:
    """A Llama of about 100 thousand parameters with a ChatML template; returns the folder.

    Args:
        middle: width of the MLP.
    """
    tokenizer = _tokenizer(
        SOURCE_TEXT, 340, bos="<|im_start|>", eos="<|im_end|>", pad="<pad>", adds_bos=False
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=middle,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(LlamaForCausalLM, config, tokenizer, folder, seed, ends=3.0)


def write_target(folder: Path, seed: int = 1, layers: int = 2) -> Path:
    """A Gemma 3 text model of the same size without a chat template; returns the folder.

    Layer 0 attends to a window of 16 tokens, the last layer to everything.
    """
    tokenizer = _tokenizer(TARGET_TEXT, 360, bos="<bos>", eos="<eos>", pad="<pad>", adds_bos=True)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        query_pre_attn_scalar=32,
        max_position_embeddings=2048,
        sliding_window=16,
        layer_types=["sliding_attention"] * (layers - 1) + ["full_attention"],
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(Gemma3ForCausalLM, config, tokenizer, folder, seed)


def write_seeing(folder: Path, seed: int = 2) -> Path:
    """A Gemma 3 that takes images too, with a Siglip tower of one layer; returns the folder."""
    tokenizer = _tokenizer(TARGET_TEXT, 360, bos="<bos>", eos="<eos>", pad="<pad>", adds_bos=True)
    text = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        query_pre_attn_scalar=32,
        max_position_embeddings=2048,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
    )
    tower = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    config = Gemma3Config(
        text_config=text,
        vision_config=tower,
        mm_tokens_per_image=4,
        eos_token_id=tokenizer.eos_token_id,
    )
    return _save(Gemma3ForConditionalGeneration, config, tokenizer, folder, seed, ends=3.0)


def write_adapter(
    folder: Path,
    base: Path,
    *,
    rank: int = 4,
    alpha: float = 8,
    modules: tuple[str, ...] = ("q_proj", "v_proj"),
    seed: int = 0,
    scale: float = 0.2,
) -> Path:
    """A random LoRA with non-zero B for a tiny model, in PEFT's own file format.

    Writes adapter_model.safetensors and adapter_config.json; returns the folder. The values are
    large enough that greedy answers differ from the base's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        lora_tensors(base, rank=rank, modules=modules, seed=seed, scale=scale),
        folder / "adapter_model.safetensors",
    )
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": list(modules),
        "bias": "none",
        "inference_mode": True,
        "base_model_name_or_path": "tiny/source",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def lora_settings(
    rank: int = 4, alpha: float = 8, modules: tuple[str, ...] = ("q_proj", "v_proj")
) -> LoraSettings:
    """The settings that belong to ``write_adapter`` with the same arguments."""
    return LoraSettings(rank=rank, alpha=alpha, target_modules=modules)


def lora_tensors(
    base: Path,
    *,
    rank: int = 4,
    modules: tuple[str, ...] = ("q_proj", "v_proj"),
    seed: int = 0,
    scale: float = 0.2,
) -> dict[str, torch.Tensor]:
    """fp32 A [rank, in] and B [out, rank] for every named linear layer, PEFT's key names."""
    shapes = _linear_shapes(json.loads((base / "config.json").read_text(encoding="utf-8")))
    layers = json.loads((base / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(layers):
        for module in modules:
            block, (outputs, inputs) = shapes[module]
            key = f"base_model.model.model.layers.{layer}.{block}.{module}"
            tensors[f"{key}.lora_A.weight"] = torch.randn(rank, inputs, generator=generator) * scale
            tensors[f"{key}.lora_B.weight"] = (
                torch.randn(outputs, rank, generator=generator) * scale
            )
    return tensors


def _linear_shapes(config: dict) -> dict[str, tuple[str, tuple[int, int]]]:
    hidden, middle = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head = config.get("head_dim") or hidden // heads
    return {
        "q_proj": ("self_attn", (heads * head, hidden)),
        "k_proj": ("self_attn", (kv_heads * head, hidden)),
        "v_proj": ("self_attn", (kv_heads * head, hidden)),
        "o_proj": ("self_attn", (hidden, heads * head)),
        "gate_proj": ("mlp", (middle, hidden)),
        "up_proj": ("mlp", (middle, hidden)),
        "down_proj": ("mlp", (hidden, middle)),
    }


def _tokenizer(
    text: list[str],
    size: int,
    *,
    bos: str,
    eos: str,
    pad: str,
    adds_bos: bool,
) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore
    backend.decoder = decoders.ByteLevel()  # type: ignore
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[pad, bos, eos],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(text, trainer)
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(  # type: ignore
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, pad_token=pad
    )


def _save(
    kind: type,
    config: object,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    seed: int,
    ends: float = 1.0,
) -> Path:
    """``ends``: by what the end token's embedding is longer; three times ends most answers soon."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config)
        # The default deviation of 0.02 leaves a model of this size nearly constant: spread the
        # weights so that different inputs get different answers. Gemma multiplies its embeddings
        # by sqrt(hidden); larger ones would only repeat the last token.
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.05 if "embed" in name else 0.15)
        model.get_input_embeddings().weight.data[tokenizer.eos_token_id] *= ends
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
