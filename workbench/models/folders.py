"""What a folder must hold before it is loaded as a base model. Reads JSON only, no torch.

Refuses folders that bring their own code, that are an adapter instead of a base, or that hold
no safetensors weights.
"""

import json
from pathlib import Path
from typing import Any

from workbench.errors import ModelError

CONFIG_BYTES = 4 * 1024**2  # a tokenizer's settings may list thousands of tokens
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


def named(text: str) -> Path | None:
    """The folder that a text names, absolute; None when there is none of that name."""
    try:
        folder = Path(text).expanduser().absolute()
        return folder if text and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, the home of nobody, a NUL
        return None


def check_folder(folder: Path) -> dict[str, Any]:
    """The folder's config.json, when it can be loaded as a base model.

    Raises:
        ModelError: with one sentence that says what is missing or refused.
    """
    if named(str(folder)) is None:
        raise ModelError(f"There is no folder {folder}. Give the folder of a base model.")
    if (folder / "adapter_config.json").exists():
        # transformers would load it silently on top of whatever base its config names.
        raise ModelError(f"{folder} holds an adapter_config.json: it is an adapter, not a base.")
    config = _read_json(folder / "config.json")
    _check_config(config, folder)
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} has no .safetensors file. Save the model with save_pretrained; weights in "
            "pickle formats (.bin, .pt) are not read."
        )
    if not any((folder / name).exists() for name in _TOKENIZERS):
        raise ModelError(f"{folder} has no tokenizer. Save the base's tokenizer in it as well.")
    settings = folder / "tokenizer_config.json"
    if settings.exists() and "auto_map" in _read_json(settings):
        raise ModelError(f"{folder}: its tokenizer asks to run code of its own (auto_map).")
    return config


def _check_config(config: dict[str, Any], where: Path) -> None:
    """Refuse what would bring code, foreign quantisation or private switches along."""
    if "auto_map" in config:
        raise ModelError(f"{where}: its config.json asks to run code of its own (auto_map).")
    if "quantization_config" in config:
        raise ModelError(
            f"{where}: it is already quantised. Give the bf16 base; the workbench quantises it."
        )
    private = sorted(key for key in config if key.startswith("_attn") or key.startswith("__"))
    if private:
        raise ModelError(f'{where}: its config.json sets the private field "{private[0]}".')
    if not config.get("model_type"):
        raise ModelError(f"{where}: its config.json names no model_type.")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path.parent} has no config.json: it is not the folder of a model.")
    if path.stat().st_size > CONFIG_BYTES:
        raise ModelError(f"{path} is larger than {CONFIG_BYTES} bytes: too large to be settings.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} must be a JSON object.")
    return config
