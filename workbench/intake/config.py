"""adapter_config.json, read as a claim and not as an instruction.

PEFT's own loader turns fields of this file into imports, downloads, regular expressions and file
reads. Here a short list of fields is copied into ``AdapterSettings``; every other field must be
off, and the refusal names it. ``base_model_name_or_path`` comes out as a hint to show, no more.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.adapter_settings import LORA, AdapterSettings
from workbench.errors import IntakeError
from workbench.intake.bounded_json import read_json
from workbench.intake.config_fields import NAME, check_fields, refuse
from workbench.intake.header import Module, refuse_other_formats
from workbench.intake.wording import shown


@dataclass(frozen=True)
class Claims:
    """What the config says, before it is compared with the weights.

    Attributes:
        targets: plain names of layers; None when the config chooses layers by a rule.
    """

    method: str
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] | None
    rank_pattern: dict[str, int]
    alpha_pattern: dict[str, float]
    base_hint: str


def read_claims(raw: bytes) -> Claims:
    """Check the bytes of an adapter_config.json; raises IntakeError naming the field."""
    return claims_of(read_config(raw))


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
    check_fields(data)
    dora, scaled = bool(data.get("use_dora")), bool(data.get("use_rslora"))
    if dora and scaled:
        refuse("use_rslora", True, "DoRA with rank-stabilised scaling is not supported.")
    by_rule = any(
        data.get(field) not in (None, [], "")
        for field in ("layers_to_transform", "layers_pattern", "exclude_modules")
    )
    targets = data.get("target_modules")
    if isinstance(targets, str) and targets == "all-linear":
        targets = [targets]
    named = isinstance(targets, list) and bool(targets) and not by_rule
    return Claims(
        method="dora" if dora else "rslora" if scaled else "lora",
        rank=data["r"],
        alpha=float(data["lora_alpha"]),
        dropout=float(data.get("lora_dropout") or 0.0),
        targets=tuple(sorted(set(targets))) if named and targets else None,
        rank_pattern=dict(data.get("rank_pattern") or {}),
        alpha_pattern={k: float(v) for k, v in (data.get("alpha_pattern") or {}).items()},
        base_hint=_hint(data.get("base_model_name_or_path")),
    )


def settings_for(claims: Claims, modules: Sequence[Module]) -> AdapterSettings:
    """Hold the claims against the layers that the weights really have.

    Ranks come from the weights and must be the ones claimed; names come from the config where it
    has plain ones, else from the weights.
    """
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for module in modules:
        claimed = _resolve(claims.rank_pattern, module.name, claims.rank)
        if claimed != module.rank:
            raise IntakeError(
                f"{NAME} says rank {claimed} for layer {shown(module.name, 120)}, but its "
                f"matrices have rank {module.rank}. The two files do not belong together."
            )
        if claimed != claims.rank:
            ranks[module.name] = int(claimed)
        alpha = _resolve(claims.alpha_pattern, module.name, claims.alpha)
        if alpha != claims.alpha:
            alphas[module.name] = alpha
        if module.magnitude != (claims.method == "dora"):
            has = "has" if module.magnitude else "lacks"
            raise IntakeError(
                f'{NAME}: "use_dora" does not fit layer {shown(module.name, 120)}, which {has} '
                "DoRA magnitudes. The two files do not belong together."
            )
    targets = _targets(claims.targets, [module.name for module in modules])
    fields = {
        "r": claims.rank,
        "lora_alpha": claims.alpha,
        "lora_dropout": claims.dropout,
        "target_modules": list(targets),
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
        "use_rslora": claims.method == "rslora",
        "use_dora": claims.method == "dora",
        "bias": "none",
    }
    return AdapterSettings(LORA, fields)


def _targets(claimed: tuple[str, ...] | None, modules: Sequence[str]) -> tuple[str, ...]:
    if claimed is None:
        return tuple(sorted(modules))
    if claimed == ("all-linear",):
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


def _resolve(pattern: dict[str, Any], module: str, default: Any) -> Any:
    """PEFT's rule for plain keys: the first key that is the name or a dotted ending of it."""
    if not pattern:
        return default
    order = {key: place for place, key in enumerate(pattern)}
    matches = [ending for ending in _endings(module) if ending in order]
    return pattern[min(matches, key=order.__getitem__)] if matches else default


def _endings(module: str) -> list[str]:
    """ "a.b.c" -> "a.b.c", "b.c", "c": looked up, so work stays linear in the layers."""
    parts = module.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _hint(value: str | None) -> str:
    """A Hub id as it is; of anything else, which may be somebody's path, only the last part."""
    text = (value or "").strip()
    if text.count("/") > 1 or text.startswith(("/", ".", "~")) or "\\" in text:
        text = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return shown(text, 120)
