"""adapter_config.json, read as a claim and not as an instruction.

PEFT's own loader turns fields of this file into imports, downloads, regular expressions and file
reads. Here the fields of the method's table are copied into ``AdapterSettings``; every other field
must be off, and the refusal names it. ``base_model_name_or_path`` comes out as a hint to show.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.adapter_settings import ALL_LINEAR, LORA, AdapterSettings
from workbench.errors import IntakeError
from workbench.intake.bounded_json import read_json
from workbench.intake.config_fields import check_fields, method_of
from workbench.intake.field_checks import NAME, is_plain, matchers, refuse
from workbench.intake.header import Tensor, refuse_other_formats
from workbench.intake.lora_tensors import Module
from workbench.intake.methods import METHODS
from workbench.intake.tensor_names import layers_of
from workbench.intake.wording import shown

_CACHED = re.compile(r"\bmodels--([A-Za-z0-9._-]+?)--([A-Za-z0-9._-]+)[/\\]snapshots[/\\]")
# At the top: the vision tower of a model that writes has an encoder, too.
_ENCODER = re.compile(
    r"\Abase_model\.model\.(?:model\.)?encoder\.|\.EncDecAttention\.|\.encoder_attn\."
)


@dataclass(frozen=True)
class Claims:
    """What the config says, before it is compared with the weights.

    Attributes:
        method: PEFT's name.
        fields: those that are taken along, as they stand there.
        targets: plain names of layers; None when the config chooses layers by a rule.
        saved: names of layers that the adapter replaces as a whole.
    """

    method: str
    fields: dict[str, Any]
    targets: tuple[str, ...] | None
    saved: tuple[str, ...]
    base_hint: str


def read_config(raw: bytes) -> dict[str, Any]:
    """The bytes of an adapter_config.json as plain data."""
    refuse_other_formats(raw[:9], NAME)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IntakeError(f"{NAME} is not UTF-8 text. Save the adapter again.") from error
    data = read_json(text, NAME)
    if not isinstance(data, dict):
        raise IntakeError(f"{NAME} must be one JSON object. Save the adapter again.")
    return data


def claims_of(data: dict[str, Any]) -> Claims:
    """Check the fields; raises IntakeError naming the first that cannot be taken along."""
    method = method_of(data)
    check_fields(data, method)
    by_rule = any(
        data.get(field) not in (None, [], "")
        for field in ("layers_to_transform", "layers_pattern", "exclude_modules")
    )
    targets = data.get("target_modules")
    if targets == ALL_LINEAR:
        targets = [targets]
    named = isinstance(targets, list) and bool(targets) and not by_rule
    taken = _LORA_TAKEN if method is None else tuple(method.taken)
    return Claims(
        method=data["peft_type"],
        fields={name: data[name] for name in taken if data.get(name) is not None},
        targets=tuple(sorted(set(targets))) if named and targets else None,
        saved=tuple(sorted(set(data.get("modules_to_save") or ()))),
        base_hint=_hint(data.get("base_model_name_or_path")),
    )


_LORA_TAKEN = (
    *("r", "lora_alpha", "lora_dropout", "rank_pattern", "alpha_pattern", "use_rslora"),
    *("use_dora", "lora_bias", "trainable_token_indices"),
)


def lora_settings(claims: Claims, modules: Sequence[Module]) -> AdapterSettings:
    """Hold the claims against the layers that the weights really have.

    Ranks come from the weights and must be the ones claimed; names come from the config where it
    has plain ones, else from the weights.
    """
    fields = claims.fields
    rank, alpha = fields["r"], fields["lora_alpha"]
    names = [module.name for module in modules]
    said_ranks = _resolved(fields.get("rank_pattern", {}), names, rank)
    said_alphas = _resolved(fields.get("alpha_pattern", {}), names, alpha)
    for module in modules:
        if said_ranks[module.name] != module.rank:
            raise IntakeError(
                f"{NAME} says rank {said_ranks[module.name]} for layer {shown(module.name, 120)}, "
                f"but its matrices have rank {module.rank}. The two files do not belong together."
            )
        if module.magnitude != bool(fields.get("use_dora")):
            has = "has" if module.magnitude else "lacks"
            raise IntakeError(
                f'{NAME}: "use_dora" does not fit layer {shown(module.name, 120)}, which {has} '
                "DoRA magnitudes. The two files do not belong together."
            )
    settings = {
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": fields.get("lora_dropout", 0.0),
        "target_modules": list(_targets(claims.targets, names)),
        "rank_pattern": {name: said for name, said in said_ranks.items() if said != rank},
        "alpha_pattern": {name: said for name, said in said_alphas.items() if said != alpha},
        "use_rslora": bool(fields.get("use_rslora")),
        "use_dora": bool(fields.get("use_dora")),
        "bias": "none",
    }
    if fields.get("lora_bias"):
        settings["lora_bias"] = True
    if fields.get("trainable_token_indices"):
        settings["trainable_token_indices"] = fields["trainable_token_indices"]
    if claims.saved:
        settings["modules_to_save"] = list(claims.saved)
    return AdapterSettings(LORA, settings)


def other_settings(claims: Claims, tensors: Sequence[Tensor]) -> AdapterSettings:
    """The same for every other method: its layers are those that the weights have."""
    method = METHODS[claims.method]
    settings = dict(claims.fields)
    if not method.mark or "target_modules" in method.taken:
        return AdapterSettings(claims.method, settings)
    shapes = layers_of(tensors, method.mark)
    if method.by_name:
        if claims.targets is None:
            refuse(
                "target_modules", None, "This method's weights do not tell its layers: name them."
            )
        settings["target_modules"] = list(claims.targets)
    elif not shapes:
        raise IntakeError(
            f"The weights hold no layer of the method {claims.method}. The two files do not belong "
            "together."
        )
    else:
        settings["target_modules"] = sorted(shapes)
    if claims.method == "TRAINABLE_TOKENS" and len(shapes) > 1:
        # A tied head has the same tokens once more; PEFT finds it by itself.
        settings["target_modules"] = sorted(name for name in shapes if not _is_head(name))
    for name in [name for name in settings if name.endswith("_pattern")]:
        plain = name.removesuffix("_pattern")
        default = settings.get({"rank": "r", "lambda": "delora_lambda"}.get(plain, plain))
        said = _resolved(settings.pop(name), list(shapes), default)
        exceptions = {layer: value for layer, value in said.items() if value != default}
        if exceptions:
            settings[name] = exceptions
    if claims.method == "IA3":
        # PEFT scales the inputs of these layers: their vectors lie.
        settings["feedforward_modules"] = sorted(
            layer for layer, shape in shapes.items() if len(shape) == 2 and shape[0] == 1
        )
    if claims.method == "ADALORA":
        settings |= _adalora(settings, shapes)
    if claims.saved:
        settings["modules_to_save"] = list(claims.saved)
    return AdapterSettings(claims.method, settings)


def _is_head(layer: str) -> bool:
    return layer.rpartition(".")[2] in ("lm_head", "embed_out", "output")


def _adalora(settings: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """What PEFT asks of a schedule that is over, and the ranks that were left of the first one."""
    first = settings.get("init_r", 12)
    kept = {layer: shape[0] for layer, shape in shapes.items()}
    if any(rank > first for rank in kept.values()):
        refuse(
            "init_r", first, "Its matrices have a larger rank. The files do not belong together."
        )
    pattern = {
        f"{layer}.lora_E": [place < rank for place in range(first)] for layer, rank in kept.items()
    }
    whole = all(rank == first for rank in kept.values())
    return {"init_r": first, "total_step": 1_000_000} | ({} if whole else {"rank_pattern": pattern})


def refuse_biases(claims: Claims, tensors: Sequence[Tensor]) -> None:
    """A trained bias of the base has no place of its own: the base is shared by all adapters."""
    mark = "lora_" if claims.method == LORA else METHODS[claims.method].mark
    for tensor in tensors:
        parts = tensor.name.split(".")
        own = any(part.startswith(mark) or part in claims.saved for part in parts[:-1])
        if parts[-1] == "bias" and not own:
            refuse("bias", "set", f"It changes biases of the base ({shown(tensor.name, 120)}).")


def refuse_encoders(tensors: Sequence[Tensor]) -> None:
    """Adapters of encoder-decoder models, by the names of their layers."""
    for tensor in tensors:
        if _ENCODER.search(tensor.name):
            raise IntakeError(
                f"{NAME}: This adapter is for encoder-decoder models (SEQ_2_SEQ_LM): it has the "
                f"layer {shown(tensor.name, 120)}. Only adapters of text generation models "
                "(CAUSAL_LM) are taken."
            )


def require_claimed(claims: Claims, tensors: Sequence[Tensor]) -> None:
    """What a LoRA's config says of more than matrices must be in the weights."""
    layers = {tensor.name.rpartition(".")[0] for tensor in tensors}
    missing = [name for name in claims.saved if not any(at.endswith(f".{name}") for at in layers)]
    if missing:
        refuse("modules_to_save", missing[0], "The weights hold no such layer. Save it again.")
    for field, mark in (
        ("lora_bias", ".lora_B.bias"),
        ("trainable_token_indices", "_tokens_delta"),
    ):
        if claims.fields.get(field) and not any(t.name.endswith(mark) for t in tensors):
            refuse(field, "set", "The weights hold nothing of it. Save the adapter again.")


def _targets(claimed: tuple[str, ...] | None, modules: Sequence[str]) -> tuple[str, ...]:
    if claimed is None:
        return tuple(sorted(modules))
    if claimed == (ALL_LINEAR,):
        return claimed
    names, used = frozenset(claimed), set()
    for module in modules:
        match = next((ending for ending in _endings(module) if ending in names), None)
        if match is None:
            raise IntakeError(
                f'{NAME}: "target_modules" does not name {shown(module, 120)}, for which there '
                "are weights. The two files do not belong together."
            )
        used.add(match)
    return tuple(sorted(used))


def _resolved(pattern: dict[str, Any], layers: list[str], default: Any) -> dict[str, Any]:
    """PEFT's rule: the first key that is the name, a dotted ending of it, or a pattern of one."""
    compiled = matchers(list(pattern), layers)
    order = {key: place for place, key in enumerate(pattern)}
    said = {}
    for layer in layers:
        matches = [ending for ending in _endings(layer) if ending in order and is_plain(ending)]
        matches += [key for key, expression in compiled.items() if expression.match(layer)]
        said[layer] = pattern[min(matches, key=order.__getitem__)] if matches else default
    return said


def _endings(module: str) -> list[str]:
    """ "a.b.c" -> "a.b.c", "b.c", "c": looked up, so work stays linear in the layers."""
    parts = module.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _hint(value: str | None) -> str:
    """A Hub id as it is; of anything else, which may be somebody's path, only the last part."""
    text = (value or "").strip()
    if cached := _CACHED.search(text):  # a snapshot in the Hub's cache
        text = "/".join(cached.groups())
    if text.count("/") > 1 or text.startswith(("/", ".", "~")) or "\\" in text:
        text = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return shown(text, 120)
