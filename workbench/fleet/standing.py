"""How one transfer of a fleet stands: ``standing.json`` beside the copy of its run.

Workers write it when they begin, at every copy and at the end; the one who hands out work writes
it when a worker is lost. Everything measured in it is read from the run.
"""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from workbench.errors import RunError
from workbench.evaluate.intervals import noninferiority_p
from workbench.evaluate.outcome import SOURCE, TRANSFERRED, outcome
from workbench.evaluate.verdict import ACCURACY
from workbench.fleet.place import Place
from workbench.runs.folder import Run
from workbench.stages import ORDER

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
# One that says anything else is damaged, and must not spoil the sums over all of them.
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True)
class Attempt:
    """One try that did not end well.

    Attributes:
        reason: see ``schedule``.
        message: a sentence.
        seconds: how long it took; 0 when nobody knows.
    """

    reason: str
    message: str
    seconds: Finite = 0.0


@dataclass(frozen=True)
class Measured:
    """What the comparison of a finished run came to; shares in 0..1.

    Attributes:
        retention: the new adapter's mean over the source's; None where that is 0.
        difference, low, high: new minus source with its 95 % interval.
        p_value: of "it loses as much as the margin, or more", one-sided.
    """

    verdict: str
    sentence: str
    measure: str
    rows: Count
    source: Finite
    transferred: Finite
    retention: Finite | None
    difference: Finite
    low: Finite
    high: Finite
    margin_points: Finite
    p_value: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Standing:
    """One line of the fleet's table.

    Attributes:
        name: of the run's folder.
        fingerprint: of inputs and recipe.
        state: WAITING, RUNNING, DONE or FAILED (for good, until it is tried again).
        holder: token of the attempt that may write the copy; "" when none does.
        stages: steps that the copy has finished.
        attempts: those that did not end well, oldest first.
        seconds: worked on each step, of a finished run.
        elapsed: of the attempt that finished it, fetching and copying included.
        at: wall-clock seconds since 1970 of the last change.
    """

    name: str
    fingerprint: str
    source_base: str
    target_base: str
    task_name: str = ""
    state: Literal["waiting", "running", "done", "failed"] = WAITING
    holder: str = ""
    stages: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    measured: Measured | None = None
    seconds: dict[str, Finite] = field(default_factory=dict)
    elapsed: Finite = 0.0
    at: Annotated[float, Field(ge=0, le=1e11)] = 0.0


_READER = TypeAdapter(Standing)


def read(place: Place, names: list[str]) -> dict[str, Standing]:
    """By name, of runs that have one; one that cannot be read, or was written for a folder of
    another name, counts as not there."""
    found = {}
    for name, content in place.standings(names).items():
        with suppress(ValidationError):
            standing = _READER.validate_json(content)
            if standing.name == name:
                found[name] = standing
    return found


def write(place: Place, standing: Standing) -> Standing:
    """Write it with the present time; returns what was written."""
    now = replace(standing, at=time.time())
    place.write_standing(now.name, asdict(now))
    return now


def retry(place: Place, failed: Standing) -> Standing:
    """Let one that was given up wait again, as if it had never been tried.

    Raises:
        RunError: it was not given up.
    """
    if failed.state != FAILED:
        raise RunError(f'"{failed.name}" is {failed.state}: only what has failed is tried again.')
    return write(place, replace(failed, state=WAITING, attempts=()))


def finished_stages(run: Run) -> tuple[str, ...]:
    """Names of the steps that a run has finished, in order."""
    done = run.stages()
    return tuple(stage.value for stage in ORDER if done[stage].finished_at is not None)


def measured(run: Run) -> Measured | None:
    """The comparison of a run; None when nothing was compared."""
    found = outcome(run, (SOURCE, TRANSFERRED))
    difference, judged = found.difference, found.verdict
    if difference is None or judged is None:
        return None
    source, new = found.arms[SOURCE].mean, found.arms[TRANSFERRED].mean
    margin = run.recipe.evaluation.margin_points
    return Measured(
        verdict=judged.kind,
        sentence=judged.sentence,
        measure=found.measure,
        rows=difference.n,
        source=source,
        transferred=new,
        retention=new / source if source else None,
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
        margin_points=margin,
        p_value=noninferiority_p(difference, margin, flags=found.measure == ACCURACY),
    )


def seconds_by_stage(run: Run) -> dict[str, Any]:
    """As the run's result tells them."""
    return (run.result() or {}).get("seconds", {})
