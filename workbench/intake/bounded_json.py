"""JSON from strangers: bounded in depth and numbers, duplicate keys refused.

The standard reader takes NaN, lets the last of two equal keys win, turns 1e999 into infinity and
raises five different errors; this one returns plain data or raises ``IntakeError``. The caller
bounds the size of the text.
"""

import json
import math
from typing import Any, NoReturn

from workbench.errors import IntakeError
from workbench.intake.wording import shown
from workbench.limits import LIMITS

_NUMBER_CHARACTERS = 40


def read_json(text: str, where: str) -> Any:
    """Parse ``text``; ``where`` names the file (and row) at the start of every error sentence."""

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

    def constant(word: str) -> float:
        refuse(f"{word} is not a JSON number.")

    try:
        data = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_int=whole,
            parse_float=fraction,
            parse_constant=constant,
        )
    except IntakeError:
        raise
    except RecursionError as error:
        raise IntakeError(f"{where}: it is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise IntakeError(
            f"{where}: it is not valid JSON ({error.msg.lower()} at line {error.lineno}, "
            f"character {error.colno})."
        ) from error
    if _deeper(data, LIMITS.json_depth):
        refuse(f"it is nested more than {LIMITS.json_depth} levels deep.")
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
