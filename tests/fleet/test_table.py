"""The table for people and machines, and the verdict for the whole."""

import csv
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from workbench.evaluate.intervals import noninferiority_p, paired_difference
from workbench.fleet import standing as standings
from workbench.fleet import table
from workbench.fleet.place import STANDING, Place
from workbench.fleet.standing import DONE, FAILED, Attempt, Measured, Standing


def standing(name: str, p_value: float | None = None, verdict: str = "inside") -> Standing:
    measured = p_value is not None and Measured(
        verdict, "A sentence.", "accuracy", 100, 0.9, 0.88, 0.98, -0.02, -0.04, 0.01, 5, p_value
    )
    state = DONE if measured else "waiting"
    return Standing(name, "f" * 10, "hub:a/b", "hub:c/d", state=state, measured=measured or None)


def test_false_discoveries_are_held_over_all_that_were_compared() -> None:
    """p = 0.03 alone would do; among twenty of which one is good it does not."""
    alone = table.rows([standing("a", 0.03)])
    assert table.verdict(alone).non_inferior == 1
    many = table.rows([standing("a", 0.03), *(standing(f"n{n}", 0.9) for n in range(19))])
    assert table.verdict(many).non_inferior == 0 and table.verdict(many).tested == 20
    several = table.rows([standing(f"s{n}", 0.001 * (n + 1)) for n in range(5)])
    assert "5 of 5 compared are non-inferior" in table.verdict(several).sentence


def test_what_needs_a_person_comes_first() -> None:
    failed = Standing(
        "z", "0", "a", "b", state=FAILED, attempts=(Attempt("model", "No such layer.", 1),)
    )
    rows = table.rows([standing("a", 0.01), standing("w"), standing("b", 0.9, "worse"), failed])
    assert [row["name"] for row in rows] == ["z", "b", "w", "a"]
    text = table.as_text(rows)
    assert "model: No such layer." in text and "✓ a" in text
    assert text.endswith(table.verdict(rows).sentence)


def test_csv_and_parquet_have_the_same_rows(tmp_path: Path) -> None:
    rows = table.rows([standing("a", 0.01), standing("=1+1")])
    table.write_csv(tmp_path / "t.csv", rows)
    table.write_parquet(tmp_path / "t.parquet", rows)
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["name"] for row in read] == ["'=1+1", "a"]  # nothing that a spreadsheet would run
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist() == rows


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 1), (9, 2), (1, 6), (20, 0)])
def test_the_p_value_agrees_with_the_interval(only_a: int, only_b: int) -> None:
    """p = 0.025 exactly where the 95 % interval ends at the margin."""
    n = 150
    a = [True] * only_a + [False] * only_b + [True] * (n - only_a - only_b)
    b = [False] * only_a + [True] * only_b + [True] * (n - only_a - only_b)
    difference = paired_difference(a, b)
    assert noninferiority_p(difference, -difference.low * 100, flags=True) == pytest.approx(
        0.025, abs=1e-6
    )
    assert noninferiority_p(difference, 40, flags=True) < 0.01


DAMAGES: dict[str, Any] = {
    "a p-value of no chance": {"p_value": 5.0}, "a p-value of nothing": {"p_value": float("nan")},
    "a mean without end": {"source": float("inf")}, "no interval": {"low": float("-inf")},
    "rows of no number": {"rows": 2**70}, "rows below none": {"rows": -3},
    "a margin of words": {"margin_points": "wide"}, "another shape": [1, 2],
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "an unknown state": {"state": "dancing"}, "a time to come": {"at": 1e300},
    "endless seconds": {"seconds": {"distil": float("inf")}}, "steps of numbers": {"stages": [1]},
    "attempts of words": {"attempts": ["none"]}, "another's name": {"name": "other"},
}  # fmt: skip


@pytest.mark.parametrize("damage", [*DAMAGES, *WHOLE, "a pipe", "a folder", "half", "no text"])
def test_a_damaged_standing_hides_no_other(damage: str, tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    for name in ("sound", "hurt"):
        standings.write(place, standing(name, 0.01))
    path = tmp_path / "hurt" / STANDING
    told_of = asdict(standing("hurt", 0.01))
    if damage in DAMAGES:
        change = DAMAGES[damage]
        new = told_of["measured"] | change if isinstance(change, dict) else change
        path.write_text(json.dumps(told_of | {"measured": new}))
    elif damage in WHOLE:
        path.write_text(json.dumps(told_of | WHOLE[damage]))
    elif damage == "half":
        path.write_text(path.read_text()[:90])
    elif damage == "no text":
        path.write_bytes(b"\xff\xfe" * 50)
    else:
        path.unlink()
        os.mkfifo(path) if damage == "a pipe" else path.mkdir()
    found = standings.read(place, place.names())
    assert set(found) == {"sound"}
    rows = table.rows(found.values())
    table.as_text(rows)
    table.write_csv(tmp_path / "t.csv", rows)
    table.write_parquet(tmp_path / "t.parquet", rows)
