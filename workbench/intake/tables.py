"""Files of rows as tables: named columns and cells as they stand, whatever the format.

JSON lines, JSON lists, CSV and its relatives, Parquet (in a process apart) and plain lines. What a
column means is decided elsewhere (``columns``). No pandas, no guessing of encodings.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.errors import IntakeError
from workbench.intake import delimited, parquet
from workbench.intake.bounded_json import read_json
from workbench.intake.cells import is_empty
from workbench.intake.conversations import is_conversation
from workbench.intake.wording import shown, size_words
from workbench.limits import LIMITS

KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
}
PARQUET = ".parquet"
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_MOST_COLUMNS = 1000
# Names under which a JSON file keeps its list of rows.
_LISTS = ("data", "rows", "examples", "instances", "records", "items")
_NUMBERED = re.compile(r"column \d+")
_SPLITS = ("train", "training", "test", "val", "valid", "validation", "dev", "eval", "evaluation")
_EACH_ROW = "row"  # {"row_idx": 0, "row": {…}}, as the API of data sets answers


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
    """

    columns: tuple[str, ...]
    records: list[Record]
    unreadable: tuple[str, ...] = ()
    has_names: bool = True
    arrows: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def decode(raw: bytes, where: str) -> str:
    """Strict UTF-8, or UTF-16 as Windows writes it; a sentence for what is usually wrong."""
    if raw.startswith(_COMPRESSED):
        raise IntakeError(f"{where} is compressed. Unpack it first.")
    if raw[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise IntakeError(f"{where} is a web page, not the file itself. Download the file again.")
    encoding = _encoding(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise IntakeError(f"{where} is no whole {encoding} text. Save it as UTF-8.") from error
        line = raw.count(b"\n", 0, error.start) + 1
        raise IntakeError(
            f"{where} is not UTF-8 text (line {line}). "
            'Save it as UTF-8 (in Excel: "CSV UTF-8"; in an editor: "Save with encoding").'
        ) from error


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
    return "utf-8-sig"


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
    if kind == "json" or text.lstrip().startswith("["):
        return _from_json(text, where, known)
    return _table(_json_lines(text))


def read_parquet(raw: bytes, where: str, columns: tuple[str, ...]) -> Table:
    """The table in a Parquet file; ``columns`` are all that is read, () reads what can be."""
    head, _, lines = parquet.as_jsonl(raw, where, columns).partition("\n")
    about = read_json(head, where)
    table = _table(_json_lines(lines), tuple(about["columns"]))
    table.unreadable, table.names = tuple(about["unreadable"]), tuple(about["names"])
    return table


def _table(records: Iterator[Record], columns: tuple[str, ...] = ()) -> Table:
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
        if len(names) > _MOST_COLUMNS:
            raise IntakeError(f"The rows have more than {_MOST_COLUMNS} different names.")
    shown_names = tuple(name for name in names if name in filled)
    return Table(shown_names, kept, has_names=not all(map(_NUMBERED.fullmatch, shown_names)))


def flattened(table: Table, known: frozenset[str]) -> Table:
    """Objects of unknown columns opened up: translation becomes translation.en, translation.fr."""
    for name in table.columns:
        values = [value for r in table.records if not is_empty(value := r.cells.get(name))]
        if name.lower() in known or not all(isinstance(value, dict) for value in values):
            continue
        for record in table.records:
            inner = record.cells.pop(name, None) or {}
            record.cells.update({f"{name}.{part}": value for part, value in inner.items()})
        opened = _table(iter(table.records))
        table = replace(table, columns=opened.columns)
    return table


# ------------------------------------------------------------------------------------- JSON


def _json_lines(text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip().removesuffix(",")  # a list of JSON, opened up into lines
        if line in ("", "[", "]"):
            continue
        if len(line.encode("utf-8", "surrogatepass")) > LIMITS.row_bytes:
            yield Record(number, problem=f"it is longer than {LIMITS.row_bytes // 1024} KB")
            continue
        try:
            row = read_json(line, "it")
        except IntakeError as error:
            yield Record(number, problem=error.message.removeprefix("it: ").rstrip("."))
        else:
            yield _json_record(number, row)


def _json_record(number: int, row: Any) -> Record:
    if isinstance(row, str):
        return Record(number, {"input": row})
    if isinstance(row, list) and row:
        return Record(number, {f"column {at}": cell for at, cell in enumerate(row, start=1)})
    if not isinstance(row, dict):
        problem = 'it is not an object such as {"input": "...", "output": "..."}'
        return Record(number, problem=problem)
    return Record(number, row)


def _from_json(text: str, where: str, known: frozenset[str]) -> Table:
    """A list of rows, an object with one, columns of equal length, or JSON lines after all."""
    try:
        data = read_json(text, where)
    except IntakeError:
        if any(map(_is_whole, text.lstrip().split("\n", 2)[:2])):
            return _table(_json_lines(text))
        raise
    names: list[str] = []
    if isinstance(data, dict) and "columns" in data and isinstance(data.get("data"), list):
        names = [str(name) for name in data["columns"]]  # pandas: orient="split"
    rows = data if isinstance(data, list) else _rows_within(data, where, known)
    if names and all(isinstance(row, list) and len(row) == len(names) for row in rows):
        rows = [dict(zip(names, row, strict=True)) for row in rows]
    if rows and all(isinstance(r, dict) and isinstance(r.get(_EACH_ROW), dict) for r in rows):
        rows = [row[_EACH_ROW] for row in rows]
    return _table(_json_record(number, row) for number, row in enumerate(rows, start=1))


def _is_whole(line: str) -> bool:
    """Whether a line looks like a row of JSON lines, and not like a part of a larger value."""
    line = line.strip().removesuffix(",")
    return len(line) > 2 and line[0] + line[-1] in ("{}", "[]")


def _rows_within(data: Any, where: str, known: frozenset[str]) -> list[Any]:
    if not isinstance(data, dict):
        raise IntakeError(f"{where} holds no list of rows. Hand over a list of objects.")
    if (rows := _squad(data) or _intents(data)) is not None:
        return rows
    splits = [name for name, value in data.items() if value and isinstance(value, list | dict)]
    if len(splits) > 1 and all(name.lower() in _SPLITS for name in splits):
        raise _several_lists(where, splits)
    if any(is_conversation(value) for value in data.values()):
        return [data]  # one row alone
    of_rows = {
        name: value
        for name, value in data.items()
        if isinstance(value, list) and value and isinstance(value[0], dict | list)
    }
    named = [name for name in of_rows if name.lower() in _LISTS]
    if len(of_rows) == 1 or len(named) == 1:
        return of_rows[named[0]] if named else next(iter(of_rows.values()))
    if len(of_rows) > 1 and len({len(value) for value in of_rows.values()}) > 1:
        raise _several_lists(where, list(of_rows))
    return _by_column(data, where, known)


def _several_lists(where: str, names: Sequence[str]) -> IntakeError:
    return IntakeError(
        f"{where} holds several lists of rows: {', '.join(shown(name, 30) for name in names)}. "
        "Hand over one of them as a file of its own."
    )


def _by_column(data: dict[str, Any], where: str, known: frozenset[str]) -> list[Any]:
    """Rows of an object of columns: lists of equal length, or objects by row (as pandas writes)."""
    if data and all(name.isdigit() and isinstance(row, dict) for name, row in data.items()):
        return list(data.values())  # pandas: orient="index"
    objects = [value for value in data.values() if isinstance(value, dict)]
    if len(objects) == len(data) > 0:
        inner = set.intersection(*(set(map(str.lower, value)) for value in objects))
        if inner & known:  # rows by their names
            return objects
        if len(data) == 1 and any(isinstance(value, list) for value in objects[0].values()):
            return _rows_within(objects[0], where, known)
    columns = {
        name: list(value.values()) if isinstance(value, dict) else value
        for name, value in data.items()
        if isinstance(value, list | dict)
    }
    lengths = {len(values) for values in columns.values()}
    if len(lengths) == 1 and len(columns) == len(data):
        cells = zip(*columns.values(), strict=True)
        return [dict(zip(columns, values, strict=True)) for values in cells]
    if len(data) == 1 and isinstance(inner := next(iter(data.values())), dict):
        return _rows_within(inner, where, known)
    if isinstance(data.get("data"), dict):
        return _rows_within(data["data"], where, known)
    if known & set(map(str.lower, data)):
        return [data]  # one row alone
    if len(data) > 1 and all(isinstance(value, str) for value in data.values()):
        return [list(pair) for pair in data.items()]  # what is asked and what is answered
    raise IntakeError(f"{where} holds no list of rows. Hand over a list of objects.")


def _intents(data: dict[str, Any]) -> list[Any] | None:
    """Rows of a chatbot's file: intents, each with the texts that mean it."""
    intents = data.get("intents")
    if not isinstance(intents, list) or not all(
        isinstance(intent, dict) and isinstance(intent.get("patterns"), list) for intent in intents
    ):
        return None
    return [
        {"text": text, "intent": intent.get("tag", intent.get("intent"))}
        for intent in intents
        for text in intent["patterns"]
    ]


def _squad(data: dict[str, Any]) -> list[Any] | None:
    """Rows of a file in SQuAD's own format: articles, paragraphs, questions."""
    articles = data.get("data")
    if not isinstance(articles, list) or not all(
        isinstance(article, dict) and isinstance(article.get("paragraphs"), list)
        for article in articles
    ):
        return None
    return [
        {**question, "context": paragraph.get("context")}
        for article in articles
        for paragraph in article["paragraphs"]
        if isinstance(paragraph, dict)
        for question in paragraph.get("qas") or ()
        if isinstance(question, dict)
    ]


# ------------------------------------------------------------------------------ CSV, lines


def _from_csv(text: str, where: str, known: frozenset[str]) -> Table:
    text = text.lstrip("\n")
    first, _, rest = text.partition("\n")
    if first.startswith("#") and len(delimited.split(first)) == 1 < len(
        delimited.split(rest.partition("\n")[0])
    ):
        first, text = rest.partition("\n")[0], rest  # a remark before the names
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
    if len(names) > _MOST_COLUMNS or len(set(lowered)) != len(lowered):
        raise IntakeError(f"{where}: its first line names a column twice, or too many.")
    table = _table(_csv_records(body, names, start=2 if named else 1), tuple(names))
    table.has_names = named
    return table


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
    records, arrows = [], {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        mark = next((mark for mark in ("\t", " => ") if split and mark in line.strip()), "")
        source, _, target = line.partition(mark) if mark else (line, "", "")
        if mark:
            arrows[mark] = arrows.get(mark, 0) + 1
        records.append(Record(number, {"input": source, "output": target}))
    table = _table(iter(records), ("input", "output"))
    table.arrows = arrows
    return table
