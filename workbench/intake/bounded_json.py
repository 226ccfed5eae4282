"""JSON from strangers: bounded in depth and numbers, duplicate keys refused.

The standard reader takes NaN, lets the last of two equal keys win, turns 1e999 into infinity and
raises five different errors; this one returns plain data or raises ``IntakeError``. The caller
bounds the size of the text.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from workbench.errors import IntakeError
from workbench.intake.wording import shown
from workbench.limits import LIMITS

_NUMBER_CHARACTERS = 40


def read_json(text: str, where: str, gaps: bool = False) -> Any:
    """Parse ``text``; ``where`` names the file (and row) at the start of every error sentence.

    Args:
        gaps: NaN is null, as pandas writes an empty cell; else it is refused.
    """
    with _sentences(where):
        return _bounded(_decoder(where, gaps).decode(text), where)


def read_values(text: str, where: str) -> list[Any]:
    """Values that follow each other, as pretty-printed objects without a list; NaN is null."""
    decoder, at, found = _decoder(where, True), 0, []
    with _sentences(where):
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            value, at = decoder.raw_decode(text, at)
            found.append(_bounded(value, where))
    return found


@contextmanager
def _sentences(where: str) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise IntakeError(f"{where}: it is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise IntakeError(
            f"{where}: it is not valid JSON ({error.msg.lower()} at line {error.lineno}, "
            f"character {error.colno})."
        ) from error


def _decoder(where: str, gaps: bool) -> json.JSONDecoder:
    def refuse(problem: str) -> NoReturn:
        raise IntakeError(f"{where}: {problem}")

    def pairs(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in entries:
            if key in found:
                refuse(f'the name "{shown(key)}" occurs twice in one object.')
            found[key] = value
        return found

    def whole(digits: str) -> int:
        if len(digits) > _NUMBER_CHARACTERS:
            refuse("a number has too many digits.")
        return int(digits)

    def fraction(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            refuse(f"the number {shown(digits, 20)} is out of range.")
        return value

    def constant(word: str) -> None:
        if not gaps or word != "NaN":
            refuse(f"{word} is not a JSON number.")

    return json.JSONDecoder(
        object_pairs_hook=pairs, parse_int=whole, parse_float=fraction, parse_constant=constant
    )


def _bounded(data: Any, where: str) -> Any:
    if _deeper(data, LIMITS.json_depth):
        raise IntakeError(f"{where}: it is nested more than {LIMITS.json_depth} levels deep.")
    return data


def _deeper(data: Any, levels: int) -> bool:
    """Whether lists and objects nest beyond ``levels``; walks level by level, not by recursion."""
    layer = [data]
    for _ in range(levels + 1):
        layer = [
            entry
            for value in layer
            if isinstance(value, dict | list)
            for entry in (value.values() if isinstance(value, dict) else value)
        ]
        if not layer:
            return False
    return True
