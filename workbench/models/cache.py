"""The folder where fetched models live, and how one gets there exactly once.

A model folder is complete when it has a marker file; it is built under another name and renamed
as the last step, so a killed process leaves nothing that looks complete. ``build_once`` holds a
file lock, which the system releases when a process dies. Locks do not reach across network
drives: keep the cache on a local disk.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench.errors import ModelError
from workbench.limits import LIMITS

MARKER = "workbench.json"
WAIT_SECONDS = 1.0
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

    What an attempt that failed, was stopped or killed has fetched stays for the next one.

    Args:
        folder: the final place; its parent is created.
        build: fills the folder that it is given, which may hold what an earlier attempt left, and
            returns what to note in the marker.
        report: told how far another process is, once a second; what it raises ends the waiting.
        needs_bytes: free disk space that ``build`` needs at its peak.

    Raises:
        ModelError: too little disk space, or a cache folder that cannot be written.
    """
    if complete(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        _wait_for(lock, folder, report, needs_bytes)
    except OSError as error:
        raise ModelError(
            f"The cache folder {folder.parent} cannot be written: {error.strerror}. "
            "Set WORKBENCH_CACHE to a folder that can."
        ) from error
    try:
        if not complete(folder):
            _check_space(folder.parent, needs_bytes - bytes_in(_partial(folder)))
            _build(folder, build)
    finally:
        lock.release()
    return folder


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_in(folder: Path) -> int:
    """What lies in a folder, while others may be writing there."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _partial(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.partial"


def _wait_for(lock: FileLock, folder: Path, report: Report, needs_bytes: int) -> None:
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            words = "waiting for another process that fetches the same model"
            report(words, min(bytes_in(_partial(folder)), needs_bytes), needs_bytes)
            time.sleep(WAIT_SECONDS)


def _build(folder: Path, build: Callable[[Path], dict[str, Any]]) -> None:
    partial = _partial(folder)
    if folder.exists():  # damaged since
        shutil.rmtree(folder)
    partial.mkdir(exist_ok=True)
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


def _check_space(folder: Path, needs_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needs_bytes + LIMITS.free_disk_bytes:
        raise ModelError(
            f"{folder} has {free / 1e9:.1f} GB free; fetching this model needs "
            f"{(needs_bytes + LIMITS.free_disk_bytes) / 1e9:.1f} GB. Free some space, or set "
            "WORKBENCH_CACHE to another disk."
        )
