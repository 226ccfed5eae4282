"""What happens in a run, as frozen dataclasses. Journalled first, shown afterwards."""

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from workbench.stages import ORDER


@dataclass(frozen=True)
class StageStarted:
    """A stage begins or, after an interruption, goes on."""

    stage: str
    resumed: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a stage is. ``rate`` is units per second of this session, 0 when unknown."""

    stage: str
    done: int
    total: int
    unit: str
    rate: float = 0.0
    note: str = ""  # phase in words within the stage, e.g. "loading gemma-3-270m"


@dataclass(frozen=True)
class RoundFinished:
    """One round of synthesis is committed: what became of what was written."""

    round: int
    made: int
    kept: int
    rejected: int
    duplicates: int = 0  # same or nearly the same as another sample
    copied: int = 0  # a seed written again
    empty: int = 0  # nothing usable on the line


@dataclass(frozen=True)
class Metric:
    """One point of a training curve. Loss in nats per answer token."""

    stage: str
    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    memory_bytes: int


@dataclass(frozen=True)
class Probe:
    """The student's answer to one fixed held-out input while it learns, beside the teacher's."""

    step: int
    input: str
    student: str
    teacher: str


@dataclass(frozen=True)
class CheckpointWritten:
    """A complete checkpoint is on disk."""

    step: int
    folder: str


@dataclass(frozen=True)
class ArmFinished:
    """One arm of the comparison is answered on all rows."""

    arm: str
    accuracy: float
    n: int


@dataclass(frozen=True)
class Warned:
    """Something that the person should know, in a sentence; the run goes on."""

    stage: str
    message: str


@dataclass(frozen=True)
class StageFinished:
    """A stage reached its goal."""

    stage: str
    seconds: float
    counts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stopped:
    """The run stands still: by a person ("stopped"), or by a failure ("failed")."""

    stage: str
    state: str
    message: str
    code: str = ""
    error_id: str = ""


Event = (
    StageStarted
    | Progress
    | RoundFinished
    | Metric
    | Probe
    | CheckpointWritten
    | ArmFinished
    | Warned
    | StageFinished
    | Stopped
)
_KINDS: dict[str, type] = {kind.__name__: kind for kind in Event.__args__}


def encode(event: Event) -> tuple[str, dict[str, Any]]:
    """(kind, JSON-ready body) of an event."""
    return type(event).__name__, dataclasses.asdict(event)


def decode(kind: str, body: str) -> Event | None:
    """The event of a JSON body, or None for a kind or a step that a newer version wrote.

    Unknown fields are dropped.

    Raises:
        ValueError: the body is damaged: no JSON, a field missing or of another type.
    """
    if kind not in _KINDS:
        return None
    event = _reader(kind).validate_json(body, strict=True)
    return event if getattr(event, "stage", ORDER[0]) in ORDER else None


@functools.cache
def _reader(kind: str) -> TypeAdapter:
    return TypeAdapter(_KINDS[kind])
