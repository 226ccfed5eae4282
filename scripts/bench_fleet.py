"""How much faster a fleet is on two GPUs than on one: equal transfers, worked off and timed.

    python -m scripts.bench_fleet --transfers 8 --gpus 1 2 --samples 300 --out build/fleet

For each number of GPUs there are new processes, which see only these GPUs and their part of the
processor's cores, and a new output folder. What is timed one after the other: the start of the
workers; one transfer on each of them, so that its bases are in memory and its kernels compiled;
the transfers that count, handed out by the fleet's own schedule. With Ray its actors do the work;
without it there is one process for each GPU, which does its part of the list (``--shard``). On a
machine without GPUs the numbers are those of workers. Prints a table, and JSON with ``--json``.
"""

import argparse
import dataclasses
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from workbench.fleet import standing
from workbench.fleet.lines import Line, read
from workbench.fleet.one_by_one import OneByOne
from workbench.fleet.owed import note, owed
from workbench.fleet.place import Place
from workbench.fleet.schedule import DONE, Outcome, Schedule, Task, work_off
from workbench.machine import processor_name

ROOT = Path(__file__).resolve().parents[1]
RAY, SHARDS = "ray", "shards"
FIRST = "first"  # begins the names of transfers that do not count
Numbers = dict[str, Any]


def main() -> int:
    """Measure each number of GPUs; 1 where a transfer was not done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transfers", type=int, default=8, help="that count")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--samples", type=int, default=300, help="of each transfer")
    parser.add_argument("--kit", type=Path, default=ROOT / "assets" / "example-kit.zip")
    parser.add_argument("--target-base", default="package:gemma-3-270m")
    parser.add_argument("--like", type=Path, help="a list whose first line is repeated instead")
    parser.add_argument("--engine", choices=(RAY, SHARDS), help="default: Ray where it is there")
    parser.add_argument("--out", type=Path, required=True, help="a folder; each try adds to it")
    parser.add_argument("--json", type=Path, help="write what was measured there too")
    parser.add_argument("--part", type=json.loads, help=argparse.SUPPRESS)  # a process begun here
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(**options.part)))
        return 0
    engine = options.engine or (RAY if importlib.util.find_spec("ray") else SHARDS)
    folder = new_folder(options.out)
    tries = []
    for gpus in options.gpus:
        place = folder / f"on-{gpus}"
        write_list(place.with_suffix(".jsonl"), options, gpus)
        tries.append(one_try(engine, place, gpus, max(options.gpus)))
        print(as_text(tries), flush=True)
    found = {"engine": engine, "samples": options.samples, "machine": machine(), "tries": tries}
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (options.json or folder / "measured.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps({**found, "tries": [short(numbers) for numbers in tries]}))
    return 0 if all(numbers["done"] == options.transfers for numbers in tries) else 1


def new_folder(out: Path) -> Path:
    """An empty folder of this call, so that everything is done anew."""
    number = 1
    while (folder := out.resolve() / f"try-{number}").exists():
        number += 1
    folder.mkdir(parents=True)
    return folder


def write_list(path: Path, options: argparse.Namespace, gpus: int) -> None:
    """One transfer for each worker that does not count, then those that do."""
    if options.like:
        line = json.loads(options.like.read_text(encoding="utf-8").splitlines()[0])
        folder = options.like.resolve().parent
        for name in ("adapter", "seeds", "evaluation"):
            line[name] = str(folder / line[name])
    else:
        line = {"kit": str(options.kit.resolve()), "target_base": options.target_base, "set": {}}
    line["set"]["synthesis.samples"] = options.samples
    seeds = {f"{FIRST}-{n}": 1000 + n for n in range(gpus)}
    seeds |= {f"transfer-{n}": n for n in range(options.transfers)}
    lines = ({**line, "name": n, "set": {**line["set"], "seed": s}} for n, s in seeds.items())
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def one_try(engine: str, place: Path, gpus: int, most: int) -> Numbers:
    """Work off a list on so many GPUs; cores are dealt out as for ``most`` of them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(most)))
    devices, cores = visible.split(","), sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // most)
    parts = [(0, gpus)] if engine == RAY else [(at, at + 1) for at in range(gpus)]
    processes = []
    for index, (begin, end) in enumerate(parts, 1):
        part = {"engine": engine, "place": str(place), "workers": end - begin}
        part["shard"] = [index, len(parts)]
        own = cores[begin * share : end * share] or cores
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(devices[begin:end])}
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.bench_fleet", "--out", ".", "--part", json.dumps(part)],
            cwd=ROOT,
            env={"OMP_NUM_THREADS": str(share), **os.environ, **environment},
            stdout=subprocess.PIPE,
            preexec_fn=lambda own=own: os.sched_setaffinity(0, own),
        )
        processes.append(process)
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(f"A process of the fleet on {gpus} failed; what it said stands above.")
    timed = [json.loads(output.splitlines()[-1]) for output in outputs]
    longest = {name: max(one[name] for one in timed) for name in ("start", "first", "seconds")}
    return {"gpus": gpus, **longest, **looked_at(place)}


def measure(engine: str, place: str, workers: int, shard: Sequence[int]) -> Numbers:
    """Seconds until the workers are there, of their first transfers, and of those that count."""

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def report(task: Task, outcome: Outcome, waits: bool) -> None:
        tell(f"{task.name}  {outcome.reason}, {outcome.seconds:.1f} s {outcome.message}")
        if outcome.reason != DONE:
            note(Place(place), task, outcome, waits)

    transfers = read(Path(f"{place}.jsonl"), Line(), (shard[0], shard[1]), tell)
    tasks = owed(Place(place), transfers, retry_failed=False)
    clock = [time.monotonic()]
    if engine == RAY:
        from workbench.fleet.on_ray import RayPool  # noqa: PLC0415  is optional

        pool = RayPool(place, workers, float(torch.cuda.is_available()))
    else:
        pool = OneByOne(place)
    try:
        while len(pool.idle()) < workers:
            pool.wait()
        clock.append(time.monotonic())
        for first in (True, False):
            work_off(Schedule(t for t in tasks if t.name.startswith(FIRST) == first), pool, report)
            clock.append(time.monotonic())
    finally:
        pool.close()
    spans = [end - begin for begin, end in itertools.pairwise(clock)]
    return dict(zip(("start", "first", "seconds"), spans, strict=True))


def looked_at(folder: Path) -> Numbers:
    """What the standings of the transfers that count say."""
    place = Place(str(folder))
    names = [name for name in place.names() if not name.startswith(FIRST)]
    found = list(standing.read(place, names).values())
    done = [one for one in found if one.state == standing.DONE]
    work = [sum(one.seconds.values()) for one in done] or [0.0]
    beyond = [one.elapsed - sum(one.seconds.values()) for one in done] or [0.0]
    verdicts = Counter(one.measured.verdict if one.measured else one.state for one in found)
    return {
        "done": len(done),
        "work": sum(work) / len(work),
        "overhead": sum(beyond) / len(beyond),
        "most_overhead": max(beyond),
        "verdicts": dict(verdicts),
        "transfers": [dataclasses.asdict(one) for one in found],
    }


def short(numbers: Numbers) -> Numbers:
    """The numbers without those of single transfers."""
    return {name: value for name, value in numbers.items() if name != "transfers"}


def as_text(tries: Sequence[Numbers]) -> str:
    """A line for each number of GPUs; ratios are to the first of them."""
    lines = [
        "GPUs  start  first  transfers  seconds  ratio  with start  work each  overhead (most)  "
        "verdicts"
    ]
    whole = [sum(one[name] for name in ("start", "first", "seconds")) for one in tries]
    for one, all_of_it in zip(tries, whole, strict=True):
        ratio, whole_ratio = tries[0]["seconds"] / one["seconds"], whole[0] / all_of_it
        verdicts = ", ".join(f"{count} {kind}" for kind, count in one["verdicts"].items())
        lines.append(
            f"{one['gpus']:4} {one['start']:6.1f} {one['first']:6.1f} {one['done']:10} "
            f"{one['seconds']:8.1f} {ratio:6.2f} {whole_ratio:11.2f} {one['work']:10.1f} "
            f"{one['overhead']:9.2f} ({one['most_overhead']:.2f})  {verdicts}"
        )
    return "\n".join(lines)


def machine() -> str:
    """The GPU's name, or the processor's."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else processor_name()


if __name__ == "__main__":
    sys.exit(main())
