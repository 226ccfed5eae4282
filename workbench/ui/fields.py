"""Controls for recipe fields: their words, bounds and choices are those of the recipe."""

from operator import attrgetter
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.recipe import TransferRecipe, recommended
from workbench.recipe import fields as recipe_fields
from workbench.recipe.declaring import RecipeField

FIELDS: dict[str, RecipeField] = {one.name: one for one in recipe_fields()}

_FIRST = recommended()  # what a page shows before it has been drawn


def element(name: str) -> str:
    """The elem_id of a field's control."""
    return name.replace(".", "-").replace("_", "-")


def control(name: str) -> Any:
    """The component of one recipe field."""
    told_of = FIELDS[name]
    common: dict[str, Any] = {
        "label": label(name),
        "info": told_of.description or None,
        "elem_id": element(name),
        "value": shown(_FIRST, name),
        "interactive": True,
        "min_width": 220,
    }
    if told_of.kind == "choice":
        choices = [(words, value) for value, words in told_of.choices.items()]
        return gr.Dropdown(choices=choices, **common)
    if told_of.kind == "switch":
        return gr.Checkbox(**common)
    if told_of.kind in ("whole", "number"):  # no slider: it refuses recipes beyond its ends
        return gr.Number(precision=0 if told_of.kind == "whole" else None, **common)
    lines = 2 if name.endswith(("template", "schema")) else 1
    return gr.Textbox(lines=lines, **common)


def label(name: str) -> str:
    """A field's words, with its side where there are two, and its unit where they do not say it."""
    told_of = FIELDS[name]
    side = {"source_format": "Source: ", "target_format": "Target: "}.get(name.split(".")[0], "")
    known = not told_of.unit or told_of.unit.rstrip("s") in told_of.label.lower()
    return f"{side}{told_of.label}{'' if known else f' ({told_of.unit})'}"


def shown(recipe: TransferRecipe, name: str) -> Any:
    """The recipe's value as its control shows it."""
    value = raw(recipe, name)
    if isinstance(value, tuple):
        return ", ".join(value)
    return "" if value is None else value


def in_words(recipe: TransferRecipe, name: str) -> str:
    """The recipe's value as a sentence names it."""
    value = shown(recipe, name)
    return FIELDS[name].choices.get(value, str(value)) if FIELDS[name].choices else str(value)


def given(name: str, value: Any) -> Any:
    """A control's value as the recipe takes it; an emptied number means 0, an emptied text none."""
    kind = FIELDS[name].kind
    if kind in ("whole", "number"):
        return 0 if value is None else value
    if kind == "names":
        return tuple(part.strip() for part in str(value).split(",") if part.strip())
    return value or None if name.endswith(".system") else value


def number(text: Any) -> float | None:
    """A number that was typed into a field for text; None where nothing was.

    Raises:
        RunError: it is none.
    """
    typed = str("" if text is None else text).strip().replace(",", ".").replace("−", "-")
    try:
        return float(typed) if typed else None
    except ValueError:
        raise RunError(f'"{typed[:20]}" is no number. Write one such as 0.5.') from None


def raw(recipe: TransferRecipe, name: str) -> Any:
    """The recipe's value itself."""
    return attrgetter(name)(recipe)
