"""``python -m workbench runs``: what is on this machine, what is damaged, what can be taken."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from workbench.errors import RunError
from workbench.export import consent
from workbench.export.rescue import rescue
from workbench.runs import damage
from workbench.runs.folder import checked_id, runs_root
from workbench.runs.listing import RunListing, list_runs
from workbench.terminal import quiet

DONE, FAILED = 0, 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options besides ``--runs``."""
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument(
        "--check", metavar="NAME", help="read all of one run; say what is damaged and what helps"
    )
    parser.add_argument(
        "--take", metavar="FOLDER", type=Path,
        help="with --check: write adapter, recipe and samples there, as far as they can be read",
    )  # fmt: skip
    parser.add_argument(
        "--samples", choices=("yes", "no"),
        help="with --take: whether samples that may be private rows are written too; asked on a "
        "terminal, else no",
    )  # fmt: skip
    parser.set_defaults(command=runs)


def runs(options: argparse.Namespace) -> int:
    """List the runs, or check one; 1 when that one is damaged."""
    if (options.take or options.samples) and not options.check:
        raise RunError("--take and --samples go with --check NAME: say which run.")
    if not options.runs.is_dir() and (options.runs.exists() or options.runs != runs_root()):
        raise RunError(f"There is no folder {options.runs}.")
    if options.check:
        return _check(options)
    entries = list_runs(options.runs)
    if not entries and not options.json:
        print(f"There are no runs in {options.runs}.", file=sys.stderr)
    for entry in entries:
        if options.json:
            fields = dataclasses.asdict(dataclasses.replace(entry, glance=None))
            print(json.dumps(fields, default=str))
        else:
            print(quiet(_line(entry)))
    return DONE


def _line(entry: RunListing) -> str:
    arms = entry.accuracies
    moved = f"{arms['transferred'] * 100:5.1f} %" if "transferred" in arms else "      –"
    megabytes = entry.size_bytes / 1024**2
    line = f"{entry.id:<34} {entry.phase:<28} {moved} {megabytes:7.1f} MiB  {entry.name}"
    parts = [line, f"    {entry.problem}"] if entry.problem else [line]
    return "\n".join(part.replace("\n", " ") for part in parts)  # a folder's name may have one


def _check(options: argparse.Namespace) -> int:
    folder, as_json = options.runs / checked_id(options.check), options.json
    if not folder.is_dir():
        raise RunError(f"There is no run {options.check} in {options.runs}.")
    found = list(damage.problems(folder))
    left = damage.left_in(folder)
    taken = rescue(left, options.take, _samples_may_go(options, left)) if options.take else []
    if as_json:
        fields = {
            "problems": [dataclasses.asdict(problem) for problem in found],
            "left": left.words(),
            "taken": [str(path) for path in taken],
        }
        print(json.dumps(fields))
        return FAILED if found else DONE
    for problem in found:
        print(quiet(f"{problem.file}: {problem.what}\n    {problem.remedy}"))
    print(quiet(left.words() if found else f"{folder.name}: nothing is damaged. {left.words()}"))
    for path in taken:
        print(f"    {path}")
    return FAILED if found else DONE


def _samples_may_go(options: argparse.Namespace, left: damage.Left) -> bool:
    """Whether the samples may be written: as --samples says, else the person who sees why."""
    # What the inputs of a damaged run were made by cannot be known: they count.
    said = consent.sentence(consent.may_repeat(left.samples, inherited=True))
    if not said or options.samples:
        return options.samples != "no"
    if options.json or not sys.stdin.isatty():
        print(f"{said} They were left out; --samples yes takes them.", file=sys.stderr)
        return False
    print(said, file=sys.stderr)
    return input("Write them too? [y/N] ").strip().lower() in ("y", "yes")
