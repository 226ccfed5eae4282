"""Run the quality benchmark: tasks × arms × seeds, cell by cell, resumable at any moment.

The models are somebody else's work: ``run_cell`` measures one cell. Here it is decided which
cells are owed, they are run in an order that gives whole columns early, and results are kept.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from workbench.bench.results import ARMS, Cell, CellResult, append_line, owed, read_results
from workbench.bench.tasks import Sizes, Split, Task, row_ids, split
from workbench.errors import StageError, WorkbenchError

RESULTS = "results.jsonl"


class RunCell(Protocol):
    """Measures one cell; may keep what it can use again (source adapters) in ``workspace``."""

    def __call__(
        self, task: Task, arm: str, seed: int, split: Split, recipe_hash: str, workspace: Path
    ) -> CellResult: ...


@dataclass(frozen=True)
class Finished:
    """A cell is measured: ``done`` of ``total``, with the seconds it took."""

    result: CellResult
    done: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A cell could not be measured; it stays owed, the others go on."""

    cell: Cell
    message: str


def plan(
    tasks: Sequence[Task],
    arms: Sequence[str],
    seeds: Sequence[int],
    recipe_hash: Callable[[Task, str], str],
) -> list[Cell]:
    """All cells: seed by seed, then task by task, so that one seed is complete first.

    Args:
        recipe_hash: changes whenever the outcome of (task, arm) could change.

    Raises:
        StageError: an arm is unknown.
    """
    for arm in arms:
        if arm not in ARMS:
            raise StageError(f'Arm "{arm}" is unknown. Choose from: {", ".join(ARMS)}.')
    return [
        Cell(task.name, arm, seed, recipe_hash(task, arm))
        for seed in seeds
        for task in tasks
        for arm in arms
    ]


def run(
    cells: Sequence[Cell],
    tasks: Sequence[Task],
    data: Path,
    folder: Path,
    run_cell: RunCell,
    sizes: Sizes | None = None,
    budget_seconds: float = 0,
) -> Iterator[Finished | Failed]:
    """Measure what is owed; each result is on disk before it is yielded.

    Args:
        cells: from ``plan``; those with a result in ``folder`` are skipped.
        folder: holds ``results.jsonl`` and, under ``work``, what cells share.
        sizes: of the splits; None for the defaults.
        budget_seconds: no new cell is started when the longest cell so far would not fit into
            what is left; 0 is no limit.

    Yields:
        ``Finished`` per measured cell; ``Failed`` where ``run_cell`` raised a WorkbenchError or
        returned another cell or other rows than the split's test rows.
    """
    by_name = {task.name: task for task in tasks}
    path, work = folder / RESULTS, folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    todo = owed(cells, read_results(path))
    done, longest, started = len(cells) - len(todo), 0.0, time.monotonic()
    for cell in todo:
        if budget_seconds and time.monotonic() - started + longest > budget_seconds:
            return
        task, before = by_name[cell.task], time.monotonic()
        rows = split(task, data, cell.seed, sizes)
        try:
            result = run_cell(task, cell.arm, cell.seed, rows, cell.recipe_hash, work)
            _check(cell, result, rows)
        except WorkbenchError as error:
            yield Failed(cell, error.message)
            continue
        append_line(path, asdict(result))
        seconds = time.monotonic() - before
        longest, done = max(longest, seconds), done + 1
        yield Finished(result, done, len(cells), seconds)


def _check(cell: Cell, result: CellResult, rows: Split) -> None:
    if result.cell != cell:
        raise StageError(f"The runner measured {result.cell} instead of {cell}.")
    if result.rows != row_ids(rows.test):
        raise StageError(f"{cell.task}, {cell.arm}: the rows are not those of the test, in order.")
