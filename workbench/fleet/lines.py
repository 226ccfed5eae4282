"""The list of transfers: every line is read, checked and named before anything starts.

A line of transfers.jsonl is one JSON object: kit or adapter, target, settings. Paths in it are
relative to the file. Problems are collected, one sentence for each bad line.
"""

import argparse
import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from workbench.errors import IntakeError, WorkbenchError
from workbench.limits import LIMITS
from workbench.models import references
from workbench.pipeline import require_inputs
from workbench.recipe import TransferRecipe
from workbench.runs.folder import checked_id
from workbench.transfer_inputs import Given, chosen_recipe, gather

_LIMITS = ("time_limit_minutes", "memory_limit_gb")
_PATHS = ("kit", "discriminator", "seeds", "evaluation", "unlabelled", "recipe")


@checked(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Line:
    """One transfer as it is written down; what is empty is as ``transfer`` has it.

    Attributes:
        adapter: a folder or zip, the two files, or hub:owner/name.
        set: recipe fields by dotted name.
        name: of the run's folder; "" is made from inputs and recipe.
        priority: the higher, the sooner.
        time_limit_minutes: of one attempt; 0 is none, None what holds for all.
        memory_limit_gb: of its worker's GPU, else of the worker's own memory; as above.
    """

    kit: str = ""
    adapter: str | list[str] = ""
    adapter_part: str = ""
    discriminator: str = ""
    seeds: str = ""
    evaluation: str = ""
    unlabelled: str = ""
    input_column: list[str] = field(default_factory=list)
    output_column: str | None = None
    source_base: str = ""
    source_model: str = ""
    target_base: str = ""
    recipe: str = ""
    preset: str = ""
    task_name: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    priority: int = 0
    time_limit_minutes: float | None = None
    memory_limit_gb: float | None = None


@dataclass(frozen=True)
class Transfer:
    """A line that is in order.

    Attributes:
        where: "line 3" or the kit's file name.
        options: what ``transfer_inputs.gather`` takes.
        name: of the run's folder.
        fingerprint: of inputs and recipe.
    """

    where: str
    line: Line
    options: argparse.Namespace
    name: str
    fingerprint: str
    recipe: TransferRecipe

    def open(self, workspace: Path) -> Given:
        """Read the files again, for the run that is made of them."""
        return _gather(self.options, workspace)


class BadLines(IntakeError):
    """Lines that cannot be worked on.

    Attributes:
        problems: one sentence for each.
    """

    def __init__(self, problems: Sequence[str], total: int) -> None:
        bad = f"{len(problems)} of {total} transfers"
        super().__init__("\n".join((f"{bad} cannot be started; nothing was begun.", *problems)))
        self.problems = tuple(problems)


_READER = TypeAdapter(Line)
Tell = Callable[[str], None]


def read(source: Path, defaults: Line, shard: tuple[int, int], tell: Tell) -> list[Transfer]:
    """Read and check the transfers of a file or of a folder of kits.

    Args:
        defaults: for what a line leaves empty.
        shard: (i, n): only the i-th of every n lines; (1, 1) is all.
        tell: called with notes about the files.

    Raises:
        BadLines: one sentence for every line that is wrong.
        IntakeError: there is nothing to read.
    """
    lines = list(_lines(source))
    if not lines:
        raise IntakeError(f"{source} has no transfers: give a JSONL file, or a folder of kits.")
    problems, transfers, seen = [], [], {}
    index, count = shard
    for at, (where, text, folder) in enumerate(lines):
        if at % count != index - 1:
            continue
        try:
            transfer = _checked(where, _parsed(text), folder, defaults, tell)
            if (other := seen.setdefault(transfer.name, where)) != where:
                raise IntakeError(f"It is the same transfer as {other}: give each its own name.")
            transfers.append(transfer)
        except WorkbenchError as error:
            problems.append(f"{where}: {error.message}")
    if problems:
        raise BadLines(problems, len(lines))
    return transfers


def _lines(source: Path) -> Iterator[tuple[str, str | Line, Path]]:
    """(where, what stands there, folder that paths are relative to)."""
    if source.is_dir():
        for kit in sorted(source.glob("*.zip")):
            yield kit.name, Line(kit=kit.name), source
        return
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise IntakeError(f"{source} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise IntakeError(
            f"{source} is no list of transfers: give a JSONL file, or a folder of kits."
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"line {number}", line, source.parent


def _parsed(text: str | Line) -> Line:
    if isinstance(text, Line):
        return text
    if len(text) > LIMITS.recipe_bytes:
        raise IntakeError("The line is too long.")
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid" or not first["loc"]:
            raise IntakeError(f"It is no JSON object: {first['msg']}.") from error
        name = first["loc"][0]
        if first["type"] == "unexpected_keyword_argument":
            known = ", ".join(Line.__dataclass_fields__)
            raise IntakeError(f'There is no field "{name}"; there are {known}.') from error
        raise IntakeError(f'"{name}": {first["msg"]}.') from error


def _checked(where: str, line: Line, folder: Path, defaults: Line, tell: Tell) -> Transfer:
    for limit in _LIMITS:
        if not 0 <= (getattr(line, limit) or 0) < math.inf:
            raise IntakeError(f'"{limit}" is 0 (none) or more.')
    options = _options(line, folder, defaults)
    notes = io.StringIO()
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(notes):
        given = _gather(options, Path(scratch))
        recipe = given.recipe
        require_inputs(recipe, given.inputs)
        for reference in (recipe.source_base, recipe.target_base):
            parsed = references.parse(reference)
            if parsed.kind == "folder":
                references.ready(reference)
        mark = given.fingerprint()
    for note in notes.getvalue().splitlines():
        tell(f"{where}: {note.strip()}")
    name = checked_id(line.name or f"transfer-{mark}")
    return Transfer(where, line, options, name, mark, recipe)


def _gather(options: argparse.Namespace, workspace: Path) -> Given:
    changes = {"task_name": options.task_name} if options.task_name else {}

    def recipe(start: TransferRecipe) -> TransferRecipe:
        return chosen_recipe(start, options.recipe, options.preset, {**changes, **options.set})

    return gather(options, recipe, workspace)


def _options(line: Line, folder: Path, defaults: Line) -> argparse.Namespace:
    """As the command ``transfer`` has them."""
    values: dict[str, Any] = {
        name: getattr(line, name) or getattr(defaults, name) for name in Line.__dataclass_fields__
    }
    values["output_column"] = line.output_column  # "" is none at all
    for name in _LIMITS:
        said = getattr(line, name)
        values[name] = getattr(defaults, name) or 0 if said is None else said
    for name in _PATHS:
        here = folder if getattr(line, name) else Path()
        values[name] = here / values[name] if values[name] else None
    for side in ("source_base", "source_model", "target_base"):
        values[side] = _reference(values[side], folder if getattr(line, side) else Path())
    adapter = [line.adapter] if isinstance(line.adapter, str) else line.adapter
    on_hub = adapter[0].startswith("hub:") if adapter else False
    values["adapter"] = [Path() / p if on_hub else folder / p for p in adapter if p] or None
    values["discriminator"] = values["discriminator"] and [values["discriminator"]]
    values["set"] = {**defaults.set, **line.set}
    return argparse.Namespace(**values, from_run=None, samples_from=None)


def _reference(text: str, folder: Path) -> str:
    """A base's reference that means the same wherever a worker is."""
    if not text:
        return ""
    kind, colon, rest = text.partition(":")
    if colon and kind == "folder" and rest:
        text = f"folder:{folder / rest}"
    return str(references.parse(text))
