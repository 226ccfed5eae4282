"""Answers of the comparison arms, one committed row per evaluation row, and ``result.json``."""

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.runs.database import Database


@dataclass(frozen=True)
class Answer:
    """What one arm said to one evaluation row.

    Attributes:
        index: position of the row among the run's evaluation rows.
        prediction: the text as it was read from the model.
        correct: by the recipe's metric; where that has degrees, whether it is equal.
        score: 0..1 by the recipe's metric; None is 1 for what is correct and 0 for what is not.
    """

    index: int
    prediction: str
    correct: bool
    score: float | None = None

    @property
    def grade(self) -> float:
        """The score, whether it was stored or follows from ``correct``."""
        return float(self.correct) if self.score is None else self.score


class Answers:
    """Answers by arm; what is committed is never asked again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, arm: str, rows: Iterable[Answer]) -> None:
        """Commit answers of one arm together; a row that is there already is replaced."""
        values = [(arm, row.index, row.prediction, int(row.correct), row.score) for row in rows]
        with self._database.write() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO answers (arm, row, prediction, correct, score) "
                "VALUES (?, ?, ?, ?, ?)",
                values,
            )

    def get(self, arm: str) -> list[Answer]:
        """Answers of one arm by index."""
        rows = self._database.read(
            "SELECT row, prediction, correct, score FROM answers WHERE arm = ? ORDER BY row", (arm,)
        )
        return [
            Answer(row["row"], row["prediction"], bool(row["correct"]), row["score"])
            for row in rows
        ]

    def counts(self) -> dict[str, tuple[int, int]]:
        """By arm: (answered rows, correct rows)."""
        rows = self._database.read("SELECT arm, count(*), sum(correct) FROM answers GROUP BY arm")
        return {row[0]: (row[1], row[2]) for row in rows}

    def forget(self, *arms: str) -> None:
        """Drop the answers of these arms, or of all when none is named."""
        with self._database.write() as connection:
            if arms:
                connection.executemany("DELETE FROM answers WHERE arm = ?", [(a,) for a in arms])
            else:
                connection.execute("DELETE FROM answers")
