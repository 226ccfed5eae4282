"""Controls for recipe fields: their words, bounds and choices are those of the recipe.

Values go into the run's recipe as soon as they are given, so a reload or a failure loses none;
what is not allowed any more (a stage has started) comes back as one sentence.
"""

import dataclasses
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.recipe import PRESETS, TransferRecipe
from workbench.recipe import fields as recipe_fields
from workbench.recipe.declaring import RecipeField

FIELDS: dict[str, RecipeField] = {one.name: one for one in recipe_fields()}

PRESET_WORDS = {
    "quick": "Quick",
    "best": "Best",
    "thorough": "Thorough",
    "balanced": "Balanced",
    "paper": "As in the paper",
}


def element(name: str) -> str:
    """The elem_id of a field's control."""
    return name.replace(".", "-").replace("_", "-")


def control(name: str) -> Component:
    """The component of one recipe field; its elem_id is the name with dashes."""
    told = FIELDS[name]
    common: dict[str, Any] = {
        "label": told.label,
        "info": told.description or None,
        "elem_id": element(name),
        "interactive": True,
        "min_width": 140,
    }
    if told.kind == "choice":
        return gr.Dropdown(
            choices=[(words, value) for value, words in told.choices.items()], **common
        )
    if told.kind == "switch":
        return gr.Checkbox(**common)
    if told.kind in ("whole", "number"):  # no slider: it refuses recipes beyond its ends
        return gr.Number(precision=0 if told.kind == "whole" else None, **common)
    return gr.Textbox(**common)


def shown(recipe: TransferRecipe, name: str) -> Any:
    """The recipe's value as its control shows it."""
    value: Any = recipe
    for part in name.split("."):
        value = getattr(value, part)
    return ", ".join(value) if isinstance(value, tuple) else value


def given(name: str, value: Any) -> Any:
    """A control's value as the recipe takes it; an emptied number means 0."""
    if FIELDS[name].kind in ("whole", "number"):
        return 0 if value is None else value
    if FIELDS[name].kind == "names":
        return tuple(part.strip() for part in str(value).split(",") if part.strip())
    return value


def differences(recipe: TransferRecipe, names: list[str], values: list[Any]) -> dict[str, Any]:
    """What the controls say that the recipe does not say yet, by dotted name."""
    changes = {}
    for name, value in zip(names, values, strict=True):
        taken = given(name, value)
        current = shown(recipe, name)
        wanted = ", ".join(taken) if isinstance(taken, tuple) else taken
        if wanted != current:
            changes[name] = taken
    return changes


def preset_choices() -> list[tuple[str, str]]:
    """(words, name) of the presets that exist, in our order."""
    known = [name for name in PRESET_WORDS if name in PRESETS]
    return [(PRESET_WORDS[name], name) for name in known]


def preset_changes(preset: str, rooms: tuple[str, ...]) -> dict[str, Any]:
    """What a preset sets in the named rooms of the recipe; what it leaves open is the default."""
    plain = TransferRecipe()
    changes: dict[str, Any] = {}
    for room in rooms:
        for entry in dataclasses.fields(getattr(plain, room)):
            changes[f"{room}.{entry.name}"] = getattr(getattr(plain, room), entry.name)
    changes.update({k: v for k, v in PRESETS[preset].items() if k.split(".")[0] in rooms})
    return changes
