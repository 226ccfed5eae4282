"""``python -m workbench fleet``: check the list, then work off what is missing.

Everything that is known is in the output place, so a fleet that was stopped or killed goes on with
the same command, and nothing is done twice.
"""

import argparse
import importlib.util
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from workbench.errors import RecipeError, RunError
from workbench.fleet import standing, table
from workbench.fleet.lines import Line, read
from workbench.fleet.one_by_one import OneByOne
from workbench.fleet.owed import alone, note, owed, put_back, put_back_meanwhile
from workbench.fleet.place import Place
from workbench.fleet.schedule import DONE, TAKEN, Outcome, Schedule, Task, work_off
from workbench.fleet.standing import Standing
from workbench.recipe_options import assigned

if TYPE_CHECKING:
    from workbench.fleet.on_ray import RayPool

TABLE_SECONDS = 30.0  # between two writings of fleet.json
Tell = Callable[[str], None]


def fleet(options: argparse.Namespace) -> int:
    """Run the command; returns 0 when every transfer is done (or asked about), else 1."""
    place, shard = Place(options.out), _shard(options.shard)

    def tell(text: str) -> None:
        if not options.json:
            print(text, file=sys.stderr, flush=True)

    for table_file in filter(None, (options.csv, options.parquet)):
        if table_file.is_dir() or not table_file.absolute().parent.is_dir():
            raise RecipeError(f"{table_file} is no file that can be written: is its folder there?")
    if options.status:
        if not (names := place.names()):
            raise RunError(f"No transfers are in {place.url}: say the --out that they were given.")
        _show(options, standing.read(place, names))
        return 0
    if options.transfers is None:
        raise RecipeError("Say which transfers: a JSONL file or a folder of kits; or --status.")
    tell("Checking every transfer …")
    defaults = Line(
        target_base=options.target_base or "",
        preset=options.preset or "",
        set=dict(map(assigned, options.set)),
        time_limit_minutes=options.time_limit,
        memory_limit_gb=options.memory_limit,
    )
    transfers = read(options.transfers, defaults, shard, tell)
    if options.check:
        tell(f"All {len(transfers)} are in order.")
        return 0
    name = "fleet.json" if shard == (1, 1) else f"fleet-{shard[0]}-of-{shard[1]}.json"
    names = [transfer.name for transfer in transfers]
    with alone(place, shard):
        tasks = owed(place, transfers, options.retry_failed)
        tell(f"{len(tasks)} of {len(transfers)} are to be done.")
        standings = standing.read(place, names)
        try:
            while tasks:
                _work(place, tasks, options, standings, name, tell)
                tasks = put_back_meanwhile(place, transfers)
        except KeyboardInterrupt:
            put_back(place, tasks)
            raise
        finally:
            standings = standing.read(place, names)
            _write_table(place, name, standings)
    _show(options, standings)
    return 0 if all(found.state == standing.DONE for found in standings.values()) else 1


def _work(
    place: Place,
    tasks: Sequence[Task],
    options: argparse.Namespace,
    standings: dict[str, Standing],
    name: str,
    tell: Tell,
) -> None:
    """Work off the tasks; how each attempt ended is told and written down."""
    pool = _pool(options, tell)
    # How job services stop a job; after Ray, which puts in a handler of its own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    left, written = len(tasks), time.monotonic()

    def report(task: Task, outcome: Outcome, waits: bool) -> None:
        nonlocal left, written
        left -= not waits
        said = f": {outcome.message}" if outcome.message else ""
        then = " It is tried again." if waits else ""
        tell(f"{task.name}  {outcome.reason}, {outcome.seconds:.0f} s{said}{then}  ({left} left)")
        if outcome.reason not in (DONE, TAKEN):
            note(place, task, outcome, waits)
        standings.update(standing.read(place, [task.name]))
        if time.monotonic() - written > TABLE_SECONDS:
            _write_table(place, name, standings)
            written = time.monotonic()

    try:
        work_off(Schedule(tasks), pool, report)
    finally:
        pool.close()


def _pool(options: argparse.Namespace, tell: Tell) -> "OneByOne | RayPool":
    """Ray where there is a cluster or more than one worker; else this process."""
    gpus, share = torch.cuda.device_count(), options.gpus_per_worker
    workers = options.workers
    if share is None:
        share = min(1.0, gpus / workers) if workers and gpus else float(bool(gpus))
    if options.address and options.gpus_per_worker is None:
        share = 1.0
    if not workers and not options.address:
        workers = max(1, int(gpus / share)) if share else 1
    if options.address or workers > 1:
        if importlib.util.find_spec("ray") is not None:
            from workbench.fleet.on_ray import RayPool  # noqa: PLC0415  is optional

            return RayPool(options.out, workers, share, options.address, options.scratch)
        if options.address:
            raise RunError("--address needs Ray: pip install -r requirements-fleet.txt")
        tell("Ray is not installed (requirements-fleet.txt): one transfer after another.")
    return OneByOne(options.out, options.scratch)


def _write_table(place: Place, name: str, standings: dict[str, Standing]) -> None:
    content = table.as_json(table.rows(standings.values()))
    place.write(name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _show(options: argparse.Namespace, standings: dict[str, Standing]) -> None:
    """Print the table, and write it to where the options say."""
    rows = table.rows(standings.values())
    if options.csv:
        table.write_csv(options.csv, rows)
    if options.parquet:
        table.write_parquet(options.parquet, rows)
    print(json.dumps(table.as_json(rows)) if options.json else table.as_text(rows))


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
        return int(index), int(count)
    raise RecipeError(f'--shard is I/N with I from 1 to N, such as 3/8, not "{text}".')
