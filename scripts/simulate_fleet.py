"""How long a fleet takes: the real schedule over simulated workers and given stage times.

    python -m scripts.simulate_fleet --adapters 10000 --workers 100 --lost 0.02

Workers cost what real ones do: loading bases whenever they change, a fetch and a copy for each
attempt, a start for each lost worker. Work that was copied before a loss is not done again.
"""

import argparse
import heapq
import random
from dataclasses import dataclass

from workbench.fleet.schedule import DONE, LOST, Bases, Outcome, Schedule, Task, work_off


@dataclass(frozen=True)
class Costs:
    """Seconds, and how often workers are lost.

    Attributes:
        transfer: mean work of one transfer; single ones are from half to one and a half of it.
        load: loading both bases.
        overhead: fetching and copying, of an attempt.
        start: until a lost worker is replaced.
        copy_interval: between two copies: what is lost at most with a worker.
        lost: share of attempts that end with the worker lost, at a random moment.
    """

    transfer: float = 600.0
    load: float = 60.0
    overhead: float = 2.0
    start: float = 60.0
    copy_interval: float = 30.0
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
            self._left[task.name] = owed - worked // costs.copy_interval * costs.copy_interval
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
    adapters: int, workers: int, costs: Costs, base_pairs: int = 1, seed: int = 0
) -> Simulated:
    """Work off ``adapters`` transfers, spread evenly over pairs of bases."""
    draw = random.Random(seed)
    work = {f"t{n}": costs.transfer * draw.uniform(0.5, 1.5) for n in range(adapters)}
    tasks = [Task(name, (f"s{at % base_pairs}", "t")) for at, name in enumerate(work)]
    ended = {DONE: 0, LOST: 0}
    pool = SimulatedPool(workers, costs, work, seed)

    def report(task: Task, outcome: Outcome, waits: bool) -> None:
        ended[outcome.reason] += 1

    work_off(Schedule(tasks), pool, report)
    efficiency = sum(work.values()) / (workers * pool.now)
    return Simulated(pool.now, efficiency, ended[DONE], ended[LOST])


def main() -> None:
    """Print one line."""
    plain = Costs()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--base-pairs", type=int, default=1)
    for name, value in vars(plain).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value)
    options = vars(parser.parse_args())
    counts = [options.pop(name) for name in ("adapters", "workers", "base_pairs")]
    found = simulate(counts[0], counts[1], Costs(**options), counts[2])
    print(
        f"{found.done} of {counts[0]} done on {counts[1]} workers in {found.seconds / 3600:.1f} h, "
        f"{found.lost} attempts lost, efficiency {found.efficiency * 100:.1f} %"
    )


if __name__ == "__main__":
    main()
