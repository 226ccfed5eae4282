"""One worker of a fleet: does transfers one after another in this process, keeping the bases.

The run is fetched from the output place to a folder on this machine's own disk, worked on like any
other run, copied back as it goes, and removed here at the end.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from workbench.errors import ModelError, WorkbenchError
from workbench.events import Event, StageFinished, Stopped
from workbench.fleet import standing
from workbench.fleet.place import Copier, Place, PlaceError
from workbench.fleet.schedule import DONE, MEMORY, TAKEN, TIME, UNEXPECTED, Outcome, Task
from workbench.jobs import worker as job
from workbench.jobs.worker_log import open_log
from workbench.models import batches, references
from workbench.models.kept_bases import KeptBases
from workbench.pipeline import advance
from workbench.runs import lease
from workbench.runs.folder import Run, open_run
from workbench.stages import Stage

COPY_SECONDS = 30.0  # between two copies within a step; the end of a step is always copied
_PREFIX = "workbench-fleet-"


class TakenOver(WorkbenchError):
    """Somebody else has begun to work on the same transfer."""

    code = TAKEN


class Worker:
    """Keeps one source base and one target base in memory between transfers.

    Args:
        place_url: see ``Place``.
        scratch: where run folders are while they are worked on; "" is the system's place.
        copy_seconds: see ``COPY_SECONDS``.
        gpu_share: of its GPU's memory, where several workers share one.
    """

    def __init__(
        self,
        place_url: str,
        scratch: str = "",
        copy_seconds: float = COPY_SECONDS,
        gpu_share: float = 1.0,
    ) -> None:
        self._gpu_share = gpu_share
        self._place = Place(place_url)
        self._copy_seconds = copy_seconds
        self._bases = KeptBases()
        self._root, self._lock = _own_folder(Path(scratch or tempfile.gettempdir()))

    def ready(self) -> None:
        """Does nothing; who gets an answer knows that this worker has a machine."""

    def do(self, task: Task) -> Outcome:
        """Work off one transfer; never raises what another attempt or a person can settle."""
        began = time.monotonic()
        folder = self._root / task.name
        batches.set_scale(task.scale)
        batches.set_gpu_share(self._share(task))
        try:
            outcome = self._attempt(task, folder, began)
        except WorkbenchError as error:
            outcome = Outcome(error.code, error.message)
        except Exception as error:
            outcome = Outcome(UNEXPECTED, f"{type(error).__name__}: {error}")
        finally:
            batches.set_scale(1.0)
            shutil.rmtree(folder, ignore_errors=True)
        if outcome.reason != DONE:
            self._bases.clear()
        return replace(outcome, seconds=time.monotonic() - began)

    def close(self) -> None:
        """Remove this worker's folder."""
        shutil.rmtree(self._root, ignore_errors=True)
        os.close(self._lock)

    def _attempt(self, task: Task, folder: Path, began: float) -> Outcome:
        found = standing.read(self._place, [task.name])[task.name]
        token = secrets.token_hex(8)
        mine = standing.write(
            self._place,
            replace(found, state=standing.RUNNING, holder=token, attempts=task.attempts),
        )
        self._place.fetch(task.name, folder)
        run = open_run(folder)
        for reference in task.bases:
            _fetch_base(reference)
        copier = Copier(self._place, run)
        copier.know_the_copy()

        def copy() -> None:
            self._require_mine(mine)
            copier.copy()
            standing.write(self._place, replace(mine, stages=standing.finished_stages(run)))

        reached: list[Outcome] = []

        def at_limit() -> bool:
            reached.extend(_limits_reached(task, time.monotonic() - began))
            return bool(reached)

        with open_log(folder) as log, contextlib.redirect_stderr(log):
            code = job.work(run, Stage.EXPORT, token, self._steps(copy, at_limit))
        if code == job.FAILED:
            return _failure(run)
        if code == job.STOPPED:
            copy()
            return reached[0]
        self._require_mine(mine)
        copier.copy()
        run.database.close()
        standing.write(
            self._place,
            replace(
                mine,
                state=standing.DONE,
                holder="",
                stages=standing.finished_stages(run),
                measured=standing.measured(run),
                seconds=standing.seconds_by_stage(run),
                elapsed=time.monotonic() - began,
            ),
        )
        return Outcome(DONE)

    def _steps(self, copy: Callable[[], None], at_limit: Callable[[], bool]) -> job.Advance:
        """The pipeline, with copies in between."""

        def steps(run: Run, until: Stage, reason: Callable[[], str]) -> Iterator[Event]:
            copied = time.monotonic()
            stop = lambda: reason() or ("pause" if at_limit() else "")  # noqa: E731
            for event in advance(run, until, stop, self._bases):
                yield event
                due = time.monotonic() - copied >= self._copy_seconds
                if isinstance(event, StageFinished) or due:
                    copy()
                    copied = time.monotonic()

        return steps

    def _share(self, task: Task) -> float:
        """Of the GPU's memory: what the worker has, or less where the transfer may take less."""
        if not (task.memory_limit_bytes and torch.cuda.is_available()):
            return self._gpu_share
        return min(self._gpu_share, task.memory_limit_bytes / torch.cuda.mem_get_info()[1])

    def _require_mine(self, mine: standing.Standing) -> None:
        now = standing.read(self._place, [mine.name]).get(mine.name)
        if now is None or now.holder != mine.holder:
            raise TakenOver("Another worker has taken this transfer over.")


def _limits_reached(task: Task, seconds: float) -> Iterator[Outcome]:
    """Limits that a transfer has come to; on a GPU memory is limited where it is taken."""
    if 0 < task.time_limit_seconds < seconds:
        limit = f"{task.time_limit_seconds / 60:g} minutes"
        yield Outcome(TIME, f"It was not done within {limit}; what is done is kept.")
    taken = psutil.Process().memory_info().rss
    if 0 < task.memory_limit_bytes < taken and not torch.cuda.is_available():
        sizes = f"{taken / 1e9:.1f} GB, more than its {task.memory_limit_bytes / 1e9:g}"
        yield Outcome(MEMORY, f"The worker took {sizes}; what is done is kept.")


def _fetch_base(reference: str) -> None:
    """Bring a base to this machine; the network may be better next time."""
    try:
        references.fetch(reference)
    except ModelError as error:
        raise PlaceError(error.message) from error


def _failure(run: Run) -> Outcome:
    """What the journal says: the code decides whether it is tried again."""
    stopped = run.journal.last(Stopped)
    assert stopped is not None, "a worker that fails says so in the journal"
    return Outcome(stopped.code, stopped.message)


def _own_folder(scratch: Path) -> tuple[Path, int]:
    """A folder of this worker alone and the lock on it; those of dead workers are removed."""
    for former in scratch.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = lease.lock(former / "worker.lock")
            if descriptor >= 0:
                shutil.rmtree(former, ignore_errors=True)
                os.close(descriptor)
    root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=scratch))
    return root, lease.lock(root / "worker.lock")
