"""A file of rows as a table: named columns and cells as they stand, before they have a meaning."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.cells import is_empty

MOST_COLUMNS = 1000
_NUMBERED = re.compile(r"column \d+")


@dataclass
class Record:
    """A row: its number as a person counts, and its cells by column, or what is wrong with it."""

    number: int
    cells: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass
class Table:
    """What a file holds.

    Attributes:
        columns: names in the order of the file, those that are empty throughout left out.
        records: rows in the order of the file.
        unreadable: columns that hold no text of any kind, each with what it holds.
        has_names: the file names its columns itself.
        arrows: lines of a text file that were split into input and output, and at what.
        names: of columns whose numbers stand for names that the file has, e.g. "label".
        notes: sentences about what was done so far.
    """

    columns: tuple[str, ...]
    records: list[Record]
    unreadable: tuple[str, ...] = ()
    has_names: bool = True
    arrows: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def values(self, name: str, at_most: int | None = None) -> Iterator[Any]:
        """What the cells of a column hold, of the first rows; empty ones are passed over."""
        for record in self.records[:at_most]:
            if not is_empty(record.cells.get(name)):
                yield record.cells[name]

    def first(self, name: str) -> Any:
        """The first that is not empty; None where all are."""
        return next(self.values(name), None)


def table_of(records: Iterator[Record], columns: tuple[str, ...] = ()) -> Table:
    """Columns in order of appearance, without those that are empty throughout.

    Rows that are lists have no names: their columns are "column 1", "column 2", …
    """
    kept, names, filled = [], dict.fromkeys(columns), set()
    for record in records:
        kept.append(record)
        for name, value in record.cells.items():
            if name not in filled:
                names.setdefault(name)
                if not is_empty(value):
                    filled.add(name)
        if len(names) > MOST_COLUMNS:
            raise IntakeError(f"The rows have more than {MOST_COLUMNS} different names.")
    shown_names = tuple(name for name in names if name in filled)
    return Table(shown_names, kept, has_names=not all(map(_NUMBERED.fullmatch, shown_names)))
