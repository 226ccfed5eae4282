"""The runs under a root: history, duplicate, trash, and an archive of one run as a zip."""

import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BusyError, RunError, WorkbenchError
from workbench.runs import atomic, lease
from workbench.runs.folder import TRASH, Run, checked_id, create, open_run
from workbench.runs.owners import OWNER
from workbench.runs.summary import summary
from workbench.stages import ORDER, WORDS, Stage

# Of the moment, of this machine, or made again at need: no part of an archive.
_NOT_ARCHIVED = ("lease.json", "lease.lock", "stop.json", "exit.json", "run.db-wal", "run.db-shm")


@dataclass(frozen=True)
class RunListing:
    """One line of the history.

    Attributes:
        phase: how far it is, in words; "cannot be opened" when ``problem`` says why.
        accuracies: by arm, in 0..1; empty before the comparison.
        size_bytes: of the whole folder.
        created_at, changed_at: wall-clock seconds since 1970.
        problem: "" or a sentence.
        owner: see ``owners``; "" when nobody owns it.
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


def list_runs(root: Path) -> list[RunListing]:
    """All runs under a root, the newest change first; damaged ones are listed, not hidden."""
    if not root.is_dir():
        return []
    folders = [
        path
        for path in root.absolute().iterdir()
        if path.is_dir() and not path.is_symlink() and (path / "recipe.json").is_file()
    ]
    lines = [_line(path) for path in folders if not path.name.startswith(".")]
    return sorted(lines, key=lambda line: line.changed_at, reverse=True)


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
    atomic.require_space(target.parent, _size(run.folder))
    partial = atomic.partial_name(target)
    with tempfile.TemporaryDirectory(dir=target.parent, suffix=atomic.PART) as spare:
        database = Path(spare) / "run.db"
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


def _line(folder: Path) -> RunListing:
    changed = max(
        (entry.stat().st_mtime for entry in folder.iterdir() if entry.is_file()), default=0.0
    )
    name, phase, problem, created = folder.name, "cannot be opened", "", changed
    owner = ""
    accuracies: dict[str, float] = {}
    try:
        run = open_run(folder)
        glance = summary(run)
        name, created, problem = glance.name, run.created_at, run.read_only_because
        phase = phase_words(glance.done, glance.started)
        owner = run.recall(OWNER, "")
        arms = (run.result() or {}).get("arms", {})
        accuracies = {arm: values["accuracy"] for arm, values in arms.items() if values}
        run.database.close()
    except (WorkbenchError, OSError, KeyError, TypeError, ValueError) as error:
        problem = str(error)
    size = _size(folder)
    return RunListing(
        folder.name, folder, name, phase, accuracies, size, created, changed, problem, owner
    )


def phase_words(done: frozenset[Stage], started: frozenset[Stage]) -> str:
    """How far a run is, in words."""
    if not started:
        return "Draft"
    owed = [stage for stage in ORDER if stage not in done]
    if owed[:1] == [Stage.DISTIL] and Stage.DISTIL not in started:
        return "Samples are ready for review"
    return WORDS[owed[0]] if owed else "Finished"


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # a worker is writing here
            continue
    return total
