"""Answers of the comparison arms, one committed row per evaluation row, and ``result.json``."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.errors import RunError
from workbench.runs import atomic
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


@dataclass(frozen=True)
class _Arm:
    """All of it, or nothing for an arm that was not asked."""

    accuracy: float | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class _Result:
    """What readers of ``result.json`` rely on; there is more in it."""

    arms: dict[str, _Arm] | None = None
    task_name: str = ""
    preset: str = ""
    measure: str = ""
    difference: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    counts: dict[str, Any] | None = None
    seconds: dict[str, float] | None = None


_RESULT = TypeAdapter(_Result)
AGAIN = "Continue the run: its last step writes it again."


def read_result(path: Path) -> dict[str, Any] | None:
    """The content of ``result.json``; None when there is none.

    Raises:
        RunError: it cannot be read, or its shape is wrong.
    """
    try:
        content = atomic.read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}. {AGAIN}") from error
    try:
        arms = _RESULT.validate_json(content, strict=True).arms or {}
        result = json.loads(content)
        for name, arm in arms.items():
            if result["arms"][name] and None in dataclasses.astuple(arm):
                raise ValueError(name)  # of which something is missing
        return result
    except ValueError as error:
        detail = "no JSON"
        if isinstance(error, ValidationError) and (place := error.errors()[0]["loc"]):
            detail = f"at {'.'.join(map(str, place))}"
        raise RunError(f"{path} is damaged ({detail}). {AGAIN}") from error


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
