"""The process that works on one run: ``python -m workbench.jobs.worker FOLDER --until STAGE``.

Takes the lease, waits for its turn, then lets the pipeline advance and says in the journal how it
ended. Nothing is imported that takes memory before it is its turn. It may be killed at any moment.
"""

import argparse
import contextlib
import os
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import WorkbenchError
from workbench.events import Event, StageStarted, Stopped
from workbench.jobs import environment, slice_plan, turns
from workbench.jobs.slice_plan import Deadline
from workbench.memory import quick_imports
from workbench.runs import atomic, owners, stop_request
from workbench.runs.folder import Run, open_run
from workbench.runs.lease import Lease
from workbench.stages import ORDER, Stage

Advance = Callable[[Run, Stage, Callable[[], str]], Iterator[Event]]
# Not 1: that is the interpreter's own, when the module cannot even be imported.
FINISHED, STOPPED, FAILED = 0, 3, 4
SLICE_OVER = 5  # there is more to do; never a process's exit code


class _Terminated(BaseException):
    """Raised in the main thread by SIGTERM: unwinds whatever is going on."""


def main(arguments: list[str], advance: Advance | None = None) -> int:
    """Run a worker to its end; returns the exit code.

    Args:
        advance: what works off a run; None is the pipeline, imported when it is needed.
    """
    parser = argparse.ArgumentParser(prog="workbench.jobs.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--until", type=Stage, default=Stage.EXPORT)
    parser.add_argument("--job", default="")
    parser.add_argument("--lease", type=int, default=-1, help="lock handed over by downloads")
    options = parser.parse_args(arguments)
    environment.restrict_this_process()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        run = open_run(options.folder)
        job = options.job or secrets.token_hex(8)
        return work(run, options.until, job, advance, options.lease)
    except WorkbenchError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return FAILED
    finally:
        _end_children()


def advance(folder: str, seconds: float, pipeline: Advance | None = None) -> dict[str, Any]:
    """One slice of a run's job (``slice_plan``), in this process, which may be any's fork.

    Everything is on disk afterwards; models and all else that was made goes with the call.

    Args:
        seconds: that it may take; it stops at a commit point before.

    Returns:
        {"outcome": FINISHED, STOPPED, FAILED or SLICE_OVER, "unit_seconds": see ``Deadline``,
        "seconds": that it took}.
    """
    run = open_run(Path(folder))
    job = slice_plan.read(run.folder)
    if job is None:  # somebody stopped it meanwhile
        return {"outcome": STOPPED, "unit_seconds": 0.0, "seconds": 0.0}
    begun, deadline = time.monotonic(), Deadline(seconds, job.unit_seconds)
    outcome = work(run, Stage(job.until), job.job, pipeline, deadline=deadline)
    run.database.close()
    took = time.monotonic() - begun
    return {"outcome": outcome, "unit_seconds": deadline.unit_seconds, "seconds": took}


def work(
    run: Run,
    until: Stage,
    job: str,
    advance: Advance | None = None,
    descriptor: int = -1,
    deadline: Deadline | None = None,
) -> int:
    """Hold the run, wait for the machine, advance, and journal how it ended.

    Args:
        descriptor: see ``Lease``.
        deadline: of a slice, which has a machine already and waits for none.

    Raises:
        BusyError: another worker holds the run.
    """

    def asked() -> str:
        request = stop_request.read(run.folder)
        return request.mode if request is not None and request.job == job else ""

    def reason() -> str:
        mode = asked()
        if mode in ("", "keep") and deadline is not None and deadline.near():
            return "pause"
        return mode

    def phase() -> str:
        return "stopping" if asked() in ("pause", "discard") else ""

    held = Lease(run.folder, job, until, "queued", watch=phase, descriptor=descriptor)
    with held as lease:
        _settle_former_request(run, job)
        atomic.sweep(run.checkpoints, older_than_seconds=0)
        atomic.sweep(run.folder)
        try:
            mine = (run.folder.parent, lease.holder, lambda: bool(asked()), owners.turns_of(run))
            with contextlib.nullcontext(True) if deadline else turns.turn(*mine) as has_turn:
                lease.beat("working")
                if has_turn:
                    for _ in (advance or pipeline())(run, until, reason):
                        pass
            if deadline is not None and asked() in ("", "keep") and _owed(run, until):
                return SLICE_OVER
            return ended(run, until, asked())
        except _Terminated:
            _journal_stop(run, until, "Stopped by a signal. Continue goes on from what is done.")
            _settle(run, asked())
            return STOPPED
        except Exception as error:
            tell_failure(run, _current(run, until), error)
            return FAILED


def pipeline() -> Advance:
    """What works off a run; imported when it is needed and not while a run waits for its turn."""
    with quick_imports():
        from workbench.pipeline import advance  # noqa: PLC0415  brings torch

    return advance


def _terminate(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise _Terminated


def _owed(run: Run, until: Stage) -> list[Stage]:
    return [stage for stage in ORDER[: ORDER.index(until) + 1] if not run.stage_done(stage)]


def ended(run: Run, until: Stage, mode: str) -> int:
    """Journal how work ended by itself: it reached its goal or was asked to stop."""
    owed = _owed(run, until)
    if not owed:
        return FINISHED
    words = {"discard": "Stopped; what was learnt is forgotten."}
    _journal_stop(run, owed[0], words.get(mode, "Stopped. Continue goes on from what is done."))
    _settle(run, mode)
    return STOPPED


def tell_failure(run: Run, stage: str, error: Exception) -> None:
    """Journal what went wrong: a sentence, or for a defect an id whose details are in the log."""
    if isinstance(error, WorkbenchError):
        sys.stderr.write(f"{error.code}: {error.message}\n")
        run.journal.append(Stopped(stage, "failed", error.message, error.code))
        return
    error_id = secrets.token_hex(3)
    sys.stderr.write(f"error {error_id}\n{traceback.format_exc()}\n")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        code = "memory"
        message = (
            "The memory of this machine was not enough. Close other programs, choose smaller "
            "batches or a smaller base, then continue."
        )
    else:
        code = "unexpected"
        message = f"Something unexpected went wrong (error {error_id}); worker.log has the details."
    run.journal.append(Stopped(stage, "failed", message, code, error_id))


def _journal_stop(run: Run, stage: Stage, message: str) -> None:
    run.journal.append(Stopped(_current(run, stage), "stopped", message))


def _current(run: Run, otherwise: Stage) -> str:
    begun = run.journal.last(StageStarted)
    return begun.stage if begun is not None else otherwise.value


def _settle(run: Run, mode: str) -> None:
    """ "discard" concerns a training only; other stages keep what they have."""
    training = run.stages()[Stage.DISTIL]
    if mode == "discard" and training.started_at is not None and training.finished_at is None:
        run.reopen_from(Stage.DISTIL)


def _settle_former_request(run: Run, job: str) -> None:
    """A request that its own worker did not live to see; one for this job stays."""
    former = stop_request.read(run.folder)
    if former is not None and former.job != job:
        _settle(run, former.mode)
        stop_request.clear(run.folder)


def _end_children() -> None:
    """End what the pipeline started and left behind; not what made itself a session of its own."""
    own = os.getpid()
    for process in psutil.process_iter():
        try:
            grouped = os.getpgrp() == own and os.getpgid(process.pid) == own
            if process.pid != own and (grouped or process.ppid() == own):
                process.kill()
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
