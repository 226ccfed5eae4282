"""Ten-line makers of good and bad files: safetensors, adapters, zips. Numpy only, no torch."""

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PREFIX = "base_model.model."
LAYERS = tuple(f"model.layers.{i}.self_attn.{n}" for i in range(2) for n in ("q_proj", "v_proj"))


def tensors(
    layers: tuple[str, ...] = LAYERS, rank: int = 4, width: int = 8, seed: int = 0
) -> dict[str, np.ndarray]:
    """Random A [rank, width] and B [width, rank] for every layer, by PEFT's names."""
    random = np.random.default_rng(seed)
    found = {}
    for layer in layers:
        found[f"{PREFIX}{layer}.lora_A.weight"] = random.normal(size=(rank, width))
        found[f"{PREFIX}{layer}.lora_B.weight"] = random.normal(size=(width, rank))
    return {name: values.astype(np.float32) for name, values in found.items()}


def header_of(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], bytes]:
    """A safetensors header as a dict, and the values that belong to it."""
    names = {"float32": "F32", "float16": "F16", "uint16": "BF16", "float64": "F64"}
    header, data = {}, b""
    for name, values in arrays.items():
        content = values.tobytes()
        header[name] = {
            "dtype": names[str(values.dtype)],
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    return header, data


def safetensors(header: Mapping[str, Any] | str, data: bytes) -> bytes:
    """The bytes of a file with this header, right or wrong."""
    text = header if isinstance(header, str) else json.dumps(header)
    raw = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw + data


def weights(arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """A good weights file."""
    return safetensors(*header_of(tensors() if arrays is None else arrays))


def config(**changes: Any) -> dict[str, Any]:
    """What PEFT saves for the adapter above, with changes."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": 4,
        "lora_alpha": 8,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
        **changes,
    }


def adapter_folder(
    folder: Path, settings: Mapping[str, Any] | None = None, content: bytes | None = None
) -> Path:
    """A folder with the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config() if settings is None else settings)
    (folder / "adapter_config.json").write_text(text)
    (folder / "adapter_model.safetensors").write_bytes(weights() if content is None else content)
    return folder


def members(folder: Path) -> dict[str, bytes]:
    """The files of a folder, as members of a zip."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def zipped(
    path: Path, contents: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    """A zip of these members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path
