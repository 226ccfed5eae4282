"""Checkpoints of a training: safetensors and JSON, the manifest written last.

A checkpoint is made under a partial name and renamed when its manifest (sizes, SHA-256, step,
recipe hash) is on disk. Reading takes the newest one whose manifest holds; a damaged one is renamed
and the one before it is taken. Tensors are numpy arrays here; whoever trains converts.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workbench.errors import RunError
from workbench.runs import atomic

SCHEMA = 1
KEEP = 2
_PREFIX = "step-"


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    Attributes:
        step: optimiser steps done.
        folder: where it lies.
        tensors: by name, as they were written.
        meta: as it was written (JSON).
    """

    step: int
    folder: Path
    tensors: dict[str, np.ndarray]
    meta: dict[str, Any]


def write(
    folder: Path,
    step: int,
    tensors: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    *,
    keep: int = KEEP,
) -> Path:
    """Write the checkpoint of a step and drop all but the newest ``keep``; returns its folder.

    Raises:
        RunError: the disk is full; the checkpoints that were there are untouched.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_room(folder, sum(array.nbytes for array in tensors.values()))
    final = folder / f"{_PREFIX}{step:06d}"
    partial = atomic.partial_name(final)
    partial.mkdir(mode=0o700)
    try:
        _fill(partial, step, tensors, meta)
        # There is one already where a training that fell back comes to the same step again.
        atomic.replace_folder(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for old in _steps(folder)[keep:]:
        shutil.rmtree(old)
    return final


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None; damaged ones are renamed to ``bad-…``."""
    for candidate in _steps(folder):
        try:
            manifest = _verified(candidate)
            tensors = load_file(candidate / "tensors.safetensors")
            meta = json.loads(atomic.read_bytes(candidate / "meta.json"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
            _quarantine(candidate)
            continue
        return Checkpoint(manifest["step"], candidate, tensors, meta)
    return None


def damaged(folder: Path) -> list[str]:
    """Names of checkpoints that do not verify, those set aside included."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if path.name.startswith("bad-")]
    for candidate in _steps(folder):
        try:
            _verified(candidate)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RunError):
            names.append(candidate.name)
    return sorted(names)


def forget(folder: Path) -> None:
    """Remove all checkpoints, damaged ones too."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def _fill(
    partial: Path,
    step: int,
    tensors: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
) -> None:
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    try:
        save_file(contiguous, partial / "tensors.safetensors")
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"The checkpoint of step {step} could not be written: {error}. The one before it is "
            "untouched. Free some space and continue the run."
        ) from error
    atomic.sync_file(partial / "tensors.safetensors")
    atomic.write_json(partial / "meta.json", dict(meta))
    files = {
        name: {"bytes": (partial / name).stat().st_size, "sha256": atomic.sha256_of(partial / name)}
        for name in ("tensors.safetensors", "meta.json")
    }
    manifest = {"schema": SCHEMA, "step": step, "files": files}
    atomic.write_json(partial / "manifest.json", manifest)


def _verified(folder: Path) -> dict[str, Any]:
    """The manifest, when every file is as it says; ValueError otherwise."""
    manifest = json.loads(atomic.read_bytes(folder / "manifest.json"))
    if manifest["schema"] > SCHEMA:
        raise RunError(
            f"{folder} was written by a newer version (schema {manifest['schema']}). Upgrade."
        )
    if manifest["step"] != _step(folder):
        raise ValueError("step")
    for name in ("tensors.safetensors", "meta.json"):
        path, entry = folder / name, manifest["files"][name]
        if path.is_symlink() or not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise ValueError(name)
        if atomic.sha256_of(path) != entry["sha256"]:
            raise ValueError(name)
    return manifest


def _steps(folder: Path) -> list[Path]:
    """Folders of complete or damaged checkpoints, newest first."""
    if not folder.is_dir():
        return []
    found = [
        path
        for path in folder.iterdir()
        if path.name.startswith(_PREFIX) and path.name[len(_PREFIX) :].isdecimal()
    ]
    return sorted(found, key=_step, reverse=True)


def _step(folder: Path) -> int:
    return int(folder.name[len(_PREFIX) :])


def _quarantine(folder: Path) -> None:
    target = folder.with_name(f"bad-{folder.name}")
    number = 1
    while target.exists():
        number += 1
        target = folder.with_name(f"bad-{number}-{folder.name}")
    os.rename(folder, target)


def _make_room(folder: Path, need_bytes: int) -> None:
    """When space is short, drop what is older than the newest good checkpoint, then insist."""
    try:
        atomic.require_space(folder, need_bytes)
    except RunError:
        good = newest(folder)
        for old in _steps(folder):
            if good is not None and old != good.folder:
                shutil.rmtree(old)
        atomic.require_space(folder, need_bytes)
