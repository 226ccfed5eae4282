"""Accepts an adapter from a folder, from its files or from a zip.

Its config and its safetensors weights are read, from copies of our own; whatever lies beside them
is never opened and never stored. What is true of an adapter without its base model is checked here;
that its names match a base is checked when it is attached to one.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.adapter_settings import LORA, AdapterSettings
from workbench.errors import IntakeError
from workbench.inputs import AdapterFiles
from workbench.intake.archive import opened
from workbench.intake.config import (
    Claims,
    claims_of,
    lora_settings,
    other_settings,
    read_config,
    refuse_biases,
    refuse_encoders,
    require_claimed,
)
from workbench.intake.copying import Copied, copy_in
from workbench.intake.field_checks import NAME as CONFIG_NAME
from workbench.intake.header import Tensor, check_values, read_header
from workbench.intake.layout import WEIGHTS_NAME, Layout, SeveralAdapters, find
from workbench.intake.lora_tensors import changes_something, lora_modules
from workbench.intake.methods import METHODS
from workbench.intake.rewriting import from_mlx, join, mlx_claims, with_usual_names
from workbench.intake.tensor_names import layers_of, require_plain_names
from workbench.intake.wording import shown
from workbench.limits import LIMITS

WANTED = {CONFIG_NAME: LIMITS.adapter_config_bytes, WEIGHTS_NAME: LIMITS.adapter_bytes}
_LISTED_FILES = 10_000
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_DEPTH = 8  # folders below the one handed over that are looked into
_NAMED = 8  # of what is left out

FILES = "The two files are there"
CONFIG = "The settings are those of a method that is understood"
LAYERS = "The weights are readable and every layer is complete"
VALUES = "All numbers are finite and the adapter changes something"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, in words; ``problem`` is "" when it is as it should be."""

    words: str
    problem: str = ""


@dataclass(frozen=True)
class Inspection:
    """What a person is shown about an adapter; ``adapter`` is None when a check failed.

    Attributes:
        modules: last parts of the layers' names, e.g. "q_proj", with how many layers have one.
        bytes: size of the weights file.
        dtypes: number formats of the weights, e.g. "BF16".
        ignored: files that were handed over and not read.
        choices: folders that each hold an adapter, when it must be said which one is meant.
    """

    checks: tuple[Check, ...]
    adapter: AdapterFiles | None = None
    modules: tuple[tuple[str, int], ...] = ()
    bytes: int = 0
    dtypes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """The sentence of the check that failed, or ""."""
        return next((check.problem for check in self.checks if check.problem), "")


def read_adapter(
    paths: Path | Sequence[Path], workspace: Path, *, part: str = "", links: bool = False
) -> AdapterFiles:
    """Check an adapter and copy its weights below ``workspace``.

    Args:
        paths: a folder, a zip, or the files.
        workspace: a folder of ours, made when missing; a new folder is made inside.
        part: the folder that is meant where several hold an adapter.
        links: follow links, for paths that the person at this machine typed (the Hub's cache
            consists of links).

    Raises:
        IntakeError: one sentence that names the file, the field and the remedy.
    """
    inspection = inspect_adapter(paths, workspace, part=part, links=links)
    if inspection.adapter is None:
        raise IntakeError(inspection.problem)
    return inspection.adapter


def inspect_adapter(
    paths: Path | Sequence[Path], workspace: Path, *, part: str = "", links: bool = False
) -> Inspection:
    """The same checks, in words and in order, ending at the first that fails."""
    done: list[Check] = []
    doing = FILES
    given = [paths] if isinstance(paths, Path) else list(paths)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="adapter-", dir=workspace))
        gathered = _gather(given, folder, part, links)
        done.append(Check(doing))
        doing = CONFIG
        data = read_config(gathered.config.path.read_bytes())
        gathered.config.path.unlink()  # so that no other reader ever finds it beside the weights
        claims = claims_of(mlx_claims(data) if gathered.layout.mlx else data)
        done.append(Check(doing))
        doing = LAYERS
        weights = _one_file(gathered, folder)
        weights = with_usual_names(weights) if claims.method == LORA else weights
        tensors = read_header(weights.path)
        settings, layers = _settings(claims, tensors)
        done.append(Check(doing))
        doing = VALUES
        filled = check_values(weights.path, tensors)
        _require_effect(claims, tensors, filled)
        done.append(Check(doing))
    except SeveralAdapters as error:
        problem = Check(doing, error.message)
        return Inspection(checks=(*done, problem), choices=error.choices)
    except IntakeError as error:
        return Inspection(checks=(*done, Check(doing, error.message)))
    adapter = AdapterFiles(
        settings=settings,
        weights=weights.path,
        sha256=weights.sha256,
        base_hint=claims.base_hint,
        parameters=sum(_count(tensor) for tensor in tensors),
        notes=_notes(gathered.layout),
    )
    return Inspection(
        checks=tuple(done),
        adapter=adapter,
        modules=_module_counts(layers),
        bytes=weights.bytes,
        dtypes=tuple(sorted({tensor.dtype for tensor in tensors})),
        ignored=gathered.layout.left_out,
    )


def _count(tensor: Tensor) -> int:
    count = 1
    for axis in tensor.shape:
        count *= axis
    return count


def _settings(claims: Claims, tensors: list[Tensor]) -> tuple[AdapterSettings, list[str]]:
    """What kind of adapter it is, and the names of its layers."""
    refuse_encoders(tensors)
    refuse_biases(claims, tensors)
    if claims.method == LORA:
        modules = lora_modules(tensors, claims.saved)
        require_claimed(claims, tensors)
        return lora_settings(claims, modules), [module.name for module in modules]
    require_plain_names(tensors)
    return other_settings(claims, tensors), list(layers_of(tensors, METHODS[claims.method].mark))


def _require_effect(claims: Claims, tensors: list[Tensor], filled: frozenset[str]) -> None:
    if claims.method == LORA:
        modules = lora_modules(tensors, claims.saved)
        beside = bool(claims.saved or claims.fields.get("trainable_token_indices"))
        if not changes_something(modules, filled, beside):
            raise IntakeError(
                f"{WEIGHTS_NAME}: every B matrix is zero, so the adapter changes nothing. Hand "
                "over the adapter after training."
            )


def _module_counts(layers: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(layer.rsplit(".", 1)[-1] for layer in layers).items()))


@dataclass(frozen=True)
class _Gathered:
    """Copies of ours, before they are read: the weights whole or in parts."""

    config: Copied
    weights: tuple[Copied, ...]
    layout: Layout


def _gather(given: list[Path], folder: Path, part: str, links: bool) -> _Gathered:
    """Copy the adapter's files and nothing else into ``folder``."""
    if not given:
        raise IntakeError(f"Nothing was handed over. Choose {CONFIG_NAME} and {WEIGHTS_NAME}.")
    for path in given:
        if not os.path.lexists(path):
            plain = path.name.replace("\\", "/")  # a path of Windows
            raise IntakeError(f"{shown(plain, 120)} was not found.")
    # os.path, unlike Path.is_dir, says no to impossible names instead of raising.
    if len(given) == 1 and os.path.isdir(given[0]):
        return _from_folder(given[0], folder, part, links)
    if len(given) == 1 and given[0].suffix.lower() == ".zip":
        with opened(given[0], folder) as archive:
            layout = find(archive.names, shown(given[0].name), part)
            return _copied(layout, folder, archive.take)
    names = {path.name: path for path in given}
    if len(names) != len(given):
        raise IntakeError("Two of the files have the same name. Hand over one adapter at a time.")
    layout = find(names, "What was handed over", part)
    return _copied(
        layout, folder, lambda name, target, most: copy_in(names[name], target, most, links=links)
    )


def _from_folder(source: Path, folder: Path, part: str, links: bool) -> _Gathered:
    """Everything through one open directory, so that it cannot be swapped between two files."""
    label = shown(source.name or "The folder")
    try:
        directory = os.open(source, _FOLDER_FLAGS)
    except (OSError, ValueError) as error:
        raise IntakeError(f"The folder {label} cannot be opened.") from error

    def take(name: str, target: Path, at_most: int) -> Copied:
        parent, _, file = name.rpartition("/")
        inner = os.open(
            parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory
        )
        try:
            return copy_in(Path(file), target, at_most, folder=inner, links=links)
        finally:
            os.close(inner)

    try:
        return _copied(find(_listed(directory, label), label, part), folder, take)
    finally:
        os.close(directory)


def _listed(directory: int, label: str) -> list[str]:
    """Paths of the files below an open directory; links to folders are not followed."""
    names: list[str] = []
    for path, folders, files, _ in os.fwalk(".", dir_fd=directory):
        inside = path.removeprefix(".").removeprefix("/")
        names += [f"{inside}/{file}" if inside else file for file in sorted(files)]
        if len(names) > _LISTED_FILES:
            raise IntakeError(
                f"The folder {label} holds over {_LISTED_FILES:,} files. Choose the folder of the "
                "adapter itself."
            )
        folders[:] = sorted(folders) if len(Path(inside).parts) < _DEPTH else []
    return names


def _copied(layout: Layout, folder: Path, take: Callable[[str, Path, int], Copied]) -> _Gathered:
    config = take(layout.config, folder / CONFIG_NAME, LIMITS.adapter_config_bytes)
    names = [WEIGHTS_NAME] if len(layout.weights) == 1 and not layout.mlx else []
    names = names or [f"part-{number}.safetensors" for number in range(len(layout.weights))]
    weights, left = [], LIMITS.adapter_bytes
    for member, name in zip(layout.weights, names, strict=True):
        weights.append(take(member, folder / name, left))
        left -= weights[-1].bytes
    return _Gathered(config, tuple(weights), layout)


def _one_file(gathered: _Gathered, folder: Path) -> Copied:
    """The weights with PEFT's names in one file; the copies that it was made from are removed."""
    if not gathered.layout.mlx and len(gathered.weights) == 1:
        return gathered.weights[0]
    target = folder / WEIGHTS_NAME
    try:
        if gathered.layout.mlx:
            return from_mlx(gathered.weights[0], target)
        return join(gathered.weights, target)
    finally:
        for copied in gathered.weights:
            copied.path.unlink()


def _notes(layout: Layout) -> tuple[str, ...]:
    """Sentences about what was done on the way in."""
    notes = []
    if layout.folder:
        notes.append(f"Taken from the folder {shown(layout.folder, 120)}.")
    if layout.mlx:
        notes.append("Converted from an MLX adapter.")
    if len(layout.weights) > 1:
        notes.append(f"The weights were joined from {len(layout.weights)} parts.")
    if layout.left_out:
        named = ", ".join(layout.left_out[:_NAMED])
        more = f" and {len(layout.left_out) - _NAMED} more" if len(layout.left_out) > _NAMED else ""
        notes.append(f"Left out, never opened: {named}{more}.")
    return tuple(notes)
