"""A person's wish that the worker stops: ``stop.json``, meant for one job only."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.errors import RunError
from workbench.runs import atomic

MODES = ("pause", "discard", "keep")


@dataclass(frozen=True)
class StopRequest:
    """What was asked.

    Attributes:
        job: the job that is to stop; any other ignores the request.
        mode: "pause" goes on later, "keep" ends the training with what is learnt so far,
            "discard" forgets what is learnt.
        at: seconds on this machine's monotonic clock.
    """

    job: str
    mode: str
    at: float


def ask(folder: Path, job: str, mode: str) -> StopRequest:
    """Write the request. One for the same job that is there stays, unless it was "keep".

    After "keep" the later stages go on, and those can be stopped as well.
    """
    if mode not in MODES:
        raise RunError(f'A run is stopped with one of {MODES}, not "{mode}".')
    former = read(folder)
    if former is not None and former.job == job and former.mode != "keep":
        return former
    request = StopRequest(job, mode, time.monotonic())
    atomic.write_json(folder / "stop.json", asdict(request))
    return request


def read(folder: Path) -> StopRequest | None:
    """The request that is there, for whatever job, or None."""
    request = atomic.read_as(folder / "stop.json", StopRequest)
    return request if request is not None and request.mode in MODES else None


def clear(folder: Path) -> None:
    """Take the request away."""
    (folder / "stop.json").unlink(missing_ok=True)
