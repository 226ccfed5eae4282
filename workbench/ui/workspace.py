"""Which run a page is on: from the id in its address to the run, or a new draft."""

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workbench.errors import RunError
from workbench.export.bundle import Bundle, find_bundle
from workbench.limits import LIMITS
from workbench.recipe import recommended
from workbench.runs import lease, owners, quota, storage
from workbench.runs.folder import NoSuchRun, Run, create, find_run, runs_root

NEW_NAME = "Untitled transfer"
_EXPORTS_KEPT_SECONDS = 3600
_LOOK_SECONDS = 5
_OUTLET = "workbench-outlet-"
_IN_USE = "in-use.lock"  # locked for as long as the outlet's server lives


def find(run_id: str) -> Run:
    """The run with this id; NoSuchRun when there is none, or when it is somebody else's."""
    run = find_run(runs_root(), run_id or "")
    if not owners.may_open(run):
        raise NoSuchRun
    return run


def find_or_create(run_id: str, owner: str = "", adding_bytes: int = 0) -> Run:
    """The open run; a new draft when the page has none yet, or when it was deleted meanwhile.

    Args:
        owner: token of the visitor.
        adding_bytes: of an upload that it is about to be given.

    Raises:
        BusyError: on a shared server, the visitor has no room for that.
    """
    if run_id:
        with suppress(NoSuchRun):
            run = find(run_id)
            quota.require_bytes(run, owner, adding_bytes)
            return run
    make = functools.partial(create, runs_root(), recommended(), NEW_NAME)
    return quota.new_draft(runs_root(), owner, make, adding_bytes)


def new_draft(old: Run, owner: str, make: Callable[[Path], Run]) -> Run:
    """A draft that begins with the inputs of another run; ``make`` takes the folder of runs."""
    root = old.folder.parent
    size = sum(file.stat().st_size for file in (old.folder / "inputs").iterdir())
    return quota.new_draft(root, owner, functools.partial(make, root), size)


def packed(run_id: str) -> tuple[Run, Bundle]:
    """A run with its packed adapter; RunError before there is one."""
    run = find(run_id)
    bundle = find_bundle(run.exports)
    if bundle is None:
        raise RunError("The adapter is not packed yet.")
    return run, bundle


def disk_notice() -> str:
    """A sentence when the disk is so full that nothing new is begun, else ""."""
    return _disk_notice(int(time.monotonic() / _LOOK_SECONDS))


def storage_notice() -> str:
    """A sentence where runs are lost at a restart of a Space, else ""."""
    if not storage.is_lost_at_restart(runs_root()):
        return ""
    return (
        "This Space's disk is emptied when it restarts: take the result home as soon as it is "
        "there, or keep the whole run in a private repository of yours (under Take home)."
    )


@functools.lru_cache(maxsize=1)
def _disk_notice(_moment: int) -> str:
    root = runs_root()
    free = shutil.disk_usage(root if root.is_dir() else root.parent).free
    if free >= LIMITS.free_disk_bytes:
        return ""
    return (
        f"The disk has {free / 1e9:.1f} GB free. Below {LIMITS.free_disk_bytes / 1e9:.1f} GB "
        "nothing new is begun or taken in; what is there stays."
    )


def export_file(name: str) -> Path:
    """Where a file that is about to be downloaded is made: a private folder of its own.

    Gradio copies it when it is handed out, so former ones are cleared away after an hour.
    """
    for former in _outlet().iterdir():
        with suppress(OSError):  # another request may be clearing as well
            if former.is_dir() and time.time() - former.stat().st_mtime > _EXPORTS_KEPT_SECONDS:
                shutil.rmtree(former)
    return Path(tempfile.mkdtemp(dir=_outlet())) / name


def handed_out(path: Path) -> str:
    """A path to ``path`` that Gradio hands out, wherever the runs are kept.

    It refuses files outside of the present folder and the one for temporary files. Allowing the
    folder of runs would let anyone who knows a path fetch any file of a run.
    """
    whole = path.resolve()
    allowed = (Path.cwd(), Path(tempfile.gettempdir()).resolve())
    if any(whole.is_relative_to(place) for place in allowed):
        return str(whole)
    mark = hashlib.blake2b(f"{whole}|{whole.stat().st_mtime_ns}".encode(), digest_size=8)
    copy = _outlet() / mark.hexdigest() / whole.name
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        try:
            os.link(whole, copy)
        except OSError:  # another file system
            shutil.copyfile(whole, copy)
    return str(copy)


@functools.cache
def _outlet() -> Path:
    """A folder of this server's own, gone with it."""
    place = Path(tempfile.mkdtemp(prefix=_OUTLET))
    lease.lock(place / _IN_USE)  # given up by the system, however this server ends
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def clear_dead_outlets() -> None:
    """Delete the outlets of servers that were killed; those of living ones are locked."""
    for place in Path(tempfile.gettempdir()).glob(f"{_OUTLET}*"):
        with suppress(OSError):  # somebody else's, or another server is clearing as well
            if place.is_symlink() or place.stat().st_uid != os.getuid():
                continue
            if not (place / _IN_USE).is_file():  # its server is about to lock it
                continue
            descriptor = lease.lock(place / _IN_USE)
            if descriptor >= 0:
                shutil.rmtree(place)
                os.close(descriptor)
