"""Accepts a LoRA adapter from a folder, from its two files or from a zip.

Exactly adapter_config.json and adapter_model.safetensors are read, from copies of our own; a
pickle anywhere beside them is refused. What is true of an adapter without its base model is
checked here; that its names match a base is checked when it is attached to one.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import IntakeError
from workbench.inputs import AdapterFiles
from workbench.intake.archive import unpack
from workbench.intake.config import read_claims, settings_for
from workbench.intake.config_fields import NAME as CONFIG_NAME
from workbench.intake.copying import Copied, copy_in
from workbench.intake.file_names import is_harmless_name, is_pickle_name
from workbench.intake.header import (
    REMEDY_PICKLE,
    Module,
    Tensor,
    check_values,
    lora_modules,
    read_header,
)
from workbench.intake.wording import shown
from workbench.limits import LIMITS

WEIGHTS_NAME = "adapter_model.safetensors"
WANTED = {CONFIG_NAME: LIMITS.adapter_config_bytes, WEIGHTS_NAME: LIMITS.adapter_bytes}
_LISTED_FILES = 10_000

FILES = "The two files are there"
CONFIG = "The settings are those of a plain LoRA"
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
    """

    checks: tuple[Check, ...]
    adapter: AdapterFiles | None = None
    modules: tuple[tuple[str, int], ...] = ()
    bytes: int = 0
    dtypes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """The sentence of the check that failed, or ""."""
        return next((check.problem for check in self.checks if check.problem), "")


def read_adapter(paths: Path | Sequence[Path], workspace: Path) -> AdapterFiles:
    """Check an adapter and copy its weights below ``workspace``.

    Args:
        paths: a folder, a zip, or the two files.
        workspace: a folder of ours, made when missing; a new folder is made inside.

    Raises:
        IntakeError: one sentence that names the file, the field and the remedy.
    """
    inspection = inspect_adapter(paths, workspace)
    if inspection.adapter is None:
        raise IntakeError(inspection.problem)
    return inspection.adapter


def inspect_adapter(paths: Path | Sequence[Path], workspace: Path) -> Inspection:
    """The same checks, in words and in order, ending at the first that fails."""
    done: list[Check] = []
    doing = FILES
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="adapter-", dir=workspace))
        config, weights, ignored = _gather(paths, folder)
        done.append(Check(doing))
        doing = CONFIG
        claims = read_claims(config.path.read_bytes())
        config.path.unlink()  # so that no other reader ever finds it beside the weights
        done.append(Check(doing))
        doing = LAYERS
        tensors = read_header(weights.path)
        modules = lora_modules(tensors)
        settings = settings_for(claims, modules)
        done.append(Check(doing))
        doing = VALUES
        check_values(weights.path, tensors)
        done.append(Check(doing))
    except IntakeError as error:
        return Inspection(checks=(*done, Check(doing, error.message)))
    adapter = AdapterFiles(
        settings=settings,
        weights=weights.path,
        sha256=weights.sha256,
        base_hint=claims.base_hint,
        parameters=sum(_count(tensor) for tensor in tensors),
    )
    return Inspection(
        checks=tuple(done),
        adapter=adapter,
        modules=_module_counts(modules),
        bytes=weights.bytes,
        dtypes=tuple(sorted({tensor.dtype for tensor in tensors})),
        ignored=ignored,
    )


def _count(tensor: Tensor) -> int:
    count = 1
    for axis in tensor.shape:
        count *= axis
    return count


def _module_counts(modules: Sequence[Module]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(module.name.rsplit(".", 1)[-1] for module in modules).items()))


def _gather(paths: Path | Sequence[Path], folder: Path) -> tuple[Copied, Copied, tuple[str, ...]]:
    """Copies of the config and the weights, and the names of what was left aside."""
    given = [paths] if isinstance(paths, Path) else list(paths)
    if not given:
        raise IntakeError(f"Nothing was handed over. Choose {CONFIG_NAME} and {WEIGHTS_NAME}.")
    # os.path, unlike Path.is_dir, says no to impossible names instead of raising.
    if len(given) == 1 and os.path.isdir(given[0]):
        found, ignored = _from_folder(given[0], folder)
    elif len(given) == 1 and given[0].suffix.lower() == ".zip":
        unpacked = unpack(given[0], folder, WANTED)
        found, ignored = unpacked.files, unpacked.ignored
    else:
        found, ignored = _from_files(given, folder)
    for name in WANTED:
        if name not in found:
            raise IntakeError(
                f"{name} is missing. An adapter is the two files {CONFIG_NAME} and "
                f"{WEIGHTS_NAME}, a folder with both, or a zip of them."
            )
    return found[CONFIG_NAME], found[WEIGHTS_NAME], ignored


def _from_folder(source: Path, folder: Path) -> tuple[dict[str, Copied], tuple[str, ...]]:
    """Everything through one open directory, so that it cannot be swapped between two files."""
    try:
        directory = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise IntakeError(f"The folder {shown(source.name)} cannot be opened.") from error
    try:
        names = sorted(os.listdir(directory))
        if len(names) > _LISTED_FILES:
            raise IntakeError(f"The folder {shown(source.name)} is not that of an adapter.")
        _refuse_pickles(names)
        found = {
            name: copy_in(Path(name), folder / name, at_most, folder=directory)
            for name, at_most in WANTED.items()
            if name in names
        }
    finally:
        os.close(directory)
    return found, tuple(shown(name) for name in names if name not in WANTED)


def _from_files(given: Sequence[Path], folder: Path) -> tuple[dict[str, Copied], tuple[str, ...]]:
    names = [path.name for path in given]
    _refuse_pickles(names)
    if len(set(names)) != len(names):
        raise IntakeError("Two of the files have the same name. Hand over one adapter at a time.")
    for name in names:
        if name not in WANTED and not is_harmless_name(name):
            raise IntakeError(
                f"{shown(name)} is not a file of an adapter. Choose {CONFIG_NAME} and "
                f"{WEIGHTS_NAME} under these names, or one zip of them."
            )
    found = {
        path.name: copy_in(path, folder / path.name, WANTED[path.name])
        for path in given
        if path.name in WANTED
    }
    return found, tuple(shown(name) for name in names if name not in WANTED)


def _refuse_pickles(names: Sequence[str]) -> None:
    for name in names:
        if is_pickle_name(name):
            raise IntakeError(f"{shown(name)} is a pickle. {REMEDY_PICKLE}")
