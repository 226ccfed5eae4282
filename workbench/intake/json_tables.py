"""JSON files of rows as tables: lists, lines, objects that hold a list, columns, rows in rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.bounded_json import read_json, read_values
from workbench.intake.cells import is_empty
from workbench.intake.conversations import is_conversation
from workbench.intake.records import Record, Table, table_of
from workbench.intake.wording import shown
from workbench.limits import LIMITS

# Names under which a JSON file keeps its list of rows.
_LISTS = ("data", "rows", "examples", "instances", "records", "items")
_SPLITS = ("train", "training", "test", "val", "valid", "validation", "dev", "eval", "evaluation")
_EACH_ROW = "row"  # {"row_idx": 0, "row": {…}}, as the API of data sets answers
# Lists of objects within a row, each of which is a row with what stands around it: SQuAD's
# articles, the seed tasks of Self-Instruct.
_WITHIN = ("paragraphs", "qas", "instances")
_WRAPPING = {*_LISTS, *_SPLITS} - {*_WITHIN}
_MOST_CELLS = 2_000_000  # of rows within rows, once they are opened up
_NAMED = 30  # of what stands beside the rows
_INDEX = ("file_name", "hf_hub_url", "ms_hub_url", "script_url")  # of LLaMA-Factory's data sets


def json_table(text: str, lines: bool, where: str, known: frozenset[str]) -> Table:
    """The table in ``text``.

    Args:
        lines: the file's name says that every line is a row.
        known: names of columns in lower case.
    """
    if lines and not _is_one_value(text):
        return table_of(json_lines(text))
    try:
        data = read_json(text, where, gaps=True)
    except IntakeError:
        if any(map(_is_whole, text.lstrip().split("\n", 2)[:2])):
            return table_of(json_lines(text))
        data = read_values(text, where)  # one object after the other
        if len(data) < 2:
            raise
    rows, beside = (data, ()) if isinstance(data, list) else _rows_within(data, where, known)
    if rows and all(isinstance(r, dict) and isinstance(r.get(_EACH_ROW), dict) for r in rows):
        rows = [row[_EACH_ROW] for row in rows]
    records = _records(enumerate(_named(rows, known)), where)
    table = table_of(
        replace(record, number=number) for number, record in enumerate(records, start=1)
    )
    if beside:
        listed = ", ".join(shown(name, 30) for name in beside[:_NAMED])
        table.notes = (f"What the file holds beside its rows was left out: {listed}.",)
    return table


def json_lines(text: str) -> Iterator[Record]:
    """A row in every line; a bad line is a bad row."""
    return _records(_lines(text), "The file")


def _lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip().removesuffix(",")  # a list of JSON, opened up into lines
        if line in ("", "[", "]"):
            continue
        if len(line.encode("utf-8", "surrogatepass")) > LIMITS.row_bytes:
            problem = f"it is longer than {LIMITS.row_bytes // 1024} KB"
            yield number, Record(number, problem=problem)
            continue
        try:
            yield number, read_json(line, "it", gaps=True)
        except IntakeError as error:
            problem = error.message.removeprefix("it: ").rstrip(".")
            yield number, Record(number, problem=problem)


def _records(rows: Iterable[tuple[int, Any]], where: str) -> Iterator[Record]:
    """Records of numbered rows; rows within a row have its number."""
    cells = 0
    for number, row in rows:
        if isinstance(row, Record):
            yield row
            continue
        for inner in _opened(row):
            cells += len(inner) if inner is not row else 0
            if cells > _MOST_CELLS:
                raise IntakeError(f"{where} has too many rows within rows. Hand over fewer.")
            yield _record(number, inner)


def _record(number: int, row: Any) -> Record:
    if isinstance(row, str):
        return Record(number, {"input": row})
    if is_conversation(row):
        return Record(number, {"messages": row})
    if isinstance(row, list) and row:
        return Record(number, {f"column {at}": cell for at, cell in enumerate(row, start=1)})
    if not isinstance(row, dict):
        problem = 'it is not an object such as {"input": "...", "output": "..."}'
        return Record(number, problem=problem)
    return Record(number, row)


def _is_one_value(text: str) -> bool:
    """Whether a file of JSON lines is one value, or objects over several lines, after all."""
    text = text.strip()
    first, _, rest = text.partition("\n")
    if text.startswith("[") or first.rstrip() == "{":
        return True
    if rest or not _is_whole(first):
        return False
    try:
        row = read_json(text, "it", gaps=True)
    except IntakeError:
        return False
    return isinstance(row, dict) and any(
        name.lower() in _WRAPPING and _is_list_of_rows(value) for name, value in row.items()
    )


def _is_whole(line: str) -> bool:
    """Whether a line looks like a row of JSON lines, and not like a part of a larger value."""
    line = line.strip().removesuffix(",")
    return len(line) > 2 and line[0] + line[-1] in ("{}", "[]")


def _is_list_of_rows(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], dict | list)
        and not is_conversation(value)
    )


def _named(rows: list[Any], known: frozenset[str]) -> list[Any]:
    """Rows as objects where the first of lists names the columns of the others."""
    first = rows[0] if rows else None
    named = isinstance(first, list) and all(
        isinstance(name, str) and name.lower() in known for name in first
    )
    if not named or not first or any(not isinstance(row, list) for row in rows):
        return rows
    if any(len(row) != len(first) for row in rows):
        return rows
    return [dict(zip(first, row, strict=True)) for row in rows[1:]]


def _opened(row: Any) -> Iterator[Any]:
    """The rows within a row, each with what stands around it."""
    for name, value in row.items() if isinstance(row, dict) else ():
        if name.lower() in _WITHIN and _is_list_of_rows(value):
            around = {other: cell for other, cell in row.items() if other != name}
            for inner in value:
                yield from _opened({**around, **inner} if isinstance(inner, dict) else {**around})
            return
    yield row


# -------------------------------------------------------------------------------- objects


def _rows_within(data: Any, where: str, known: frozenset[str]) -> tuple[list[Any], tuple[str, ...]]:
    """The rows that an object holds, and the names of what stands beside them."""
    if not isinstance(data, dict):
        raise IntakeError(f"{where} holds no list of rows. Hand over a list of objects.")
    _refuse_descriptions(data, where)
    if "columns" in data and isinstance(data.get("data"), list):  # pandas: orient="split"
        names = [str(name) for name in data["columns"]]
        if all(isinstance(row, list) and len(row) == len(names) for row in data["data"]):
            return [dict(zip(names, row, strict=True)) for row in data["data"]], ()
    if (rows := _intents(data)) is not None:
        return rows, _others(data, "intents")
    splits = [name for name, value in data.items() if value and isinstance(value, list | dict)]
    if len(splits) > 1 and all(name.lower() in _SPLITS for name in splits):
        raise _several_lists(where, splits)
    if any(is_conversation(value) for value in data.values()):
        return [data], ()  # one row alone
    of_rows = {name: value for name, value in data.items() if _is_list_of_rows(value)}
    named = [name for name in of_rows if name.lower() in _LISTS]
    if len(named) == 1 or len(of_rows) == 1:
        taken = named[0] if len(named) == 1 else next(iter(of_rows))
        if taken.lower() in _WITHIN:
            return [data], ()  # with what stands around each
        return of_rows[taken], _others(data, taken)
    if len(of_rows) > 1 and len({len(value) for value in of_rows.values()}) > 1:
        raise _several_lists(where, list(of_rows))
    return _by_column(data, where, known)


def _others(data: dict[str, Any], taken: str) -> tuple[str, ...]:
    return tuple(name for name, value in data.items() if name != taken and not is_empty(value))


def _refuse_descriptions(data: dict[str, Any], where: str) -> None:
    """Files that lie beside data sets and say what is in them."""
    objects = [value for value in data.values() if isinstance(value, dict)]
    if len(objects) == len(data) and any(name in value for value in objects for name in _INDEX):
        raise IntakeError(
            f"{where} is a list of data sets and holds no rows. Hand over the file that it names."
        )
    about = {"splits", "builder_name", "dataset_name", "citation", "download_size"}
    if isinstance(data.get("features"), dict) and about & data.keys():
        raise IntakeError(
            f"{where} describes a data set and holds no rows. Hand over the files of rows."
        )


def _several_lists(where: str, names: Sequence[str]) -> IntakeError:
    return IntakeError(
        f"{where} holds several lists of rows: {', '.join(shown(name, 30) for name in names)}. "
        "Hand over one of them as a file of its own."
    )


def _by_column(
    data: dict[str, Any], where: str, known: frozenset[str]
) -> tuple[list[Any], tuple[str, ...]]:
    """Rows of an object of columns: lists of equal length, or objects by row (as pandas writes)."""
    if data and all(name.isdigit() and isinstance(row, dict) for name, row in data.items()):
        return list(data.values()), ()  # pandas: orient="index"
    objects = [value for value in data.values() if isinstance(value, dict)]
    if len(objects) == len(data) > 0:
        inner = set.intersection(*(set(map(str.lower, value)) for value in objects))
        if inner & known:  # rows by their names
            return objects, ()
        if len(data) == 1 and any(isinstance(value, list) for value in objects[0].values()):
            return _rows_within(objects[0], where, known)
    keys = objects[0].keys() if objects else ()
    columns = {
        name: [value[key] for key in keys] if isinstance(value, dict) else value
        for name, value in data.items()
        if isinstance(value, list) or (isinstance(value, dict) and value.keys() == keys)
    }
    lengths = {len(values) for values in columns.values()}
    if len(lengths) == 1 and len(columns) == len(data):
        cells = zip(*columns.values(), strict=True)
        return [dict(zip(columns, values, strict=True)) for values in cells], ()
    if len(data) == 1 and isinstance(inner := next(iter(data.values())), dict):
        return _rows_within(inner, where, known)
    if isinstance(data.get("data"), dict):
        rows, beside = _rows_within(data["data"], where, known)
        return rows, (*_others(data, "data"), *beside)
    if known & set(map(str.lower, data)):
        return [data], ()  # one row alone
    if len(data) > 1 and all(isinstance(value, str) for value in data.values()):
        return [list(pair) for pair in data.items()], ()  # what is asked and what is answered
    raise IntakeError(f"{where} holds no list of rows. Hand over a list of objects.")


def _intents(data: dict[str, Any]) -> list[Any] | None:
    """Rows of a chatbot's file: intents, each with the texts that mean it."""
    intents = data.get("intents")
    if not isinstance(intents, list) or not all(
        isinstance(intent, dict) and isinstance(intent.get("patterns"), list) for intent in intents
    ):
        return None
    return [
        {
            **{name: cell for name, cell in intent.items() if name not in ("patterns", "tag")},
            "text": text,
            "intent": intent.get("tag", intent.get("intent")),
        }
        for intent in intents
        for text in intent["patterns"]
    ]
