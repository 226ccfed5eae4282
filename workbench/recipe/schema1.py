"""Recipes of schema 1, as older runs, kits and files hold them, in the words of schema 2."""

from typing import Any

# What a field meant where a file left it out, as far as schema 2 means something else.
_FORMER_DEFAULTS: dict[str, dict[str, Any]] = {
    "synthesis": {
        "writer": "list",
        "samples": 300,
        "mixed": 0.0,
        "prompts_per_round": 32,
        "temperature": 0.9,
        "top_k": 64,
        "top_p": 0.95,
    },
    "training": {"learning_rate": 2e-4, "batch_rows": 16, "soft_labels": False},
    "evaluation": {"metric": "exact", "answer_tokens": 32},
}
_FORMER_PRESET = "balanced"
_FORMER_NAMES = {"lora": "student"}


def current_name(dotted: str) -> str:
    """The dotted name that a field has now: ``lora.rank`` is ``student.rank``."""
    section, point, rest = dotted.partition(".")
    if dotted == "synthesis.method":
        return "synthesis.writer"
    if dotted == "synthesis.grafts":
        return "synthesis.mixed"
    return _FORMER_NAMES.get(section, section) + point + rest


def is_schema_1(data: dict[str, Any]) -> bool:
    """Whether a plain recipe is of schema 1; one that does not say so is told by its names."""
    if "schema" in data:
        return data["schema"] == 1
    synthesis = data.get("synthesis")
    return "lora" in data or (isinstance(synthesis, dict) and "method" in synthesis)


def migrated(data: dict[str, Any]) -> dict[str, Any]:
    """A plain recipe of schema 1 as one of schema 2 that means the same.

    Fields that were left out get the values that they had then. Values are not checked here.
    """
    current: dict[str, Any] = {"preset": _FORMER_PRESET, **data, "schema": 2}
    for former, name in _FORMER_NAMES.items():
        if former in current:
            current[name] = current.pop(former)
    for section, values in _FORMER_DEFAULTS.items():
        given = current.get(section, {})
        if not isinstance(given, dict):
            continue  # refused later, by name
        given = dict(given)
        if section == "synthesis" and "method" in given:
            given["writer"] = given.pop("method")
        if section == "synthesis" and "grafts" in given:
            given["mixed"] = given.pop("grafts")
        current[section] = {**values, **given}
    if isinstance(seed := current.get("seed"), int):
        current["seed"] = seed % 2**32  # any whole number was accepted
    return current
