"""What each field of an adapter_config.json may say, from PEFT 0.5 to 0.21.

A field that is in no table must be off (null, false or empty), so that a field of a newer PEFT
which changes what the adapter computes is refused by name and one that is at rest passes. Names of
code are never imported.
"""

import re
from collections.abc import Sequence
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.field_checks import (
    NAME,
    Check,
    flag,
    indices,
    maybe,
    names,
    one_of,
    pattern,
    refuse,
    rule,
    text,
    whole,
)
from workbench.intake.methods import METHODS, Method
from workbench.limits import LIMITS

_LIBRARY = re.compile(
    r"transformers(?:\.[a-z0-9_]{1,64}){0,6}|transformers_modules(?:\.[A-Za-z0-9_-]{1,96}){1,8}",
    re.ASCII,
)

# Why a field that changes what the adapter is cannot be taken along, and what to do about it.
_MERGE = "Merge it into the base, or train a plain LoRA."
_REFUSED = {
    "target_parameters": f"It adapts bare parameters instead of linear layers. {_MERGE}",
    "layer_replication": f"It multiplies the layers of the base. {_MERGE}",
    "enable_lora": f"It adapts parts of fused layers. {_MERGE}",
    "alora_invocation_tokens": f"It switches the adapter on in mid-text. {_MERGE}",
    "arrow_config": f"It routes between several adapters. {_MERGE}",
    "use_qalora": f"It averages the inputs of a quantised base. {_MERGE}",
    "use_bdlora": f"It is split into blocks. {_MERGE}",
    "kasa_config": f"It belongs to a base whose weights were changed. {_MERGE}",
    "monteclora_config": f"It draws its weights at random. {_MERGE}",
    "megatron_config": "It is for Megatron models, which are not supported.",
}
_UNKNOWN = "This field is not known here. Save the adapter as a plain LoRA without it."
_OTHER_TASKS = {
    "SEQ_CLS": "This adapter classifies texts by a head of its own (SEQ_CLS); it does not write.",
    "TOKEN_CLS": "This adapter labels single tokens (TOKEN_CLS); it does not write.",
    "QUESTION_ANS": "This adapter marks answers in a text (QUESTION_ANS); it does not write.",
    "FEATURE_EXTRACTION": "This adapter makes embeddings (FEATURE_EXTRACTION); it does not write.",
}
_IMAGE = re.compile(
    r"unet|transformer2d|transformer3d|diffus|\bflux|fluxtransformer|sd3|sdxl|pixart|sanatransf"
    r"|wantransf|autoencoderkl|hunyuanvideo|cogvideo|controlnet",
    re.IGNORECASE,
)
# Of the class that an adapter was trained on; names of text models say "Vision" as well.
_IMAGE_CLASS = re.compile(
    r"visiontransformer|vit(?:for|model|mae)|dinov|clip(?:model|vision)|siglip|swin|segformer"
    r"|resnet|convnext|detr|sammodel|\bbeit|deit",
    re.IGNORECASE,
)
_SPEECH = re.compile(
    r"whisper|wav2vec|hubert|speech|seamlessm4t|musicgen|\bbark\b|vits|parler", re.IGNORECASE
)
_CLASS = ("base_model_class", "parent_library")  # of auto_mapping
_IMAGE_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "conv_in", "proj_out")


def method_of(data: dict[str, Any]) -> Method | None:
    """The method's row in the table; None for LoRA.

    Raises:
        IntakeError: the method, or the kind of model, cannot be a teacher; with the true reason.
    """
    _refuse_other_models(data)
    kind = data.get("peft_type")
    if kind == "LORA":
        return None
    if "peft_type" not in data:
        raise IntakeError(f"{NAME} is not of PEFT: it has no peft_type. {_not_of_peft(data)}")
    if not isinstance(kind, str) or kind not in METHODS:
        refuse("peft_type", kind, "PEFT's name of the method belongs there. Save it again.")
    method = METHODS[kind]
    if method.refused:
        refuse("peft_type", kind, method.refused)
    if not method.mark and data.get("task_type") == "SEQ_2_SEQ_LM":  # no weights of layers
        refuse("task_type", "SEQ_2_SEQ_LM", "This adapter is for encoder-decoder models.")
    return method


def _not_of_peft(data: dict[str, Any]) -> str:
    """What else the file may be."""
    if isinstance(data.get("config"), dict) and "model_class" in data:
        return "It belongs to an adapter of AdapterHub, which has layers of its own."
    return "Of adapters those are taken that PEFT or mlx_lm has saved: hand over its whole folder."


def check_fields(data: dict[str, Any], method: Method | None) -> None:
    """Raise IntakeError for the first field that is missing or says what cannot be taken along."""
    required = ("r", "lora_alpha") if method is None else method.required
    for name in required:
        if name not in data:
            refuse(name, None, "Save the adapter again.")
    checks = _COMMON | (_LORA if method is None else method.taken)
    at_rest = _LORA_AT_REST if method is None else method.at_rest
    for name, value in data.items():
        if name in checks:
            checks[name](name, value)
        elif name not in at_rest and value not in (None, False, "", [], {}):
            refuse(name, value, _REFUSED.get(name, _UNKNOWN))


def _refuse_other_models(data: dict[str, Any]) -> None:
    """Adapters of image and speech models, and of tasks that write nothing, by what they name."""
    mapping = data.get("auto_mapping")
    said = [data.get("base_model_name_or_path"), data.get("task_type")]
    trained = [mapping.get(key) for key in _CLASS] if isinstance(mapping, dict) else []
    words = _words([*said, *trained])
    targets = data.get("target_modules")
    layers = (
        [name for name in targets if isinstance(name, str)] if isinstance(targets, list) else []
    )
    for kind, found in (
        (
            "image models",
            _IMAGE.search(words)
            or _IMAGE_CLASS.search(_words(trained))
            or any(name in _IMAGE_LAYERS for name in layers),
        ),
        ("speech", _SPEECH.search(words)),
    ):
        if found:
            raise IntakeError(f"{NAME}: This adapter is for {kind}, not text.")
    task = data.get("task_type")
    if isinstance(task, str) and task in _OTHER_TASKS:
        raise IntakeError(
            f'{NAME}: "task_type" is "{task}". {_OTHER_TASKS[task]} Only adapters of text '
            "generation models (CAUSAL_LM) are taken."
        )


def _words(values: Sequence[object]) -> str:
    return " ".join(value for value in values if isinstance(value, str))[:2000]


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


def _target_modules(field: str, value: Any) -> None:
    if value is None or (isinstance(value, str) and len(value) <= 10_000):
        return  # A rule is never evaluated: the weights say which layers there are.
    names(field, value)


def _dropout(field: str, value: Any) -> None:
    if value is not None and not (type(value) in (int, float) and 0 <= value < 1):
        refuse(field, value, "It must be a number from 0 up to 1.")


def _alpha(field: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 < value <= _MOST_ALPHA:
        refuse(field, value, f"It must be a number above 0 and at most {_MOST_ALPHA:,}.")


_MOST_ALPHA = 1_000_000  # people keep alpha / rank where a rank is a thousand
_rank = whole(1, LIMITS.rank)
# Of every method. Whether biases were really trained is seen from the weights.
_COMMON: dict[str, Check] = {
    "peft_type": text,
    "peft_version": text,
    "base_model_name_or_path": text,
    "revision": text,
    # Some trainers say SEQ_2_SEQ_LM of a plain model; the weights tell (config.refuse_encoders).
    "task_type": one_of(
        *("CAUSAL_LM", "SEQ_2_SEQ_LM", None),
        remedy="Only adapters of text generation models (CAUSAL_LM) are taken.",
    ),
    "target_modules": _target_modules,
    "exclude_modules": rule,
    "layers_to_transform": rule,
    "layers_pattern": rule,
    "modules_to_save": maybe(names),
    "bias": maybe(one_of("none", "all", *(f"{m}_only" for m in ("lora", "oft", "delora", "boft")))),
    "fan_in_fan_out": flag,  # PEFT sets it from the layer's class
    "inference_mode": flag,
    "auto_mapping": _auto_mapping,
    "init_weights": lambda field, value: None,  # the weights are those of the file
}
_LORA: dict[str, Check] = {
    "r": _rank,
    "lora_alpha": _alpha,
    "lora_dropout": _dropout,
    "rank_pattern": pattern(_rank),
    "alpha_pattern": pattern(_alpha),
    "use_rslora": flag,
    "use_dora": flag,
    "lora_bias": flag,
    "trainable_token_indices": maybe(indices),
    "ensure_weight_tying": flag,
    "merge_weights": flag,  # PEFT before 0.3
    "init_lora_weights": one_of(
        *(True, False, None, "gaussian", "orthogonal", "eva", "mica"),
        remedy="That start changes the base, so the adapter does not fit the plain base. "
        "Convert it with save_pretrained(path_initial_model_for_weight_conversion=...).",
    ),
    "megatron_core": one_of("megatron.core", None, remedy="It names code to import."),
    "qalora_group_size": one_of(16, None, remedy="QALoRA is not supported."),
    "runtime_config": _runtime,
}
# How the training began or saved memory; the start itself is "init_lora_weights".
_LORA_AT_REST = ("eva_config", "corda_config", "lora_ga_config", "loftq_config", "velora_config")
