"""The samples of a run: what the pipeline commits and what people see and change.

A person's word is never overruled: updates of the pipeline leave a person's decision, answer and
newly written input alone.
"""

import dataclasses
import sqlite3
from collections.abc import Sequence

from workbench.events import RoundFinished
from workbench.runs import edits, sample_queries
from workbench.runs.database import Database
from workbench.runs.journal import record
from workbench.runs.sample_queries import ALL, SampleFilter
from workbench.runs.sample_rows import SELECT, folded, insert, to_sample, to_values
from workbench.samples import KEPT, Example, Sample


class Samples:
    """Samples of one run; every method is one transaction or one query."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # What the pipeline does.

    def commit_round(self, round: int, samples: Sequence[Sample], event: RoundFinished) -> bool:
        """Store a round with its event; False, and nothing stored, when it was there already."""
        rows = [to_values(sample) for sample in samples]
        with self._database.write() as connection:
            known = connection.execute("SELECT 1 FROM rounds WHERE round = ?", (round,))
            if known.fetchone() is not None:
                return False
            insert(connection, rows)
            cursor = record(connection, (event,))
            connection.execute("INSERT INTO rounds VALUES (?, ?)", (round, cursor))
            return True

    def rounds(self) -> set[int]:
        """Numbers of the committed rounds."""
        return {row[0] for row in self._database.read("SELECT round FROM rounds")}

    def update_many(self, samples: Sequence[Sample]) -> int:
        """Store what the pipeline found out; returns how many samples took it.

        A sample whose input a person has changed meanwhile takes nothing and stays owed. What a
        person decided or answered stays. An update settles what was owed, even if it brings none.
        """
        with self._database.write() as connection:
            return sum(_update(connection, sample) for sample in samples)

    def owed_scores(self) -> list[Sample]:
        """Samples that still want a score: new, edited, or a person's own."""
        return sample_queries.select(self._database, "owed")

    def unlabelled(self) -> list[Sample]:
        """Kept samples without an answer."""
        return sample_queries.select(self._database, "status = 'kept' AND teacher_output IS NULL")

    def kept(self) -> list[Sample]:
        """Kept samples in the order they were made."""
        return sample_queries.select(self._database, "status = ?", (KEPT,))

    def all(self) -> list[Sample]:
        """Every sample in the order it was made."""
        return sample_queries.select(self._database, "1")

    def ids(self) -> set[str]:
        """Ids of all samples."""
        return {row[0] for row in self._database.read("SELECT id FROM samples")}

    def get(self, id: str) -> Sample | None:
        """One sample, or None."""
        rows = self._database.read(f"{SELECT} WHERE id = ?", (id,))
        return to_sample(rows[0]) if rows else None

    # What people see.

    def page(
        self, chosen: SampleFilter = ALL, sort: str = "-made", offset: int = 0, limit: int = 50
    ) -> list[Sample]:
        """Samples of a filter; ``sort`` is one of ``sample_queries.SORTS``, "-" turns it round."""
        return sample_queries.page(self._database, chosen, sort, offset, limit)

    def count(self, chosen: SampleFilter = ALL) -> int:
        """How many samples a filter lets through."""
        return sample_queries.count(self._database, chosen)

    def status_counts(self) -> dict[str, int]:
        """Number of samples by status."""
        return sample_queries.status_counts(self._database)

    def label_counts(self, status: str = KEPT) -> dict[str, int]:
        """Number of samples by the teacher's answer, most first."""
        return sample_queries.label_counts(self._database, status)

    def consistency(self) -> dict[str, tuple[int, int]]:
        """By answer that samples were written for: (how many, how many the teacher gave it to)."""
        return sample_queries.consistency(self._database)

    def reason_counts(self) -> dict[str, int]:
        """Number of rejected samples by reason, most first."""
        return sample_queries.reason_counts(self._database)

    def score_array(self, score: str = "discriminator_score", status: str = "") -> list[float]:
        """All values of "discriminator_score", "excess" or "confidence"; unordered."""
        return sample_queries.score_array(self._database, score, status)

    def histogram(
        self,
        score: str = "discriminator_score",
        low: float = 0.0,
        high: float = 1.0,
        bins: int = 40,
    ) -> dict[str, list[int]]:
        """By status, counts in equal bins; values outside go to the first and last bin."""
        return sample_queries.histogram(self._database, score, low, high, bins)

    def score_range(self, score: str = "discriminator_score") -> tuple[float, float] | None:
        """Smallest and largest value, or None without any."""
        return sample_queries.score_range(self._database, score)

    # What people do; see ``edits``.

    def edit(
        self,
        id: str,
        version: int,
        *,
        input: str | None = None,
        teacher_output: str | None = None,
        status: str | None = None,
    ) -> Sample:
        """Change one sample as a person; ConflictError when it changed since ``version``."""
        return edits.edit(
            self._database,
            id,
            version,
            input=input,
            teacher_output=teacher_output,
            status=status,
        )

    def bulk(self, chosen: SampleFilter, status: str) -> int:
        """Keep or reject all of a filter as a person; returns for how many it holds now."""
        return edits.bulk(self._database, chosen, status)

    def relabel(self, chosen: SampleFilter, answer: str) -> int:
        """Give all of a filter one answer of a person's; returns how many had another."""
        return edits.relabel(self._database, chosen, answer)

    def rewrite(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Sample]:
        """Put fresh samples in place of (former, fresh) ones; returns those that are there."""
        return edits.rewrite(self._database, pairs)

    def draw_line(self, score: str, line: float) -> tuple[int, int]:
        """Reject below a score and keep from it on, as one action: (rejected, come back)."""
        return edits.draw_line(self._database, score, line)

    def add(self, examples: Sequence[Example], origin: str = "hand") -> list[Sample]:
        """Add a person's rows ("hand") or unlabelled inputs ("user"); returns the new ones."""
        return edits.add(self._database, examples, origin)

    def undo(self) -> str | None:
        """Take back the newest action of a person; returns what it was, or None."""
        return edits.undo(self._database)

    def redo(self) -> str | None:
        """Do again what was undone last; returns what it was, or None."""
        return edits.redo(self._database)

    def history(self) -> tuple[str | None, str | None]:
        """What undo and what redo would do now; None for nothing."""
        return edits.history(self._database)


def _update(connection: sqlite3.Connection, new: Sample) -> int:
    row = connection.execute(f"{SELECT} WHERE id = ?", (new.id,)).fetchone()
    if row is None or row["input"] != new.input:
        return 0
    old = to_sample(row)
    answer_is_persons = old.answered_by == "person"
    about_this_answer = not answer_is_persons or old.teacher_output == new.teacher_output
    merged = dataclasses.replace(
        old,
        discriminator_score=new.discriminator_score,
        nearest_seed=new.nearest_seed,
        written_for=new.written_for,
        excess=new.excess if about_this_answer else old.excess,
        confidence=new.confidence if about_this_answer else old.confidence,
        teacher_output=old.teacher_output if answer_is_persons else new.teacher_output,
    )
    if old.decided_by != "person":
        merged = dataclasses.replace(merged, status=new.status, reason=new.reason)
    seen = (merged.status, merged.teacher_output) != (old.status, old.teacher_output)
    connection.execute(
        "UPDATE samples SET discriminator_score = ?, excess = ?, confidence = ?, "
        "nearest_seed = ?, written_for = ?, teacher_output = ?, status = ?, reason = ?, "
        "folded = ?, version = ?, owed = 0 WHERE id = ?",
        (
            merged.discriminator_score,
            merged.excess,
            merged.confidence,
            merged.nearest_seed,
            merged.written_for,
            merged.teacher_output,
            merged.status,
            merged.reason,
            folded(merged.input, merged.teacher_output),
            # Only what a person sees and may be editing counts as a change.
            old.version + int(seen),
            old.id,
        ),
    )
    return 1
