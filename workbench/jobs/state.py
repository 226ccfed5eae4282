"""How a run stands, told from what is on disk alone: lease, journal, stop request, queue.

So it is right after a restart of the server, for every page, and for a worker that somebody else
started. Cheap: two small files and one query of index look-ups.
"""

import signal
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.events import Progress
from workbench.jobs import slices, turns
from workbench.jobs.slice_plan import SliceJob
from workbench.runs import atomic, damage, lease, stop_request
from workbench.runs.folder import Run, open_run
from workbench.runs.lease import Holder
from workbench.runs.listing import RunListing, list_runs
from workbench.runs.summary import Summary, summary
from workbench.stages import ORDER, WORDS, Stage

# Progress events that the rate is taken over: long enough to be steady, short enough to follow.
_RATE_EVENTS = 20


@dataclass(frozen=True)
class Exit:
    """``exit.json``: how a worker ended that could not say so itself."""

    job: str
    code: int


@dataclass(frozen=True)
class RunState:
    """What the status strip shows.

    Attributes:
        state: "draft", "queued", "running", "not responding" (alive but silent),
            "ready for review" (samples are written, the training waits for a person), "stopped",
            "interrupted" (the worker is gone without a word), "failed" or "finished".
        stage: the stage in question; None for a draft, EXPORT for a finished run.
        phase: the same in words, with the note of the newest progress.
        done, total, unit: newest progress of the stage; total 0 is unknown.
        remaining_seconds: of the stage; None when unknown.
        memory_bytes, device_memory_bytes: of the worker now; 0 without one.
        activity: how far the worker's models are inside what the next progress will tell of.
        message: a sentence on why it stands still, or "".
        worker_since: wall-clock seconds at which the present worker began; 0 without one.
        job: id of the present job, for ``stop``; "" without one.
        position: workers before this one in the queue.
        until: the stage after which the present worker ends; None without one.
    """

    state: str
    stage: Stage | None = None
    phase: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    remaining_seconds: float | None = None
    memory_bytes: int = 0
    device_memory_bytes: int = 0
    activity: str = ""
    message: str = ""
    worker_since: float = 0.0
    job: str = ""
    position: int = 0
    until: Stage | None = None


def state(run: Run) -> RunState:
    """How a run stands now."""
    holder = lease.holder(run.folder)  # before the journal: a worker's last word comes first
    glance = summary(run)
    sliced = slices.waiting(run.folder)
    if sliced is not None and (holder is None or not holder.alive()):
        return _between_slices(run.folder, sliced, glance)
    if holder is None:
        if Stage.EXPORT in glance.done and damage.lacks_pack(run.folder):
            sentence = "The packed adapter or its result is gone or damaged: continue packs it."
            return _standing("stopped", Stage.EXPORT, glance, sentence)
        return _at_rest(glance)
    if holder.alive():
        return _working(run, holder, glance)
    ended = _exit_code(run, holder)
    if Stage.EXPORT not in glance.done and (ended is not None or not glance.stands):
        return _gone(run, holder, _owed(glance), glance, ended)
    return _at_rest(glance)


def _at_rest(glance: Summary) -> RunState:
    """The state of a run that no worker is on, and none has died on."""
    if Stage.EXPORT in glance.done:
        return RunState("finished", Stage.EXPORT, "Finished")
    owed = _owed(glance)
    if glance.halted is not None:
        word = "failed" if glance.halted.state == "failed" else "stopped"
        return _standing(word, owed, glance, glance.halted.message)
    if glance.begun is None and not glance.done:
        return RunState("draft", None, "Draft")
    if owed is Stage.DISTIL and owed not in glance.started:
        return _standing("ready for review", owed, glance, "")
    return _standing("stopped", owed, glance, "")


def history(root: Path) -> list[tuple[RunListing, RunState]]:
    """All runs of a root with how they stand, the newest change first."""
    lines = []
    for line in list_runs(root):
        holder = lease.holder(line.folder)
        if line.glance is None:
            lines.append((line, RunState("failed", phase=line.phase, message=line.problem)))
        elif holder is None and slices.waiting(line.folder) is None:  # nothing has to be opened
            lines.append((line, _at_rest(line.glance)))
        else:
            with suppress(WorkbenchError):  # deleted meanwhile
                lines.append((line, state(open_run(line.folder))))
    return lines


def _working(run: Run, holder: Holder, glance: Summary) -> RunState:
    until = Stage(holder.until) if holder.until else None
    request = stop_request.read(run.folder)
    asked = request.mode if request is not None and request.job == holder.job else ""
    of_worker: dict[str, Any] = {
        "memory_bytes": holder.memory_bytes,
        "device_memory_bytes": holder.device_memory_bytes,
        "worker_since": holder.since(),
    }
    silent = holder.silent_seconds() > lease.STALE_SECONDS
    if holder.phase == "queued" and not silent:
        place = turns.position(run.folder.parent, holder.job)
        phase = f"Waiting for the machine: {place} before this one" if place else "Starting"
        return RunState(
            "queued", _owed(glance), phase, job=holder.job, position=place, until=until,
            **of_worker,
        )  # fmt: skip
    message = ""
    if silent:
        message = (
            f"The worker has been silent for {holder.silent_seconds():.0f} seconds. It may come "
            "back; if not, stop it and continue."
        )
    progress = glance.progress
    stage = _owed(glance)
    if glance.begun is not None and not glance.stands:
        stage = Stage(glance.begun.stage)
    if glance.stands:
        progress = None  # of a stage that is over
    return RunState(
        "not responding" if silent else "running",
        stage,
        _phase(stage, progress),
        progress.done if progress else 0,
        progress.total if progress else 0,
        progress.unit if progress else "",
        None if silent or asked else _remaining(run, glance, progress),
        activity="" if silent else holder.activity,
        message=message,
        job=holder.job,
        until=until,
        **of_worker,
    )


def _between_slices(folder: Path, job: SliceJob, glance: Summary) -> RunState:
    """No worker is on the run, and none has to be: the page asks for the next slice."""
    owed = _owed(glance)
    phase = f"{WORDS[owed]}: waiting for slice {job.count + 1} of the GPU"
    if slices.is_at_work(folder):
        phase = f"{WORDS[owed]}: waiting for the GPU"
    standing = _standing("queued", owed, glance, job.message)
    return replace(standing, phase=phase, job=job.job, until=Stage(job.until))


def _exit_code(run: Run, holder: Holder) -> int | None:
    """How the holder ended, if somebody was there to see it."""
    ended = atomic.read_as(run.folder / "exit.json", Exit)
    return ended.code if ended is not None and ended.job == holder.job else None


def _gone(run: Run, holder: Holder, owed: Stage, glance: Summary, code: int | None) -> RunState:
    """The worker did not say how it ended."""
    request = stop_request.read(run.folder)
    if request is not None and request.job == holder.job and request.mode != "keep":
        return _standing(
            "stopped", owed, glance,
            "It did not stop by itself and was ended. Continue goes on from what is safe.",
        )  # fmt: skip
    how = f" ({_ending(code)})" if code is not None else ""
    return _standing(
        "interrupted", owed, glance,
        f"The worker ended without a word{how}. Nothing that was done is lost: continue goes on.",
    )  # fmt: skip


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    hint = ", often for want of memory" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _standing(word: str, stage: Stage, glance: Summary, message: str) -> RunState:
    progress = glance.progress if glance.progress and glance.progress.stage == stage else None
    return RunState(
        word,
        stage,
        WORDS[stage],
        progress.done if progress else 0,
        progress.total if progress else 0,
        progress.unit if progress else "",
        message=message,
    )


def _owed(glance: Summary) -> Stage:
    """The first stage that is not done."""
    return next((stage for stage in ORDER if stage not in glance.done), Stage.EXPORT)


def _phase(stage: Stage, progress: Progress | None) -> str:
    note = progress.note if progress is not None and progress.stage == stage else ""
    return f"{WORDS[stage]}: {note}" if note else WORDS[stage]


def _remaining(run: Run, glance: Summary, progress: Progress | None) -> float | None:
    """Seconds left by the rate that the stage reports, or by that of its newest progress."""
    if progress is None or progress.total <= 0:
        return None
    age = max(0.0, time.time() - glance.progress_at)
    rate = progress.rate
    if rate <= 0:
        earlier = run.journal.recent(Progress, _RATE_EVENTS)
        like = [
            entry
            for entry in earlier
            if (entry.event.stage, entry.event.unit, entry.event.total)
            == (progress.stage, progress.unit, progress.total)
        ]
        if not like:
            return None
        seconds = glance.progress_at - like[0].at
        rate = (progress.done - like[0].event.done) / seconds if seconds > 0 else 0.0
    return max(0.0, (progress.total - progress.done) / rate - age) if rate > 0 else None
