"""How much one visitor may keep on a server that strangers share; a laptop has no such bounds.

Counted from what is on the disk whenever something is added: inputs, database, checkpoints,
exports. Runs that nobody owns count together. What is in the trash does not count: there it stays
for an hour. Tokens cost nothing, so whoever wants many can have many: runs are counted by address
as well, and the disk is kept from filling up.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BusyError, WorkbenchError
from workbench.limits import LIMITS
from workbench.runs import atomic, owners
from workbench.runs.folder import Run, open_run
from workbench.runs.listing import bytes_in, empty_trash

_TRASH_SECONDS = 3600
_SAME_ADDRESS = 3  # several people may be behind one address
# Drafts are let in one by one: what would be one too many must be seen by the next.
_admission = threading.Lock()


@dataclass
class Kept:
    """What somebody has on this server: runs that were never started, and bytes of all runs."""

    drafts: int = 0
    size: int = 0


def new_draft(root: Path, token: str, make: Callable[[], Run], adding_bytes: int = 0) -> Run:
    """Make a draft under ``root``; on a shared server it is at once the token's.

    Args:
        adding_bytes: of inputs that it will be given.

    Raises:
        BusyError: the visitor has too many drafts, or too much on the disk.
        RunError: the disk is nearly full.
    """
    if not owners.shared():
        return make()
    with _admission:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        own, address = kept(root, owners.own_mark(token), owners.address_mark(root))
        if own.drafts >= LIMITS.drafts or address.drafts >= _SAME_ADDRESS * LIMITS.drafts:
            raise BusyError(
                f"{max(own.drafts, address.drafts)} of your runs were never started, which is the "
                "most that this shared server keeps for one visitor. Delete one under Runs, or "
                "start it."
            )
        _require_bytes(root, own, address, adding_bytes)
        run = make()
        owners.claim(run, token)
        return run


def require_bytes(run: Run, token: str, adding_bytes: int) -> None:
    """Raise BusyError when the owner of a run has no room for so much more on the disk.

    Two uploads at the same moment may both be let in.
    """
    if adding_bytes and owners.shared():
        root = run.folder.parent
        own = run.recall(owners.OWNER, "") or owners.own_mark(token)
        _require_bytes(root, *kept(root, own, owners.address_mark(root)), adding_bytes)


def _require_bytes(root: Path, own: Kept, address: Kept, adding_bytes: int) -> None:
    for held, most in (
        (own.size, LIMITS.owner_bytes),
        (address.size, _SAME_ADDRESS * LIMITS.owner_bytes),
    ):
        if held + adding_bytes > most:
            raise BusyError(
                f"Your runs hold {held / 1e6:,.0f} MB, this would add {adding_bytes / 1e6:,.0f} "
                f"MB, and this shared server keeps at most {most / 1e6:,.0f} MB for one visitor. "
                "Delete a run under Runs."
            )
    empty_trash(root, _TRASH_SECONDS)
    atomic.require_space(root, adding_bytes, LIMITS.free_disk_bytes)


def kept(root: Path, own: str, address: str = "") -> tuple[Kept, Kept]:
    """What an owner's mark has, and what an address's mark has ("": nothing is counted)."""
    of_owner, of_address = Kept(), Kept()
    for folder in root.glob("*/inputs"):
        if folder.parent.name.startswith("."):  # not yet a run
            continue
        with suppress(WorkbenchError, OSError):  # damaged, or deleted meanwhile
            run = open_run(folder.parent)
            same = [
                total
                for total, mark, fact in (
                    (of_owner, own, owners.OWNER),
                    (of_address, address or None, owners.ADDRESS),
                )
                if run.recall(fact, "") == mark
            ]
            draft = bool(same) and all(s.started_at is None for s in run.stages().values())
            size = bytes_in(run.folder) if same else 0
            for total in same:
                total.drafts += draft
                total.size += size
            run.database.close()
    return of_owner, of_address
