"""Who works on what next, and what is tried again: plain data, the same for Ray, for one process
and for the simulation of ``scripts/simulate_fleet.py``.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from workbench.fleet.standing import Attempt

DONE = "done"
LOST = "worker lost"
MEMORY = "memory"
TIME = "time limit"
PLACE = "place"  # the output place or the Hub could not be reached
UNEXPECTED = "unexpected"
TAKEN = "taken over"  # another fleet works on it: not ours any more
# How many attempts may end for each reason before it is given up. What is not here is the fault of
# what was handed in, such as a bad adapter: the same would happen again.
TRIES = {LOST: 5, MEMORY: 4, PLACE: 4, UNEXPECTED: 2}

Bases = tuple[str, str]  # references of source and target


@dataclass(frozen=True)
class Task:
    """One transfer to work on.

    Attributes:
        bases: what must be in memory for it.
        priority: the higher, the sooner.
        time_limit_seconds: of one attempt; 0 is none.
        memory_limit_bytes: of the worker, on its GPU where it has one; 0 is none.
        attempts: those that did not end well.
    """

    name: str
    bases: Bases = ("", "")
    priority: int = 0
    time_limit_seconds: float = 0.0
    memory_limit_bytes: float = 0.0
    attempts: tuple[Attempt, ...] = ()

    @property
    def scale(self) -> float:
        """Size of micro-batches: halved whenever memory ran out."""
        return 0.5 ** sum(attempt.reason == MEMORY for attempt in self.attempts)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        reason: DONE, one of the others above, or the code of an error that will not go away.
        message: a sentence; "" when it is done.
    """

    reason: str
    message: str = ""
    seconds: float = 0.0


def again(task: Task) -> bool:
    """Whether a task whose last attempt ended badly is worth another one."""
    reason = task.attempts[-1].reason
    return sum(attempt.reason == reason for attempt in task.attempts) < TRIES.get(reason, 1)


class Schedule:
    """What waits, by priority and then by the bases that are needed."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._waiting: dict[int, dict[Bases, deque[Task]]] = defaultdict(dict)
        self.left = 0  # waiting or being worked on
        for task in tasks:
            self._put(task)
            self.left += 1

    def next(self, resident: Bases | None) -> Task | None:
        """The task for a worker: of the highest priority, if possible on the bases that it has.

        Otherwise on those that most tasks wait for, so that bases change seldom.
        """
        if not self._waiting:
            return None
        highest = max(self._waiting)
        groups = self._waiting[highest]
        if resident not in groups:
            resident = max(groups, key=lambda bases: len(groups[bases]))
        task = groups[resident].popleft()
        if not groups[resident]:
            del groups[resident]
        if not groups:
            del self._waiting[highest]
        return task

    def settle(self, task: Task, outcome: Outcome) -> Task | None:
        """Take in how an attempt ended; the task as it waits again, or None when it is over."""
        if outcome.reason not in (DONE, TAKEN):
            ended = Attempt(outcome.reason, outcome.message, outcome.seconds)
            task = replace(task, attempts=(*task.attempts, ended))
            if again(task):
                self._put(task)
                return task
        self.left -= 1
        return None

    def _put(self, task: Task) -> None:
        self._waiting[task.priority].setdefault(task.bases, deque()).append(task)


class Pool(Protocol):
    """Workers, each doing one task at a time."""

    def idle(self) -> list[tuple[int, Bases | None]]:
        """Numbers of workers that wait, and the bases that each has in memory."""
        ...

    def give(self, worker: int, task: Task) -> None:
        """Let a waiting worker begin."""
        ...

    def wait(self) -> list[tuple[Task, Outcome]]:
        """Attempts that have ended; waits a moment for the first, and may come back with none."""
        ...


Report = Callable[[Task, Outcome, bool], None]


def work_off(schedule: Schedule, pool: Pool, report: Report) -> None:
    """Hand out tasks until none is left.

    Args:
        report: called with each attempt's task and outcome, and whether it is tried again.
    """
    while schedule.left:
        for worker, resident in pool.idle():
            task = schedule.next(resident)
            if task is None:
                break
            pool.give(worker, task)
        for task, outcome in pool.wait():
            waiting = schedule.settle(task, outcome)
            report(task, outcome, waiting is not None)
