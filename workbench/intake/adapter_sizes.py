"""Whether an adapter can be of a base, told from its tensors' sizes before anything is loaded."""

from pathlib import Path

from workbench.errors import IntakeError
from workbench.intake.header import Tensor, read_header
from workbench.models.references import text_config

# What of a base's config tells how many values a layer reads.
_READS = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), "hidden_size"),
    "down_proj": "intermediate_size",
}


def base_mismatch(weights: Path, reference: str) -> str:
    """Why an adapter cannot be of a base, or "" (also where that is not known).

    Args:
        weights: the adapter's safetensors file.
        reference: of a base; one that is not on this machine is not looked at.
    """
    config = text_config(reference)
    if not config:
        return ""
    try:
        tensors = read_header(weights)
    except (IntakeError, OSError):
        return ""
    return next(filter(None, (_mismatch(tensor, config) for tensor in tensors)), "")


def _mismatch(tensor: Tensor, config: dict) -> str:
    parts = tensor.name.split(".")
    module = next((part for part in parts if part in _READS), "")
    # Experts have widths of their own, and what sees has layers of its own.
    other = any("expert" in part or "vision" in part for part in parts)
    if not module or other or "lora_A" not in parts:
        return ""
    layers, width = config.get("num_hidden_layers"), config.get(_READS[module])
    number = parts[parts.index("layers") + 1] if "layers" in parts[:-1] else "0"
    if isinstance(layers, int) and number.isdigit() and int(number) >= layers:
        return f"The adapter has a layer {number}; this base has {layers} layers"
    if isinstance(width, int) and tensor.shape[-1:] and tensor.shape[-1] != width:
        return (
            f"The adapter's {module} reads {tensor.shape[-1]} values; this base's reads "
            f"{width}. It was trained on another base"
        )
    return ""
