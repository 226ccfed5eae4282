"""What a row must be: text of bounded length, without invisible characters.

A few bad rows are skipped and named; where half of them or more are bad, nothing is taken.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.columns import REQUIRED
from workbench.limits import LIMITS
from workbench.samples import Example

BAD_ROWS_NAMED = 10  # of a file that is refused
# Invisible characters that have no business in a row: controls but tab and line feed, and marks
# that turn the direction of text around.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Raw:
    """A row before it is checked: its number as a person counts, and its cells or its problem."""

    number: int
    source: Any = None
    target: Any = None
    references: tuple[str, ...] = ()
    problem: str = ""


class BadRow(Exception):
    """Why one row cannot be taken; collected, so that several are named at once."""


def accept(
    raw: Iterable[Raw], at_most: int, where: str, outputs: str
) -> tuple[list[Example], list[str], list[str]]:
    """Check all rows: (examples, problems of bad rows, notes about changes)."""
    examples: list[Example] = []
    bad: list[str] = []
    removed = 0
    for row in raw:
        try:
            example, count = _example(row, outputs)
            examples.append(example)
            removed += count
        except BadRow as error:
            bad.append(f"row {row.number}: {error}")
        if len(examples) > at_most:
            raise IntakeError(f"{where} has more than {at_most} rows. Hand over at most {at_most}.")
    if bad and len(bad) >= len(examples):
        more = " (and more)" if len(bad) > BAD_ROWS_NAMED else ""
        listed = "; ".join(bad[:BAD_ROWS_NAMED])
        raise IntakeError(f"{where}: {listed}{more}. Correct these and try again.")
    if not examples:
        raise IntakeError(f"{where} has no rows. Give at least one input.")
    notes = [f"{removed} invisible control characters were removed."] if removed else []
    return examples, bad, notes


def _example(row: Raw, outputs: str) -> tuple[Example, int]:
    if row.problem:
        raise BadRow(row.problem)
    text, removed = clean(row.source, "input")
    if not text:
        raise BadRow("the input is empty")
    answer, more = ("", 0) if row.target is None else clean(row.target, "output")
    if not answer and outputs == REQUIRED:
        raise BadRow("the output is empty")
    cleaned = [clean(reference, "output")[0] for reference in row.references]
    references = tuple(filter(None, dict.fromkeys([answer, *cleaned])))
    return Example(text, answer or None, references if len(references) > 1 else ()), removed + more


def clean(value: Any, name: str) -> tuple[str, int]:
    """Text in NFC without invisible controls and outer white space; how many were removed."""
    at_most = LIMITS.input_characters if name == "input" else LIMITS.output_characters
    if not isinstance(value, str):
        kind = {bool: "true or false", int: "a number", float: "a number", list: "a list"}.get(
            type(value), "an object" if value is not None else "null"
        )
        raise BadRow(f"the {name} is {kind} instead of a text in quotation marks")
    if len(value) > 2 * at_most + 10:  # a letter and its accent are one character once composed
        raise BadRow(f"the {name} has {len(value)} characters (at most {at_most})")
    if _SURROGATES.search(value):
        raise BadRow(f"the {name} holds half a character (a lone surrogate)")
    text, removed = _CONTROLS.subn("", value.replace("\r\n", "\n").replace("\r", "\n"))
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > at_most:
        raise BadRow(f"the {name} has {len(text)} characters (at most {at_most})")
    return text, removed
