"""Whose turn it is: one worker of a root computes at a time, the others wait.

Turns go round between those who ask, in order of arrival: somebody's second run waits until
everybody's first one had its turn. On a laptop all runs are one person's, so it is first come,
first served.

A worker that waits is a small process without a model. Each has a ticket file under ``.queue``;
tickets of dead processes are dropped by whoever sees them. The machine's lock makes sure; the
tickets make it fair and visible. Transfers of the command line take their turn like those of the
page; runs of other roots are not counted.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from workbench.errors import BusyError
from workbench.runs import atomic
from workbench.runs.lease import Holder, end_group, lock, read_holder

POLL_SECONDS = 0.5
WAITING_LIMIT = 20
_AT_WORK = "0-"  # how the ticket's name begins once its worker computes


@contextmanager
def turn(
    root: Path, worker: Holder, given_up: Callable[[], bool], whose: str = ""
) -> Iterator[bool]:
    """Wait for the machine and hold it; yields False when ``given_up`` came first.

    Args:
        whose: mark of whom it takes turns with, see ``owners.turns_of``.
    """
    tickets = _folder(root)
    ticket = tickets / f"{time.time_ns():020d}-{worker.job}.{whose or 'nobody'}.json"
    atomic.write_json(ticket, asdict(worker), durable=False)
    descriptor = -1
    try:
        while not given_up():
            if position(root, worker.job) == 0:
                descriptor = lock(tickets / "machine.lock")
                if descriptor >= 0:
                    # It counts as the one at work from now on, whoever comes.
                    ticket = ticket.rename(ticket.with_name(f"{_AT_WORK}{ticket.name}"))
                    break
            time.sleep(POLL_SECONDS)
        yield descriptor >= 0
    finally:
        ticket.unlink(missing_ok=True)
        if descriptor >= 0:
            os.close(descriptor)


def position(root: Path, job: str) -> int:
    """How many living workers are before a job; 0 when it is its turn or it has no ticket."""
    jobs = [worker.job for worker in waiting(root)]
    return jobs.index(job) if job in jobs else 0


def waiting(root: Path) -> list[Holder]:
    """Living workers in the order of their turns, the one that computes first."""
    alive: list[Holder] = []
    rounds: Counter[str] = Counter()
    keys: list[tuple[bool, int, str]] = []
    for ticket in sorted(_folder(root).glob("*.json"), key=lambda path: _arrival(path.name)):
        worker = read_holder(ticket)
        if worker is None:
            continue
        if worker.alive():
            whose = ticket.name.split(".")[-2]
            alive.append(worker)
            keys.append((not ticket.name.startswith(_AT_WORK), rounds[whose], ticket.name))
            rounds[whose] += 1
            continue
        # What it has forked may still hold the lock and the memory.
        if worker.leads_group:
            end_group(worker, signal.SIGKILL)
        ticket.unlink(missing_ok=True)
    return [alive[at] for at in sorted(range(len(alive)), key=keys.__getitem__)]


def _arrival(name: str) -> tuple[bool, str]:
    """Orders tickets by time, the one at work first."""
    return not name.startswith(_AT_WORK), name


def require_room(root: Path) -> None:
    """Raise BusyError when too many wait already."""
    count = len(waiting(root))
    if count >= WAITING_LIMIT:
        raise BusyError(
            f"{count} runs are waiting for this machine, which is the most it takes. "
            "Start again when one has finished."
        )


def _folder(root: Path) -> Path:
    folder = root / ".queue"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
