"""What each field of an adapter_config.json may say: one table, from PEFT 0.5 to 0.21.

A field that is not in the table must be off (null, false or empty), so that a field of a newer
PEFT which changes what the adapter computes is refused by name and one that is at rest passes.
Patterns are never compiled and names of code are never imported.
"""

import re
from collections.abc import Callable
from typing import Any, NoReturn

from workbench.errors import IntakeError
from workbench.intake.wording import shown
from workbench.limits import LIMITS

NAME = "adapter_config.json"

_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}(?:\.[A-Za-z0-9_]{1,64}){0,15}", re.ASCII)
_LIBRARY = re.compile(r"transformers(?:\.[a-z0-9_]{1,64}){0,6}", re.ASCII)

# Why a field that changes what the adapter is cannot be taken along, and what to do about it.
_MERGE = "Merge it into the base, or train a plain LoRA."
_REFUSED = {
    "modules_to_save": f"It replaces whole layers of the base. {_MERGE}",
    "trainable_token_indices": f"It changes embeddings of the base. {_MERGE}",
    "target_parameters": f"It adapts bare parameters instead of linear layers. {_MERGE}",
    "layer_replication": f"It multiplies the layers of the base. {_MERGE}",
    "lora_bias": f"It adds biases. {_MERGE}",
    "enable_lora": f"It adapts parts of fused layers. {_MERGE}",
    "alora_invocation_tokens": f"It switches the adapter on in mid-text. {_MERGE}",
    "arrow_config": f"It routes between several adapters. {_MERGE}",
    "use_qalora": f"It averages the inputs of a quantised base. {_MERGE}",
    "use_bdlora": f"It is split into blocks. {_MERGE}",
    "megatron_config": "It is for Megatron models, which are not supported.",
    "loftq_config": f"It belongs to a base whose weights were changed. {_MERGE}",
    "eva_config": "Save the adapter again without it: it is only needed to start training.",
    "corda_config": f"It belongs to a base whose weights were changed. {_MERGE}",
    "lora_ga_config": f"It belongs to a base whose weights were changed. {_MERGE}",
}
_UNKNOWN = "This field is not known here. Save the adapter as a plain LoRA without it."


def check_fields(data: dict[str, Any]) -> None:
    """Raise IntakeError for the first field that is missing or says what cannot be taken along."""
    if data.get("peft_type") != "LORA":
        refuse("peft_type", data.get("peft_type"), "Only LoRA adapters can be transferred.")
    for field in ("r", "lora_alpha"):
        if field not in data:
            refuse(field, None, "Save the adapter again.")
    for field, value in data.items():
        if field in _CHECKS:
            _CHECKS[field](field, value)
        elif value not in (None, False, "", [], {}):
            refuse(field, value, _REFUSED.get(field, _UNKNOWN))


def refuse(field: str, value: object, remedy: str) -> NoReturn:
    """Raise the sentence for one field: its name, what it says, what to do."""
    raise IntakeError(f'{NAME}: "{shown(field)}" is {_word(value)}. {remedy}')


def _word(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "set"
    return f'"{shown(value, 40)}"'


def _one_of(*allowed: object, remedy: str) -> Callable[[str, Any], None]:
    def check(field: str, value: Any) -> None:
        # Types are compared as well: 1 is not True, and a list is not hashable.
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            refuse(field, value, remedy)

    return check


def _text(field: str, value: Any) -> None:
    if value is not None and not (isinstance(value, str) and len(value) <= 500):
        refuse(field, value, "It must be a short text.")


def _boolean(field: str, value: Any) -> None:
    _one_of(True, False, None, remedy="It must be true or false.")(field, value)


def _is_rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LIMITS.rank


def _is_alpha(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 4096


def _rank(field: str, value: Any) -> None:
    if not _is_rank(value):
        refuse(field, value, f"It must be a whole number from 1 to {LIMITS.rank}.")


def _alpha(field: str, value: Any) -> None:
    if not _is_alpha(value):
        refuse(field, value, "It must be a number above 0 and at most 4096.")


def _dropout(field: str, value: Any) -> None:
    if value is not None and not (type(value) in (int, float) and 0 <= value < 1):
        refuse(field, value, "It must be a number from 0 up to 1.")


def _pattern(is_good: Callable[[Any], bool], wanted: str) -> Callable[[str, Any], None]:
    def check(field: str, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, dict) or len(value) > LIMITS.tensors:
            refuse(field, value, "It must be an object of layer names.")
        for key, entry in value.items():
            if not _PLAIN.fullmatch(key):
                refuse(field, key, "Only plain names of layers are taken, no patterns.")
            if not is_good(entry):
                refuse(f"{field}.{key}", entry, f"It must be {wanted}.")

    return check


def _target_modules(field: str, value: Any) -> None:
    if value is None or (isinstance(value, str) and len(value) <= 10_000):
        return  # A rule is never evaluated: the weights say which layers there are.
    if not isinstance(value, list) or len(value) > LIMITS.tensors:
        refuse(field, value, "It must be a list of layer names.")
    for entry in value:
        if not isinstance(entry, str) or not _PLAIN.fullmatch(entry):
            refuse(field, entry, "Only plain names of layers are taken, no patterns.")


def _layer_rule(field: str, value: Any) -> None:
    entries = value if isinstance(value, list) else [value]
    if len(entries) > LIMITS.tensors or not all(type(e) in (int, str, type(None)) for e in entries):
        refuse(field, value, "It must be numbers or names of layers.")


def _auto_mapping(field: str, value: Any) -> None:
    """PEFT writes this when there is no task type, and imports what it names; we only allow it."""
    if value in (None, {}):
        return
    good = (
        isinstance(value, dict)
        and set(value) <= {"base_model_class", "parent_library", "unsloth_fixed"}
        and isinstance(value.get("base_model_class"), str)
        and value["base_model_class"].isidentifier()
        and isinstance(value.get("parent_library"), str)
        and _LIBRARY.fullmatch(value["parent_library"]) is not None
        and value.get("unsloth_fixed", True) is True
    )
    if not good:
        refuse(field, value, "It names code to import. Save the adapter again without it.")


def _runtime(field: str, value: Any) -> None:
    if value not in (None, {}) and value != {"ephemeral_gpu_offload": False}:
        refuse(field, value, "Save the adapter again without it.")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "peft_type": _text,
    "peft_version": _text,
    "base_model_name_or_path": _text,
    "revision": _text,
    "task_type": _one_of(
        "CAUSAL_LM", None, remedy="Only adapters of text generation models (CAUSAL_LM) are taken."
    ),
    "r": _rank,
    "lora_alpha": _alpha,
    "lora_dropout": _dropout,
    "rank_pattern": _pattern(_is_rank, f"a whole number from 1 to {LIMITS.rank}"),
    "alpha_pattern": _pattern(_is_alpha, "a number above 0 and at most 4096"),
    "target_modules": _target_modules,
    "exclude_modules": _layer_rule,
    "layers_to_transform": _layer_rule,
    "layers_pattern": _layer_rule,
    "bias": _one_of("none", None, remedy=f"It changes biases of the base. {_MERGE}"),
    "use_rslora": _boolean,
    "use_dora": _boolean,
    "fan_in_fan_out": _boolean,  # only matters for merging; PEFT sets it from the layer's class
    "inference_mode": _boolean,
    "ensure_weight_tying": _boolean,  # only matters with modules_to_save
    "merge_weights": _boolean,  # PEFT before 0.3
    "init_lora_weights": _one_of(
        True,
        False,
        None,
        "gaussian",
        "orthogonal",
        "eva",
        remedy="That start changes the base, so the adapter does not fit the plain base. "
        "Convert it with save_pretrained(path_initial_model_for_weight_conversion=...).",
    ),
    "megatron_core": _one_of("megatron.core", None, remedy="It names code to import."),
    "qalora_group_size": _one_of(16, None, remedy="QALoRA is not supported."),
    "auto_mapping": _auto_mapping,
    "runtime_config": _runtime,
}
