"""Which stages of a run have started and finished, and what goes when one is opened again."""

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from pydantic import FiniteFloat, TypeAdapter

from workbench.errors import RunError
from workbench.events import StageFinished
from workbench.runs.database import Database
from workbench.runs.journal import record
from workbench.stages import ORDER, WORDS, Stage

# Arms that do not depend on the new adapter: their answers outlive another distillation.
INDEPENDENT_ARMS = ("source_base", "source_adapter", "target_base", "target_few_shot", "copied")


_SELECT = "SELECT stage, started_at, finished_at, seconds, counts FROM stages"


@dataclass(frozen=True)
class StageRecord:
    """What is known of one stage. Times are wall-clock seconds since 1970; None = not yet."""

    stage: Stage
    started_at: FiniteFloat | None = None
    finished_at: FiniteFloat | None = None
    seconds: FiniteFloat | None = None
    counts: dict[str, Any] | None = None


_READER = TypeAdapter(StageRecord)


def stage_records(database: Database) -> dict[Stage, StageRecord]:
    """One record for each stage, in order."""
    rows = {row["stage"]: row for row in database.read(_SELECT)}
    records = {}
    for stage in ORDER:
        row = rows.get(stage.value)
        records[stage] = StageRecord(stage) if row is None else _record(stage, row)
    return records


def started(connection: sqlite3.Connection, stage: Stage) -> bool:
    """Whether a stage or any later one has started (and was not opened again)."""
    later = [entry.value for entry in ORDER[ORDER.index(stage) :]]
    marks = ", ".join("?" * len(later))
    row = connection.execute(f"SELECT 1 FROM stages WHERE stage IN ({marks}) LIMIT 1", later)
    return row.fetchone() is not None


def finish(database: Database, event: StageFinished) -> int:
    """Mark a stage as finished and journal the event, together; returns the cursor."""
    now = time.time()
    with database.write() as connection:
        connection.execute(
            "INSERT INTO stages VALUES (:stage, :now, :now, :seconds, :counts) "
            "ON CONFLICT (stage) DO UPDATE SET finished_at = :now, seconds = :seconds, "
            "counts = :counts",
            {
                "stage": Stage(event.stage).value,
                "now": now,
                "seconds": event.seconds,
                "counts": json.dumps(event.counts),
            },
        )
        return record(connection, (event,))


def reopen(connection: sqlite3.Connection, stage: Stage, keep_arms: bool) -> None:
    """Forget that ``stage`` and later ones started; samples and the journal stay.

    Args:
        keep_arms: keep the answers of the arms that do not depend on the new adapter.
    """
    later = [entry.value for entry in ORDER[ORDER.index(stage) :]]
    marks = ", ".join("?" * len(later))
    connection.execute(f"DELETE FROM stages WHERE stage IN ({marks})", later)
    if stage is Stage.EXPORT:
        return
    if keep_arms and stage is not Stage.EVALUATE:
        marks = ", ".join("?" * len(INDEPENDENT_ARMS))
        connection.execute(f"DELETE FROM answers WHERE arm NOT IN ({marks})", INDEPENDENT_ARMS)
    else:
        connection.execute("DELETE FROM answers")


def _record(stage: Stage, row: sqlite3.Row) -> StageRecord:
    values = {name: row[name] for name in ("started_at", "finished_at", "seconds")}
    try:
        counts = json.loads(row["counts"]) if row["counts"] else None
        return _READER.validate_python({"stage": stage, "counts": counts, **values})
    except (ValueError, RecursionError) as error:
        raise RunError(
            f'What this run notes of the step "{WORDS[stage]}" is damaged. '
            "`python -m workbench runs --check` says what can still be taken."
        ) from error
