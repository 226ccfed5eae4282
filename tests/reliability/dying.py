"""Processes that die in the middle of something, for the tests of this folder.

No hooks in the product: the child is a fork in which the calls that make content durable (sync,
rename, commit) count down and end the process without any clean-up, as ``kill -9`` would.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

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
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _arm(moment: int) -> None:
    left = moment

    def counting(real: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and not after:
                os._exit(KILLED)
            result = real(*arguments, **named)
            if left == 0:
                os._exit(KILLED)
            return result

        return call

    patch = pytest.MonkeyPatch()
    # Before a sync: written, perhaps torn. After a rename: in place, its folder not yet synced.
    patch.setattr(os, "fsync", counting(os.fsync, after=False))
    patch.setattr(os, "replace", counting(os.replace, after=False))
    patch.setattr(os, "rename", counting(os.rename, after=True))
    patch.setattr(os, "unlink", counting(os.unlink, after=False))
