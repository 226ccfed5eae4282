"""The tensors of a LoRA by PEFT's names: complete layers, and what may stand beside them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import IntakeError
from workbench.intake.header import FLOATS, Tensor
from workbench.intake.wording import shown
from workbench.limits import LIMITS

_LAYER = r"base_model\.model\.(?P<module>[A-Za-z0-9_]{1,64}(?:\.[A-Za-z0-9_]{1,64}){0,15})"
_KEY = re.compile(
    rf"{_LAYER}\.(?P<part>lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_magnitude_vector"
    r"|lora_embedding_A|lora_embedding_B)",
    re.ASCII,
)
# Whole layers that PEFT saves beside: those of modules_to_save, and embeddings as they are.
_WHOLE = re.compile(
    rf"{_LAYER}\.(?P<part>(?:base_layer\.)?(?:weight|bias)|token_adapter\.trainable_tokens_delta)",
    re.ASCII,
)
_EMBEDDINGS = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out", "word_embeddings")


@dataclass(frozen=True)
class Module:
    """The LoRA of one layer. A is [rank, inputs], B is [outputs, rank]."""

    name: str
    rank: int
    inputs: int
    outputs: int
    magnitude: bool


def lora_modules(
    tensors: Sequence[Tensor],
    saved: Sequence[str] = (),
    name: str = "adapter_model.safetensors",
) -> list[Module]:
    """Group tensors by layer; every layer must have A and B of one rank.

    Args:
        saved: names of layers that may be there as a whole.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            raise IntakeError(f'{name}: "{shown(tensor.name, 120)}" has the type {tensor.dtype}.')
        match = _KEY.fullmatch(tensor.name)
        if match is not None:
            parts.setdefault(match["module"], {})[match["part"]] = tensor
            continue
        whole = _WHOLE.fullmatch(tensor.name)
        layer = whole["module"].removesuffix(".base_layer").rpartition(".")[2] if whole else ""
        if layer not in (*saved, *_EMBEDDINGS):
            raise IntakeError(
                f'{name}: "{shown(tensor.name, 120)}" is not a name that PEFT gives to a LoRA '
                "matrix, nor to a layer that adapter_config.json names in modules_to_save."
            )
    if not parts and not saved:
        raise IntakeError(f"{name} holds no LoRA matrices. Save the adapter again.")
    return [_module(module, found, name) for module, found in parts.items()]


def changes_something(modules: Sequence[Module], filled: frozenset[str], saved: bool) -> bool:
    """Whether any layer's product B A can be other than zero, or whole layers are replaced."""
    lead = "base_model.model."
    return saved or any(
        {f"{lead}{module.name}.lora_A.weight", f"{lead}{module.name}.lora_B.weight"} <= filled
        or {f"{lead}{module.name}.lora_embedding_A", f"{lead}{module.name}.lora_embedding_B"}
        <= filled
        or f"{lead}{module.name}.lora_B.bias" in filled
        for module in modules
    )


def _module(module: str, found: dict[str, Tensor], name: str) -> Module:
    where = f"{name}: layer {shown(module, 120)}"
    embedded = "lora_embedding_A" in found or "lora_embedding_B" in found
    keys = [f"lora_embedding_{p}" if embedded else f"lora_{p}.weight" for p in ("A", "B")]
    for key, part in zip(keys, ("A", "B"), strict=True):
        if key not in found:
            raise IntakeError(f"{where} has no {part} matrix. Save the adapter again.")
    down, up = (found[key] for key in keys)
    if len(down.shape) != 2 or len(up.shape) != 2:
        raise IntakeError(f"{where}: A and B must be matrices of two axes.")
    rank, inputs = down.shape
    outputs, rank_of_up = up.shape
    if rank != rank_of_up:
        raise IntakeError(
            f"{where}: A has rank {rank} and B has rank {rank_of_up}. Save the adapter again."
        )
    if not 1 <= rank <= LIMITS.rank:
        raise IntakeError(f"{where} has rank {rank}; at most {LIMITS.rank} is taken.")
    magnitude = found.get("lora_magnitude_vector")
    if magnitude is not None and magnitude.shape != (inputs if embedded else outputs,):
        raise IntakeError(f"{where}: its DoRA magnitudes do not fit B. Save the adapter again.")
    return Module(module, rank, inputs, outputs, magnitude is not None)
