"""Rows of Parquet files: what people have is read, and a hostile file hurts its reader only."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from workbench.errors import IntakeError
from workbench.export.parquet import write_parquet
from workbench.intake import parquet
from workbench.intake.column_questions import Choice
from workbench.intake.rows import read_rows
from workbench.samples import KEPT, Example, Sample


def _write(path: Path, **columns: list) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd")
    return path


def test_columns_of_text_become_rows_whatever_else_there_is(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "rows.parquet",
        idx=[1, 2],
        Text=["grüß\ndich", "play dune"],
        label=["hello", None],
        vector=[[0.1], [0.2]],
    )
    rows = read_rows(path)
    assert rows.examples == (Example("grüß\ndich", "hello"), Example("play dune", None))
    assert any('"Text" was read as the input' in note for note in rows.notes)
    assert any("left out: idx, vector (vectors)" in note for note in rows.notes)


def test_what_the_workbench_exports_it_takes_back(tmp_path: Path) -> None:
    sample = Sample("a", "=SUM(1)", "target", status=KEPT, teacher_output="math")
    write_parquet(tmp_path / "samples.parquet", [sample])
    assert read_rows(tmp_path / "samples.parquet").examples == (Example("=SUM(1)", "math"),)


def test_bad_files_get_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1" + bytes(200) + b"PAR1")
    with pytest.raises(IntakeError, match=r"broken.parquet.* is not a Parquet file"):
        read_rows(broken)
    with pytest.raises(IntakeError, match="row 1: the input is a number instead of a text"):
        read_rows(_write(tmp_path / "numbers.parquet", input=[1, 2]))
    with pytest.raises(IntakeError, match=r"has 100,001 rows; at most 100,000"):
        read_rows(_write(tmp_path / "long.parquet", input=["a"] * 100_001))


def test_t21_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    """By the memory of the child: 4.5 GB would be read before the first row could be counted."""
    path = tmp_path / "bomb.parquet"
    alike = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 90, pyarrow.int8()), ["x" * 50_000_000]
    )
    pyarrow.parquet.write_table(
        pyarrow.table({"input": alike}), path, compression="zstd", store_schema=False
    )
    assert path.stat().st_size < 1_000_000
    with pytest.raises(IntakeError, match="2 GB of memory"):
        read_rows(path)


def test_t21_a_file_that_unpacks_to_more_than_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="unpacks to more than 32 MB"):
        read_rows(_write(tmp_path / "long.parquet", input=["x" * 1_000_000] * 90))


def test_it_is_read_by_a_process_that_has_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def run(command: list[str], **options: object) -> None:
        asked.update(options)
        raise parquet.subprocess.TimeoutExpired(command, 1)

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(parquet.subprocess, "run", run)
    with pytest.raises(IntakeError, match="takes too long"):
        read_rows(_write(tmp_path / "rows.parquet", input=["a"]))
    assert "hf_secret" not in str(asked["env"])


def test_a_system_turn_beside_chosen_columns_is_read(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "rows.parquet", ask=["a", "b"], say=["x", "y"], system=["Be brief."] * 2
    )
    rows = read_rows(path, choice=Choice(("ask",), "say"))
    assert (rows.system, rows.examples[0]) == ("Be brief.", Example("a", "x"))
    with pytest.raises(IntakeError, match=r"no column answer. It has ask, say, system"):
        read_rows(path, choice=Choice(("ask ",), "answer"))
