from dataclasses import asdict
from pathlib import Path

import pytest

from workbench.bench.results import (
    BEST,
    ORACLE,
    PAPER,
    SOURCE,
    ZERO_SHOT,
    Cell,
    CellResult,
    append_line,
    grid,
    owed,
    paired,
    read_results,
    recovery,
    retention,
)
from workbench.evaluate.intervals import paired_difference


def result(arm: str, correct: str, seed: int = 0, task: str = "t", **more: object) -> CellResult:
    rows = more.pop("rows", None) or tuple(f"row{i}" for i in range(len(correct)))
    recipe_hash = str(more.pop("recipe_hash", "h"))
    return CellResult(task, arm, seed, recipe_hash, rows, correct, **more)  # type: ignore[arg-type]


def test_results_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    first = result(
        SOURCE, "110", counts={"made": 10, "kept": 4}, mmd=0.25, seconds={"distil": 3.5},
        about={"device": "cpu"},
    )  # fmt: skip
    second = result(BEST, "111", seed=1)
    append_line(path, asdict(first))
    append_line(path, asdict(second))
    assert read_results(path) == {first.cell: first, second.cell: second}
    assert first.accuracy == pytest.approx(2 / 3)
    assert first.acceptance == 0.4 and second.acceptance is None


def test_a_torn_line_is_owed_again_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    """A kill while writing left half a line; the next result was glued to it and lost as well."""
    path = tmp_path / "results.jsonl"
    first, second, third = (result(SOURCE, "10", seed=seed) for seed in range(3))
    append_line(path, asdict(first))
    append_line(path, asdict(second))
    path.write_bytes(path.read_bytes()[:-30])
    cells = [one.cell for one in (first, second, third)]
    assert owed(cells, read_results(path)) == cells[1:]
    append_line(path, asdict(third))
    assert owed(cells, read_results(path)) == [second.cell]


@pytest.mark.parametrize(
    "line", ["", "null", "[]", "{}", '{"task": "t"}', "\xff", '{"rows": 3}', "{" * 99]
)
def test_lines_that_are_no_result_are_skipped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(line + "\n", encoding="latin-1")
    append_line(path, asdict(result(SOURCE, "1")))
    assert len(read_results(path)) == 1


def test_no_file_is_no_result(tmp_path: Path) -> None:
    assert read_results(tmp_path / "results.jsonl") == {}


def test_another_recipe_is_another_cell_and_the_newest_is_last(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    old, new = result(BEST, "00", recipe_hash="a"), result(BEST, "11", recipe_hash="b")
    append_line(path, asdict(old))
    assert owed([new.cell], read_results(path)) == [new.cell]
    append_line(path, asdict(new))
    assert [cell.recipe_hash for cell in read_results(path)] == ["a", "b"]
    append_line(path, asdict(old))
    assert [cell.recipe_hash for cell in read_results(path)] == ["b", "a"]


def test_one_mark_per_row() -> None:
    with pytest.raises(ValueError, match="one 0 or 1 per row"):
        CellResult("t", SOURCE, 0, "h", ("a",), "10")
    with pytest.raises(ValueError, match="one 0 or 1 per row"):
        CellResult("t", SOURCE, 0, "h", ("a",), "x")


def arms_of(*results: CellResult) -> dict[str, dict[int, CellResult]]:
    return grid(results)["t"]


def test_retention_and_recovery() -> None:
    arms = arms_of(
        result(SOURCE, "1" * 8 + "00"),
        result(ZERO_SHOT, "11" + "0" * 8),
        result(ORACLE, "1" * 9 + "0"),
        result(BEST, "1" * 7 + "000"),
    )
    assert retention(arms, BEST) == pytest.approx(0.7 / 0.8)
    assert recovery(arms, BEST) == pytest.approx((0.7 - 0.2) / (0.9 - 0.2))
    assert recovery(arms, ORACLE) == 1
    assert retention(arms, PAPER) is None and recovery(arms, PAPER) is None


def test_only_seeds_that_both_have_are_compared() -> None:
    """A third seed of one arm alone moved the ratio although nothing was compared on it."""
    arms = arms_of(result(SOURCE, "11"), result(SOURCE, "00", seed=1), result(BEST, "10"))
    assert retention(arms, BEST) == 0.5


def test_nothing_to_retain_or_recover_is_no_number() -> None:
    arms = arms_of(
        result(SOURCE, "00"), result(ZERO_SHOT, "11"), result(ORACLE, "10"), result(BEST, "11")
    )
    assert retention(arms, BEST) is None
    assert recovery(arms, BEST) is None


def test_paired_difference_of_one_seed_is_the_usual_one() -> None:
    a, b = "1" * 70 + "0" * 30, "1" * 60 + "0" * 35 + "1" * 5
    ours = paired(arms_of(result(SOURCE, a))[SOURCE], arms_of(result(BEST, b))[BEST])
    usual = paired_difference([mark == "1" for mark in a], [mark == "1" for mark in b])
    assert ours is not None
    assert (ours.mean, ours.low, ours.high) == pytest.approx((usual.mean, usual.low, usual.high))
    assert (ours.rows, ours.seeds) == (100, 1)


def test_same_rows_with_more_seeds_do_not_pretend_to_be_more_rows() -> None:
    """Three seeds on the same 100 rows narrowed the interval as if there were 300."""
    a, b = "1" * 80 + "0" * 20, "1" * 70 + "0" * 30
    one, same, other = (
        paired(
            {seed: result(SOURCE, a, seed, rows=names(seed)) for seed in seeds},
            {seed: result(BEST, b, seed, rows=names(seed)) for seed in seeds},
        )
        for seeds, names in (
            ((0,), lambda seed: None),
            ((0, 1, 2), lambda seed: None),
            ((0, 1, 2), lambda seed: tuple(f"{seed} {i}" for i in range(100))),
        )
    )
    assert one and same and other
    assert (same.low, same.high) == pytest.approx((one.low, one.high))
    assert (same.rows, same.seeds, other.rows) == (100, 3, 300)
    assert other.high - other.low < 0.65 * (one.high - one.low)
    assert one.mean == same.mean == other.mean == pytest.approx(-0.1)


def test_rows_are_matched_by_id_not_by_position() -> None:
    a = {0: result(SOURCE, "10", rows=("x", "y"))}
    b = {0: result(BEST, "01", rows=("y", "x"))}
    difference = paired(a, b)
    assert difference is not None and difference.mean == 0 and difference.rows == 2
    assert difference.low < -0.5


def test_nothing_in_common() -> None:
    assert paired({0: result(SOURCE, "1")}, {1: result(BEST, "1", seed=1)}) is None


def test_cells_are_hashable_keys() -> None:
    assert result(SOURCE, "1").cell == Cell("t", SOURCE, 0, "h")
