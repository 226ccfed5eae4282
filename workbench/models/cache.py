"""The folder where fetched models live, and how one gets there exactly once.

A model folder is complete when it has a marker file; it is built under another name and renamed
as the last step, so a killed process leaves nothing that looks complete. ``build_once`` holds a
file lock (``filelock``: flock on Unix, LockFileEx on Windows), which the system releases when a
process dies. Locks do not reach across network drives: keep the cache on a local disk.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench.errors import ModelError
from workbench.limits import LIMITS

MARKER = "workbench.json"
SCHEMA = 1

# Called with a phase in words, then done and total bytes (0, 0 where nothing is counted).
Report = Callable[[str, int, int], None]


def silent(phase: str, done: int, total: int) -> None:
    """A Report that nobody reads."""


def cache_folder() -> Path:
    """$WORKBENCH_CACHE, or ~/.cache/trans-lora-workbench."""
    given = os.environ.get("WORKBENCH_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "trans-lora-workbench"


def complete(folder: Path) -> bool:
    """True when the folder has its marker and every file that it lists, in the listed size."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return marker["schema"] <= SCHEMA and all(
            (folder / name).stat().st_size == entry["bytes"]
            for name, entry in marker["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def build_once(
    folder: Path, build: Callable[[Path], dict[str, Any]], report: Report, needs_bytes: int
) -> Path:
    """Build ``folder`` unless it is complete; of several processes one builds, the others wait.

    Args:
        folder: the final place; its parent is created.
        build: fills the empty folder that it is given and returns what to note in the marker.
        report: told when another process is at it.
        needs_bytes: free disk space that ``build`` needs at its peak.

    Raises:
        ModelError: too little disk space, or a cache folder that cannot be written.
    """
    if complete(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report("waiting for another process that fetches the same model", 0, 0)
            lock.acquire()
    except OSError as error:
        raise ModelError(
            f"The cache folder {folder.parent} cannot be written: {error.strerror}. "
            "Set WORKBENCH_CACHE to a folder that can."
        ) from error
    try:
        if not complete(folder):
            _check_space(folder.parent, needs_bytes)
            _build(folder, build)
    finally:
        lock.release()
    return folder


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build(folder: Path, build: Callable[[Path], dict[str, Any]]) -> None:
    partial = folder.parent / f".{folder.name}.partial"
    for leftover in (partial, folder):  # of a process that was killed, or damaged since
        if leftover.exists():
            shutil.rmtree(leftover)
    partial.mkdir()
    try:
        notes = build(partial)
        files = {
            str(path.relative_to(partial)): {
                "bytes": path.stat().st_size,
                "sha256": sha256_of(path),
            }
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        marker = {"schema": SCHEMA, **notes, "files": files}
        (partial / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_space(folder: Path, needs_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needs_bytes + LIMITS.free_disk_bytes:
        raise ModelError(
            f"{folder} has {free / 1e9:.1f} GB free; fetching this model needs "
            f"{(needs_bytes + LIMITS.free_disk_bytes) / 1e9:.1f} GB. Free some space, or set "
            "WORKBENCH_CACHE to another disk."
        )
