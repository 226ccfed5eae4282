"""A run: one folder on disk, opened by any number of readers and written by one worker.

    recipe.json   run.db   inputs/   checkpoints/   exports/   worker.log
    lease.json    stop.json   result.json

``Run`` is a thin front to the modules of this package. Folders are private to the user (0700).
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench.errors import BusyError, ConflictError, RunError
from workbench.events import StageFinished
from workbench.inputs import AdapterFiles, Inputs
from workbench.recipe import TransferRecipe, from_json, override, recipe_hash, to_json
from workbench.runs import atomic, checkpoints, input_files, lease, state, stop_request, storage
from workbench.runs.database import Database
from workbench.runs.journal import Journal
from workbench.runs.recipe_rules import ANSWER_FIELDS, differing, reopens
from workbench.runs.results import Answers, read_result
from workbench.runs.samples import Samples
from workbench.samples import Example
from workbench.stages import ORDER, WORDS, Stage

TRASH = ".trash"
NO_INPUTS = Inputs()
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Run:
    """One run. Cheap to open; may be shared by threads, each gets its own connection.

    Attributes:
        id: the folder's name, 32 random hex digits unless the caller chose it.
        folder: absolute path.
        journal, samples, answers: what the run's database holds.
        read_only_because: "" or why nothing can be written.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.id = folder.name
        self._database = database
        self.journal = Journal(database)
        self.samples = Samples(database)
        self.answers = Answers(database)
        self.read_only_because = database.read_only_because
        self._recipe: tuple[tuple[int, int], TransferRecipe] | None = None
        self._inputs: tuple[tuple[int, int], Inputs] | None = None

    # Settings and inputs.

    @property
    def recipe(self) -> TransferRecipe:
        """The recipe as it stands on disk."""
        path = self.folder / "recipe.json"
        stamp = _stamp(path)
        if self._recipe is None or self._recipe[0] != stamp:
            try:
                self._recipe = (stamp, from_json(atomic.read_bytes(path).decode()))
            except OSError as error:
                raise RunError(f"{path} cannot be read: {error.strerror}.") from error
            except (UnicodeDecodeError, RecursionError) as error:
                raise RunError(f"{path} is damaged ({type(error).__name__}).") from error
        return self._recipe[1]

    def change_recipe(self, changes: dict[str, Any]) -> TransferRecipe:
        """Replace fields by dotted name, as far as the run has not yet used them.

        Asking for more samples opens the synthesis again. Raises ConflictError when it is too
        late, RecipeError when a value is wrong.
        """
        with self._database.write() as connection:
            old = self.recipe
            new = override(old, changes)
            begun = {stage: state.started(connection, stage) for stage in ORDER}
            stage = reopens(old, new, begun)
            if stage is not None:
                state.reopen(connection, stage, keep_arms=bool(self.inputs.evaluation))
            if set(differing(old, new)) & set(ANSWER_FIELDS):
                connection.execute("DELETE FROM answers")
            if new != old:
                atomic.write_text(self.folder / "recipe.json", to_json(new))
                self._recipe = None
        return new

    @property
    def inputs(self) -> Inputs:
        """The validated copies that the run starts from."""
        stamp = _stamp(self.folder / "inputs" / "inputs.json")
        if self._inputs is None or self._inputs[0] != stamp:
            self._inputs = (stamp, input_files.load(self.folder / "inputs"))
        return self._inputs[1]

    def put_inputs(self, inputs: Inputs) -> None:
        """Copy in all that is there, as one change; what is not there stays as it was."""
        with self._database.write() as connection:
            self._refuse_once_started(connection)
            input_files.put_all(self.folder / "inputs", inputs)

    def put_adapter(self, files: AdapterFiles | None, role: str = "adapter") -> None:
        """Copy an accepted adapter in as "adapter" or "discriminator"; None removes it."""
        with self._database.write() as connection:
            self._refuse_once_started(connection)
            input_files.put_adapter(self.folder / "inputs", files, role)

    def put_examples(self, role: str, rows: Sequence[Example]) -> None:
        """Store "seeds", "evaluation" or "unlabelled" rows; no rows removes them."""
        with self._database.write() as connection:
            self._refuse_once_started(connection)
            input_files.put_examples(self.folder / "inputs", role, rows)

    def _refuse_once_started(self, connection: Any) -> None:
        if state.started(connection, ORDER[0]):
            raise ConflictError(
                f'The inputs are fixed since the step "{WORDS[ORDER[0]]}" began. Duplicate the '
                "run as a new draft to use others."
            )

    # Stages and results.

    def stages(self) -> dict[Stage, state.StageRecord]:
        """When each stage started and finished, and its counts."""
        return state.stage_records(self._database)

    def stage_done(self, stage: Stage) -> bool:
        """Whether a stage has reached its goal."""
        return self.stages()[stage].finished_at is not None

    def finish_stage(self, stage: Stage, event: StageFinished) -> int:
        """Mark a stage as done and journal its event, together (do not journal it again)."""
        if event.stage != stage:
            raise ValueError(f"the event is of {event.stage}, not of {stage}")
        return state.finish(self._database, event)

    def reopen_from(self, stage: Stage, *, keep_checkpoints: bool = False) -> None:
        """Forget what this stage and later ones brought; keep samples, labels and the journal.

        With evaluation rows, answers of arms that the new adapter has no part in are kept, unless
        the evaluation itself is opened again.

        Args:
            keep_checkpoints: a training goes on from the newest one that is whole.
        """
        with self._database.write() as connection:
            state.reopen(connection, stage, keep_arms=bool(self.inputs.evaluation))
            if ORDER.index(stage) <= ORDER.index(Stage.EVALUATE):
                (self.folder / "result.json").unlink(missing_ok=True)
            if ORDER.index(stage) <= ORDER.index(Stage.DISTIL) and not keep_checkpoints:
                checkpoints.forget(self.checkpoints)

    @property
    def checkpoints(self) -> Path:
        """Where ``checkpoints.write`` and ``checkpoints.newest`` work."""
        return self.folder / "checkpoints"

    @property
    def exports(self) -> Path:
        """Where finished bundles go."""
        return self.folder / "exports"

    def recipe_hash(self) -> str:
        """Hash of the recipe as it stands."""
        return recipe_hash(self.recipe)

    def write_result(self, result: dict[str, Any]) -> Path:
        """Write ``result.json``; returns its path."""
        path = self.folder / "result.json"
        atomic.write_json(path, result)
        return path

    def result(self) -> dict[str, Any] | None:
        """What ``write_result`` wrote, or None; RunError when it is damaged."""
        return read_result(self.folder / "result.json")

    def remember(self, key: str, value: Any) -> None:
        """Store a JSON value of the pipeline's under a name."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, json.dumps(value))
            )

    def recall(self, key: str, default: Any = None) -> Any:
        """What ``remember`` stored, or the default."""
        text = self._database.one("SELECT value FROM facts WHERE key = ?", (key,))
        try:
            return default if text is None else json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._database.damaged(f'the fact "{key}" is no JSON') from error

    def stop_mode(self) -> str:
        """ "pause", "keep" or "discard" when the present worker is asked to stop, else ""."""
        request, holder = stop_request.read(self.folder), lease.holder(self.folder)
        if request is None or holder is None or request.job != holder.job:
            return ""
        return request.mode

    # The folder itself.

    @property
    def database(self) -> Database:
        """For other modules of this package."""
        return self._database

    @property
    def name(self) -> str:
        """What people call the run."""
        name = self.recall("name")
        return name if isinstance(name, str) and name else self.id

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self.remember("name", checked_name(name))

    @property
    def created_at(self) -> float:
        """Wall-clock seconds since 1970."""
        moment = self.recall("created_at")
        return moment if isinstance(moment, float) else 0.0

    def delete(self) -> str:
        """Move the run to the trash of its root; returns the name that ``restore`` takes."""
        holder = lease.holder(self.folder)
        if holder is not None and holder.alive():
            raise BusyError(f'"{self.name}" is being worked on. Stop it first, then delete it.')
        trash = self.folder.parent / TRASH
        trash.mkdir(mode=0o700, exist_ok=True)
        token = f"{self.id}.{secrets.token_hex(4)}"
        self._database.close()
        os.rename(self.folder, trash / token)
        atomic.sync_folder(self.folder.parent)
        return token


class NoSuchRun(RunError):
    """No run has this id, or none that who asks may know of: both are told alike."""

    def __init__(self) -> None:
        super().__init__("There is no such run. It may have been deleted; look under Runs.")


def runs_root() -> Path:
    """The folder of all runs: $WORKBENCH_RUNS, else what ``storage`` says."""
    return Path(os.environ.get("WORKBENCH_RUNS") or storage.usual_root()).resolve()


def create(
    root: Path,
    recipe: TransferRecipe,
    name: str | None = None,
    *,
    id: str | None = None,
    inputs: Inputs = NO_INPUTS,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Run:
    """A new run under ``root``, whole or not at all: it is made aside and renamed when complete.

    Args:
        name: what people call it; None is the recipe's task name.
        id: name of the folder; None is 32 random hex digits.
        inputs: accepted adapters and rows that it starts with.
        facts: see ``Run.remember``.
    """
    root = root.absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{root} cannot be the folder of runs: {error.strerror}.") from error
    atomic.sweep(root, deep=False)
    folder = root / checked_id(id or secrets.token_hex(16))
    if folder.exists():
        raise RunError(f"There is already a run {folder}. Choose another name.")
    partial = atomic.partial_name(folder)
    try:
        _fill(partial, recipe, name, inputs, facts)
        _place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return open_run(folder)


def _fill(
    partial: Path,
    recipe: TransferRecipe,
    name: str | None,
    inputs: Inputs,
    facts: Mapping[str, Any],
) -> None:
    partial.mkdir(mode=0o700)
    for inner in ("inputs", "checkpoints", "exports"):
        (partial / inner).mkdir(mode=0o700)
    atomic.write_text(partial / "recipe.json", to_json(recipe))
    input_files.put_all(partial / "inputs", inputs)
    draft = Run(partial, Database(partial / "run.db", create=True))
    draft.rename(name if name is not None else recipe.task_name)
    for key, value in {"created_at": time.time(), **facts}.items():
        draft.remember(key, value)
    draft.database.close()


def _place(partial: Path, folder: Path) -> None:
    try:
        os.rename(partial, folder)
    except OSError as error:
        if not folder.exists():
            raise
        raise RunError(f"There is already a run {folder}. Choose another name.") from error
    atomic.sync_folder(folder.parent)


def open_run(folder: Path, *, glance: bool = False) -> Run:
    """Open a run's folder; RunError with a sentence when it is none, or damaged.

    Args:
        glance: see ``Database``.
    """
    folder = folder.absolute()
    if folder.is_symlink() or not folder.is_dir():
        raise RunError(f"There is no run at {folder}.")
    return Run(folder, Database(folder / "run.db", glance=glance))


def find_run(root: Path, id: str) -> Run:
    """Open a run by its id, as it comes from an address; anything else is "no such run"."""
    folder = root.absolute() / id if _ID.fullmatch(id) else None
    if folder is None or folder.is_symlink() or not (folder / "run.db").is_file():
        raise NoSuchRun
    return open_run(folder)


def checked_id(id: str) -> str:
    """A folder name that is safe anywhere, or RunError."""
    if not _ID.fullmatch(id) or id.endswith(atomic.PART):
        raise RunError(f'"{id}" is no name for a run: use 1 to 64 letters, digits, ".", "_", "-".')
    return id


def checked_name(name: str) -> str:
    """A name for people: one line of at most 80 characters without controls, or RunError."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in name).split())
    if not 1 <= len(line) <= 80:
        raise RunError("The name of a run is 1 to 80 characters.")
    return line


def _stamp(path: Path) -> tuple[int, int]:
    """Changes whenever the file is replaced."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
