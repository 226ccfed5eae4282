"""Cells of CSV, TSV and their relatives: commas, semicolons, tabs or bars between them.

What keeps the rules of quoting is read by the standard library. What does not is read again, more
patiently: in a file with tabs a quotation mark that nobody closes is text; in others the row is
named, and only that row.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence

_DELIMITERS = ",;\t|"
_ALONE = "\x1f"  # between the cells of a file with one column: it occurs in no text
_DATA_WORDS = 6  # a column name has fewer
_DATA_CHARACTERS = 60
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")

UNCLOSED = "a cell begins with a quotation mark that nobody closes"


def delimiter_of(first: str, known: frozenset[str]) -> str:
    """What separates the cells, by the first line.

    Args:
        first: that line.
        known: column names in lower case; a reading in which one of them occurs wins.
    """
    if match := re.fullmatch(r'"?sep=(.)"?', first.strip(), re.IGNORECASE):
        return match[1]
    found = {mark: _cells(first, mark) for mark in _DELIMITERS}
    best = max(
        _DELIMITERS,
        key=lambda mark: (
            any(cell.strip().lower() in known for cell in found[mark]),
            len(found[mark]),
        ),
    )
    return best if len(found[best]) > 1 else _ALONE


def split(line: str) -> list[str]:
    """The cells of one line, by what separates them there."""
    return _cells(line, delimiter_of(line, frozenset()))


def _cells(line: str, mark: str) -> list[str]:
    """The cells of a line; [] where one is longer than the standard library reads."""
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return []


def is_data(first: list[str], others: Sequence[Sequence[str]] = ()) -> bool:
    """Whether the first line of a file is a row and no names of columns.

    A name does not come again below it, as a label does; the first line of a file with one column
    is a name only where it is one word.
    """
    cells = [cell.strip() for cell in first]
    again = any(
        cell and any(at < len(row) and row[at].strip() == cell for row in others)
        for at, cell in enumerate(cells)
    )
    alone = len(cells) == 1 and len(cells[0].split()) > 1
    return (
        again
        or alone
        or any(
            _NUMBER.fullmatch(cell)
            or len(cell) > _DATA_CHARACTERS
            or len(cell.split()) >= _DATA_WORDS
            or cell.endswith((".", "?", "!"))
            for cell in cells
        )
    )


def cells_of(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """(cells, problem) of every row; line ends are "\\n" in ``text``, and in cells as well."""
    if delimiter == "\t" and (rows := _line_by_line(text)):
        yield from ((row, "") for row in rows)
        return
    try:
        file = io.StringIO(text, newline="")
        # '"a", "b"': a space before a quotation mark belongs to no cell.
        spaced = f'{delimiter} "' in text
        rows = list(csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=spaced))
    except csv.Error:
        yield from _patiently(text, delimiter)
    else:
        yield from ((row, "") for row in rows)


def _line_by_line(text: str) -> list[list[str]]:
    """Rows of a file with tabs where each line has as many cells as the first, else nothing.

    Such a file has no line break within a cell, so a quotation mark opens nothing that would go
    on in the next line.
    """
    rows = [line.split("\t") if line else [] for line in text.split("\n")]
    if any(row and len(row) != len(rows[0]) for row in rows):
        return []
    return [[_unquoted(cell) for cell in row] for row in rows]


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if whole else cell


def _patiently(text: str, delimiter: str) -> Iterator[tuple[list[str], str]]:
    mark = re.escape(delimiter)
    # Possessive, so that a quotation mark that nobody closes is looked for once and not again.
    quoted = re.compile(rf'"([^"]*+(?:""[^"]*+)*+)"(?={mark}|\n|\Z)')
    plain = re.compile(rf"[^{mark}\n]*+")
    at, cells, problem = 0, [], ""
    while at < len(text):
        match = quoted.match(text, at)
        if match:
            cells.append(match[1].replace('""', '"'))
        else:
            match = plain.match(text, at)
            assert match is not None, "it matches nothing at all as well"
            if match[0].startswith('"') and delimiter != "\t":
                problem = UNCLOSED
            cells.append(match[0])
        at = match.end()
        ends = at >= len(text) or text[at] == "\n"
        at += 1
        if ends:
            yield (cells if cells != [""] else []), problem
            cells, problem = [], ""
        elif at >= len(text):  # a delimiter is the last character of all
            yield [*cells, ""], problem
