"""From our settings to PEFT's config, and whether an adapter's tensors fit.

A PEFT config is always built from our own settings, never read from a file; tensors are only
taken when names, shapes and values are exactly right.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import Tensor

from workbench.adapter_settings import AdapterSettings
from workbench.errors import ModelError

# What makes an adapter do nothing, by method: endings of tensors, and the value that all have.
_IDLE = {
    "LORA": (("lora_B.weight", "lora_embedding_A"), 0.0),
    "IA3": (("ia3_l",), 1.0),
    "OFT": (("oft_R.weight",), 0.0),
    "MISS": (("miss_block",), 0.0),
}


def peft_config(settings: AdapterSettings, *, frozen: bool) -> PeftConfig:
    """The config of one adapter, for teachers and students alike.

    Args:
        settings: its target modules are names of layers, not "all-linear".
        frozen: it is only read: methods with an encoder then keep what the encoder gives.
    """
    fields = {name: _escaped(name, value) for name, value in settings.fields.items()}
    config: Any = PEFT_TYPE_TO_CONFIG_MAPPING[settings.method]  # type: ignore[index]
    return config(task_type="CAUSAL_LM", inference_mode=frozen, **fields)


def _escaped(name: str, value: Any) -> Any:
    """Names of layers in patterns are escaped because PEFT compiles them."""
    if name.endswith("_pattern") and isinstance(value, dict):
        # AdaLoRA's ranks are lists by the names of tensors, which are looked up as they are.
        by_name = any(isinstance(entry, list) for entry in value.values())
        return {key if by_name else re.escape(key): entry for key, entry in value.items()}
    return value


def check_tensors(method: str, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Exact names and shapes, finite values, and an effect.

    Args:
        method: PEFT's name.
        tensors: of the file.
        wanted: of a fresh adapter of the same settings.
    """
    missing = sorted(set(wanted) - set(tensors))
    if missing:
        raise ModelError(
            f'The adapter lacks the tensor "{missing[0]}" ({len(missing)} missing). Its settings '
            "and its weights do not belong together, or it was made for another base model."
        )
    unexpected = sorted(set(tensors) - set(wanted))
    if unexpected:
        raise ModelError(
            f'The adapter has a tensor "{unexpected[0]}" that this base model has no place for '
            f"({len(unexpected)} in all). It was made for another base model, or renamed."
        )
    for key, parameter in wanted.items():
        if tensors[key].shape != parameter.shape:
            raise ModelError(
                f'The adapter\'s tensor "{key}" has shape {tuple(tensors[key].shape)}, this base '
                f"model needs {tuple(parameter.shape)}. Choose the base that it was trained on."
            )
        if not torch.isfinite(tensors[key]).all():
            raise ModelError(
                f'The adapter\'s tensor "{key}" holds NaN or infinite values. Its training '
                "failed; export it again from a good checkpoint."
            )
    endings, value = _IDLE.get(method, ((), 0.0))
    idle = [key for key in wanted if key.endswith(endings)] if endings else []
    others = [key for key in wanted if not key.endswith(endings) and ".lora_" not in key]
    if idle and not others and all(bool((tensors[key] == value).all()) for key in idle):
        raise ModelError(
            f'The adapter changes nothing: every "{endings[0]}" is {value:g}. It was saved before '
            "it was trained."
        )
