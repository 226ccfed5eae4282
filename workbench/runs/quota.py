"""How much one visitor may keep on a server that strangers share; a laptop has no such bounds.

Counted from the folders whenever something is added. Runs that nobody owns count together. What is
in the trash does not count: there it stays for an hour. Tokens cost nothing, so whoever wants many
can have many: the disk is kept from filling up as well.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workbench.errors import BusyError, WorkbenchError
from workbench.limits import LIMITS
from workbench.runs import atomic, owners
from workbench.runs.folder import Run, open_run
from workbench.runs.listing import empty_trash

_TRASH_SECONDS = 3600
# Drafts are let in one by one: what would be one too many must be seen by the next.
_admission = threading.Lock()


def new_draft(root: Path, token: str, make: Callable[[], Run], adding_bytes: int = 0) -> Run:
    """Make a draft under ``root``; on a shared server it is at once the token's.

    Args:
        adding_bytes: of inputs that it will be given.

    Raises:
        BusyError: the visitor has too many drafts, or too much in inputs.
        RunError: the disk is nearly full.
    """
    if not owners.shared():
        return make()
    with _admission:
        own = owners.mark(token)
        drafts, held = kept(root, own)
        if drafts >= LIMITS.drafts:
            raise BusyError(
                f"{drafts} of your runs were never started, which is the most that this shared "
                "server keeps for one visitor. Delete one under Runs, or start it."
            )
        _require_bytes(root, held, adding_bytes)
        run = make()
        owners.claim(run, token)
        return run


def require_bytes(run: Run, token: str, adding_bytes: int) -> None:
    """Raise BusyError when the owner of a run has no room for so much more in inputs.

    Two uploads at the same moment may both be let in.
    """
    if adding_bytes and owners.shared():
        own = run.recall(owners.OWNER, "") or owners.mark(token)
        _, held = kept(run.folder.parent, own)
        _require_bytes(run.folder.parent, held, adding_bytes)


def _require_bytes(root: Path, held: int, adding_bytes: int) -> None:
    if held + adding_bytes > LIMITS.owner_input_bytes:
        raise BusyError(
            f"Your runs hold {held / 1e6:,.0f} MB of uploads, this would add "
            f"{adding_bytes / 1e6:,.0f} MB, and this shared server keeps at most "
            f"{LIMITS.owner_input_bytes / 1e6:,.0f} MB for one visitor. Delete a run under Runs."
        )
    empty_trash(root, _TRASH_SECONDS)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.require_space(root, LIMITS.free_disk_bytes + adding_bytes)


def kept(root: Path, own: str) -> tuple[int, int]:
    """(runs that were never started, bytes of inputs of all runs) of an owner's mark."""
    drafts = size = 0
    for folder in root.glob("*/inputs"):
        if folder.parent.name.startswith("."):  # not yet a run
            continue
        with suppress(WorkbenchError, OSError):  # damaged, or deleted meanwhile
            run = open_run(folder.parent)
            if run.recall(owners.OWNER, "") == own:
                drafts += all(stage.started_at is None for stage in run.stages().values())
                size += sum(file.stat().st_size for file in folder.iterdir())
            run.database.close()
    return drafts, size
