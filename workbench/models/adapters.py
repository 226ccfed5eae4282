"""The shape of a LoRA adapter for PEFT and for its files, and whether tensors fit it.

A PEFT config is always built from our own settings, never read from a file; tensors are only
taken when names, shapes and values are exactly right.
"""

import re
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.recipe import LoraSettings


def peft_config(settings: LoraSettings, targets: list[str]) -> LoraConfig:
    """A LoraConfig of our own. Names are escaped because PEFT compiles them as patterns."""
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # a float works: it only scales
        lora_dropout=settings.dropout,
        target_modules=targets,
        rank_pattern={re.escape(key): value for key, value in settings.rank_pattern.items()},
        alpha_pattern={re.escape(key): value for key, value in settings.alpha_pattern.items()},
        use_rslora=settings.method == "rslora",
        use_dora=settings.method == "dora",
        bias="none",
        init_lora_weights=True,
    )


def file_config(settings: LoraSettings, targets: list[str], base: str) -> dict[str, Any]:
    """adapter_config.json: only what describes this adapter, so that older PEFT reads it too."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": settings.rank,
        "lora_alpha": int(settings.alpha)
        if settings.alpha == int(settings.alpha)
        else settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": targets,
        "rank_pattern": settings.rank_pattern,
        "alpha_pattern": settings.alpha_pattern,
        "use_rslora": settings.method == "rslora",
        "use_dora": settings.method == "dora",
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
    }


def check_tensors(tensors: dict[str, Tensor], wanted: dict[str, nn.Parameter]) -> None:
    """Exact names and shapes, finite values, and a B that is not all zero."""
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
    if not any(tensors[key].any() for key in wanted if key.endswith("lora_B.weight")):
        raise ModelError(
            "All B matrices of the adapter are zero, so it would change nothing. "
            "It was saved before it was trained."
        )
