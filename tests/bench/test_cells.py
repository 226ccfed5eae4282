"""Cells of the quality benchmark on tiny models: that they measure, not what."""

from dataclasses import replace
from pathlib import Path

import pytest

from workbench.bench import results as arms
from workbench.bench.cells import Bases, arm_recipe, run_cell
from workbench.bench.tasks import Split, Task, row_ids
from workbench.recipe import PRESETS, recipe_hash
from workbench.samples import Example

ROWS = tuple(Example(f"put {n} coins into box {n % 9}", f"box{n % 3}") for n in range(60))
SPLIT = Split(train=ROWS[:30], validation=ROWS[30:36], test=ROWS[36:48], seeds=ROWS[:6])
TASK = Task("coins", "coins", answer_tokens=12)


@pytest.fixture
def bases(tiny_source: Path, tiny_target: Path) -> Bases:
    """Unquantised: these tests are about the arms."""
    return Bases(f"folder:{tiny_source}", f"folder:{tiny_target}", quantize=False, samples=8)


@pytest.mark.parametrize(
    "arm", [arms.SOURCE, arms.FEW_SHOT, arms.ORACLE, arms.REAL_INPUTS, arms.SEEDS_ONLY]
)
def test_arms_without_synthesis(arm: str, bases: Bases, tmp_path: Path) -> None:
    result = run_cell(TASK, arm, 0, SPLIT, "hash", tmp_path, bases)
    assert result.rows == row_ids(SPLIT.test)
    assert len(result.correct) == len(SPLIT.test)
    expected = {arms.ORACLE: 8, arms.REAL_INPUTS: 8, arms.SEEDS_ONLY: 6}
    assert result.counts.get("kept", 0) == expected.get(arm, 0)


@pytest.mark.parametrize("arm", [arms.UNFILTERED, arms.SELF_LABELS, arms.PAPER])
def test_arms_with_synthesis(
    arm: str, bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.prepare.FEWEST_ROWS", 1)
    monkeypatch.setattr("workbench.prepare.NEGATIVE_ROUNDS", 2)
    few = {"synthesis.new_tokens": 16, "training.epochs": 1}
    monkeypatch.setitem(PRESETS, "paper", {**PRESETS["paper"], **few, "synthesis.samples": 3})
    monkeypatch.setitem(PRESETS, "balanced", {**PRESETS["balanced"], **few})
    monkeypatch.setattr(
        "workbench.bench.cells.SYNTHETIC",
        {arm: {"synthesis.writer": "list", "synthesis.filter": "none"}},
    )
    result = run_cell(TASK, arm, 0, SPLIT, "hash", tmp_path, bases)
    assert result.counts["kept"] >= 1
    assert result.counts["test rows met"] == 0
    # The second time everything is read from the workspace.
    again = run_cell(TASK, arm, 0, SPLIT, "hash", tmp_path, bases)
    assert again.correct == result.correct


@pytest.mark.parametrize("arm", [arms.OWN, arms.KIT])
def test_adapters_that_write(
    arm: str, bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(bases, whole_source=arm == arms.OWN)
    monkeypatch.setitem(PRESETS, "best", {"synthesis.new_tokens": 48, "synthesis.max_rounds": 2})
    result = run_cell(TASK, arm, 0, SPLIT, "hash", tmp_path, whole)
    assert result.counts["made"] >= 1
    folder = tmp_path / ("coins-0-whole" if arm == arms.OWN else "coins-0")
    assert (folder / "writer").exists() == (arm == arms.KIT)


def test_recipes_differ_where_outcomes_could(bases: Bases) -> None:
    hashes = {recipe_hash(arm_recipe(TASK, arm, 0, bases)) for arm in (arms.PAPER, arms.EXCESS)}
    hashes.add(recipe_hash(arm_recipe(TASK, arms.PAPER, 1, bases)))
    assert len(hashes) == 3
    assert arm_recipe(TASK, arms.PAPER, 0, bases).synthesis.samples == 250
