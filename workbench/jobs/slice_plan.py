"""A job that is done in slices of lent time: what is known between two slices, in ``slices.json``.

And the deadline of one slice: work stops at a commit point before the time is up, by how long the
units of work have taken so far.
"""

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.runs import atomic

FILE = "slices.json"
USUAL_SECONDS = 60.0  # asked for where nothing is known of a run
LEAST_SECONDS = 15.0  # less is not worth the loading of the models
MOST_SECONDS = 240.0
# Kept for the last checkpoint: seconds, and as a share of short slices.
RESERVE_SECONDS, RESERVE_SHARE = 5.0, 0.1
AHEAD = 1.5  # a unit may take so many times as long as the ones before
_LEFT = re.compile(r"(\d+)s left")
_AGAIN = re.compile(r"Try again in (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")


@dataclass(frozen=True)
class SliceJob:
    """A job that waits for its next slice, or is in one.

    Attributes:
        until: the stage after which it ends.
        count: slices begun.
        seconds: to ask for.
        used: seconds of the visitor's quota so far; of a slice that was cut off, all it asked for.
        unit_seconds: how long one unit of the present stage takes, with a slice's measure.
        idle: slices in a row that ended without anything committed.
        message: why it waits, in a sentence, or "".
        again_at: wall-clock time before which no slice is asked for.
    """

    job: str
    until: str
    count: int = 0
    seconds: float = USUAL_SECONDS
    unit_seconds: float = 0.0
    idle: int = 0
    message: str = ""
    again_at: float = 0.0
    used: float = 0.0


def read(folder: Path) -> SliceJob | None:
    """The job of a run, or None."""
    return atomic.read_as(folder / FILE, SliceJob)


def write(folder: Path, job: SliceJob) -> None:
    """Keep what is known between two slices."""
    atomic.write_json(folder / FILE, asdict(job))


def clear(folder: Path) -> None:
    """The job is over."""
    (folder / FILE).unlink(missing_ok=True)


class Deadline:
    """When to stop within a slice.

    The longest time between two commit points holds the loading of models, so the second longest
    says how long a unit takes. A unit that is cut off by the end of a slice is lost, and is done
    again as it would have been.

    Args:
        seconds: from now.
        unit_seconds: of a unit, as former slices have found.
    """

    def __init__(
        self,
        seconds: float,
        unit_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._former = clock, unit_seconds
        self._last = clock()
        self._end = self._last + seconds - min(RESERVE_SECONDS, RESERVE_SHARE * seconds)
        self._longest = [0.0, 0.0]

    @property
    def unit_seconds(self) -> float:
        """How long a unit of work takes."""
        return max(self._former, self._longest[0])

    def near(self) -> bool:
        """At a commit point: whether another unit would not be done in time."""
        now = self._clock()
        self._longest = sorted([*self._longest, now - self._last])[-2:]
        self._last = now
        return now + AHEAD * self.unit_seconds > self._end


def seconds_left(message: str) -> float | None:
    """Of the quota, as a refusal tells it."""
    found = _LEFT.search(message)
    return float(found[1]) if found else None


def seconds_to_wait(message: str) -> float | None:
    """Until the quota is there again, as a refusal tells it."""
    found = _AGAIN.search(message)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
