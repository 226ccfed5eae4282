"""Jobs and questions in slices of a GPU that is lent for about a minute at a time (ZeroGPU).

There the server's process has no GPU. A function that ``spaces.GPU`` decorates runs in a fork of
the server that has one, for as many seconds as were asked for, out of the quota of the visitor in
whose request it is called. So a job is a file (``slice_plan``), no process: each slice takes the
run up from disk, loads its models, and leaves it at a commit point; the page of the visitor asks
for one after the other. What the lender refuses is told, and tried again when it said so.
"""

import contextlib
import importlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import BusyError, RunError, StageError, WorkbenchError
from workbench.jobs import consult_worker, downloads, environment, slice_plan, worker
from workbench.jobs.slice_plan import LEAST_SECONDS, MOST_SECONDS, SliceJob
from workbench.jobs.worker_log import open_log
from workbench.limits import on_shared_server
from workbench.models import hub_access
from workbench.runs import owners, stop_request
from workbench.runs.folder import Run, open_run
from workbench.stages import ORDER, Stage

ANSWER_SECONDS = 60.0  # of a slice for a question
DOWNLOAD_SECONDS = 1800.0
RETRY_SECONDS = 30.0  # where a refusal does not say when to come again
IDLE_SLICES = 3  # in a row without anything done, before the job is given up
Progress = tuple[Any, ...]
_ENDED = "ZeroGPU worker error"  # titles of the lender's errors
_TOO_LONG = "ZeroGPU illegal duration"


class SliceRefused(BusyError):
    """No slice was lent; ``wait_seconds`` until it makes sense to ask again."""

    def __init__(self, message: str, wait_seconds: float = RETRY_SECONDS) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Asked:
    """How long a slice may be.

    Attributes:
        seconds: that were asked for in the end.
        last: the visitor had no more left: that it was too short says nothing about the work.
    """

    seconds: float
    last: bool = False


class SliceEnded(BusyError):
    """The lender ended a slice before its work did."""

    def __init__(self, message: str, asked: Asked) -> None:
        super().__init__(message)
        self.asked = asked


@dataclass(frozen=True)
class _Lender:
    """The two decorated functions; both take what to do and for how many seconds."""

    advance: Callable[[str, float], dict[str, Any]]
    answer: Callable[[dict[str, Any], float], dict[str, Any]]


_lender: _Lender | None = None
_at_work: set[Path] = set()
_guard = threading.Lock()


def use(gpu: Callable[..., Any]) -> None:
    """From now on everything is done in slices; ``gpu`` is ``spaces.GPU``.

    What slices need is imported here, so that their forks have it: that costs no lent time.
    """
    global _lender
    importlib.import_module("workbench.consult")
    lend = gpu(duration=lambda _what, seconds: int(seconds))
    _lender = _Lender(lend(_advance), lend(_answer))


def active() -> bool:
    """Whether this server works in slices."""
    return _lender is not None


def _advance(folder: str, seconds: float) -> dict[str, Any]:
    with _in_slice(Path(folder)):
        return worker.advance(folder, seconds)


def _answer(asked: dict[str, Any], seconds: float) -> dict[str, Any]:
    with _in_slice(Path(asked["arguments"]["run"])):
        return consult_worker.reply_to(asked)


@contextlib.contextmanager
def _in_slice(folder: Path) -> Iterator[None]:
    """What holds for a worker's own process, in a fork of the server: it serves nothing else."""
    environment.restrict_this_process()
    environment.clean_this_process()
    run = open_run(folder)
    # The context is that of the request before which this process was forked.
    access = hub_access.Access(own=not on_shared_server(), user=run.recall(downloads.HUB_USER, ""))
    with (
        owners.visited_by(None),
        hub_access.using(access),
        open_log(folder) as log,
        contextlib.redirect_stderr(log),
    ):
        yield


def begin(run: Run, until: Stage) -> None:
    """Make a job of it; the page asks for the first slice.

    Raises:
        BusyError: there is a job already.
    """
    if slice_plan.read(run.folder) is not None:
        raise BusyError(f'"{run.name}" is being worked on already. Stop it first.')
    downloads.access_of(run)  # remembers the visitor's login
    slice_plan.write(run.folder, SliceJob(secrets.token_hex(8), until.value))


def waiting(folder: Path) -> SliceJob | None:
    """The job that waits for its next slice or is in one; None where nothing is sliced."""
    return slice_plan.read(folder) if active() else None


def is_at_work(folder: Path) -> bool:
    """Whether a slice of this run has been asked for and is not over."""
    with _guard:
        return folder in _at_work


def end(run: Run, mode: str) -> None:
    """Stop a job that waits between two slices."""
    job = slice_plan.read(run.folder)
    if job is not None:
        slice_plan.clear(run.folder)
        worker.ended(run, Stage(job.until), mode)


def next_slice(run: Run) -> None:
    """Do one slice of the run's job, and note what comes next. Nothing where there is no job.

    To be called in the request of the visitor whose quota it is; takes as long as the wait for a
    GPU and the slice itself.
    """
    with _guard:
        if run.folder in _at_work:
            return
        _at_work.add(run.folder)
    try:
        job = waiting(run.folder)
        if job is not None and job.again_at <= time.time():
            _slice(run, job)
    finally:
        with _guard:
            _at_work.discard(run.folder)


def _slice(run: Run, job: SliceJob) -> None:
    before = _progress(run)
    try:
        _fetch(run)
        job = replace(job, count=job.count + 1, message="", again_at=0.0)
        slice_plan.write(run.folder, job)
        report, asked = _lend(_lent().advance, str(run.folder), job.seconds)
    except SliceRefused as error:
        again_at = time.time() + error.wait_seconds
        _note(run, replace(job, count=job.count - 1, message=error.message, again_at=again_at))
        return
    except SliceEnded as error:
        _settle_ended(run, replace(job, message=error.message), error.asked, before)
        return
    except WorkbenchError as error:
        _give_up(run, error)
        return
    if report["outcome"] != worker.SLICE_OVER:
        slice_plan.clear(run.folder)
        stop_request.clear(run.folder)
        return
    unit, used = float(report["unit_seconds"]), job.used + float(report["seconds"])
    _go_on(run, replace(job, unit_seconds=unit, used=used), asked, before)


def _settle_ended(run: Run, job: SliceJob, asked: Asked, before: Progress) -> None:
    """After a slice that was cut off: a stop that it did not live to obey, or the next one."""
    request = stop_request.read(run.folder)
    if request is not None and request.job == job.job and request.mode != "keep":
        end(run, request.mode)
        stop_request.clear(run.folder)
        return
    job = replace(job, used=job.used + asked.seconds)
    # It was stopped too late: units take longer than they seemed to.
    unit = max(2 * job.unit_seconds, slice_plan.RESERVE_SHARE * asked.seconds)
    _go_on(run, replace(job, unit_seconds=unit), asked, before)


def _go_on(run: Run, job: SliceJob, asked: Asked, before: Progress) -> None:
    """The next slice; longer ones where nothing was done, until that is of no use."""
    if asked.last:  # the next one is asked for at the length that this one was to have
        _note(run, job)
        return
    job = replace(job, seconds=asked.seconds)
    if _progress(run) != before:
        _note(run, replace(job, idle=0))
        return
    if job.idle + 1 >= IDLE_SLICES:
        sentence = (
            f"{IDLE_SLICES} slices in a row ended before anything was done, the last of "
            f"{job.seconds:.0f} seconds. Choose smaller bases, or a machine with a GPU of its own."
        )
        _give_up(run, StageError(sentence))
        return
    longer = min(MOST_SECONDS, 2 * job.seconds)
    _note(run, replace(job, idle=job.idle + 1, seconds=longer, unit_seconds=0.0))


def _note(run: Run, job: SliceJob) -> None:
    """Keep the job, unless it was stopped meanwhile."""
    former = slice_plan.read(run.folder)
    if former is not None and former.job == job.job:
        slice_plan.write(run.folder, job)


def _give_up(run: Run, error: WorkbenchError) -> None:
    slice_plan.clear(run.folder)
    owed = next((stage for stage in ORDER if not run.stage_done(stage)), Stage.EXPORT)
    worker.tell_failure(run, owed, error)


def _fetch(run: Run) -> None:
    """Bases come before a slice: downloads take none of the lent time."""
    with hub_access.using(downloads.access_of(run)):
        try:
            downloads.fetch_missing(run.recipe, DOWNLOAD_SECONDS)
        except BusyError as error:
            raise SliceRefused(error.message) from error


def _progress(run: Run) -> Progress:
    """Changes whenever a step has committed something."""
    return (
        sum(run.stage_done(stage) for stage in ORDER),
        len(run.samples.rounds()),
        len(run.samples.unlabelled()),
        tuple(sorted(run.answers.counts().items())),
        tuple(sorted(os.listdir(run.checkpoints))) if run.checkpoints.is_dir() else (),
    )


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """One question to a run's models, in a slice: what ``consult_worker.reply_to`` returns.

    Raises:
        SliceRefused, SliceEnded: with the lender's sentence.
    """
    return _lend(_lent().answer, asked, ANSWER_SECONDS)[0]


def _lent() -> _Lender:
    if _lender is None:
        raise RunError("This server lends no GPU.")
    return _lender


def _lend(
    function: Callable[[Any, float], dict[str, Any]], what: Any, seconds: float
) -> tuple[dict[str, Any], Asked]:
    """Call a decorated function for as long as the visitor may have.

    Raises:
        SliceRefused, SliceEnded: with the lender's sentence.
    """
    asked = Asked(seconds)
    while True:
        try:
            return function(what, asked.seconds), asked
        except WorkbenchError:
            raise
        except Exception as error:  # the lender's are Gradio's, which this room does not know
            shorter = _shorter(error, asked)
            if shorter.seconds >= LEAST_SECONDS:
                asked = shorter
                continue
            raise _told(error, asked) from error


def _shorter(error: Exception, asked: Asked) -> Asked:
    """What to ask for instead, after a refusal for the length alone; 0 for nothing."""
    left = slice_plan.seconds_left(_text(error))
    if left is not None and left < asked.seconds:
        return Asked(left, last=True)
    too_long = getattr(error, "title", "") == _TOO_LONG
    return Asked(asked.seconds / 2 if too_long else 0.0)


def _told(error: Exception, asked: Asked) -> WorkbenchError:
    title, text = str(getattr(error, "title", "")), _text(error)
    if title == _ENDED:
        said = f"The slice was over before its work was: {text.rstrip('.')}."
        return SliceEnded(said, asked)
    if not title.startswith("ZeroGPU") and not isinstance(error, RuntimeError):
        raise error  # a defect of ours
    sys.stderr.write(f"no slice: {title}: {text}\n")
    wait = slice_plan.seconds_to_wait(text)
    sentence = f"{text.rstrip('. ')}."
    return SliceRefused(sentence, RETRY_SECONDS if wait is None else max(RETRY_SECONDS, wait))


def _text(error: Exception) -> str:
    return str(getattr(error, "message", error))
