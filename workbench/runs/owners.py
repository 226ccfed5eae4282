"""Whose run it is, on a server that strangers share (a Space, or WORKBENCH_SHARED=1).

A run's id is 128 random bits: whoever has its address may open and change it, nobody can guess it.
A browser keeps a random token of its own, the owner's token. The first one that shows a new run
owns it; the run keeps only a hash. So a visitor's list has the visitor's own runs, and one visitor
cannot fill the queue. On a laptop nobody asks for tokens and nothing is limited.
"""

import hashlib
import hmac
import os
import re

from workbench.errors import BusyError
from workbench.runs import lease
from workbench.runs.folder import Run, open_run

OWNER = "owner"  # the fact of a run that holds the hash
WORKING_LIMIT = 2  # runs of one owner that work or wait: one and the next
_TOKEN = re.compile(r"[0-9a-f]{32}")


def shared() -> bool:
    """Whether strangers use this server."""
    return bool(os.environ.get("SPACE_ID") or os.environ.get("WORKBENCH_SHARED"))


def mark(token: str) -> str:
    """What is kept of a token; "" for what is none."""
    if not _TOKEN.fullmatch(token or ""):
        return ""
    return hashlib.sha256(token.encode()).hexdigest()


def claim(run: Run, token: str) -> None:
    """Make a run that nobody owns the token's."""
    own = mark(token)
    if own and not run.recall(OWNER):
        run.remember(OWNER, own)


def owns(token: str, owner: str) -> bool:
    """Whether a run with this ``owner`` belongs to the token; one that nobody owns does not."""
    own = mark(token)
    return bool(own) and hmac.compare_digest(own, owner)


def require_room(run: Run) -> None:
    """Raise BusyError when the run's owner has enough runs at work, on a shared server.

    Runs that nobody owns count together.
    """
    if not shared():
        return
    own = run.recall(OWNER, "")
    count = 0
    for path in run.folder.parent.glob("*/lease.json"):
        holder = lease.holder(path.parent)
        if path.parent == run.folder or holder is None or not holder.alive():
            continue
        other = open_run(path.parent)
        count += other.recall(OWNER, "") == own
        other.database.close()
    if count >= WORKING_LIMIT:
        raise BusyError(
            f"{count} of your runs work or wait already, which is the most that this shared "
            "server takes of one visitor. Stop one, or start again when one has finished."
        )
