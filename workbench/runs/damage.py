"""What is damaged in a run's folder, what helps, and what can still be taken from it.

Nothing is repaired or removed here: it is looked at and told.
"""

import json
import math
import os
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import RunError, WorkbenchError
from workbench.events import CheckpointWritten, decode
from workbench.recipe import MODEL, TransferRecipe, from_json
from workbench.runs import atomic, checkpoints, input_files, lease, stop_request
from workbench.runs.database import Database
from workbench.runs.folder import Run, open_run
from workbench.runs.results import AGAIN, read_result
from workbench.runs.sample_queries import status_counts
from workbench.runs.sample_rows import SELECT, to_sample
from workbench.runs.state import stage_records
from workbench.runs.summary import Summary
from workbench.samples import KEPT, Sample
from workbench.stages import Stage

FILES = ("recipe.json", "run.db", "result.json", "lease.json")
FOLDERS = ("inputs", "checkpoints", "exports")
_FROM_COPY = "Restore it from a copy of the run, or begin a new run."
# What zipfile raises for the content of an archive.
BAD_ZIP = (KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError)
_PACK_AGAIN = "Continue the run: its last step packs it again."


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        file: of the run, relative to its folder.
        what: what is wrong with it.
        remedy: what to do, in a sentence.
    """

    file: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Left:
    """What can still be taken from a run, damaged or not.

    Attributes:
        adapter: the packed adapter, a zip that holds; None without one.
        recipe: None when it cannot be read.
        samples: the kept ones that can be read.
    """

    adapter: Path | None
    recipe: TransferRecipe | None
    samples: list[Sample]

    def words(self) -> str:
        """The same as a sentence."""
        parts = [f"the adapter (exports/{self.adapter.name})"] if self.adapter else []
        parts += [f"{len(self.samples):,} kept samples"] if self.samples else []
        parts += ["the recipe"] if self.recipe else []
        if not parts:
            return "Nothing can be taken from it."
        listed = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
        return f"What can still be taken: {listed}."


def is_run(folder: Path) -> bool:
    """Whether a folder holds something of a run; one that cannot be looked into may."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        return True
    return not names.isdisjoint((*FILES, *FOLDERS))


def left_in(folder: Path) -> Left:
    """Read whatever can be read; never raises for what a file holds."""
    return Left(find_adapter(folder), _recipe_of(folder), _samples_of(folder))


def find_adapter(folder: Path) -> Path | None:
    """The newest zip under exports/ of which every byte is as it was packed, or None."""
    return next((path for path in _archives(folder / "exports") if _holds(path)), None)


def newest_archive(exports: Path) -> Path | None:
    """The newest zip that is not cut off, or None; looks at its end only."""
    return next((path for path in _archives(exports) if zipfile.is_zipfile(path)), None)


def _holds(archive: Path) -> bool:
    """Whether every member of a zip has its checksum."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.testzip() is None
    except (OSError, *BAD_ZIP):
        return False


def _archives(exports: Path) -> list[Path]:
    """Zips, the newest first."""
    with suppress(OSError):
        archives = [path for path in exports.glob("*.zip") if path.is_file()]
        return sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)
    return []


def require_readable(run: Run, glance: Summary) -> None:
    """Raise RunError for what a run needs and a glance at its database does not tell of."""
    needed = run.recipe.teacher != MODEL
    listed = input_files.require_present(run.folder / "inputs")
    if glance.started and needed and "adapter" not in listed:
        raise RunError(f"{run.folder / 'inputs'} has lost what the run began with. {_FROM_COPY}")
    if Stage.EXPORT in glance.done and newest_archive(run.exports) is None:
        raise RunError(f"{run.exports} has no whole adapter. {_PACK_AGAIN}")


def lacks_pack(folder: Path) -> bool:
    """Whether a finished run has lost its result or its adapter; looks at ends of files only."""
    try:
        lost = read_result(folder / "result.json") is None
    except WorkbenchError:
        lost = True
    return lost or newest_archive(folder / "exports") is None


def lost_stage(run: Run) -> Stage | None:
    """The first finished step that must be done again, because its files are gone or damaged."""
    done = {stage for stage, found in stage_records(run.database).items() if found.finished_at}
    packed = Stage.EXPORT in done
    if Stage.DISTIL not in done or (packed and not lacks_pack(run.folder)):
        return None
    written = run.journal.last(CheckpointWritten)
    newest = checkpoints.newest(run.checkpoints)
    if written is not None and (newest is None or newest.step < written.step):
        return Stage.DISTIL
    return Stage.EXPORT if packed else None


def problems(folder: Path) -> Iterator[Problem]:
    """Everything that is damaged in a run's folder; reads all of it."""
    if folder.is_symlink() or not folder.is_dir():
        yield Problem(".", "is no folder", _FROM_COPY)
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Problem(".", "may not be read or written", "Give yourself the rights to the folder.")
    for name in FOLDERS:
        if not (folder / name).is_dir():
            what = "is no folder" if (folder / name).exists() else "is missing"
            yield Problem(name, what, f"Put a folder there; what was in it: {_FROM_COPY}")
    checks: list[tuple[str, Callable[[Path], object], str]] = [
        ("recipe.json", _recipe, _recipe_remedy(folder)),
        ("run.db", _database, _FROM_COPY),
        ("inputs", _inputs, ""),
        ("result.json", _result, ""),
        ("exports", _exports, _PACK_AGAIN),
    ]
    for name, check, remedy in checks:
        sentence = _sentence_of(check, folder)
        if sentence:
            yield Problem(name, sentence, remedy)
    for name in checkpoints.damaged(folder / "checkpoints"):
        yield Problem(
            f"checkpoints/{name}", "is damaged", "Nothing to do: the training begins before it."
        )
    for name, kind in (("lease.json", lease.Holder), ("stop.json", stop_request.StopRequest)):
        path = folder / name
        if path.exists() and atomic.read_as(path, kind) is None:
            yield Problem(name, "cannot be read", "Remove it, when no worker is on the run.")
    for name in ("worker.log", "lease.lock", "exit.json", "run.db-wal", "run.db-shm"):
        if (folder / name).is_dir():
            yield Problem(name, "is a folder", "Remove it: a file is made there.")


def _sentence_of(check: Callable[[Path], object], folder: Path) -> str:
    """Why a check fails, or ""; whatever a file holds, it is told and not raised."""
    try:
        check(folder)
    except WorkbenchError as error:
        return error.message
    except Exception as error:  # of a file that can hold anything
        return f"cannot be read ({type(error).__name__}: {error})"
    return ""


def _recipe(folder: Path) -> TransferRecipe:
    return from_json(atomic.read_bytes(folder / "recipe.json").decode())


def _recipe_remedy(folder: Path) -> str:
    packed = folder / "exports" / "adapter" / "recipe.json"
    if packed.is_file():
        return f"Copy {packed} over it; a base that is a folder must be named again."
    return _FROM_COPY


def _result(folder: Path) -> None:
    done = stage_records(Database(folder / "run.db"))[Stage.EXPORT].finished_at is not None
    if read_result(folder / "result.json") is None and done:
        raise RunError(f"result.json is missing. {AGAIN}")


def _database(folder: Path) -> None:
    """Every table is read, every row of it as those who use it do."""
    run = open_run(folder)
    if run.read_only_because:
        raise RunError(run.read_only_because)
    run.database.check()
    stage_records(run.database)
    if not {row[0] for row in run.database.read("SELECT stage FROM stages")} <= set(Stage):
        raise run.database.damaged("one of its steps is none")
    for key, value in run.database.read("SELECT key, value FROM facts"):
        json.loads(value)
        if key == "name" and not isinstance(json.loads(value), str):
            raise run.database.damaged("the run's name is no text")
        if key == "created_at" and not math.isfinite(json.loads(value)):
            raise run.database.damaged("the run was made at no time")
    broken = 0
    for at, kind, body in run.database.read("SELECT at, kind, body FROM events"):
        try:
            decode(kind, body)
            broken += not math.isfinite(at)
        except (ValueError, TypeError):
            broken += 1
    if broken:
        raise run.database.damaged(f"{broken} events of the journal cannot be read; skip them")
    for row in run.database.read(f"{SELECT} ORDER BY seq"):
        to_sample(row)
    answers = run.database.read("SELECT arm, row, prediction, correct, score FROM answers")
    for arm, index, text, correct, score in answers:
        sound = isinstance(text, str) and isinstance(index, int) and correct in (0, 1)
        if not sound or not (score is None or 0 <= score <= 1):
            raise run.database.damaged(f'an answer of "{arm}" is none')
    counts = run.database.read("SELECT status, count(*) FROM samples GROUP BY status")
    counted = {str(status): int(count) for status, count in counts}
    if {status: n for status, n in status_counts(run.database).items() if n} != counted:
        raise run.database.damaged("the counts of its samples are not right")
    for table in ("rounds", "edits", "changes"):
        run.database.read(f"SELECT * FROM {table}")


def _inputs(folder: Path) -> None:
    inputs = input_files.load(folder / "inputs")
    for files in (inputs.adapter, inputs.discriminator):
        if files is not None:
            files.verified()
    begun = stage_records(Database(folder / "run.db"))[Stage.SYNTHESIZE].started_at is not None
    if begun and inputs.adapter is None and _recipe(folder).teacher != MODEL:
        raise RunError(f"What the run began with is no longer there. {_FROM_COPY}")


def _exports(folder: Path) -> None:
    done = stage_records(Database(folder / "run.db"))[Stage.EXPORT].finished_at is not None
    if done and find_adapter(folder) is None:
        raise RunError("There is no whole zip of the adapter.")


def _recipe_of(folder: Path) -> TransferRecipe | None:
    try:
        return _recipe(folder)
    except (OSError, ValueError, RecursionError, WorkbenchError):
        return None


def _samples_of(folder: Path) -> list[Sample]:
    """Kept samples row by row, up to where the file cannot be read."""
    found: list[Sample] = []
    with suppress(WorkbenchError, sqlite3.Error, OSError):
        database = Database(folder / "run.db")
        with database.connection() as connection:
            for row in connection.execute(f"{SELECT} WHERE +status = ? ORDER BY seq", (KEPT,)):
                with suppress(WorkbenchError):
                    found.append(to_sample(row))
    return found
