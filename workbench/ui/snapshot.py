"""What all pages that show one run share: read once a second, handed to everyone who asks.

Fifty open pages cost one look at the run's folder, not fifty. The events are read with a cursor,
so a long run costs no more than a new one. Nothing is written here.
"""

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from workbench import events, fit, jobs
from workbench.errors import WorkbenchError
from workbench.inputs import Inputs
from workbench.jobs import RunState
from workbench.recipe import MODEL, TransferRecipe, recipe_hash, recommended
from workbench.runs import owners
from workbench.runs.folder import NoSuchRun, Run
from workbench.runs.sample_queries import SampleFilter
from workbench.runs.summary import summary
from workbench.samples import KEPT, SPAN_SWAP
from workbench.stages import ARM_WORDS, ORDER, WORDS, Stage
from workbench.ui import workspace
from workbench.ui.failures import for_visitor

_FRESH_SECONDS = 1.0
_OPEN_RUNS = 128
_LOG_LINES = 400
_PACES = (0.2, 10.0)  # real time by estimated time that is believed of what is still to come
# What the progress of a whole step counts; anything else is of a part.
_UNITS = {
    Stage.SYNTHESIZE: "samples",
    Stage.LABEL: "samples",
    Stage.DISTIL: "steps",
    Stage.EVALUATE: "answers",
}


@dataclass
class Tail:
    """What the events add up to so far.

    Attributes:
        metrics: the training curve; a resumed training replaces the steps that it repeats.
        totals: sums over all rounds of synthesis, by field of ``RoundFinished``.
        arms: model -> (accuracy, rows), as far as they have answered.
        log: one sentence per noteworthy event, oldest first.
    """

    cursor: int = 0
    metrics: list[events.Metric] = field(default_factory=list)
    probes: list[events.Probe] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    rounds: int = 0
    arms: dict[str, dict[str, float]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def take(self, cursor: int, event: events.Event) -> None:
        """Add one event of the journal."""
        self.cursor = cursor
        if isinstance(event, events.Metric):
            while self.metrics and self.metrics[-1].step >= event.step:
                self.metrics.pop()
            self.metrics.append(event)
        elif isinstance(event, events.Probe):
            self.probes = [probe for probe in self.probes if probe.step <= event.step]
            self.probes.append(event)
        elif isinstance(event, events.RoundFinished):
            self.rounds += 1
            for name in ("made", "kept", "rejected", "duplicates", "copied", "empty"):
                self.totals[name] = self.totals.get(name, 0) + getattr(event, name)
        elif isinstance(event, events.ArmFinished):
            self.arms = {**self.arms, event.arm: {"accuracy": event.accuracy, "n": event.n}}
        elif event == events.StageStarted(Stage.DISTIL):
            self.metrics, self.probes = [], []
        line = log_line(event)
        if line:
            self.log = [*self.log[-_LOG_LINES:], line]


def log_line(event: events.Event) -> str:
    """An event as one line for people; "" for those that are shown elsewhere."""
    match event:
        case events.StageStarted(stage, resumed):
            return f"{WORDS[Stage(stage)]}{' goes on' if resumed else ' begins'}"
        case events.StageFinished(stage, seconds):
            return f"{WORDS[Stage(stage)]}: done in {seconds:.0f} s"
        case events.RoundFinished(number, made, kept, rejected):
            return f"Round {number + 1}: {made} written, {kept} kept, {rejected} rejected"
        case events.CheckpointWritten(step):
            return f"Checkpoint at step {step}"
        case events.ArmFinished(arm, accuracy, n):
            return f"{ARM_WORDS.get(arm, arm)}: {100 * accuracy:.1f} % of {n}"
        case events.Warned(message=message):
            return f"Note: {for_visitor(message)}"
        case events.Stopped(message=message):
            return for_visitor(message)
    return ""


@dataclass(frozen=True)
class Snapshot:
    """One look at a run; ``run`` is None when the page has none open.

    Attributes:
        present_since: wall-clock seconds at which the present step began or went on, or its worker
            began; 0 without one.
        past_seconds: that finished steps took; earlier_seconds: those before the present worker.
    """

    run: Run | None
    name: str
    state: RunState
    tail: Tail
    recipe: TransferRecipe
    inputs: Inputs
    counts: dict[str, int]
    done: frozenset[Stage]
    begun: frozenset[Stage]
    edits: tuple[int, int]
    present_since: float = 0.0
    past_seconds: float = 0.0
    earlier_seconds: float = 0.0

    @property
    def run_id(self) -> str:
        """The open run's id, or ""."""
        return self.run.id if self.run else ""

    @property
    def kept(self) -> int:
        """Samples that will be trained on."""
        return self.counts.get(KEPT, 0)

    @property
    def has_teacher(self) -> bool:
        """There is something to move: an adapter, or a source base that is the teacher itself."""
        return self.inputs.adapter is not None or self.alone

    @property
    def alone(self) -> bool:
        """The source base is the teacher by itself."""
        return self.recipe.teacher == MODEL

    @property
    def busy(self) -> bool:
        """A worker is on it, or about to be."""
        return self.state.state in ("queued", "running", "not responding")

    def started(self, stage: Stage) -> bool:
        """Whether the stage or a later one has begun."""
        return any(later in self.begun for later in ORDER[ORDER.index(stage) :])

    @cached_property
    def recipe_token(self) -> str:
        """Changes with the recipe."""
        return recipe_hash(self.recipe)

    @cached_property
    def inputs_token(self) -> str:
        """Changes with the inputs."""
        parts = self.inputs
        adapters = [entry.sha256 for entry in (parts.adapter, parts.discriminator) if entry]
        return f"{adapters}|{hash((parts.seeds, parts.evaluation, parts.unlabelled))}"

    @cached_property
    def estimate(self) -> fit.Estimate:
        """What the run needs, by what was measured here and how many samples there came to be."""
        recipe = self.recipe
        if self.run is not None and Stage.SYNTHESIZE in self.done:
            mixed = self.run.samples.count(SampleFilter(origin=SPAN_SWAP, status=KEPT))
            recipe = fit.with_samples(recipe, self.kept - mixed)
        return fit.estimate(recipe, self.inputs, workspace.runs_root())

    @property
    def elapsed_seconds(self) -> float:
        """Of work so far: of steps that were finished before, and of the present worker."""
        if not (self.busy and self.state.worker_since):
            return self.past_seconds
        return self.earlier_seconds + time.time() - self.state.worker_since

    @property
    def expected_seconds(self) -> float | None:
        """Of work until it ends or waits for a review, corrected by how it goes; None: not known.

        What is done so far tells how quick the machine is; of the present step its own progress
        says more, the further it is.
        """
        ahead, stage, until = self.estimate.seconds_by_stage, self.state.stage, self.state.until
        if not ahead or stage is None or self.state.state != "running":
            return None
        place, end = ORDER.index(stage), ORDER.index(until or ORDER[-1]) + 1
        before = sum(ahead.get(earlier, 0.0) for earlier in ORDER[:place])
        after = sum(ahead.get(later, 0.0) for later in ORDER[place + 1 : end])
        pace = self._pace(self.past_seconds, before)
        spent = time.time() - self.present_since if self.present_since else 0.0
        left = max(0.0, pace * ahead.get(stage, 0.0) - spent)
        told, total = self.state.remaining_seconds, self.state.total
        if told is not None and total and self.state.unit == _UNITS.get(stage):
            share = 1.0 if stage is Stage.DISTIL else min(1.0, self.state.done / total)
            left = share * told + (1 - share) * left
        elif told is not None:  # of a part of the step
            left = max(told, left)
        pace = self._pace(self.past_seconds + spent + left, before + ahead.get(stage, 0.0))
        return self.elapsed_seconds + left + pace * after

    @staticmethod
    def _pace(real: float, estimated: float) -> float:
        pace = real / estimated if estimated and real else 1.0
        return min(max(pace, _PACES[0]), _PACES[1])

    @property
    def samples_token(self) -> str:
        """Changes with the samples, their scores and labels."""
        making = self.busy and not self.started(Stage.DISTIL)
        moment = self.tail.cursor if making else ""
        return f"{self.run_id}|{self.counts}|{self.edits}|{sorted(self.done)}|{moment}"

    @cached_property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says; {} before the comparison is done, or when it is damaged."""
        with suppress(WorkbenchError):
            return (self.run.result() if self.run else None) or {}
        return {}


def nothing(message: str = "") -> Snapshot:
    """What a page without a run sees; ``message`` says why it is without one."""
    return Snapshot(
        run=None,
        name="",
        state=RunState("draft", message=message),
        tail=Tail(),
        recipe=recommended(),
        inputs=Inputs(),
        counts={},
        done=frozenset(),
        begun=frozenset(),
        edits=(0, 0),
    )


@dataclass
class _Open:
    """A run that some page looks at, with the lock that lets one thread read it at a time."""

    run: Run
    tail: Tail = field(default_factory=Tail)
    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float = 0.0
    last: Snapshot | None = None


_open: OrderedDict[str, _Open] = OrderedDict()
_open_lock = threading.Lock()


def take(run_id: str, *, fresh: bool = False) -> Snapshot:
    """The run as it stands, at most a second old; ``fresh`` reads now (after a change).

    Raises:
        RunError: no such run.
    """
    if not run_id:
        return nothing()
    entry = _entry(run_id)
    if not owners.may_open(entry.run):
        raise NoSuchRun
    with entry.lock:
        if fresh or entry.last is None or time.monotonic() - entry.at > _FRESH_SECONDS:
            entry.last = _read(entry)
            entry.at = time.monotonic()
        return entry.last


def look(run_id: str, *, fresh: bool = False) -> Snapshot:
    """Like ``take``; a run that is not there (deleted, wrong address) is told in the strip."""
    try:
        return take(run_id, fresh=fresh)
    except WorkbenchError as error:
        return nothing(for_visitor(error.message))


def forget(run_id: str) -> None:
    """Drop what is known about a run: it was deleted."""
    with _open_lock:
        _open.pop(run_id, None)


def _entry(run_id: str) -> _Open:
    with _open_lock:
        entry = _open.get(run_id)
        if entry is None or not entry.run.folder.is_dir():
            _open.pop(run_id, None)
            entry = _open[run_id] = _Open(workspace.find(run_id))
        _open.move_to_end(run_id)
        while len(_open) > _OPEN_RUNS:
            _open.popitem(last=False)
        return entry


def _read(entry: _Open) -> Snapshot:
    run = entry.run
    glance = summary(run)
    if glance.cursor > entry.tail.cursor:
        while batch := run.journal.since(entry.tail.cursor, limit=1000):
            for cursor, event in batch:
                entry.tail.take(cursor, event)
    records, state = run.stages(), jobs.state(run)
    since, last = state.worker_since, run.journal.last_entry(events.StageStarted)
    took = [(record.started_at or 0.0, record.seconds or 0.0) for record in records.values()]
    return Snapshot(
        run=run,
        name=glance.name,
        state=_for_visitor(state),
        tail=entry.tail,
        recipe=run.recipe,
        inputs=run.inputs,
        counts=glance.counts,
        done=glance.done,
        begun=glance.started,
        edits=glance.edits,
        present_since=max(since, last.at) if since and last else since,
        past_seconds=sum(seconds for _, seconds in took),
        earlier_seconds=sum(seconds for began, seconds in took if began < since or not since),
    )


def _for_visitor(state: RunState) -> RunState:
    message, phase = for_visitor(state.message), for_visitor(state.phase)
    return replace(state, message=message, phase=phase)
