"""How far the models of this process are inside one piece of work, for people who watch.

A round of texts is committed whole, and the journal is silent for the minute that it may take. So
the loops that decode and score count here, and whoever shows a run reads it: the terminal of the
same process, and through the lease every page. Nothing is stored and no result depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Count:
    """Of ``total`` texts, how many are done, and the tokens that were made for them."""

    total: int
    verb: str
    done: int = 0
    tokens: int = 0


_present: Count | None = None


@contextmanager
def counting(total: int, verb: str) -> Iterator[Count]:
    """Count a piece of work while it lasts: "written" or "read" texts."""
    global _present
    _present = count = Count(total, verb)
    try:
        yield count
    finally:
        if _present is count:
            _present = None


def words() -> str:
    """ "41 of 96 texts written, 1,204 tokens", or "" when no model is at work."""
    if (count := _present) is None:
        return ""
    tokens = f", {count.tokens:,} tokens" if count.tokens else ""
    return f"{count.done:,} of {count.total:,} texts {count.verb}{tokens}"
