"""Samples to and from rows of the ``samples`` table."""

import dataclasses
import sqlite3
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from workbench.errors import RunError
from workbench.limits import LIMITS
from workbench.samples import PENDING, Sample

FIELDS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Sample))
# "owed": still to be scored. "folded": what a search looks into.
COLUMNS: tuple[str, ...] = (*FIELDS, "owed", "folded")
SELECT = f"SELECT {', '.join(COLUMNS)}, seq FROM samples"
_READER = TypeAdapter(Sample)


def to_sample(row: sqlite3.Row) -> Sample:
    """A sample from a row that begins with ``FIELDS``, in their order.

    Raises:
        RunError: a value is not of its field's kind: the row is damaged.
    """
    try:
        return _READER.validate_python(dict(zip(FIELDS, row, strict=False)))
    except ValueError as error:
        raise RunError(
            f"Sample {row['seq']} of this run is damaged: `python -m workbench runs --check` says "
            "what can still be taken."
        ) from error


def to_values(sample: Sample) -> dict[str, Any]:
    """Values for all ``COLUMNS``."""
    values: dict[str, Any] = {name: getattr(sample, name) for name in FIELDS}
    values["edited"] = int(sample.edited)
    values["owed"] = int(sample.status == PENDING)
    values["folded"] = folded(sample.input, sample.teacher_output)
    return values


def folded(text: str, answer: str | None) -> str:
    """Text and answer without the difference of case, for the search."""
    return f"{text}\n{answer or ''}".casefold()


def insert(
    connection: sqlite3.Connection, rows: Iterable[dict[str, Any]], more: tuple[str, ...] = ()
) -> None:
    """Insert rows of ``to_values``; an id that is there already is left as it is.

    Args:
        more: columns that the rows have besides ``COLUMNS``; our own words.
    """
    names = COLUMNS + more
    connection.executemany(
        f"INSERT OR IGNORE INTO samples ({', '.join(names)}) "
        f"VALUES ({', '.join(f':{name}' for name in names)})",
        rows,
    )


def plain(text: str) -> str:
    """Typed text without what no file can hold: NUL and halves of surrogate pairs.

    Raises:
        RunError: it is longer than any row may be.
    """
    most = max(LIMITS.input_characters, LIMITS.output_characters)
    if len(text) > most:
        raise RunError(f"A text of {len(text):,} characters is too long; at most {most:,}.")
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def stored_bytes(*texts: str) -> int:
    """About what texts take in the database: themselves, folded for the search, and history."""
    return 512 + 3 * sum(len(text.encode("utf-8", "replace")) for text in texts)
