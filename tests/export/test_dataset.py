"""The synthetic data set leaves as it was made (JSON lines, Parquet) or safe to open (CSV)."""

import json
import math
from pathlib import Path

import pyarrow.parquet

from tests.export.samples import HARD, hard_samples
from workbench.export import dataset
from workbench.export.parquet import write_parquet
from workbench.intake.rows import read_rows
from workbench.samples import Example, Sample


def test_json_lines_give_back_every_text(tmp_path: Path) -> None:
    dataset.write_jsonl(tmp_path / "s.jsonl", hard_samples())
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().split("\n")[:-1]]
    assert [row["input"] for row in rows] == HARD
    assert [row["output"] for row in rows] == HARD
    assert set(rows[0]) == set(dataset.COLUMNS)
    assert rows[3]["excess"] == -0.5 and rows[3]["confidence"] is None


def test_parquet_has_types_and_texts(tmp_path: Path) -> None:
    write_parquet(tmp_path / "s.parquet", hard_samples())
    table = pyarrow.parquet.read_table(tmp_path / "s.parquet")
    assert table.column_names == list(dataset.COLUMNS)
    rows = table.to_pylist()
    assert [row["input"] for row in rows] == [t.replace("\ud83d", "?") for t in HARD]
    assert math.isclose(rows[3]["excess"], -0.5)
    assert rows[3]["confidence"] is None


def test_no_samples_are_a_table_without_rows(tmp_path: Path) -> None:
    dataset.write_jsonl(tmp_path / "s.jsonl", [])
    dataset.write_csv(tmp_path / "s.csv", [])
    write_parquet(tmp_path / "s.parquet", [])
    assert (tmp_path / "s.jsonl").read_text() == ""
    assert (tmp_path / "s.csv").read_text(encoding="utf-8-sig").count("\n") == 1
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet").num_rows == 0


def test_an_export_can_be_read_in_again(tmp_path: Path) -> None:
    samples = [Sample("a", "one => two", "target", teacher_output="x"), Sample("b", "=3", "user")]
    dataset.write_jsonl(tmp_path / "s.jsonl", samples)
    assert read_rows(tmp_path / "s.jsonl").examples == (Example("one => two", "x"), Example("=3"))
