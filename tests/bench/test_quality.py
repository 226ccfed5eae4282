from pathlib import Path

import pytest

from tests.bench.data import write_data
from workbench.bench.quality import RESULTS, Failed, Finished, plan, run
from workbench.bench.results import BEST, PAPER, SOURCE, Cell, CellResult, read_results
from workbench.bench.tasks import SNIPS_INTENT, Split, Task, choose_tasks, row_ids
from workbench.errors import StageError

ARMS = (SOURCE, PAPER, BEST)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture
def tasks(data: Path) -> list[Task]:
    return choose_tasks(data, [SNIPS_INTENT, "bbh-navigate"])


class Runner:
    """Answers everything right and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Cell] = []

    def __call__(
        self, task: Task, arm: str, seed: int, split: Split, recipe_hash: str, workspace: Path
    ) -> CellResult:
        assert workspace.is_dir()
        self.asked.append(Cell(task.name, arm, seed, recipe_hash))
        rows = row_ids(split.test)
        return CellResult(task.name, arm, seed, recipe_hash, rows, "1" * len(rows))


def recipe_hash(task: Task, arm: str) -> str:
    return f"{task.name} {arm}"


def test_plan_completes_a_seed_before_the_next(tasks: list[Task]) -> None:
    cells = plan(tasks, ARMS, [0, 1], recipe_hash)
    assert len(cells) == 12
    assert [cell.seed for cell in cells] == [0] * 6 + [1] * 6
    assert cells[0] == Cell(SNIPS_INTENT, SOURCE, 0, f"{SNIPS_INTENT} {SOURCE}")
    with pytest.raises(StageError, match='Arm "magic" is unknown'):
        plan(tasks, ["magic"], [0], recipe_hash)


def test_an_interrupted_benchmark_goes_on_where_it_stopped(
    data: Path, tasks: list[Task], tmp_path: Path
) -> None:
    cells, runner = plan(tasks, ARMS, [0, 1], recipe_hash), Runner()
    first = run(cells, tasks, data, tmp_path, runner)
    assert [next(first).done for _ in range(5)] == [1, 2, 3, 4, 5]  # type: ignore[union-attr]
    first.close()
    again = list(run(cells, tasks, data, tmp_path, runner))
    assert [event.done for event in again if isinstance(event, Finished)] == list(range(6, 13))
    assert runner.asked == cells  # each cell once, none twice
    assert list(run(cells, tasks, data, tmp_path, runner)) == []
    assert set(read_results(tmp_path / RESULTS)) == set(cells)


def test_a_changed_recipe_is_measured_again_and_only_it(
    data: Path, tasks: list[Task], tmp_path: Path
) -> None:
    runner = Runner()
    list(run(plan(tasks, ARMS, [0], recipe_hash), tasks, data, tmp_path, runner))
    runner.asked.clear()
    changed = plan(tasks, ARMS, [0], lambda task, arm: recipe_hash(task, arm) + "2" * (arm == BEST))
    list(run(changed, tasks, data, tmp_path, runner))
    assert [(cell.task, cell.arm) for cell in runner.asked] == [
        (SNIPS_INTENT, BEST),
        ("bbh-navigate", BEST),
    ]


def test_a_cell_that_fails_stays_owed_and_the_others_go_on(
    data: Path, tasks: list[Task], tmp_path: Path
) -> None:
    runner = Runner()

    def failing(task: Task, arm: str, *rest: object) -> CellResult:
        if arm == PAPER:
            raise StageError("No sample was kept.")
        return runner(task, arm, *rest)  # type: ignore[arg-type]

    cells = plan(tasks[:1], ARMS, [0], recipe_hash)
    events = list(run(cells, tasks, data, tmp_path, failing))
    assert [type(event) for event in events] == [Finished, Failed, Finished]
    assert events[1] == Failed(cells[1], "No sample was kept.")
    list(run(cells, tasks, data, tmp_path, runner))
    assert runner.asked[-1] == cells[1]


def test_answers_to_other_rows_are_refused(data: Path, tasks: list[Task], tmp_path: Path) -> None:
    def wrong(task: Task, arm: str, seed: int, split: Split, *rest: object) -> CellResult:
        rows = row_ids(split.validation)
        return CellResult(task.name, arm, seed, recipe_hash(task, arm), rows, "1" * len(rows))

    cells = plan(tasks[:1], [SOURCE], [0], recipe_hash)
    (event,) = run(cells, tasks, data, tmp_path, wrong)
    assert isinstance(event, Failed) and "not those of the test" in event.message
    assert not read_results(tmp_path / RESULTS)


def test_no_cell_is_started_that_would_not_fit_into_the_budget(
    data: Path, tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("workbench.bench.quality.time.monotonic", lambda: clock[0])
    runner = Runner()

    def slow(*arguments: object) -> CellResult:
        clock[0] += 200
        return runner(*arguments)  # type: ignore[arg-type]

    cells = plan(tasks, ARMS, [0], recipe_hash)
    events = list(run(cells, tasks, data, tmp_path, slow, budget_seconds=540))
    assert len(events) == 2  # a third could end at 600
    events += list(run(cells, tasks, data, tmp_path, slow, budget_seconds=540))
    assert len(events) == 4
