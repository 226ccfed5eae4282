"""Files of rows as tables: named columns and cells as they stand, whatever the format.

JSON lines, JSON lists, CSV and its relatives, Parquet (in a process apart) and plain lines. What a
column means is decided elsewhere (``columns``). No pandas; an encoding is never guessed in silence.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence

from workbench.errors import IntakeError
from workbench.intake import delimited, parquet, windows_1252
from workbench.intake.bounded_json import read_json
from workbench.intake.json_tables import json_lines, json_table
from workbench.intake.records import MOST_COLUMNS, Record, Table, table_of
from workbench.intake.wording import shown, size_words
from workbench.limits import LIMITS

KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "text",
}
PARQUET = ".parquet"
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")
_LABEL = "__label__"
_FASTTEXT = re.compile(r"(?:__label__\S+\s+)+")
_PAIR = 2
_UTF8 = "utf-8-sig"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


def decode(raw: bytes, where: str) -> str:
    """Strict UTF-8, or UTF-16 as Windows writes it; a sentence for what is usually wrong."""
    _require_text(raw, where)
    encoding = _encoding(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != _UTF8:
            raise IntakeError(f"{where} is no whole {encoding} text. Save it as UTF-8.") from error
        line = raw.count(b"\n", 0, error.start) + 1
        raise IntakeError(
            f"{where} is not UTF-8 text (line {line}). "
            'Save it as UTF-8 (in Excel: "CSV UTF-8"; in an editor: "Save with encoding").'
        ) from error


def decode_rows(raw: bytes, where: str) -> tuple[str, str]:
    """As ``decode``, or Windows-1252, as Excel writes it; the second text says so then."""
    if _encoding(raw) == _UTF8 and (text := windows_1252.read(raw)):
        _require_text(raw, where)
        example = shown(windows_1252.example(text), 30)
        return text, (
            f'It is no UTF-8 text and was read as Windows-1252, for example "{example}". '
            "If that looks wrong, save the file as UTF-8."
        )
    return decode(raw, where), ""


def _require_text(raw: bytes, where: str) -> None:
    if raw.startswith(_COMPRESSED):
        raise IntakeError(f"{where} is compressed. Unpack it first.")
    if raw[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise IntakeError(f"{where} is a web page, not the file itself. Download the file again.")


def unpacked(raw: bytes, where: str) -> bytes:
    """The content of a gzip file, at most as much as a file of rows may have."""
    try:
        with gzip.open(io.BytesIO(raw)) as file:
            content = file.read(LIMITS.rows_file_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise IntakeError(f"{where} is no complete gzip file. Unpack it first.") from error
    if len(content) > LIMITS.rows_file_bytes:
        raise IntakeError(f"{where} unpacks to more than {size_words(LIMITS.rows_file_bytes)}.")
    return content


def _encoding(raw: bytes) -> str:
    """By its mark, else by the zeros that UTF-16 puts beside plain letters."""
    if raw.startswith(_UTF32):
        return "utf-32"
    if raw.startswith(_UTF16):
        return "utf-16"
    head = raw[:64]
    if len(raw) % 2 == 0 and len(head) > 3 and b"\0" in head:
        if not any(head[1::2]):
            return "utf-16-le"
        if not any(head[::2]):
            return "utf-16-be"
    return _UTF8


def read_table(text: str, kind: str, where: str, known: frozenset[str], split: bool) -> Table:
    """The table in ``text``.

    Args:
        kind: "jsonl", "json", "csv" or "text" (one input per line).
        known: names of columns in lower case by which a first line is known to be one of names.
        split: a line of a "text" may hold an output, after a tab or " => ".
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if kind == "text":
        return _from_lines(text, split)
    if kind == "csv":
        return _from_csv(text, where, known)
    return json_table(text, kind == "jsonl", where, known)


def read_parquet(raw: bytes, where: str, columns: tuple[str, ...]) -> Table:
    """The table in a Parquet file; ``columns`` are all that is read, () reads what can be."""
    head, _, lines = parquet.as_jsonl(raw, where, columns).partition("\n")
    about = read_json(head, where)
    table = table_of(json_lines(lines), tuple(about["columns"]))
    table.unreadable, table.names = tuple(about["unreadable"]), tuple(about["names"])
    return table


# ------------------------------------------------------------------------------ CSV, lines


def _from_csv(text: str, where: str, known: frozenset[str]) -> Table:
    text = text.lstrip("\n")
    first, _, rest = text.partition("\n")
    skipped = 0
    while first.startswith("#") and _is_remark(first, rest, known):
        text, skipped = rest, skipped + 1
        first, _, rest = text.partition("\n")
    delimiter = delimited.delimiter_of(first, known)
    if first.strip().lower().startswith(("sep=", '"sep=')):
        text = rest
    rows = delimited.cells_of(text, delimiter)
    header, problem = next(rows, ([], ""))
    header, body = [cell.strip() for cell in header], list(rows)
    named = any(cell.lower() in known for cell in header) or not delimited.is_data(
        header, [cells for cells, _ in body]
    )
    if not named:
        body.insert(0, (header, problem))
        header = [f"column {n + 1}" for n in range(len(header))]
    names = [cell or f"Unnamed: {at}" for at, cell in enumerate(header)]  # as pandas has it
    lowered = [name.lower() for name in names]
    if len(names) > MOST_COLUMNS or len(set(lowered)) != len(lowered):
        raise IntakeError(f"{where}: its first line names a column twice, or too many.")
    start = skipped + (2 if named else 1)
    table = table_of(_csv_records(body, names, start), tuple(names))
    table.has_names = named
    return table


def _is_remark(first: str, rest: str, known: frozenset[str]) -> bool:
    """Whether a line that begins with # says something about the file: below it is a table."""
    after = next((line for line in rest.split("\n") if not line.startswith("#")), "")
    cells = delimited.split(after)
    names = {cell.strip().lower() for cell in cells} & known
    return len(delimited.split(first)) < len(cells) or len(names) > 1


def _csv_records(
    rows: Sequence[tuple[list[str], str]], names: list[str], start: int
) -> Iterator[Record]:
    for number, (cells, problem) in enumerate(rows, start=start):
        if not any(cell.strip() for cell in cells):
            continue
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()
        if not problem and len(cells) != len(names):
            problem = f"it has {len(cells)} columns instead of {len(names)}"
        yield Record(number, {} if problem else dict(zip(names, cells, strict=True)), problem)


def _from_lines(text: str, split: bool) -> Table:
    if _FASTTEXT.match(text.lstrip()):
        return _from_fasttext(text)
    records, arrows = [], {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        mark = next((mark for mark in ("\t", " => ") if split and mark in line.strip()), "")
        source, _, target = line.partition(mark) if mark else (line, "", "")
        if mark:
            arrows[mark] = arrows.get(mark, 0) + 1
        records.append(Record(number, {"input": source, "output": target}))
    table = table_of(iter(records), ("input", "output"))
    table.arrows = arrows
    return table


def _from_fasttext(text: str) -> Table:
    """Lines that begin with their labels, as fastText wants them; several become a list."""
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _FASTTEXT.match(line.strip()):
            labels = [label.removeprefix(_LABEL) for label in match[0].split()]
            cells = {"input": line.strip()[match.end() :], "output": labels}
            records.append(
                Record(number, cells if len(labels) > 1 else cells | {"output": labels[0]})
            )
        elif line.strip():
            records.append(Record(number, problem=f"it does not begin with {_LABEL}"))
    table = table_of(iter(records), ("input", "output"))
    table.notes = (f'What follows "{_LABEL}" was read as the output.',)
    return table


def is_table_of_tabs(text: str) -> bool:
    """Whether lines with tabs are more than an input and its output.

    All have the same number of cells, over two; or the first cell is a label, as it comes again
    and again while the second does not.
    """
    rows = [line.split("\t") for line in text.split("\n") if line.strip()]
    width = len(rows[0]) if rows else 0
    if width < _PAIR or len(rows) < _PAIR or any(len(row) != width for row in rows):
        return False
    firsts, seconds = (len({row[at].strip() for row in rows}) for at in (0, 1))
    return width > _PAIR or (2 * firsts <= len(rows) and firsts < seconds)
