"""Notes which files the interpreter opens and which modules it imports while a block runs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Seen:
    """Paths that were opened, modules that were imported, addresses that were called."""

    opened: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)


_active: list[Seen] = []


def _hook(event: str, arguments: tuple) -> None:
    if not _active:
        return
    if event == "open":
        _active[-1].opened.append(str(arguments[0]))
    elif event == "import" and not str(arguments[0]).startswith("encodings."):  # Python's own
        _active[-1].imported.append(str(arguments[0]))
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        _active[-1].connected.append(str(arguments[0 if event == "socket.getaddrinfo" else 1]))


sys.addaudithook(_hook)  # cannot be taken away again, hence the switch above


@contextmanager
def watched() -> Iterator[Seen]:
    """Everything that the block opens, imports and connects to."""
    seen = Seen()
    _active.append(seen)
    try:
        yield seen
    finally:
        _active.pop()
