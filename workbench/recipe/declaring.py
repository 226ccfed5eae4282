"""How a recipe's fields are declared: words, unit, bounds and who reads them, beside the type.

Forms, ``--set``, ``--help``, ``docs/recipe.md`` and every message about a bad value are made from
these declarations. pydantic checks the values; what it finds is told in one sentence.
"""

import dataclasses
import functools
import math
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.fields import FieldInfo

from workbench.errors import RecipeError

_LONGEST_SHOWN = 60  # characters of a refused value in a message

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class RecipeField:
    """One field of the recipe, for people.

    Attributes:
        name: dotted, as in ``--set``.
        kind: "whole", "number", "switch", "choice", "text", "names" (a list of words) or "table"
            (values by name).
        bounds: what is accepted, as it stands in messages: "a number from 0 to 1".
        default: of the whole recipe; None where a part stands alone.
        unit: of a number; empty where it has none.
        choices: value and its label for people; empty unless ``kind`` is "choice".
        read_by: by dotted name of another field, the values with which this one is read; with
            other values it changes nothing. Empty: it is always read.
    """

    name: str
    label: str
    description: str
    kind: str
    bounds: str
    default: Any = None
    unit: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    read_by: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)


def setting(
    label: str,
    description: str,
    *,
    unit: str = "",
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    choices: Mapping[str, str] | None = None,
    longest: int | None = None,
    bounds: str = "",
    read_by: Mapping[str, tuple[str | bool, ...]] | None = None,
) -> FieldInfo:
    """The declaration of a field, for ``Annotated``.

    Args:
        least, above: smallest value, with and without itself.
        most, below: largest value, with and without itself.
        choices: accepted texts, each with its label for people.
        longest: characters of a text.
        bounds: what is accepted, where it does not follow from the others.
        read_by: see ``RecipeField``.
    """
    about = {
        "unit": unit,
        "bounds": bounds,
        "choices": dict(choices or {}),
        "read_by": dict(read_by or {}),
    }
    return Field(
        title=label,
        description=description,
        ge=least,
        gt=above,
        le=most,
        lt=below,
        max_length=longest,
        pattern=f"^(?:{'|'.join(map(re.escape, choices))})$" if choices else None,
        json_schema_extra=about,  # type: ignore[arg-type]
    )


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def checked(cls: type[Settings]) -> type[Settings]:
    """A frozen pydantic dataclass; a bad value is a RecipeError, in ``dataclasses.replace`` too."""
    config = ConfigDict(allow_inf_nan=False, extra="forbid")
    made: Any = pydantic_dataclass(cls, frozen=True, config=config)
    build = made.__init__

    @functools.wraps(build)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            build(self, *args, **values)
        except ValidationError as error:
            raise RecipeError(_sentence(made, error)) from None

    made.__init__ = init
    return made


def describe(cls: type, prefix: str = "") -> Iterator[RecipeField]:
    """Every field below a class that ``checked`` made, in the order of declaration."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for entry in dataclasses.fields(cls):
        hint, name = hints[entry.name], prefix + entry.name
        if dataclasses.is_dataclass(hint):
            yield from describe(typing.cast(type, hint), f"{name}.")
        elif (told := _declared(hint)) is not None:
            about: Any = told.json_schema_extra
            kind = _kind(typing.get_args(hint)[0], about["choices"])
            yield RecipeField(
                name=name,
                label=told.title or "",
                description=told.description or "",
                kind=kind,
                bounds=about["bounds"] or _bounds(kind, told, about["choices"]),
                unit=about["unit"],
                choices=about["choices"],
                read_by=about["read_by"],
            )


def _declared(hint: Any) -> FieldInfo | None:
    if typing.get_origin(hint) is not Annotated:
        return None
    parts = (part for part in hint.__metadata__ if isinstance(part, FieldInfo))
    return next((part for part in parts if part.json_schema_extra), None)


def _kind(plain: Any, choices: Mapping[str, str]) -> str:
    if choices:
        return "choice"
    if plain is bool:
        return "switch"
    if plain is int:
        return "whole"
    if plain is float:
        return "number"
    origin = typing.get_origin(plain)
    return "names" if origin is tuple else "table" if origin is dict else "text"


def _bounds(kind: str, told: FieldInfo, choices: Mapping[str, str]) -> str:
    """What a field accepts, to stand after "must be"."""
    limit = {
        name: getattr(part, name)
        for part in told.metadata
        for name in ("ge", "gt", "le", "lt", "max_length")
        if hasattr(part, name)
    }
    if kind == "choice":
        return "one of " + ", ".join(f'"{value}"' for value in choices)
    if kind == "switch":
        return "true or false"
    if kind == "text":
        return f"a text of at most {limit['max_length']} characters"
    low = f"from {limit['ge']:g}" if "ge" in limit else f"above {limit['gt']:g}"
    high = f"below {limit['lt']:g}" if "lt" in limit else f"{limit['le']:,.15g}"
    between = "to" if "ge" in limit else "and at most" if "le" in limit else "and"
    return f"a {'whole ' if kind == 'whole' else ''}number {low} {between} {high}"


def _sentence(cls: Any, error: ValidationError) -> str:
    """The first thing that is wrong: the field, what it must be, and what it was."""
    first = error.errors(include_url=False)[0]
    place, known = list(first["loc"]), {one.name: one for one in describe(cls)}
    if place and isinstance(place[0], int):  # an argument by position
        place[0] = dataclasses.fields(cls)[place[0]].name
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f'The recipe has no field "{".".join(map(str, place))}".'
    for length in range(len(place), 0, -1):
        name = ".".join(map(str, place[:length]))
        if told := known.get(name):
            return f"{name} must be {told.bounds}, not {_shown(first['input'])}."
    name = ".".join(map(str, place)) or "The recipe"
    return f"{name} must be an object of named fields, not {_shown(first['input'])}."


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "infinity", -math.inf: "minus infinity"}.get(value, "NaN")
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_SHOWN:
        return f"a number of more than {_LONGEST_SHOWN} digits"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
