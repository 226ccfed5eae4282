"""What a status strip needs about a run, by one small query: fifty pages ask every 2 seconds."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.events import Event, Progress, StageFinished, StageStarted, Stopped
from workbench.runs.folder import Run
from workbench.runs.journal import read_event
from workbench.stages import Stage

_EVENT = """(SELECT json_array(cursor, at, kind, body) FROM events
        WHERE kind = '{}' ORDER BY cursor DESC LIMIT 1)"""
_SQL = f"""
SELECT
    (SELECT max(cursor) FROM events) AS cursor,
    (SELECT value FROM facts WHERE key = 'name') AS name,
    (SELECT value FROM facts WHERE key = 'created_at') AS created,
    (SELECT value FROM facts WHERE key = 'owner') AS owner,
    (SELECT json_group_array(stage) FROM stages WHERE finished_at IS NOT NULL) AS done,
    (SELECT json_group_array(stage) FROM stages) AS started,
    (SELECT json_group_object(status, n) FROM tallies) AS tallies,
    (SELECT max(edit) FROM edits) AS edit,
    (SELECT count(*) FROM edits WHERE undone) AS undone,
    {_EVENT.format("Progress")} AS progress,
    {_EVENT.format("StageStarted")} AS begun,
    {_EVENT.format("StageFinished")} AS ended,
    {_EVENT.format("Stopped")} AS halted
"""


@dataclass(frozen=True)
class Summary:
    """A glance at a run.

    Attributes:
        cursor: newest journal cursor.
        owner: see ``owners``.
        done, started: stages that have finished, and that have started.
        counts: samples by status.
        edits: changes whenever a person edits, undoes or redoes.
        progress, progress_at: the newest progress and its wall-clock time.
        begun, ended, halted: newest start and end of a stage and newest stop, if any.
        stands: True when the newest of the three is a stop or the end of a stage.
    """

    cursor: int
    name: str
    owner: str
    created_at: float
    done: frozenset[Stage]
    started: frozenset[Stage]
    counts: dict[str, int]
    edits: tuple[int, int]
    progress: Progress | None
    progress_at: float
    begun: StageStarted | None
    ended: StageFinished | None
    halted: Stopped | None
    stands: bool


def summary(run: Run) -> Summary:
    """One glance, by one query of a few index look-ups."""
    return from_row(run.id, read_row(run))


def read_row(run: Run) -> dict[str, Any]:
    """What a summary is made of: numbers and texts, JSON-ready."""
    return dict(run.database.read(_SQL)[0])


def from_row(id: str, row: Mapping[str, Any]) -> Summary:
    """A summary; what is damaged in the row counts as not there."""
    found = {key: _event(row[key]) for key in ("progress", "begun", "ended", "halted")}
    cursors = {key: cursor for key, (cursor, _, _) in found.items()}
    progress, begun, ended, halted = (event for _, _, event in found.values())
    begun_at = cursors["begun"]
    fresh = cursors["progress"] > begun_at
    name, owner, created = (_loaded(row[key]) for key in ("name", "owner", "created"))
    counts = _loaded(row["tallies"])
    return Summary(
        cursor=row["cursor"] or 0,
        name=name if isinstance(name, str) and name else id,
        owner=owner if isinstance(owner, str) else "",
        created_at=created if isinstance(created, float) else 0.0,
        done=_stages(row["done"]),
        started=_stages(row["started"]),
        counts={status: n for status, n in counts.items() if isinstance(n, int)},
        edits=(row["edit"] or 0, row["undone"]),
        progress=progress if fresh and isinstance(progress, Progress) else None,
        progress_at=found["progress"][1] if fresh else 0.0,
        begun=begun if isinstance(begun, StageStarted) else None,
        ended=ended if isinstance(ended, StageFinished) else None,
        halted=halted if cursors["halted"] > begun_at and isinstance(halted, Stopped) else None,
        stands=max(cursors["ended"], cursors["halted"]) > begun_at,
    )


def _event(text: str | None) -> tuple[int, float, Event | None]:
    """Cursor, time and event; zeros and None when there is none that can be read."""
    values = _loaded(text)
    if not isinstance(values, list):
        return 0, 0.0, None
    cursor, at, kind, body = values
    event = read_event(kind, body)
    known = event is not None and isinstance(at, float | int) and math.isfinite(at)
    return (cursor, float(at), event) if known else (0, 0.0, None)


def _stages(text: str) -> frozenset[Stage]:
    return frozenset(stage for stage in Stage if stage.value in _loaded(text))


def _loaded(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
