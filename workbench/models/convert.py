"""Turn a GGUF file into a folder that transformers loads: ``python -m workbench.models.convert``.

Runs as a short process of its own, started by ``packages``. Knows the two families of the
packages, and checks the tokenizer that comes out against known pieces: reading it from GGUF
depends on the transformers version, and a broken one shows nowhere else. Refuses to write a
model whose tokenizer fails that check.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedTokenizerFast

from workbench.errors import ModelError

PROBE = "The capital of France is Paris, isn't it?\n  7 cafés: 12345"

# As published in the tokenizer_config.json of HuggingFaceTB/SmolLM2-135M-Instruct.
SMOLLM2_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Expected:
    """What a family's tokenizer must look like after conversion.

    Attributes:
        pieces: of PROBE without special tokens.
        bos, eos, pad: special tokens by name.
        template: chat template; None for a base without one.
        context_tokens: longest text that the model was trained for.
    """

    pieces: tuple[str, ...]
    bos: str
    eos: str
    pad: str
    template: str | None
    context_tokens: int


FAMILIES = {
    "smollm2-135m-instruct": Expected(
        pieces=(
            *("The", "Ġcapital", "Ġof", "ĠFrance", "Ġis", "ĠParis", ",", "Ġisn", "'t", "Ġit", "?"),
            *("ĊĠĠ", "7", "Ġcaf", "Ã©s", ":", "Ġ", "1", "2", "3", "4", "5"),
        ),
        bos="<|im_start|>",
        eos="<|im_end|>",
        pad="<|im_end|>",
        template=SMOLLM2_TEMPLATE,
        context_tokens=8192,
    ),
    "gemma-3-270m": Expected(
        pieces=(
            *("The", "▁capital", "▁of", "▁France", "▁is", "▁Paris", ",", "▁isn", "'", "t", "▁it"),
            *("?", "\n", "▁▁", "7", "▁cafés", ":", "▁", "1", "2", "3", "4", "5"),
        ),
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        template=None,
        context_tokens=32768,
    ),
}


def convert(name: str, gguf: Path, folder: Path) -> None:
    """Write config, bf16 safetensors and tokenizer of a package's GGUF file to ``folder``.

    Raises:
        ModelError: the tokenizer came out wrong, so this transformers version cannot be used.
    """
    expected = FAMILIES[name]
    source = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    _repair(tokenizer, expected, name)
    _check(tokenizer, expected)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        dtype=torch.bfloat16,
        # Without it transformers keeps GGUF blocks, which can be neither saved nor trained.
        quantization_config=GgufConfig(dequantize=True),
        **source,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _repair(tokenizer: PreTrainedTokenizerFast, expected: Expected, name: str) -> None:
    """What a GGUF file does not carry over."""
    tokenizer.chat_template = expected.template
    tokenizer.model_max_length = expected.context_tokens
    for leftover in ("is_local", "local_files_only", "gguf_file"):
        tokenizer.init_kwargs.pop(leftover, None)
    if name.startswith("smollm2"):
        # The file says only "smollm"; the published tokenizer cuts off every digit before it
        # looks at anything else, which decides how white space in front of digits is cut.
        backend: Tokenizer = tokenizer.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )


def _check(tokenizer: PreTrainedTokenizerFast, expected: Expected) -> None:
    ids = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    pieces = tuple(tokenizer.convert_ids_to_tokens(ids))
    special = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    if pieces != expected.pieces or special != (expected.bos, expected.eos, expected.pad):
        raise ModelError(
            "The tokenizer read from the GGUF file is not the published one "
            f"(pieces {pieces}, special tokens {special}). Use the pinned transformers version."
        )
    if tokenizer.decode(ids) != PROBE:
        raise ModelError("The tokenizer read from the GGUF file does not give text back.")


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
