"""No accepted file loses a column that holds something without a word, whatever it looks like."""

import csv
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import IntakeError
from workbench.intake.cells import as_text, is_empty
from workbench.intake.column_names import KNOWN
from workbench.intake.columns import NONE, OPTIONAL, REQUIRED
from workbench.intake.row_checks import clean
from workbench.intake.rows import Rows, read_rows
from workbench.intake.wording import shown

NAMES = st.sampled_from(
    [
        *sorted(KNOWN),
        *("Input", "TEXT", "Label", "system", "history", "references", "id", "split", "data"),
        *("Frage", "Antwort", "scenario", "label_str", "sentence1", "sentence2", "Unnamed: 0"),
    ]
) | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=12
) | st.sampled_from(
    ["", " ", "0", "1", "=> a", "a\tb", '"open', 'say "so"', "a, b", "x\n\ny", "[{", "true"]
)
LABELS = st.integers(-3, 3) | st.booleans() | st.sampled_from([0.5, 2.0]) | st.none()
OBJECTS = st.lists(WORDS, max_size=2) | st.dictionaries(NAMES, WORDS, max_size=2)
OFTEN = settings(max_examples=120)


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy) -> list[dict]:
    names = draw(
        st.lists(NAMES, min_size=1, max_size=5, unique_by=lambda name: name.strip().lower())
    )
    kinds = [draw(st.sampled_from([WORDS, cells])) for _ in names]
    count = draw(st.integers(1, 5))
    return [
        {name: draw(kind) for name, kind in zip(names, kinds, strict=True)} for _ in range(count)
    ]


def nothing_is_lost(path: Path, table: list[dict], outputs: str) -> None:
    try:
        rows = read_rows(path, outputs=outputs)
    except IntakeError as error:
        assert str(error).isprintable()
        return
    told = "\n".join(rows.notes)
    used = (*rows.input_columns, rows.output_column)
    for name in dict.fromkeys(name for row in table for name in row):
        columns = {name, name.strip(), name.strip() or "Unnamed: "}
        if all(says_nothing(row.get(name)) for row in table) or columns & set(used):
            continue
        assert any(is_named(column, rows, told) for column in columns if column), (
            f"{name!r} of {table} is lost: {rows}"
        )
    the_cells_are_there(rows, table)


def says_nothing(value: object) -> bool:
    return is_empty(value) or (isinstance(value, dict) and all(map(is_empty, value.values())))


def is_named(column: str, rows: Rows, told: str) -> bool:
    """In a note: as left out, or as a part of something that was read."""
    opened = [name for name in (*rows.left_out, *rows.input_columns) if name.startswith(column)]
    words = ("system turn" in told, "several turns" in told, "several right answers" in told)
    belongs = dict(zip(("system", "history", "references"), words, strict=True))
    lowered = column.lower()
    return (
        bool(opened) and all(n in rows.input_columns or shown(n, 30) in told for n in opened)
    ) or belongs.get(lowered.removesuffix("_prompt").removesuffix("_message"), False)


def the_cells_are_there(rows: Rows, table: list[dict]) -> None:
    if rows.skipped or len(rows.examples) != len(table) or not rows.input_columns:
        return
    for example, row in zip(rows.examples, table, strict=True):
        by_name = {name.strip(): value for name, value in row.items()} | row
        for name in rows.input_columns:
            if name in by_name and not is_empty(by_name[name]):
                assert clean(as_text(by_name[name]) or "", "input")[0] in example.input
        if rows.output_column in by_name and not example.references:
            wanted = clean(as_text(by_name[rows.output_column]) or "", "output")[0]
            assert (example.output or "") == wanted


@OFTEN
@given(
    table=tables(LABELS | OBJECTS),
    outputs=st.sampled_from([NONE, OPTIONAL, REQUIRED]),
    suffix=st.sampled_from([".jsonl", ".json"]),
)
def test_json_loses_no_column_in_silence(
    tmp_path: Path, table: list[dict], outputs: str, suffix: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    lines = "\n".join(json.dumps(row) for row in table)
    path.write_text(lines if suffix == ".jsonl" else json.dumps(table))
    nothing_is_lost(path, table, outputs)


@OFTEN
@given(
    table=tables(WORDS),
    outputs=st.sampled_from([NONE, OPTIONAL, REQUIRED]),
    mark=st.sampled_from([",", ";", "\t"]),
)
def test_csv_loses_no_column_in_silence(
    tmp_path: Path, table: list[dict], outputs: str, mark: str
) -> None:
    path = tmp_path / ("rows.tsv" if mark == "\t" else "rows.csv")
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(table[0]), delimiter=mark, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(table)
    path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    try:
        rows = read_rows(path, outputs=outputs)
    except IntakeError:
        return
    if not any(name.startswith("column ") for name in (*rows.left_out, *rows.input_columns)):
        nothing_is_lost(path, table, outputs)


PARQUET_COLUMNS = {
    "text": pyarrow.array(["a b", "c d"]),
    "view": pyarrow.array(["a b", "c d"], pyarrow.string_view()),
    "categories": pyarrow.array(["x", "y"]).dictionary_encode(),
    "int8": pyarrow.array([1, 0], pyarrow.int8()),
    "bool": pyarrow.array([True, False]),
    "float": pyarrow.array([2.0, 0.5]),
    "list": pyarrow.array([["p"], ["q", "r"]]),
    "struct": pyarrow.array([{"en": "a", "fr": "b"}] * 2),
    "bytes": pyarrow.array([b"\xff\x00", b"\xfe"]),
    "vector": pyarrow.array([[0.1], [0.2]]),
    "decimal": pyarrow.array([1, 2]).cast(pyarrow.decimal128(21, 2)),
    "date": pyarrow.array([1, 2], pyarrow.date32()),
    "null": pyarrow.array([None, None], pyarrow.null()),
}


@pytest.mark.parametrize("name", ["label", "Antwort"])
@pytest.mark.parametrize("kind", PARQUET_COLUMNS)
def test_parquet_loses_no_column_in_silence(tmp_path: Path, kind: str, name: str) -> None:
    column = PARQUET_COLUMNS[kind]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"input": PARQUET_COLUMNS["text"], name: column}), path
    )
    try:
        rows = read_rows(path, outputs=OPTIONAL)
    except IntakeError as error:
        assert name in str(error)
        return
    assert rows.output_column == name or kind == "null" or name in "\n".join(rows.notes)
    if rows.output_column == name:
        values = [as_text(str(v) if kind in ("decimal", "date") else v) for v in column.to_pylist()]
        assert [row.output for row in rows.examples] == values
