"""Rows of text from strangers: seeds, evaluation rows, unlabelled inputs.

JSON lines, CSV, Parquet or pasted lines become ``Example``s. Two columns of text and nothing else;
the first ten bad rows are named by number and then nothing is taken. Files are read by the standard
library under our own ceilings (no pandas, no guessing of encodings), Parquet in a process apart.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import IntakeError
from workbench.intake import parquet
from workbench.intake.bounded_json import read_json
from workbench.intake.copying import read_small
from workbench.intake.wording import shown
from workbench.limits import LIMITS
from workbench.samples import Example

_INPUTS = ("input", "text", "prompt", "question")
_OUTPUTS = ("output", "label", "completion", "answer")
_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".txt": "text"}
_PARQUET = ".parquet"
FILE_TYPES = (*_KINDS, _PARQUET)
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BAD_ROWS_NAMED = 10
_OTHER_COLUMNS = 100
# Invisible characters that have no business in a row: controls but tab and line feed, and marks
# that turn the direction of text around.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Rows:
    """Rows that were accepted, and sentences about what was done to them on the way in."""

    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Raw:
    """A row before it is checked: its number as a person counts, and its cells or its problem."""

    number: int
    source: Any = None
    target: Any = None
    problem: str = ""


class _BadRow(Exception):
    """Why one row cannot be taken; collected, so that ten are named at once."""


def read_examples(path: Path, at_most: int = LIMITS.rows) -> list[Example]:
    """Rows of a .jsonl, .csv, .tsv, .parquet or .txt file; see ``read_rows``."""
    return list(read_rows(path, at_most).examples)


def read_rows(path: Path, at_most: int = LIMITS.rows) -> Rows:
    """Rows of a file and notes; ``at_most`` is the number of rows that may be in it.

    Raises:
        IntakeError: what is wrong, in which rows, and what to do.
    """
    kind, name = path.suffix.lower(), shown(path.name)
    if kind not in FILE_TYPES:
        raise IntakeError(
            f"{name} is of an unknown kind. Hand over .jsonl, .csv, .parquet or .txt."
        )
    raw = read_small(path, LIMITS.rows_file_bytes)
    if kind == _PARQUET:
        text = parquet.as_jsonl(raw, name, _INPUTS + _OUTPUTS)
        return parse_rows(text, "jsonl", at_most, where=name)
    return parse_rows(decode(raw, name), _KINDS[kind], at_most, where=name)


def parse_examples(text: str, kind: str = "auto", at_most: int = LIMITS.rows) -> list[Example]:
    """Rows of pasted text; see ``parse_rows``."""
    return list(parse_rows(text, kind, at_most).examples)


def parse_rows(
    text: str, kind: str = "auto", at_most: int = LIMITS.rows, where: str = "The text"
) -> Rows:
    """Rows of ``text``.

    Args:
        kind: "jsonl", "csv", "text" (one input per line, optionally a tab or " => " and the
            output), or "auto", which looks at the first line.
        where: what error sentences call the source.
    """
    if len(text) > LIMITS.rows_file_bytes:
        raise IntakeError(f"{where} is too long. Hand over fewer rows.")
    kind = _guess(text) if kind == "auto" else kind
    notes: list[str] = []
    if kind == "jsonl":
        raw = _from_jsonl(text, notes)
    elif kind == "csv":
        raw = _from_csv(text, where, notes)
    elif kind == "text":
        raw = _from_lines(text)
    else:
        raise IntakeError(f'Rows are of the kind "jsonl", "csv" or "text", not "{shown(kind)}".')
    return _accept(raw, at_most, where, notes)


def table_rows(table: Iterable[Sequence[Any]], at_most: int = LIMITS.rows) -> Rows:
    """Rows of an editable table: input, then optionally output. Empty lines are passed over."""
    raw = []
    for number, row in enumerate(table, start=1):
        # An empty cell comes as None or NaN, the only value that differs from itself.
        cells = ["" if cell is None or cell != cell else str(cell) for cell in row[:2]]
        if any(cell.strip() for cell in cells):
            raw.append(_Raw(number, cells[0], cells[1] if len(cells) > 1 else None))
    return _accept(raw, at_most, "The table", [])


def decode(raw: bytes, where: str) -> str:
    """Strict UTF-8, with a sentence for what is usually wrong."""
    if raw.startswith(_COMPRESSED):
        raise IntakeError(f"{where} is compressed. Unpack it first.")
    if raw.startswith(_UTF16):
        raise IntakeError(f"{where} is in UTF-16. Save it as UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise IntakeError(f"{where} is not UTF-8 text (line {line}). Save it as UTF-8.") from error


def _guess(text: str) -> str:
    first = next((line for line in text.split("\n", 20)[:20] if line.strip()), "").strip()
    if first.startswith("{"):
        return "jsonl"
    header = [cell.strip().strip('"').lower() for cell in re.split("[,;\t]", first)]
    return "csv" if len(header) > 1 and any(name in _INPUTS for name in header) else "text"


def _from_jsonl(text: str, notes: list[str]) -> Iterator[_Raw]:
    # The first row that has an input (an output) decides which name is read for it.
    source: str | None = None
    target: str | None = None
    others: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _json_row(line)
            source = source or _input_name(row, notes)
            target = target or _output_name(row, notes)
            others.update(name for name in row if name not in (source, target))
            if source not in row:
                raise _BadRow(f'there is no "{source}"')
            if len(others) > _OTHER_COLUMNS:
                raise _BadRow("the rows have too many different names")
        except _BadRow as bad:
            yield _Raw(number, problem=str(bad))
        else:
            yield _Raw(number, row[source], row.get(target) if target else None)
    _note_ignored(others, notes)


def _json_row(line: str) -> dict[str, Any]:
    if len(line.encode("utf-8", "surrogatepass")) > LIMITS.row_bytes:
        raise _BadRow(f"it is longer than {LIMITS.row_bytes // 1024} KB")
    try:
        row = read_json(line, "it")
    except IntakeError as error:
        raise _BadRow(error.message.removeprefix("it: ").rstrip(".")) from error
    if not isinstance(row, dict):
        raise _BadRow('it is not an object such as {"input": "...", "output": "..."}')
    return row


def _input_name(names: Iterable[str], notes: list[str]) -> str:
    """Which name holds the input, by the known synonyms; a note when it is not the plain one."""
    name = next((name for name in _INPUTS if name in names), None)
    if name is None:
        raise _BadRow('there is no "input" (or "text", "prompt", "question")')
    if name != "input":
        notes.append(f'"{name}" was read as the input.')
    return name


def _output_name(names: Iterable[str], notes: list[str]) -> str | None:
    name = next((name for name in _OUTPUTS if name in names), None)
    if name not in (None, "output"):
        notes.append(f'"{name}" was read as the output.')
    return name


def _note_ignored(names: set[str], notes: list[str]) -> None:
    if names:
        listed = ", ".join(shown(name, 30) for name in sorted(names)[:5])
        notes.append(f"Other columns were left out: {listed}{', …' if len(names) > 5 else ''}.")


def _from_csv(text: str, where: str, notes: list[str]) -> Iterator[_Raw]:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        if len(header) > 1000 or len(set(header)) != len(header):
            raise IntakeError(f"{where}: its first line names a column twice, or too many.")
        try:
            source, target = _input_name(header, notes), _output_name(header, notes)
        except _BadRow as error:
            raise IntakeError(
                f"{where}: its first line must name the columns input and, if there is one, output."
            ) from error
        _note_ignored({name for name in header if name not in (source, target)}, notes)
        at, at_target = header.index(source), header.index(target) if target else None
        for number, cells in enumerate(reader, start=2):
            if not any(cells):
                continue
            if len(cells) != len(header):
                problem = f"it has {len(cells)} columns instead of {len(header)}"
                yield _Raw(number, problem=problem)
            else:
                yield _Raw(number, cells[at], None if at_target is None else cells[at_target])
    except csv.Error as error:
        raise IntakeError(
            f"{where}: row {number + 1} is not valid CSV ({shown(error)}). Check the quotes."
        ) from error


def _from_lines(text: str) -> Iterator[_Raw]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            mark = "\t" if "\t" in line else " => "
            source, found, target = line.partition(mark)
            yield _Raw(number, source, target if found else None)


def _accept(raw: Iterable[_Raw], at_most: int, where: str, notes: list[str]) -> Rows:
    """Check all rows; either all are taken or the first ten bad ones are named."""
    examples: list[Example] = []
    bad: list[str] = []
    removed = 0
    for row in raw:
        try:
            example, count = _example(row)
            examples.append(example)
            removed += count
        except _BadRow as error:
            bad.append(f"row {row.number}: {error}")
        if len(bad) == _BAD_ROWS_NAMED:
            break
        if len(examples) > at_most:
            raise IntakeError(f"{where} has more than {at_most} rows. Hand over at most {at_most}.")
    if bad:
        more = " (and perhaps more)" if len(bad) == _BAD_ROWS_NAMED else ""
        raise IntakeError(f"{where}: {'; '.join(bad)}{more}. Correct these and try again.")
    if not examples:
        raise IntakeError(f"{where} has no rows. Give at least one input.")
    if removed:
        notes.append(f"{removed} invisible control characters were removed.")
    return Rows(tuple(examples), tuple(notes))


def _example(row: _Raw) -> tuple[Example, int]:
    if row.problem:
        raise _BadRow(row.problem)
    text, removed = _clean(row.source, "input", LIMITS.input_characters)
    if not text:
        raise _BadRow("the input is empty")
    if row.target is None:
        return Example(text), removed
    answer, more = _clean(row.target, "output", LIMITS.output_characters)
    return Example(text, answer or None), removed + more


def _clean(value: Any, name: str, at_most: int) -> tuple[str, int]:
    """Text in NFC without invisible controls and outer white space; how many were removed."""
    if not isinstance(value, str):
        kind = {bool: "true or false", int: "a number", float: "a number", list: "a list"}.get(
            type(value), "an object" if value is not None else "null"
        )
        raise _BadRow(f"the {name} is {kind} instead of a text in quotation marks")
    if len(value) > LIMITS.row_bytes:
        raise _BadRow(f"the {name} has {len(value)} characters (at most {at_most})")
    if _SURROGATES.search(value):
        raise _BadRow(f"the {name} holds half a character (a lone surrogate)")
    text, removed = _CONTROLS.subn("", value.replace("\r\n", "\n").replace("\r", "\n"))
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > at_most:
        raise _BadRow(f"the {name} has {len(text)} characters (at most {at_most})")
    return text, removed
