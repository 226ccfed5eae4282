"""The runs under a root: history, duplicate, trash, and an archive of one run as a zip.

What a list shows of a run is kept in memory and in one file of the root, beside the times of the
files that it was read from: a thousand runs are some thousand looks at file times.
"""

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import time
import zipfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import BusyError, RunError, WorkbenchError
from workbench.runs import atomic, damage, lease
from workbench.runs.folder import TRASH, Run, checked_id, create, open_run
from workbench.runs.summary import Summary, from_row, read_row
from workbench.stages import ORDER, WORDS, Stage

# Of the moment, of this machine, or made again at need: no part of an archive.
_NOT_ARCHIVED = ("lease.json", "lease.lock", "stop.json", "exit.json", "run.db-wal", "run.db-shm")
KNOWN = ".listing.json"  # a cache: deleting it costs time, nothing else
_SCHEMA = 1
_WORTH_WRITING = 20  # lines that had to be read anew
_SETTLED_NS = 100_000_000  # a file that was just written may be written again at the same time
# What a line is made of. Opening a database makes and removes files, so the folder's own time
# says nothing.
_READ = (
    "recipe.json", "run.db", "run.db-wal", "result.json", "inputs/inputs.json", "inputs", "exports",
    "checkpoints",
)  # fmt: skip


@dataclass(frozen=True)
class RunListing:
    """One line of the history.

    Attributes:
        phase: how far it is, in words; "cannot be opened" when ``problem`` says why.
        accuracies: by arm, in 0..1; empty before the comparison.
        size_bytes: of the whole folder.
        created_at, changed_at: wall-clock seconds since 1970.
        problem: "" or a sentence: what is damaged, and what can still be taken from the run.
        owner: see ``owners``; "" when nobody owns it.
        glance: what a status is told from; None when the run cannot be opened.
    """

    id: str
    folder: Path
    name: str
    phase: str
    accuracies: dict[str, float]
    size_bytes: int
    created_at: float
    changed_at: float
    problem: str = ""
    owner: str = ""
    glance: Summary | None = None


@dataclass(frozen=True)
class _Known:
    """A line with what it was made from: times of files, and values as JSON."""

    stamp: list[int]
    values: dict[str, Any]
    line: RunListing


_memory: dict[Path, dict[str, _Known]] = {}  # by root and run
_guard = threading.Lock()


def list_runs(root: Path) -> list[RunListing]:
    """All runs under a root, the newest change first; damaged ones are listed, not hidden."""
    root = root.absolute()
    folders = _folders(root)
    with _guard:
        known = _memory.get(root)
    if known is None:
        known = _read_known(root)
    found: dict[str, _Known] = {}
    fresh = 0
    for folder in folders:
        stamp = _stamp(folder)
        former = known.get(folder.name)
        if former is None or former.stamp != stamp:
            former = _look(folder, stamp)
            fresh += 1
        found[folder.name] = former
    settled = time.time_ns() - _SETTLED_NS
    kept = {name: entry for name, entry in found.items() if max(entry.stamp[::2]) < settled}
    with _guard:
        _memory[root] = kept
    if fresh >= _WORTH_WRITING:
        _write_known(root, kept)
    lines = [entry.line for entry in found.values()]
    return sorted(lines, key=lambda line: line.changed_at, reverse=True)


def _folders(root: Path) -> list[Path]:
    """Folders that hold something of a run; links and hidden ones are none."""
    try:
        with os.scandir(root) as entries:
            folders = [
                root / entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
    return [folder for folder in folders if damage.is_run(folder)]


def _stamp(folder: Path) -> list[int]:
    """Time and size of each file that a line is made of."""
    stamp: list[int] = []
    for name in _READ:
        try:
            status = os.stat(f"{folder}/{name}")
        except OSError:
            stamp += (0, -1)
            continue
        if name.endswith("-wal") and status.st_size == 0:  # as good as none
            stamp += (0, -1)
        else:
            stamp += (status.st_mtime_ns, status.st_size)
    return stamp


def _look(folder: Path, stamp: list[int]) -> _Known:
    """Read what a line shows. Whatever a damaged run does, it is one line with a sentence."""
    values: dict[str, Any] = {"size_bytes": bytes_in(folder), "problem": ""}
    try:
        run = _open(folder, stamp)
        row = values["row"] = read_row(run)
        values["problem"] = run.read_only_because
        arms = (run.result() or {}).get("arms", {})
        values["accuracies"] = {
            arm: measured["accuracy"] for arm, measured in (arms or {}).items() if measured
        }
        damage.require_readable(run, from_row(run.id, row))
    except WorkbenchError as error:
        values["problem"] = f"{error.message} {damage.left_in(folder).words()}"
    except Exception as error:  # one damaged run must not hide the others
        told = f"{folder} cannot be read ({type(error).__name__})."
        values["problem"] = f"{told} {damage.left_in(folder).words()}"
    return _Known(stamp, values, _line(folder, stamp, values))


def _open(folder: Path, stamp: list[int]) -> Run:
    """Without locks where nobody writes: no write-ahead file is there, and no worker."""
    at_rest = stamp[2 * _READ.index("run.db-wal") + 1] < 0 and not (folder / "lease.json").exists()
    if at_rest:
        with suppress(RunError):  # damaged, or somebody has begun to write
            return open_run(folder, glance=True)
    return open_run(folder)


def _line(folder: Path, stamp: list[int], values: dict[str, Any]) -> RunListing:
    row, changed = values.get("row"), max(stamp[::2]) / 1e9
    glance = from_row(folder.name, row) if row else None
    return RunListing(
        id=folder.name,
        folder=folder,
        name=glance.name if glance else folder.name,
        phase=phase_words(glance.done, glance.started) if glance else "cannot be opened",
        accuracies=values.get("accuracies", {}),
        size_bytes=values["size_bytes"],
        created_at=glance.created_at if glance else changed,
        changed_at=changed,
        problem=values["problem"],
        owner=glance.owner if glance else "",
        glance=glance,
    )


def _read_known(root: Path) -> dict[str, _Known]:
    """What an earlier process wrote down; nothing when it is not of this version, or damaged."""
    content = atomic.read_json(root / KNOWN)
    try:
        if content["schema"] != _SCHEMA:
            return {}
        return {
            name: _Known(entry[0], entry[1], _line(root / name, entry[0], entry[1]))
            for name, entry in content["runs"].items()
        }
    except Exception:  # a cache, and it can be anything
        return {}


def _write_known(root: Path, known: dict[str, _Known]) -> None:
    runs = {name: [entry.stamp, entry.values] for name, entry in known.items()}
    content = json.dumps({"schema": _SCHEMA, "runs": runs})
    with suppress(OSError, WorkbenchError):  # a full disk, or a folder that may only be read
        atomic.write_text(root / KNOWN, content, durable=False)


def duplicate(run: Run, name: str | None = None) -> Run:
    """A new draft beside the run with the same recipe and inputs, and nothing else."""
    name = name or f"{run.name[:73]} (copy)"
    return create(run.folder.parent, run.recipe, name, inputs=run.inputs)


def restore(root: Path, token: str) -> Run:
    """Take a run back from the trash by what ``Run.delete`` returned."""
    trashed = root.absolute() / TRASH / checked_id(token)
    folder = root.absolute() / token.rpartition(".")[0]
    if not trashed.is_dir() or trashed.is_symlink():
        raise RunError("This run is no longer in the trash.")
    if folder.exists():
        raise RunError(f"There is a run {folder} again. Rename it before taking this one back.")
    os.rename(trashed, folder)
    atomic.sync_folder(root.absolute())
    return open_run(folder)


def empty_trash(root: Path, older_than_seconds: float = 0.0) -> int:
    """Delete for good what was put in the trash that long ago; returns how many runs."""
    trash = root.absolute() / TRASH
    if trash.is_symlink() or not trash.is_dir():
        return 0
    count = 0
    for folder in trash.iterdir():
        # A rename updates ctime, so this is the time of the deletion.
        if folder.is_symlink() or folder.lstat().st_ctime > time.time() - older_than_seconds:
            continue
        shutil.rmtree(folder)
        count += 1
    return count


def archive(run: Run, target: Path) -> Path:
    """Write a zip of the run to ``target``, the database as one consistent copy.

    Checkpoints come along only while the run is not finished.
    """
    holder = lease.holder(run.folder)
    if holder is not None and holder.alive():
        raise BusyError(f'"{run.name}" is being worked on. Stop it first, then archive it.')
    finished = run.stage_done(Stage.EXPORT)
    atomic.require_space(target.parent, bytes_in(run.folder))
    partial = atomic.partial_name(target)
    with tempfile.TemporaryDirectory(dir=target.parent, suffix=atomic.PART) as spare:
        database = Path(spare) / "copy.db"
        with closing(sqlite3.connect(database)) as copy, run.database.connection() as source:
            source.backup(copy)
        try:
            _pack(run, database, partial, finished)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _pack(run: Run, database: Path, partial: Path, finished: bool) -> None:
    with zipfile.ZipFile(partial, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.write(database, f"{run.id}/run.db")
        for path in sorted(run.folder.rglob("*")):
            inside = path.relative_to(run.folder)
            skipped = inside.name in (*_NOT_ARCHIVED, "run.db") or inside.name.endswith(atomic.PART)
            if skipped or path.is_symlink() or not path.is_file():
                continue
            if finished and inside.parts[0] == "checkpoints":
                continue
            packed.write(path, f"{run.id}/{inside}")


def phase_words(done: frozenset[Stage], started: frozenset[Stage]) -> str:
    """How far a run is, in words."""
    if not started:
        return "Draft"
    owed = [stage for stage in ORDER if stage not in done]
    if owed[:1] == [Stage.DISTIL] and Stage.DISTIL not in started:
        return "Samples are ready for review"
    return WORDS[owed[0]] if owed else "Finished"


def bytes_in(folder: Path | str) -> int:
    """Of all files below a folder, while others may be writing there."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += bytes_in(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total
