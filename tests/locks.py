"""Watches that the program never opens files of a database by hand that SQLite has open.

POSIX locks belong to a process and a file: whoever closes any descriptor of ``run.db`` frees the
locks of all of SQLite's connections of that process, and other processes then write over what
these still read. SQLite's own opening is C and is not seen here.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

PROGRAM = str(Path(__file__).parents[1] / "workbench")
OURS = (PROGRAM, str(Path(__file__).parent))
_FILES = ("run.db", "run.db-wal", "run.db-shm")

opened: list[str] = []


def begin() -> None:
    """From now on, for the rest of the process."""
    sys.addaudithook(_hook)


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if event != "open" or not isinstance(given[0], str | bytes) or given[2] & os.O_EXCL:
        return  # what is made at this moment has no locks yet
    path = os.fsdecode(given[0])
    if path.endswith(_FILES) and os.path.basename(path) in _FILES and _held_here(path):
        place = _asked_by(sys._getframe(1))
        if place.startswith(PROGRAM):
            opened.append(f"{place} opens {path}")
            raise AssertionError(opened[-1])


def _held_here(path: str) -> bool:
    """Whether this process has the file open: only then are there locks to lose."""
    try:
        wanted = os.stat(path)
    except OSError:
        return False
    for number in os.listdir("/dev/fd"):
        with suppress(OSError):
            if os.path.samestat(os.stat(int(number)), wanted):
                return True
    return False


def _asked_by(frame: FrameType | None) -> str:
    """The innermost line of the program or of its tests."""
    while frame is not None and not frame.f_code.co_filename.startswith(OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
