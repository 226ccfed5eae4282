"""How long a fleet takes: the real schedule over simulated workers and measured stage times.

    python -m scripts.simulate_fleet --adapters 10000 --workers 100 --lost 0.02
    python -m scripts.simulate_fleet --runs results/ --load 20

The work of each simulated transfer is that of a real run, drawn at random from those that are
given with ``--runs`` (run folders, or an output folder of ``workbench fleet``), else from
fleet_times.json. Workers cost what real ones do: loading bases whenever they change, a fetch and
copies for each attempt, a start for each lost worker. What was copied before a loss is not done
again.
"""

import argparse
import heapq
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.fleet.schedule import DONE, LOST, Bases, Outcome, Schedule, Task, work_off

TIMES = Path(__file__).with_name("fleet_times.json")


@dataclass(frozen=True)
class Costs:
    """Seconds, and how often workers are lost.

    Attributes:
        load: loading both bases.
        overhead: fetching and copying, of an attempt.
        start: until a lost worker is replaced.
        safe: between two moments at which a copy holds all that was done: what is lost at most
            with a worker.
        lost: share of attempts that end with the worker lost, at a random moment.
    """

    load: float = 60.0
    overhead: float = 2.0
    start: float = 60.0
    safe: float = 60.0
    lost: float = 0.02


class SimulatedPool:
    """Workers on a clock of their own; ``work_off`` cannot tell them from real ones."""

    def __init__(self, workers: int, costs: Costs, work: dict[str, float], seed: int = 0) -> None:
        self.now = 0.0
        self._costs, self._random = costs, random.Random(seed)
        self._left = dict(work)
        self._resident: list[Bases | None] = [None] * workers
        self._free = set(range(workers))
        self._running: list[tuple[float, int, Task | None, Outcome]] = []

    def idle(self) -> list[tuple[int, Bases | None]]:
        """Workers without a task."""
        return [(worker, self._resident[worker]) for worker in sorted(self._free)]

    def give(self, worker: int, task: Task) -> None:
        """Reckon when and how the attempt will end."""
        self._free.remove(worker)
        costs, owed = self._costs, self._left[task.name]
        lead = costs.overhead + (costs.load if self._resident[worker] != task.bases else 0)
        self._resident[worker] = task.bases
        if self._random.random() < costs.lost:
            worked = self._random.random() * owed
            self._left[task.name] = owed - worked // costs.safe * costs.safe
            self._resident[worker] = None
            self._end(lead + worked, worker, task, Outcome(LOST, "", lead + worked))
        else:
            self._end(lead + owed, worker, task, Outcome(DONE, "", lead + owed))

    def wait(self) -> list[tuple[Task, Outcome]]:
        """Go on to the next end of an attempt, or to a worker's return."""
        self.now, worker, task, outcome = heapq.heappop(self._running)
        if task is not None and outcome.reason == LOST:
            self._end(self._costs.start, worker, None, outcome)
        else:
            self._free.add(worker)
        return [] if task is None else [(task, outcome)]

    def _end(self, seconds: float, worker: int, task: Task | None, outcome: Outcome) -> None:
        heapq.heappush(self._running, (self.now + seconds, worker, task, outcome))


@dataclass(frozen=True)
class Simulated:
    """Attributes:
    seconds: from the first start to the last end.
    efficiency: work that was owed, over workers times seconds.
    done: transfers that ended well; lost: attempts that were lost.
    """

    seconds: float
    efficiency: float
    done: int
    lost: int


def simulate(
    adapters: int,
    workers: int,
    measured: Sequence[float],
    costs: Costs,
    base_pairs: int = 1,
    seed: int = 0,
) -> Simulated:
    """Work off ``adapters`` transfers, spread evenly over pairs of bases.

    Args:
        measured: seconds of work of real transfers; each simulated one takes one of them.
    """
    draw = random.Random(seed)
    work = {f"t{n}": draw.choice(measured) for n in range(adapters)}
    tasks = [Task(name, (f"s{at % base_pairs}", "t")) for at, name in enumerate(work)]
    ended = {DONE: 0, LOST: 0}
    pool = SimulatedPool(workers, costs, work, seed)

    def report(task: Task, outcome: Outcome, waits: bool) -> None:
        ended[outcome.reason] += 1

    work_off(Schedule(tasks), pool, report)
    efficiency = sum(work.values()) / (workers * pool.now)
    return Simulated(pool.now, efficiency, ended[DONE], ended[LOST])


def recorded() -> tuple[list[float], Costs]:
    """Work of the transfers in fleet_times.json, and what else was measured with them."""
    found: dict[str, Any] = json.loads(TIMES.read_text(encoding="utf-8"))
    work: list[float] = [sum(stages.values()) for stages in found["stage_seconds"]]
    return work, replace(Costs(), **found["costs"])


def stage_seconds(places: Sequence[Path]) -> list[dict[str, float]]:
    """Seconds by stage of all finished runs that lie in these folders, or are they."""
    return [
        json.loads(path.read_text(encoding="utf-8"))["seconds"]
        for place in places
        for path in _results(place)
    ]


def _results(place: Path) -> Iterator[Path]:
    yield from sorted((*place.glob("result.json"), *place.glob("*/result.json")))


def main() -> None:
    """Print what the work is taken from, and one line about the fleet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--base-pairs", type=int, default=1)
    parser.add_argument("--runs", type=Path, nargs="*", help="run folders, or folders of them")
    parser.add_argument("--seconds", type=float, help="of work, of every transfer, instead")
    work, costs = recorded()
    for name, value in vars(costs).items():
        parser.add_argument(f"--{name}", type=float, default=value)
    options = parser.parse_args()
    if options.runs:
        work = [sum(stages.values()) for stages in stage_seconds(options.runs)]
    if options.seconds:
        work = [options.seconds]
    if not work:
        parser.error("None of these folders has a finished run.")
    costs = Costs(**{name: getattr(options, name) for name in vars(costs)})
    found = simulate(options.adapters, options.workers, work, costs, options.base_pairs)
    print(
        f"work of {len(work)} transfers, {sum(work) / len(work):.0f} s on average\n"
        f"{found.done} of {options.adapters} done on {options.workers} workers in "
        f"{found.seconds / 3600:.1f} h, {found.lost} attempts lost, "
        f"efficiency {found.efficiency * 100:.1f} %"
    )


if __name__ == "__main__":
    main()
