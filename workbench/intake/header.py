"""The header of a safetensors file and the values behind it, read by our own few lines.

The format is 8 bytes of length (little endian), that many bytes of JSON, then the values without
holes (safetensors README). The library allows a header of 100 MB and does not look at the values;
here both are bounded, and NaN and infinity are refused. The metadata entry is checked and dropped.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workbench.errors import IntakeError
from workbench.intake.bounded_json import read_json
from workbench.intake.wording import shown, size_words
from workbench.limits import LIMITS

REMEDY_PICKLE = (
    "Pickle files can run code when they are read, so they are refused: convert the adapter with "
    "save_pretrained(safe_serialization=True) and hand over adapter_config.json and "
    "adapter_model.safetensors only."
)

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I32": 4, "I64": 8}
FLOATS = ("F32", "F16", "BF16")
PREFIX = "base_model.model."  # what PEFT puts before the names of layers
_CHUNK_BYTES = 4 * 1024**2
_ZIP, _SEVEN_ZIP, _PICKLE = b"PK\x03\x04", b"7z\xbc\xaf", b"\x80"


@dataclass(frozen=True)
class Tensor:
    """One entry: its values are the bytes ``start`` to ``end`` of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path, name: str = "adapter_model.safetensors") -> list[Tensor]:
    """All tensors in file order; ``name`` is what error sentences call the file."""
    total = path.stat().st_size
    with path.open("rb") as file:
        lead = file.read(9)
        length = int.from_bytes(lead[:8], "little")
        if lead[8:] != b"{":
            refuse_other_formats(lead, name)
            raise IntakeError(f"{name} is not a safetensors file. {REMEDY_PICKLE}")
        if length > LIMITS.safetensors_header_bytes:
            raise IntakeError(
                f"{name}: its header claims {length} bytes; at most "
                f"{size_words(LIMITS.safetensors_header_bytes)} are read. Save the adapter again."
            )
        if 8 + length > total:
            raise IntakeError(f"{name} ends inside its header: it is cut off. Upload it again.")
        raw = b"{" + file.read(length - 1) if length else b""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise IntakeError(
            f"{name}: its header is not UTF-8 text. Save the adapter again."
        ) from error
    table = read_json(text, f"The header of {name}")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise IntakeError(f"{name}: its metadata must be texts only. Save the adapter again.")
    if not table:
        raise IntakeError(f"{name} holds no tensors. Save the adapter again.")
    if len(table) > LIMITS.tensors:
        raise IntakeError(f"{name} holds {len(table)} tensors; at most {LIMITS.tensors} are read.")
    tensors = [_tensor(key, entry, 8 + length, name) for key, entry in table.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    _require_contiguous(tensors, 8 + length, total, name)
    return tensors


def refuse_other_formats(lead: bytes, name: str) -> None:
    """Raise when the first bytes are those of a pickle or an archive under another name."""
    if lead.startswith(_PICKLE):
        raise IntakeError(f"{name} is a pickle. {REMEDY_PICKLE}")
    if lead.startswith((_ZIP, _SEVEN_ZIP)):
        raise IntakeError(f"{name} is an archive (the PyTorch format is one). {REMEDY_PICKLE}")


def _tensor(key: str, entry: object, base: int, name: str) -> Tensor:
    where = f'{name}: tensor "{shown(key, 120)}"'
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise IntakeError(f"{where} must have dtype, shape and data_offsets, and nothing else.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in tuple(ITEM_BYTES):
        raise IntakeError(
            f"{where} has the type {shown(dtype, 12)}. Save the adapter as float32, float16 or "
            "bfloat16."
        )
    if not _naturals(shape) or not 1 <= len(shape) <= 4 or 0 in shape[1:]:
        raise IntakeError(f"{where} has an unusable shape. Save the adapter again.")
    if not _naturals(offsets) or len(offsets) != 2:
        raise IntakeError(f"{where} has unusable data_offsets. Save the adapter again.")
    start, end = offsets
    if end - start != math.prod(shape) * ITEM_BYTES[dtype]:
        raise IntakeError(f"{where}: its shape does not fit its bytes. Save the adapter again.")
    return Tensor(key, dtype, tuple(shape), base + start, base + end)


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(
        type(entry) is int and 0 <= entry < 2**40 for entry in value
    )


def _require_contiguous(tensors: Sequence[Tensor], base: int, total: int, name: str) -> None:
    position = base
    for tensor in tensors:
        if tensor.start != position:
            problem = "overlaps another" if tensor.start < position else "follows a hole"
            raise IntakeError(
                f'{name}: tensor "{shown(tensor.name, 120)}" {problem}. Save the adapter again.'
            )
        position = tensor.end
    if position > total:
        raise IntakeError(f"{name} is cut off: {position - total} bytes are missing. Upload again.")
    if position < total:
        raise IntakeError(f"{name} has {total - position} bytes too many. Save the adapter again.")


def check_values(
    path: Path, tensors: Sequence[Tensor], name: str = "adapter_model.safetensors"
) -> frozenset[str]:
    """Read every value once, a few MB at a time: all finite; the names of those not all zero."""
    filled = set()
    with path.open("rb") as file:
        for tensor in tensors:
            if tensor.dtype not in FLOATS:
                continue
            for bits in _bits(file, tensor):
                exponent, rest = _MASKS[tensor.dtype]
                if bool(((bits & exponent) == exponent).any()):
                    raise IntakeError(
                        f'{name}: "{shown(tensor.name, 120)}" holds NaN or infinity. The training '
                        "diverged: train the adapter again with a smaller learning rate."
                    )
                if bool((bits & rest).any()):
                    filled.add(tensor.name)
    return frozenset(filled)


# Masks of the exponent (all ones means NaN or infinity) and of everything but the sign.
_MASKS = {
    "F32": (np.uint32(0x7F800000), np.uint32(0x7FFFFFFF)),
    "F16": (np.uint16(0x7C00), np.uint16(0x7FFF)),
    "BF16": (np.uint16(0x7F80), np.uint16(0x7FFF)),
}


def _bits(file: BinaryIO, tensor: Tensor) -> Iterator[np.ndarray]:
    """The values of a tensor as unsigned integers, in chunks of [<= 4 MB]."""
    file.seek(tensor.start, os.SEEK_SET)
    left = tensor.end - tensor.start
    kind = "<u4" if tensor.dtype == "F32" else "<u2"
    while left:
        chunk = file.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise IntakeError("The adapter's file became shorter while it was read.")
        left -= len(chunk)
        yield np.frombuffer(chunk, dtype=kind)
