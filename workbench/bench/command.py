"""``python -m workbench bench --quality``: owed cells are measured, the rest is read from disk."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.bench import quality
from workbench.bench.results import ARMS, STUDENTS, TEACHERS, read_results
from workbench.bench.tasks import Sizes, Task, all_tasks, choose_tasks
from workbench.errors import RecipeError
from workbench.recipe import TransferRecipe, recipe_hash

if TYPE_CHECKING:
    from workbench.bench.cells import Bases


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--quality", action="store_true", help="accuracy of arms on public tasks")
    parser.add_argument(
        "--peft", action="store_true", help="with --quality: from one kind of adapter to another"
    )
    parser.add_argument(
        "--teachers", nargs="+", default=list(TEACHERS), choices=TEACHERS, help="with --peft"
    )
    parser.add_argument(
        "--students", nargs="+", default=list(STUDENTS), choices=STUDENTS, help="with --peft"
    )
    parser.add_argument("--data", type=Path, help="folder with clinc150, snips, …")
    parser.add_argument("--tasks", nargs="+", help="names of tasks; default: all in the folder")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("build/quality"), help="results")
    parser.add_argument(
        "--budget", type=float, default=0, help="seconds; 0 works until all is done"
    )
    parser.add_argument("--train-rows", type=int, default=2000, help="of the source adapter")
    parser.add_argument("--test-rows", type=int, default=300)
    parser.add_argument("--seed-examples", type=int, default=15)
    parser.add_argument(
        "--samples", type=int, default=0, help="inputs that arms train on; 0: as the task needs"
    )
    parser.add_argument("--prompts", type=int, default=0, help="per round of writing; 0: automatic")
    parser.add_argument(
        "--source-loss",
        choices=("answers", "whole"),
        default="answers",
        help="what source adapters are trained on: answers only, or inputs as well",
    )
    parser.add_argument("--bf16", action="store_true", help="target in bf16 instead of 4-bit")
    parser.set_defaults(command=bench)


def _key(recipe: TransferRecipe, sizes: Sizes, source_loss: str) -> str:
    """Changes with everything that could change an outcome: the recipe and the splits."""
    return hashlib.sha256(f"{recipe_hash(recipe)} {sizes} {source_loss}".encode()).hexdigest()[:16]


def _peft(options: argparse.Namespace, tasks: Sequence[Task], bases: "Bases", sizes: Sizes) -> int:
    """A line per pair of teacher and student, then their table."""
    from workbench.bench import peft  # noqa: PLC0415

    asked = (tasks, options.seeds, options.data, options.folder, bases, sizes)
    for line in peft.measure(*asked, options.teachers, options.students):
        print(line, flush=True)
    print(peft.table(peft.read_lines(options.folder / peft.RESULTS)))
    return 0


def bench(options: argparse.Namespace) -> int:
    """Measure what is owed, print a line per cell, and write the tables."""
    if not options.quality:
        raise RecipeError("Say what to measure: --quality. (Speeds: make bench.)")
    if options.data is None:
        raise RecipeError("--quality needs --data: a folder with clinc150, snips, ….")
    # torch and plotly are imported only when something is measured.
    from workbench.bench.cells import Bases, arm_recipe, run_cell  # noqa: PLC0415
    from workbench.bench.report import write_report  # noqa: PLC0415
    from workbench.models import references  # noqa: PLC0415

    tasks = choose_tasks(options.data, options.tasks) if options.tasks else all_tasks(options.data)
    bases = Bases(
        quantize=not options.bf16,
        samples=options.samples,
        prompts=options.prompts,
        whole_source=options.source_loss == "whole",
    )
    for reference in (bases.source, bases.target):
        references.fetch(reference)
    sizes = Sizes(
        train_rows=options.train_rows,
        test_rows=options.test_rows,
        seed_examples=options.seed_examples,
    )
    if options.peft:
        return _peft(options, tasks, bases, sizes)
    cells = quality.plan(
        tasks,
        options.arms,
        options.seeds,
        lambda task, arm: _key(arm_recipe(task, arm, 0, bases), sizes, options.source_loss),
    )
    events = quality.run(
        cells,
        tasks,
        options.data,
        options.folder,
        partial(run_cell, bases=bases),
        sizes,
        options.budget,
    )
    for event in events:
        if isinstance(event, quality.Failed):
            print(f"{event.cell}: {event.message}", file=sys.stderr)
            continue
        result = event.result
        print(
            f"{event.done}/{event.total}  {result.task:<24} {result.arm:<18} seed {result.seed}  "
            f"{result.accuracy:.3f}  {event.seconds:.0f} s  {result.counts}",
            flush=True,
        )
    print(
        write_report(options.folder, list(read_results(options.folder / quality.RESULTS).values()))
    )
    return 0
