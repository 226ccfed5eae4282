"""What one field of an adapter_config.json may say: checks that the tables are made of.

A check raises IntakeError with the field's name, what it says and what to do. Nothing is compiled
but patterns of a kind that cannot run long (``matcher``), and no name of code is imported.
"""

import re
from collections.abc import Callable
from typing import Any, NoReturn

from workbench.errors import IntakeError
from workbench.intake.wording import shown
from workbench.limits import LIMITS

NAME = "adapter_config.json"
Check = Callable[[str, Any], None]

_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}(?:\.[A-Za-z0-9_]{1,64}){0,15}", re.ASCII)
# Letters, dots, classes and alternatives; repeated is a single character, at most twice.
_SIMPLE = re.compile(
    r"(?:[A-Za-z0-9_]|\\?\.|\\d|\[[0-9A-Za-z-]{1,12}\]|[()|^$]|\?:|[*+?])+", re.ASCII
)
_QUANTIFIERS = re.compile(r"(?<!\()[*+?]")
_PATTERN_WORK = 2 * 10**8  # steps that the patterns of one config may take in the worst case


def refuse(field: str, value: object, remedy: str) -> NoReturn:
    """Raise the sentence for one field: its name, what it says, what to do."""
    raise IntakeError(f'{NAME}: "{shown(field)}" is {_word(value)}. {remedy}')


def _word(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return "set"
    return f'"{shown(value, 40)}"'


def is_plain(name: object) -> bool:
    """Whether it is the plain name of a layer."""
    return isinstance(name, str) and _PLAIN.fullmatch(name) is not None


def one_of(*allowed: object, remedy: str = "It cannot be taken along.") -> Check:
    """Exactly these values; 1 is not True."""

    def check(field: str, value: Any) -> None:
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            refuse(field, value, remedy)

    return check


def text(field: str, value: Any) -> None:
    """A short text or nothing."""
    if value is not None and not (isinstance(value, str) and len(value) <= 500):
        refuse(field, value, "It must be a short text.")


def word(field: str, value: Any) -> None:
    """One plain word."""
    if not is_plain(value):
        refuse(field, value, "It must be one plain word.")


flag = one_of(True, False, None, remedy="It must be true or false.")


def whole(low: int, high: int) -> Check:
    """A whole number in these bounds."""

    def check(field: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            refuse(field, value, f"It must be a whole number from {low} to {high}.")

    return check


def number(low: float, high: float) -> Check:
    """A number in these bounds."""

    def check(field: str, value: Any) -> None:
        if type(value) not in (int, float) or not low <= value <= high:
            refuse(field, value, f"It must be a number from {low:g} to {high:g}.")

    return check


def maybe(check: Check) -> Check:
    """The same, or null."""
    return lambda field, value: None if value is None else check(field, value)


def indices(field: str, value: Any) -> None:
    """Token ids as a list, or lists by the name of an embedding."""
    lists = value.values() if isinstance(value, dict) else [value]
    for entries in lists:
        good = isinstance(entries, list) and len(entries) <= LIMITS.rows
        if not good or not all(type(entry) is int and 0 <= entry < 2**31 for entry in entries):
            refuse(field, value, "It must be a list of token ids.")
    if isinstance(value, dict) and not all(map(is_plain, value)):
        refuse(field, value, "It must name embeddings plainly.")


def names(field: str, value: Any) -> None:
    """A list of plain names of layers."""
    if not isinstance(value, list) or len(value) > LIMITS.tensors:
        refuse(field, value, "It must be a list of layer names.")
    for entry in value:
        if not is_plain(entry):
            refuse(field, entry, "Only plain names of layers are taken, no patterns.")


def rule(field: str, value: Any) -> None:
    """A rule that chooses layers; it is never evaluated: the weights say which layers there are."""
    entries = value if isinstance(value, list) else [value]
    if len(entries) > LIMITS.tensors or not all(type(e) in (int, str, type(None)) for e in entries):
        refuse(field, value, "It must be numbers or names of layers.")


def pattern(good: Check) -> Check:
    """Exceptions by the name of a layer, each of which is good."""

    def check(field: str, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, dict) or len(value) > LIMITS.tensors:
            refuse(field, value, "It must be an object of layer names.")
        for key, entry in value.items():
            if not is_plain(key) and not _is_simple(key):
                refuse(field, key, "Patterns of this kind could run for ever; name the layers.")
            good(f"{field}.{key}", entry)

    return check


def _is_simple(key: str) -> bool:
    repeated = re.search(r"\)[*+?]", key) is not None
    return (
        len(key) <= 200
        and _SIMPLE.fullmatch(key) is not None
        and not repeated
        and len(_QUANTIFIERS.findall(key)) <= 2
    )


def matchers(keys: list[str], layers: list[str]) -> dict[str, re.Pattern[str]]:
    """Those keys that are patterns, compiled as PEFT compiles them.

    Args:
        keys: of a pattern field that was checked.
        layers: names that they will be matched with.

    Raises:
        IntakeError: together they could take too long, or one is no regular expression.
    """
    simple = [key for key in keys if not is_plain(key)]
    work = sum(
        sum(len(layer) ** (1 + len(_QUANTIFIERS.findall(key))) for layer in layers)
        for key in simple
    )
    if work > _PATTERN_WORK:
        raise IntakeError(f"{NAME}: its patterns are too many for its layers. Name the layers.")
    try:
        return {key: re.compile(rf"(.*\.)?({key})$") for key in simple}
    except re.error as error:
        raise IntakeError(f"{NAME}: a pattern is malformed. Name the layers.") from error
