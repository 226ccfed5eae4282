"""Processes that die in the middle of something, for the tests of this folder.

No hooks in the product: the child is a fork in which the calls that make content durable (sync,
rename, commit) count down and end the process without any clean-up, as ``kill -9`` would.
"""

import functools
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from workbench.runs import atomic

KILLED = 77


def dies_at_each_step(action: Callable[[], object], check: Callable[[int], object]) -> int:
    """Do ``action`` in children that die at the 1st, 2nd, … durable call; ``check`` after each.

    Returns how many moments there were; the last child, which survived, is checked as well.
    """
    for moment in range(1, 200):
        code = in_child(lambda at=moment: (_arm(at), action()))
        assert code in (0, KILLED), f"the child failed by itself at moment {moment}"
        check(moment)
        if code == 0:
            return moment - 1
    raise AssertionError("it never came to an end")


def in_child(action: Callable[[], object]) -> int:
    """Run in a fork; returns the exit code: 0, ``KILLED``, 1 for an exception, or -signal."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()  # what a test only sees as 1
            sys.stderr.flush()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(moment: int) -> None:
    strikes_at(moment, lambda: os._exit(KILLED))


def strikes_at(moment: int, strike: Callable[[], object]) -> None:
    """From now on ``strike`` is called at the given durable call of this process.

    Before a sync: written, perhaps torn. After a rename: in place, its folder not yet synced.
    Before and after a commit of a database.
    """
    left = moment

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            strike()

    def before(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: (count(), real(*given, **named))[1]

    def after(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **named: (real(*given, **named), count())[0]

    class Counted(sqlite3.Connection):
        def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
            if sql != "COMMIT":
                return super().execute(sql, *given)
            count()
            cursor = super().execute(sql, *given)
            count()
            return cursor

    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", before(os.fsync))
    patch.setattr(os, "replace", before(os.replace))
    patch.setattr(os, "rename", after(os.rename))
    patch.setattr(os, "unlink", before(os.unlink))
    patch.setattr(atomic, "_exchange", before(atomic._exchange))
    patch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Counted))
