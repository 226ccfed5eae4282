"""Whose run it is, on a server that strangers share (a Space, or WORKBENCH_SHARED=1).

A browser keeps a random token of its own, the owner's token, and sends it with whatever it asks.
The run keeps only a hash. Who does not own a run is told that there is none. So that one visitor
cannot fill the queue, runs at work are counted by token and by address. On a laptop nobody asks
for tokens and nothing is limited.

Who asks is in a context variable, set where a request comes in, so that no call on the way can
forget to hand it on. Without a visitor (command line, worker) everything may be opened.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BusyError
from workbench.limits import on_shared_server as shared
from workbench.runs import atomic, lease
from workbench.runs.folder import Run, open_run

OWNER = "owner"  # the fact of a run that holds the hash
ADDRESS = "address"  # the fact with the mark of the address it was made or last started from
WORKING_LIMIT = 2  # runs of one owner that work or wait: one and the next
ADDRESS_LIMIT = 4  # the same for an address, behind which several people may be
_KEY_BYTES = 32
_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Attributes:
        address: network address, "" when unknown.
        marks: of every token that this visitor has shown; new runs get the first one.
    """

    address: str = ""
    marks: tuple[str, ...] = ()


_visitor: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


def visitor() -> Visitor | None:
    """Who asks; None where nobody does: command line, worker."""
    return _visitor.get()


@contextmanager
def visited_by(who: Visitor | None) -> Iterator[None]:
    """Everything in the block is asked for by ``who``."""
    token = _visitor.set(who)
    try:
        yield
    finally:
        _visitor.reset(token)


def mark(token: str) -> str:
    """What is kept of a token; "" for what is none."""
    if not _TOKEN.fullmatch(token or ""):
        return ""
    return hashlib.sha256(token.encode()).hexdigest()


def own_mark(token: str) -> str:
    """The mark that a new run gets: of the token, else of the visitor, else ""."""
    who = visitor()
    return mark(token) or (who.marks[0] if who is not None and who.marks else "")


def claim(run: Run, token: str) -> None:
    """Make a run that nobody owns the token's, or the visitor's."""
    own = own_mark(token)
    if own and not run.recall(OWNER):
        run.remember(OWNER, own)
    if address := address_mark(run.folder.parent):
        run.remember(ADDRESS, address)


def may_open(run: Run) -> bool:
    """Whether who asks may know of a run; on a server of one's own that is everyone."""
    who = visitor()
    if who is None or not shared():
        return True
    owner = run.recall(OWNER, "")
    return any(hmac.compare_digest(owner, own) for own in who.marks)


def owns(token: str, owner: str) -> bool:
    """Whether a run with this ``owner`` belongs to the token; one that nobody owns does not."""
    own = mark(token)
    return bool(own) and hmac.compare_digest(own, owner)


def address_mark(root: Path) -> str:
    """A keyed hash of the address that asks: equal for equal addresses of one root, else nothing
    can be told from it. "" for an unknown address."""
    who = visitor()
    if who is None or not who.address:
        return ""
    path = root / ".queue" / "address.key"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    key = b""
    with suppress(OSError):
        key = atomic.read_bytes(path)
    if len(key) != 2 * _KEY_BYTES:  # not there yet, or damaged
        key = secrets.token_hex(_KEY_BYTES).encode()
        atomic.write_bytes(path, key)
    return hmac.new(key, who.address.encode(), "sha256").hexdigest()[:32]


def require_room(run: Run) -> None:
    """Raise BusyError when the run's owner, or the address, has enough runs at work, on a shared
    server; note where the run is started from.

    Runs that nobody owns count together.
    """
    if not shared():
        return
    own, address = run.recall(OWNER, ""), address_mark(run.folder.parent)
    of_owner = of_address = 0
    for path in run.folder.parent.glob("*/lease.json"):
        holder = lease.holder(path.parent)
        if path.parent == run.folder or holder is None or not holder.alive():
            continue
        other = open_run(path.parent)
        of_owner += other.recall(OWNER, "") == own
        of_address += bool(address) and other.recall(ADDRESS, "") == address
        other.database.close()
    if of_owner >= WORKING_LIMIT:
        raise BusyError(
            f"{of_owner} of your runs work or wait already, which is the most that this shared "
            "server takes of one visitor. Stop one, or start again when one has finished."
        )
    if of_address >= ADDRESS_LIMIT:
        raise BusyError(
            f"{of_address} runs from your network address work or wait already, which is the most "
            "that this shared server takes of one. Start again when one has finished."
        )
    if address:
        run.remember(ADDRESS, address)


def turns_of(run: Run) -> str:
    """With whose runs this one takes turns: those of its address, else of its owner."""
    return run.recall(ADDRESS, "") or run.recall(OWNER, "")
