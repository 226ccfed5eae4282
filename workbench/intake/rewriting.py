"""Weights in another form become one file with PEFT's names: parts are joined, MLX's transposed.

MLX (mlx_lm) keeps ``adapters.safetensors`` with lora_a [inputs, rank] and lora_b [rank, outputs]
and adds ``scale * x a b`` (mlx_lm/tuner/lora.py); PEFT keeps the transposes and adds
``alpha / rank`` times that.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import IntakeError
from workbench.intake.copying import Copied, write_new
from workbench.intake.field_checks import NAME as CONFIG_NAME
from workbench.intake.header import ITEM_BYTES, PREFIX, Tensor, read_header
from workbench.intake.layout import WEIGHTS_NAME
from workbench.intake.wording import shown
from workbench.limits import LIMITS

_CHUNK_BYTES = 4 * 1024**2
_MLX_KEY = re.compile(
    r"(?P<layer>[A-Za-z0-9_]{1,64}(?:\.[A-Za-z0-9_]{1,64}){0,15})\.(?P<part>lora_a|lora_b|m)",
    re.ASCII,
)
_ADAPTER_NAME = re.compile(
    r"(\.lora_(?:A|B|embedding_A|embedding_B|magnitude_vector))\.(?!weight$|bias$)[A-Za-z0-9_-]{1,64}"
)
# Fields of an mlx_lm that no longer counts alpha.
_SCALE_ALONE = ("use_dora", "fine_tune_type", "num_layers", "optimizer", "mask_prompt")
_MLX_PARTS = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight", "m": "lora_magnitude_vector"}

Entry = tuple[str, Tensor, Path, bool]  # new name, where its values are, whether to transpose


def join(parts: Sequence[Copied], target: Path) -> Copied:
    """One file with the tensors of several."""
    entries: list[Entry] = []
    for part in parts:
        tensors = read_header(part.path, part.path.name)
        entries += [(tensor.name, tensor, part.path, False) for tensor in tensors]
    return _write(entries, target)


def usual_name(name: str) -> str:
    """What PEFT would have called a tensor of a LoRA that was saved without its help.

    A state as torch saves it keeps the adapter's name ("default") and the wrappers of compiling
    and of training in parallel; some tools leave out the beginning.
    """
    if ".lora_" not in name:
        return name
    name = ".".join(part for part in name.split(".") if part not in ("_orig_mod", "module"))
    name = _ADAPTER_NAME.sub(r"\1", name).replace("magnitude_vector.weight", "magnitude_vector")
    return name if name.startswith("base_model.") else f"{PREFIX}{name}"


def with_usual_names(weights: Copied) -> Copied:
    """The same file, rewritten where its tensors have other names than PEFT gives."""
    tensors = read_header(weights.path)
    entries = [(usual_name(tensor.name), tensor) for tensor in tensors]
    if all(name == tensor.name for name, tensor in entries):
        return weights
    source = weights.path.rename(weights.path.with_suffix(".before"))
    try:
        return _write([(name, tensor, source, False) for name, tensor in entries], weights.path)
    finally:
        source.unlink()


def from_mlx(weights: Copied, target: Path) -> Copied:
    """The weights of an MLX adapter as PEFT writes them."""
    entries: list[Entry] = []
    for tensor in read_header(weights.path, "adapters.safetensors"):
        match = _MLX_KEY.fullmatch(tensor.name)
        if match is None or len(tensor.shape) > 2:
            raise IntakeError(
                f'adapters.safetensors: "{shown(tensor.name, 120)}" is no LoRA matrix of a linear '
                "layer. Of MLX adapters those with fine_tune_type lora or dora are taken, without "
                "experts."
            )
        name = f"{PREFIX}{match['layer']}.{_MLX_PARTS[match['part']]}"
        entries.append((name, tensor, weights.path, len(tensor.shape) == 2))
    return _write(entries, target)


def mlx_claims(config: dict[str, Any]) -> dict[str, Any]:
    """What PEFT's config would say of an MLX adapter."""
    kind = config.get("fine_tune_type", "dora" if config.get("use_dora") is True else "lora")
    if kind not in ("lora", "dora"):
        raise IntakeError(
            f'{CONFIG_NAME}: "fine_tune_type" is "{shown(kind)}". Of MLX adapters those with lora '
            "or dora are taken."
        )
    settings = config.get("lora_parameters")
    if not isinstance(settings, dict):
        raise IntakeError(f'{CONFIG_NAME}: an MLX adapter needs "lora_parameters". Copy it whole.')
    rank, scale, alpha = settings.get("rank"), settings.get("scale"), settings.get("alpha")
    if not isinstance(rank, int) or not isinstance(scale, int | float):
        raise IntakeError(f'{CONFIG_NAME}: "lora_parameters" needs rank and scale as numbers.')
    # Until the middle of 2024 mlx_lm multiplied its scale with alpha / rank. Later it kept writing
    # the alpha and counted the scale alone; its files say so by names that came after.
    alone = any(name in config for name in _SCALE_ALONE)
    strength = scale * (alpha if isinstance(alpha, int | float) and not alone else rank)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": config.get("model"),
        "r": rank,
        "lora_alpha": strength,
        "lora_dropout": settings.get("dropout"),
        "use_dora": kind == "dora",
    }


def _write(entries: Sequence[Entry], target: Path) -> Copied:
    """A safetensors file of these tensors; names must be different."""
    if len({name for name, *_ in entries}) != len(entries):
        raise IntakeError(f"{WEIGHTS_NAME}: two parts hold the same tensor. Save it again.")
    header: dict[str, Any] = {}
    end = 0
    for name, tensor, _, transposed in entries:
        start, end = end, end + tensor.end - tensor.start
        shape = tensor.shape[::-1] if transposed else tensor.shape
        header[name] = {"dtype": tensor.dtype, "shape": shape, "data_offsets": [start, end]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)

    def chunks() -> Iterator[bytes]:
        yield len(raw).to_bytes(8, "little") + raw
        for _, tensor, path, transposed in entries:
            yield from _values(tensor, path, transposed)

    return write_new(target, chunks(), LIMITS.adapter_bytes, WEIGHTS_NAME)


def _values(tensor: Tensor, path: Path, transposed: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(tensor.start)
        if transposed:
            kind = f"<u{ITEM_BYTES[tensor.dtype]}"
            values = np.frombuffer(file.read(tensor.end - tensor.start), dtype=kind)
            yield np.ascontiguousarray(values.reshape(tensor.shape).T).tobytes()
            return
        left = tensor.end - tensor.start
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
