"""Every field of a recipe in words: for the terminal, and as docs/recipe.md."""

import textwrap
from collections.abc import Iterable

from workbench.errors import RecipeError
from workbench.recipe import PRESETS, RecipeField, fields

_HEAD = """# Every field of a recipe

Made from the code by `python -m workbench recipe --markdown`; a test holds the two together.

A recipe is a JSON file (`recipe.json` of every run and of every adapter that is taken home).
`--recipe FILE` starts from one, `--preset NAME` puts a preset's values over it, `--set FIELD=VALUE`
changes single fields; the later wins. The page's forms are made from the same fields. Recipes of
schema 1 are read; their names (`lora.rank`, `synthesis.method`) go on working with `--set`.
"""
_SECTIONS = {
    "": "The run",
    "source_format": "Prompt format of the source adapter",
    "target_format": "Prompt format of the new adapter",
    "synthesis": "Writing the inputs",
    "student": "The new adapter",
    "training": "Training",
    "evaluation": "Comparison",
}


def plain(beginning: str = "") -> str:
    """The fields whose names begin so, for a terminal.

    Args:
        beginning: "" for all.

    Raises:
        RecipeError: there is none.
    """
    parts = []
    for one in fields():
        if one.name.startswith(beginning):
            words = [f"{one.name} = {_default(one)}", _sentence(one)]
            parts.append(
                "\n".join([words[0], textwrap.indent(textwrap.fill(words[1], 92), "    ")])
            )
    if not parts:
        raise RecipeError(f'No field begins with "{beginning}". Without it all are listed.')
    return "\n".join(parts) + "\n"


def markdown() -> str:
    """The content of docs/recipe.md."""
    told = fields()
    lines = [_HEAD]
    for section, title in _SECTIONS.items():
        lines += [f"## {title}", "", "| field | default | meaning |", "|---|---|---|"]
        lines += [_row(one) for one in told if one.name.rpartition(".")[0] == section]
        lines.append("")
    lines += ["## Presets", "", "What each changes from the defaults above.", ""]
    for name, changes in PRESETS.items():
        listed = ", ".join(f"`{field}` {_value(value)}" for field, value in changes.items())
        lines.append(f"- **{name}**: {listed or 'the defaults'}")
    return "\n".join(lines) + "\n"


def _row(one: RecipeField) -> str:
    words = _sentence(one).replace("|", "\\|").replace("\n", "⏎")
    return f"| `{one.name}` | {_default(one)} | **{one.label}.** {words} |"


def _sentence(one: RecipeField) -> str:
    parts = [one.description]
    if one.choices:
        parts.append("; ".join(f'"{value}": {words}' for value, words in one.choices.items()) + ".")
    else:
        unit = f", in {one.unit}" if one.unit else ""
        parts.append(f"{one.bounds[:1].upper()}{one.bounds[1:]}{unit}.")
    if one.read_by:
        parts.append(f"Read where {_conditions(one.read_by.items())}.")
    return " ".join(parts)


def _conditions(read_by: Iterable[tuple[str, tuple[str | bool, ...]]]) -> str:
    return " and ".join(
        f"{name} is {' or '.join(str(value).lower() for value in values)}"
        for name, values in read_by
    )


def _default(one: RecipeField) -> str:
    return _value(one.default)


def _value(value: object) -> str:
    if value is None or value == "" or value == {}:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).replace("\n", "\\n")
