"""What a status strip needs about a run, by one small query: fifty pages ask every 2 seconds."""

import json
from dataclasses import dataclass

from workbench.events import Progress, StageFinished, StageStarted, Stopped, decode
from workbench.runs.folder import Run
from workbench.stages import Stage

_SQL = """
SELECT
    (SELECT max(cursor) FROM events) AS cursor,
    (SELECT value FROM facts WHERE key = 'name') AS name,
    (SELECT json_group_array(stage) FROM stages WHERE finished_at IS NOT NULL) AS done,
    (SELECT json_group_array(stage) FROM stages) AS started,
    (SELECT json_group_object(status, n) FROM tallies) AS tallies,
    (SELECT max(edit) FROM edits) AS edit,
    (SELECT count(*) FROM edits WHERE undone) AS undone,
    (SELECT json_array(cursor, at, kind, json(body)) FROM events
        WHERE kind = 'Progress' ORDER BY cursor DESC LIMIT 1) AS progress,
    (SELECT json_array(cursor, at, kind, json(body)) FROM events
        WHERE kind = 'StageStarted' ORDER BY cursor DESC LIMIT 1) AS begun,
    (SELECT json_array(cursor, at, kind, json(body)) FROM events
        WHERE kind = 'StageFinished' ORDER BY cursor DESC LIMIT 1) AS ended,
    (SELECT json_array(cursor, at, kind, json(body)) FROM events
        WHERE kind = 'Stopped' ORDER BY cursor DESC LIMIT 1) AS halted
"""


@dataclass(frozen=True)
class Summary:
    """A glance at a run.

    Attributes:
        cursor: newest journal cursor.
        done, started: stages that have finished, and that have started.
        counts: samples by status.
        edits: changes whenever a person edits, undoes or redoes.
        progress, progress_at: the newest progress and its wall-clock time.
        begun, ended, halted: newest start and end of a stage and newest stop, if any.
        stands: True when the newest of the three is a stop or the end of a stage.
    """

    cursor: int
    name: str
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
    row = run.database.read(_SQL)[0]
    found = {
        key: json.loads(row[key]) for key in ("progress", "begun", "ended", "halted") if row[key]
    }
    events = {key: decode(entry[2], entry[3]) for key, entry in found.items()}
    cursors = {key: entry[0] for key, entry in found.items()}
    begun_at = cursors.get("begun", 0)
    halted = events.get("halted") if cursors.get("halted", 0) > begun_at else None
    progress = events.get("progress") if cursors.get("progress", 0) > begun_at else None
    return Summary(
        cursor=row["cursor"] or 0,
        name=json.loads(row["name"]) if row["name"] else run.id,
        done=frozenset(Stage(name) for name in json.loads(row["done"])),
        started=frozenset(Stage(name) for name in json.loads(row["started"])),
        counts=json.loads(row["tallies"]),
        edits=(row["edit"] or 0, row["undone"]),
        progress=progress if isinstance(progress, Progress) else None,
        progress_at=found["progress"][1] if progress is not None else 0.0,
        begun=events.get("begun"),  # type: ignore[arg-type]
        ended=events.get("ended"),  # type: ignore[arg-type]
        halted=halted if isinstance(halted, Stopped) else None,
        stands=max(cursors.get("ended", 0), cursors.get("halted", 0)) > begun_at,
    )
