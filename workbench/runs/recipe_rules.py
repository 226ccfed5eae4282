"""Which settings of a run may still be changed, by how far the run has come."""

from typing import Any

from workbench.errors import ConflictError
from workbench.recipe import TransferRecipe, to_dict
from workbench.stages import WORDS, Stage

# A field is fixed once this stage has started; None: never. The longest matching prefix counts.
_FIXED_BY: dict[str, Stage | None] = {
    "task_name": Stage.SYNTHESIZE,
    "source_base": Stage.SYNTHESIZE,
    "teacher": Stage.SYNTHESIZE,
    "target_base": Stage.SYNTHESIZE,
    "source_format": Stage.SYNTHESIZE,
    "target_format": Stage.DISTIL,
    "quantize_target": Stage.DISTIL,
    "preset": Stage.DISTIL,
    "seed": Stage.SYNTHESIZE,
    "synthesis": Stage.SYNTHESIZE,
    "student": Stage.DISTIL,
    "training": Stage.DISTIL,
    "evaluation": Stage.EVALUATE,
    "evaluation.answer_tokens": Stage.LABEL,
    "evaluation.margin_points": None,
    "pause_for_review": Stage.DISTIL,
}
# Answers that were given under other values of these are worth nothing.
ANSWER_FIELDS = (
    *("evaluation.metric", "evaluation.checker", "evaluation.json_schema", "evaluation.pattern"),
    *("evaluation.sql_dialect", "evaluation.database", "evaluation.max_rows"),
    *("target_format", "quantize_target"),
)


def differing(old: TransferRecipe, new: TransferRecipe) -> list[str]:
    """Dotted names of the fields that differ."""
    left, right = flat(to_dict(old)), flat(to_dict(new))
    return [name for name in sorted(left | right) if left.get(name) != right.get(name)]


def fixed_by(dotted: str) -> Stage | None:
    """The stage whose start fixes a field; the first stage for a field we know nothing about."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in _FIXED_BY:
            return _FIXED_BY[prefix]
    return Stage.SYNTHESIZE


def reopens(old: TransferRecipe, new: TransferRecipe, started: dict[Stage, bool]) -> Stage | None:
    """The stage that a change opens again, or None; ConflictError when it comes too late.

    Args:
        started: by stage, whether it or a later one has started.
    """
    opened = None
    for dotted in differing(old, new):
        if dotted == "synthesis.samples" and _asks_for_more(old, new):
            stage = Stage.DISTIL  # more of the same is possible until the training starts
            opened = Stage.SYNTHESIZE if started[Stage.SYNTHESIZE] else None
        else:
            stage = fixed_by(dotted)
        if stage is not None and started[stage]:
            raise ConflictError(
                f'"{dotted}" is fixed since the step "{WORDS[stage]}" began. Duplicate the run '
                "as a new draft to try another value."
            )
    return opened


def _asks_for_more(old: TransferRecipe, new: TransferRecipe) -> bool:
    return new.synthesis.samples > old.synthesis.samples


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted field name."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        # Patterns of module names are one value, not fields.
        if isinstance(value, dict) and not key.endswith("_pattern"):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = list(value) if isinstance(value, tuple) else value
    return found
