"""Checkers that a person chose: a JSON schema, a regular expression, SQL that parses or gives rows.

They run in a child (``checking``) with little memory, which is ended when one answer takes longer
than ``SECONDS``: that answer then does not pass, and the next goes to a new child.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Self

from workbench.errors import RecipeError
from workbench.evaluate.metrics import is_correct
from workbench.limits import on_shared_server
from workbench.recipe import CHECKER, EvaluationSettings

NONE, ROWS = "none", "rows"  # of evaluation.checker
SECONDS = 5.0  # for one answer
START_SECONDS = 30.0  # for the child to be ready
_FIELDS = ("checker", "json_schema", "pattern", "sql_dialect", "database")
_NEEDS = {"schema": "json_schema", "pattern": "pattern", ROWS: "database"}


def require_usable(settings: EvaluationSettings) -> None:
    """Raise RecipeError where the checker cannot be used here, before anything is loaded."""
    needed = _NEEDS.get(settings.checker, "checker")
    if settings.checker == NONE or not getattr(settings, needed):
        raise RecipeError(
            f"Metric or filter is the checker, and evaluation.{needed} is not set. Set it, or "
            "choose another metric and filter."
        )
    require_own_machine(settings)
    with Checker(settings):
        pass


def require_own_machine(settings: EvaluationSettings) -> None:
    """Raise RecipeError where SQL would be executed on a server that strangers share."""
    if settings.checker == ROWS and on_shared_server():
        raise RecipeError(
            "SQL is executed only on your own machine, not on a server that others share. Choose "
            '"sql" for evaluation.checker: that it parses.'
        )


class Checker:
    """Says of answers whether they pass. Use it with ``with``; it raises RecipeError on the way in
    where schema, pattern, dialect or database are no such thing.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        values = {name: getattr(settings, name) for name in _FIELDS}
        self._first = json.dumps(values)
        self._what = _NEEDS.get(settings.checker, "sql_dialect")
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, *raised: object) -> None:
        self._end()

    def passes(self, text: str, expected: Sequence[str] = ()) -> bool:
        """Whether an answer passes.

        Args:
            expected: right answers. Only ``rows`` compares with them: with one that gives the
                same rows; without any the query has to run.
        """
        if self._child is None:
            self._begin()
        answer = self._ask(json.dumps([text, list(expected)]), SECONDS)
        if answer is None:
            self._end()
            return False
        return bool(answer["passes"])

    def _begin(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench.evaluate.checking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # and no token
        )
        answer = self._ask(self._first, START_SECONDS)
        problem = "it takes too much time or memory" if answer is None else answer["problem"]
        if problem:
            self._end()
            raise RecipeError(f"evaluation.{self._what} cannot be used: {problem}.")

    def _ask(self, line: str, seconds: float) -> dict[str, Any] | None:
        """The child's answer; None where it is late or has died."""
        assert self._child is not None and self._child.stdin and self._child.stdout
        try:
            self._child.stdin.write(line.encode() + b"\n")
            self._child.stdin.flush()
            return json.loads(_line(self._child.stdout, seconds))
        except (OSError, ValueError):
            return None

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _line(pipe: IO[bytes], seconds: float) -> bytes:
    """A line of a pipe; what came until the time is over, or the other end closed, where none."""
    until, found = time.monotonic() + seconds, b""
    while not found.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            break
        part = os.read(pipe.fileno(), 65536)
        if not part:
            break
        found += part
    return found


def metric_checker(settings: EvaluationSettings) -> AbstractContextManager[Checker | None]:
    """The checker where it is the metric; None where answers are compared otherwise."""
    return Checker(settings) if settings.metric == CHECKER else nullcontext()


def right(checker: Checker | None, metric: str, prediction: str, expected: Sequence[str]) -> bool:
    """Whether an answer counts as right, by the checker where there is one."""
    if checker is not None:
        return checker.passes(prediction, expected)
    return any(is_correct(metric, prediction, answer) for answer in expected)
