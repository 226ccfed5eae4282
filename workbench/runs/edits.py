"""What people do to samples: edits, decisions, own rows; with undo and redo that outlive a reload.

Every action is one row of ``edits`` with, for each sample that it touched, the fields in question
before and after. Undo is shared by all who have the run open: the newest action goes first. An
action after an undo forgets what could have been redone. Once the training has begun, the samples
are what the adapter was made from and can no longer be changed.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from workbench.errors import ConflictError, RunError
from workbench.limits import LIMITS
from workbench.runs.database import Database
from workbench.runs.sample_queries import SampleFilter, above_line, below_line, where
from workbench.runs.sample_rows import SELECT, insert, plain, stored_bytes, to_sample, to_values
from workbench.runs.state import started
from workbench.samples import KEPT, PENDING, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage

# Columns that belong together: an action puts back all of a group or nothing of it, because the
# pipeline may have filled in the rest of the group since.
_DECISION = ("status", "reason", "decided_by", "owed")
_ANSWER = ("teacher_output", "answered_by", "excess", "confidence", "folded")
_WRITTEN = ("input", "edited", "origin", "written_for", "nearest_seed", "discriminator_score")
_INPUT = (*_WRITTEN, *_ANSWER, *_DECISION)
_REJECTED_BY_HAND = "rejected by hand"
_WANTS_WORK = """
SELECT EXISTS (SELECT 1 FROM samples WHERE owed)
    OR EXISTS (SELECT 1 FROM samples WHERE status = 'kept' AND teacher_output IS NULL)
"""


def edit(
    database: Database,
    id: str,
    version: int,
    input: str | None,
    teacher_output: str | None,
    status: str | None,
) -> Sample:
    """Change one sample as a person; None leaves a field as it is. Returns the new sample.

    A new input is owed a new score and, unless a person gave the answer, a new label.

    Raises:
        ConflictError: the sample has changed since ``version``, or is gone.
    """
    with _action(database) as connection:
        row = _current(connection, id, version)
        before = after = to_sample(row)
        fields: set[str] = set()
        owed = bool(row["owed"])
        if input is not None and plain(input) != before.input:
            after, owed = _with_input(connection, after, plain(input)), True
            fields.update(_INPUT)
        if teacher_output is not None and plain(teacher_output) != after.teacher_output:
            after = _with_answer(after, plain(teacher_output))
            fields.update(_ANSWER)
        if status is not None and _decided(after, status) != after:
            after = _decided(after, status)
            owed = owed or status == PENDING
            fields.update(_DECISION)
        if not fields:
            return before
        after = replace(after, version=version + 1)
        values = to_values(after) | {"owed": int(owed)}
        names = sorted(fields)
        number = _begin(connection, "edit" if status is None else status)
        old = json.dumps({name: row[name] for name in names})
        new = json.dumps({name: values[name] for name in names})
        connection.execute(
            "INSERT INTO changes VALUES (?, ?, ?, ?)", (number, row["seq"], old, new)
        )
        sets = ", ".join(f"{name} = :{name}" for name in (*names, "version"))
        connection.execute(f"UPDATE samples SET {sets} WHERE id = :id", values)
        return after


def bulk(database: Database, chosen: SampleFilter, status: str) -> int:
    """Give every sample of a filter a person's decision; returns for how many it now holds."""
    condition, values = where(chosen)
    with _action(database) as connection:
        matched = connection.execute(f"SELECT count(*) FROM samples{condition}", values)
        total: int = matched.fetchone()[0]
        if _differ(connection, chosen, status):
            number = _begin(connection, f"{status} {total}")
            _decide_all(connection, number, chosen, status)
        return total


def relabel(database: Database, chosen: SampleFilter, answer: str) -> int:
    """Give every sample of a filter one answer of a person's; returns how many had another.

    What a sample's status is stays as it is.
    """
    text = plain(answer)
    if not text.strip():
        raise RunError("Write the answer first.")
    condition, values = where(chosen)
    with _action(database) as connection:
        rows = connection.execute(f"{SELECT}{condition}", values).fetchall()
        rows = [row for row in rows if row["teacher_output"] != text]
        number = _begin(connection, f"answered {len(rows)}") if rows else 0
        sets = ", ".join(f"{name} = :{name}" for name in _ANSWER)
        for row in rows:
            after = to_values(_with_answer(to_sample(row), text))
            connection.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?)",
                (
                    number,
                    row["seq"],
                    json.dumps({name: row[name] for name in _ANSWER}),
                    json.dumps({name: after[name] for name in _ANSWER}),
                ),
            )
            connection.execute(
                f"UPDATE samples SET {sets}, version = version + 1 WHERE id = :id", after
            )
        return len(rows)


def rewrite(database: Database, pairs: Sequence[tuple[Sample, Sample]]) -> list[Sample]:
    """Put freshly written samples in place of others, as one action; returns those that are there.

    Nothing a person said of the former text holds for the new one. A sample that was changed since
    it was read stays, and so does one whose new input another sample has.
    """
    with _action(database) as connection:
        done: dict[int, tuple[dict[str, Any], Sample]] = {}
        for old, new in pairs:
            row = connection.execute(f"{SELECT} WHERE id = ?", (old.id,)).fetchone()
            twin = connection.execute("SELECT 1 FROM samples WHERE id = ?", (sample_id(new.input),))
            if row is not None and row["version"] == old.version and twin.fetchone() is None:
                after = replace(new, id=old.id, round=old.round, version=old.version + 1)
                done[row["seq"]] = ({name: row[name] for name in _INPUT}, after)
        number = _begin(connection, f"regenerated {len(done)}") if done else 0
        sets = ", ".join(f"{name} = :{name}" for name in (*_INPUT, "version"))
        for seq, (before, after) in done.items():
            values = to_values(after)
            new_side = json.dumps({name: values[name] for name in _INPUT})
            connection.execute(
                "INSERT INTO changes VALUES (?, ?, ?, ?)",
                (number, seq, json.dumps(before), new_side),
            )
            connection.execute(f"UPDATE samples SET {sets} WHERE id = :id", values)
        return [after for _, after in done.values()]


def draw_line(database: Database, score: str, line: float) -> tuple[int, int]:
    """Reject what scores below a line and keep the rest, as one action of a person's.

    Returns:
        (how many were rejected, how many came back); what a person decided before stays.
    """
    decisions = ((below_line(score, line), REJECTED), (above_line(score, line), KEPT))
    with _action(database) as connection:
        lost, won = (_differ(connection, chosen, status) for chosen, status in decisions)
        if lost or won:
            number = _begin(connection, f"line at {line:.2f}")
            for chosen, status in decisions:
                _decide_all(connection, number, chosen, status)
        return lost, won


def _changing(chosen: SampleFilter, status: str) -> tuple[str, list[Any]]:
    """Condition for the samples of a filter that a decision would change."""
    condition, values = where(chosen)
    decided_by = _decided(Sample("", "", ""), status).decided_by
    differs = "(status <> ? OR decided_by <> ?)"
    joined = f"{condition} AND {differs}" if condition else f" WHERE {differs}"
    return joined, [*values, status, decided_by]


def _differ(connection: sqlite3.Connection, chosen: SampleFilter, status: str) -> int:
    condition, values = _changing(chosen, status)
    return connection.execute(f"SELECT count(*) FROM samples{condition}", values).fetchone()[0]


def _decide_all(
    connection: sqlite3.Connection, number: int, chosen: SampleFilter, status: str
) -> None:
    goal = _decided(Sample("", "", ""), status)
    owed = int(status == PENDING)
    condition, values = _changing(chosen, status)
    pairs = ", ".join(f"'{name}', {name}" for name in _DECISION)
    after = dict(zip(_DECISION, (status, goal.reason, goal.decided_by, owed), strict=True))
    connection.execute(
        f"INSERT INTO changes SELECT ?, seq, json_object({pairs}), ? FROM samples{condition}",
        [number, json.dumps(after), *values],
    )
    # Of an action with several decisions, only the samples of this one.
    connection.execute(
        "UPDATE samples SET status = ?, reason = ?, decided_by = ?, owed = owed OR ?, "
        "version = version + 1 "
        "WHERE seq IN (SELECT seq FROM changes WHERE edit = ? AND after = ?)",
        (status, goal.reason, goal.decided_by, owed, number, json.dumps(after)),
    )


def add(database: Database, examples: Sequence[Example], origin: str) -> list[Sample]:
    """Add a person's rows as kept samples; rows that are there already are left out.

    Rows without an output are owed a label; all are owed a score, which is shown and decides
    nothing. Rows of origin "hand" are an action that can be undone; "user" rows are inputs of the
    run.
    """
    fresh: dict[str, Sample] = {}
    for example in examples:
        text = plain(example.input)
        if text.strip():
            sample = Sample(sample_id(text), text, origin, status=KEPT, decided_by="person")
            if example.output is not None:
                answer = plain(example.output)
                sample = replace(sample, teacher_output=answer, answered_by="person")
            fresh.setdefault(sample.id, sample)
    with _action(database) as connection:
        _require_room(connection, list(fresh.values()))
        known = connection.execute(
            "SELECT id FROM samples WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(fresh)),),
        ).fetchall()
        for row in known:
            del fresh[row["id"]]
        rows = [to_values(sample) | {"owed": 1} for sample in fresh.values()]
        insert(connection, rows)
        if rows and origin == "hand":
            number = _begin(connection, f"add {len(rows)}")
            connection.executemany(
                "INSERT INTO changes SELECT ?, seq, NULL, json_set(?, '$.seq', seq) "
                "FROM samples WHERE id = ?",
                [(number, json.dumps(row), row["id"]) for row in rows],
            )
    return list(fresh.values())


def undo(database: Database) -> str | None:
    """Take back the newest action; returns what it was ("edit", "rejected 37", …), or None."""
    with _action(database) as connection:
        row = connection.execute(
            "SELECT edit, what FROM edits WHERE NOT undone ORDER BY edit DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        _apply(connection, row["edit"], "before")
        connection.execute(
            "DELETE FROM samples WHERE seq IN "
            "(SELECT seq FROM changes WHERE edit = ? AND before IS NULL)",
            (row["edit"],),
        )
        connection.execute("UPDATE edits SET undone = 1 WHERE edit = ?", (row["edit"],))
        return row["what"]


def redo(database: Database) -> str | None:
    """Do again what was undone last; returns what it was, or None."""
    with _action(database) as connection:
        row = connection.execute(
            "SELECT edit, what FROM edits WHERE undone ORDER BY edit LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        _apply(connection, row["edit"], "after")
        added = connection.execute(
            "SELECT after FROM changes WHERE edit = ? AND before IS NULL", (row["edit"],)
        ).fetchall()
        insert(connection, [json.loads(entry["after"]) for entry in added], ("seq",))
        connection.execute("UPDATE edits SET undone = 0 WHERE edit = ?", (row["edit"],))
        return row["what"]


def history(database: Database) -> tuple[str | None, str | None]:
    """What undo and redo would do now."""
    newest = "SELECT what FROM edits WHERE NOT undone ORDER BY edit DESC LIMIT 1"
    oldest_undone = "SELECT what FROM edits WHERE undone ORDER BY edit LIMIT 1"
    return database.one(newest), database.one(oldest_undone)


@contextmanager
def _action(database: Database) -> Iterator[sqlite3.Connection]:
    """One transaction of a person's; opens the labelling again when it left something to do."""
    with database.write() as connection:
        if started(connection, Stage.DISTIL):
            raise ConflictError(
                "The samples are fixed since the training began. Duplicate the run, or discard "
                "the training, to change them."
            )
        yield connection
        if connection.execute(_WANTS_WORK).fetchone()[0]:
            connection.execute(
                "UPDATE stages SET finished_at = NULL WHERE stage = ?", (Stage.LABEL.value,)
            )


def _current(connection: sqlite3.Connection, id: str, version: int) -> sqlite3.Row:
    row = connection.execute(f"{SELECT} WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise ConflictError("This sample is gone: it was taken back in another tab. Reload.")
    if row["version"] != version:
        raise ConflictError(
            "This sample was changed meanwhile, in another tab or by the run. Your change was "
            "not saved: look at the new content, then edit again."
        )
    return row


def _with_input(connection: sqlite3.Connection, sample: Sample, text: str) -> Sample:
    if not text.strip():
        raise RunError("The input of a sample cannot be empty. Reject the sample instead.")
    twin = connection.execute(
        "SELECT 1 FROM samples WHERE id = ? AND id <> ?", (sample_id(text), sample.id)
    )
    if twin.fetchone() is not None:
        raise RunError("There is already a sample with this input. Reject this one instead.")
    sample = replace(sample, input=text, edited=True, discriminator_score=None)
    sample = replace(sample, excess=None, confidence=None)
    if sample.answered_by != "person":
        sample = replace(sample, teacher_output=None)
    if sample.decided_by != "person":
        sample = replace(sample, status=PENDING, reason="")
    return sample


def _with_answer(sample: Sample, text: str) -> Sample:
    # Excess and confidence were about the former answer.
    answered = replace(sample, teacher_output=text, answered_by="person")
    return replace(answered, excess=None, confidence=None)


def _decided(sample: Sample, status: str) -> Sample:
    if status == PENDING:  # given back to the filter
        return replace(sample, status=PENDING, reason="", decided_by="filter")
    if status not in (KEPT, REJECTED):
        raise RunError(f'A sample can be kept, rejected or pending, not "{status}".')
    reason = _REJECTED_BY_HAND if status == REJECTED else ""
    return replace(sample, status=status, reason=reason, decided_by="person")


def _begin(connection: sqlite3.Connection, what: str) -> int:
    connection.execute("DELETE FROM edits WHERE undone")
    cursor = connection.execute("INSERT INTO edits (at, what) VALUES (?, ?)", (time.time(), what))
    return cursor.lastrowid or 0


def _apply(connection: sqlite3.Connection, number: int, side: str) -> None:
    """Put the fields of one side back; fields that the action left alone are not touched."""
    first = connection.execute(
        "SELECT before FROM changes WHERE edit = ? AND before IS NOT NULL LIMIT 1", (number,)
    ).fetchone()
    if first is None:
        return
    names = [name for name in json.loads(first["before"]) if name in _INPUT]
    sets = ", ".join(f"{name} = json_extract(c.{side}, '$.{name}')" for name in names)
    touched = "c.edit = ? AND c.seq = samples.seq"
    connection.execute(
        f"UPDATE samples SET {sets}, version = version + 1 FROM changes AS c WHERE {touched}",
        (number,),
    )
    # A sample that is to be decided again must be offered to the filter, whoever asked before.
    connection.execute(
        f"UPDATE samples SET owed = 1 FROM changes AS c WHERE {touched} AND NOT owed "
        "AND status = 'pending'",
        (number,),
    )


def _require_room(connection: sqlite3.Connection, samples: Sequence[Sample]) -> None:
    """Refuse rows that the database has no room for, with some left for what is made of them."""
    (held,) = connection.execute(
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    ).fetchone()
    adding = sum(stored_bytes(sample.input, sample.teacher_output or "") for sample in samples)
    if held + adding > LIMITS.database_bytes // 2:
        raise RunError(
            f"These rows would take about {adding / 1e6:,.0f} MB, and the run holds "
            f"{held / 1e6:,.0f} MB of {LIMITS.database_bytes / 2e6:,.0f} MB already. Add fewer."
        )
