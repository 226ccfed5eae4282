"""What the server writes for whoever runs it: bounded in length, in rate and on the disk.

Gradio prints a traceback for whatever a stranger makes fail, with what was sent in it. So lines are
cut, their control characters replaced, and of too many in a minute only the number is told. The
same goes into a file that begins anew when it is full.
"""

import io
import logging
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from workbench.limits import LIMITS

FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"
_LINE_CHARACTERS = 2000
_MINUTE_CHARACTERS = 200_000
_FILES = 2


class Bounded(io.TextIOBase):
    """A text stream before another: lines are cut and made quiet, and bounded in a minute."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner
        self._line = ""
        self._began = time.monotonic()
        self._written = self._left_out = 0

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno()

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._write_line(line)
        self._line = self._line[: _LINE_CHARACTERS + 1]
        return len(text)

    def flush(self) -> None:
        self._inner.flush()

    def _write_line(self, line: str) -> None:
        if time.monotonic() - self._began > 60:
            if self._left_out:
                self._inner.write(f"… {self._left_out:,} more lines were left out\n")
            self._began, self._written, self._left_out = time.monotonic(), 0, 0
        line = quiet(line)
        if self._written + len(line) > _MINUTE_CHARACTERS:
            self._left_out += 1
            return
        self._written += len(line) + 1
        self._inner.write(f"{line}\n")


def quiet(line: str) -> str:
    """A line that a terminal only shows, not too long."""
    shown = line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"
    return "".join(mark if mark.isprintable() or mark == "\t" else "�" for mark in shown)


class _Quiet(logging.Formatter):
    """Bounds each line of a record."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(quiet(line) for line in super().format(record).split("\n")[:100])


def begin(folder: Path) -> None:
    """Log to the terminal and to ``server.log`` in a folder, both bounded."""
    sys.stdout, sys.stderr = Bounded(sys.stdout), Bounded(sys.stderr)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "server.log"
    path.touch(mode=0o600, exist_ok=True)
    to_file = RotatingFileHandler(
        path, maxBytes=LIMITS.log_bytes, backupCount=_FILES, encoding="utf-8"
    )
    to_terminal = logging.StreamHandler(sys.stderr)
    for handler in (to_file, to_terminal):
        handler.setFormatter(_Quiet(FORM))
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_terminal])
