"""A pool of Ray actors: one for each GPU or fraction of one, or as many as are asked for.

An actor whose process or machine is lost is replaced; the new one gets work when it has found a
place. Actors end with the process that hands out the work: nothing is left running on a cluster.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

import workbench
from workbench.errors import RunError
from workbench.fleet.schedule import LOST, MEMORY, TIME, UNEXPECTED, Bases, Outcome, Task
from workbench.fleet.worker import Worker
from workbench.jobs import environment

WAIT_SECONDS = 1.0
GRACE_SECONDS = 120.0  # after its time limit a worker may finish its unit; then it is ended
STARTS = 5  # actors that may fail to start, one after another
_OBJECT_STORE_BYTES = 80 * 1024**2  # only small messages are sent


@dataclass
class _Seat:
    """One actor, what is awaited of it, and what it has in memory."""

    actor: Any
    pending: Any  # the reference of its readiness or of its task; None when it waits
    task: Task | None = None
    since: float = 0.0
    resident: Bases | None = None

    def overdue(self) -> bool:
        """It should have stopped by itself long ago."""
        if self.task is None or not self.task.time_limit_seconds:
            return False
        return time.monotonic() - self.since > self.task.time_limit_seconds + GRACE_SECONDS


class RayPool:
    """Actors on this machine, or on a cluster.

    Args:
        workers: how many; 0 takes one for each GPU, or fraction of one, that the cluster has.
        gpus: of each worker, may be a fraction; 0 on machines without.
        address: of a running cluster; "" begins one on this machine.

    Raises:
        RunError: the cluster cannot be reached or has no GPU, and no number of workers was said.
    """

    def __init__(
        self, place_url: str, workers: int, gpus: float = 0, address: str = "", scratch: str = ""
    ) -> None:
        threads = max(1, _cores() // workers) if workers and not address else 1
        _begin(address, threads * workers)
        if workers == 0:
            workers = int(ray.cluster_resources().get("GPU", 0) / (gpus or 1))
        if workers == 0:
            raise RunError("The cluster has no GPU. Say how many workers it shall be: --workers N.")
        self.workers = workers
        actor: Any = ray.remote(Worker)
        options = {"num_gpus": gpus, "num_cpus": threads, "max_restarts": 0}
        self._new = lambda: actor.options(**options).remote(
            place_url, scratch, gpu_share=min(1.0, gpus) or 1.0
        )
        self._failed_starts = 0
        self._seats = [self._seat() for _ in range(workers)]

    def idle(self) -> list[tuple[int, Bases | None]]:
        """Actors that have a place and nothing to do."""
        return [(at, seat.resident) for at, seat in enumerate(self._seats) if seat.pending is None]

    def give(self, worker: int, task: Task) -> None:
        """Send the task to the actor."""
        seat = self._seats[worker]
        seat.pending, seat.task, seat.since = seat.actor.do.remote(task), task, time.monotonic()

    def wait(self) -> list[tuple[Task, Outcome]]:
        """Attempts that have ended within a second; lost actors are replaced on the way.

        Raises:
            RunError: actors do not even start.
        """
        awaited = [seat.pending for seat in self._seats if seat.pending is not None]
        ready, _ = ray.wait(awaited, num_returns=1, timeout=WAIT_SECONDS)
        ended = []
        for at, seat in enumerate(self._seats):
            if seat.pending is None or not (seat.pending in ready or seat.overdue()):
                continue
            task, outcome, alive = seat.task, *_end_of(seat)
            if task is None and not alive:
                self._count_failed_start(outcome)
            if alive:
                self._failed_starts = 0
                seat.pending, seat.task, seat.resident = None, None, task.bases if task else None
            else:
                self._seats[at] = self._seat()
            if task is not None:
                spent = outcome.seconds or time.monotonic() - seat.since
                ended.append((task, Outcome(outcome.reason, outcome.message, spent)))
        return ended

    def close(self) -> None:
        """End the actors, and the cluster if it was begun here."""
        ray.shutdown()

    def _seat(self) -> _Seat:
        actor = self._new()
        return _Seat(actor, actor.ready.remote())

    def _count_failed_start(self, outcome: Outcome) -> None:
        self._failed_starts += 1
        if self._failed_starts >= STARTS:
            raise RunError(f"Workers do not start: {outcome.message}")


def _begin(address: str, cpus: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address:
        # The nodes need what requirements.txt names; this program itself is sent to them.
        package = str(Path(workbench.__file__).parent)
        options |= {"address": address, "runtime_env": {"py_modules": [package]}}
    else:
        os.environ["PYTHONPATH"] = environment.python_path()
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        # Ray's own search finds none where the driver's library lies elsewhere.
        options |= {"num_gpus": torch.cuda.device_count()}
        options |= {"num_cpus": cpus} if cpus else {}
    try:
        ray.init(**options)
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        where = f"The Ray cluster {address} cannot be used" if address else "Ray cannot start"
        raise RunError(f"{where}: {str(error).strip().splitlines()[0]}") from error


def _cores() -> int:
    """Cores that this process may use; a job service gives it less than the machine has."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_of(seat: _Seat) -> tuple[Outcome, bool]:
    """How what was awaited came out, and whether the actor is still of use."""
    if seat.overdue():
        ray.kill(seat.actor)
        return Outcome(TIME, "It was ended: it did not stop at its time limit."), False
    try:
        return ray.get(seat.pending) or Outcome("ready"), True
    except OutOfMemoryError:
        return Outcome(MEMORY, "The worker took more memory than its machine has."), False
    except RayActorError as error:
        return Outcome(LOST, str(error).strip().splitlines()[0]), False
    except RayTaskError as error:
        return Outcome(UNEXPECTED, str(error).strip().splitlines()[-1]), False
    except RayError as error:
        return Outcome(LOST, f"{type(error).__name__}: {error}"), False
