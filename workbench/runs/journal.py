"""The journal of a run: every event in order, read with a cursor.

Events are committed before anyone is shown them; readers poll ``since`` with the last cursor they
saw. Nothing is ever removed, so a chart must begin anew at a ``StageStarted`` that is not resumed.
"""

import json
import math
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from workbench.events import Event, StageStarted, decode, encode
from workbench.runs.database import Database

Kind = TypeVar("Kind")
_SELECT = "SELECT cursor, at, kind, body FROM events"


@dataclass(frozen=True)
class Entry(Generic[Kind]):
    """One journalled event. ``at`` is wall-clock seconds since 1970, for display only."""

    cursor: int
    at: float
    event: Kind


class Journal:
    """Append to and read from one run's events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, *events: Event) -> int:
        """Commit events together; returns the cursor of the last one.

        A ``StageStarted`` also marks the stage as started, which locks its settings.
        """
        with self._database.write() as connection:
            return record(connection, events)

    def since(self, cursor: int = 0, limit: int = 500) -> list[tuple[int, Event]]:
        """At most ``limit`` events after ``cursor``, oldest first."""
        return [(entry.cursor, entry.event) for entry in self.log(cursor, limit)]

    def log(self, cursor: int = 0, limit: int = 500) -> list[Entry[Event]]:
        """Like ``since``, with the time of each event."""
        found: list[Entry[Event]] = []
        while True:
            rows = self._database.read(
                f"{_SELECT} WHERE cursor > ? ORDER BY cursor LIMIT ?",
                (cursor, limit),
            )
            found += [entry for entry in map(_entry, rows) if entry is not None]
            # What cannot be read is skipped; look further so that a reader does not stall.
            if found or len(rows) < limit:
                return found
            cursor = rows[-1]["cursor"]

    def last(self, kind: type[Kind]) -> Kind | None:
        """The newest event of one kind, or None."""
        entry = self.last_entry(kind)
        return entry.event if entry is not None else None

    def last_entry(self, kind: type[Kind]) -> Entry[Kind] | None:
        """The newest event of one kind with cursor and time, or None."""
        rows = self._database.read(
            f"{_SELECT} WHERE kind = ? ORDER BY cursor DESC LIMIT 1",
            (kind.__name__,),
        )
        return _entry(rows[0]) if rows else None

    def recent(self, kind: type[Kind], limit: int) -> list[Entry[Kind]]:
        """The newest events of one kind with cursors and times, oldest first."""
        rows = self._database.read(
            f"{_SELECT} WHERE kind = ? ORDER BY cursor DESC LIMIT ?", (kind.__name__, limit)
        )
        return [entry for entry in map(_entry, reversed(rows)) if entry is not None]

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        """Every event of one kind, oldest first."""
        rows = self._database.read(f"{_SELECT} WHERE kind = ? ORDER BY cursor", (kind.__name__,))
        return [entry.event for entry in map(_entry, rows) if entry is not None]

    def cursor(self) -> int:
        """The newest cursor; 0 when nothing has happened."""
        return self._database.one("SELECT max(cursor) FROM events") or 0


def record(connection: sqlite3.Connection, events: Sequence[Event]) -> int:
    """Insert events inside an open transaction; returns the cursor of the last one."""
    cursor = 0
    now = time.time()
    for event in events:
        kind, body = encode(event)
        cursor = connection.execute(
            "INSERT INTO events (at, kind, body) VALUES (?, ?, ?)",
            (now, kind, json.dumps(body)),
        ).lastrowid
        if isinstance(event, StageStarted):
            connection.execute(
                "INSERT OR IGNORE INTO stages (stage, started_at) VALUES (?, ?)",
                (event.stage, now),
            )
    return cursor or 0


def read_event(kind: Any, body: Any) -> Event | None:
    """An event as it is stored; None for what a newer version wrote, or what is damaged."""
    try:
        return decode(kind, body)
    except (ValueError, TypeError):
        return None


def _entry(row: sqlite3.Row) -> Entry[Any] | None:
    event = read_event(row["kind"], row["body"])
    at = row["at"] if isinstance(row["at"], float) and math.isfinite(row["at"]) else 0.0
    return None if event is None else Entry(row["cursor"], at, event)
