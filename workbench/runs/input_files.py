"""The inputs of a run as validated copies under ``inputs/``, with sizes and SHA-256.

Only what intake has accepted is copied. ``inputs.json`` is written last and is the only list of
what counts; a file that it does not name does not exist for the run.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.inputs import AdapterFiles, Inputs
from workbench.recipe import LoraSettings
from workbench.runs import atomic
from workbench.samples import Example

ADAPTER_ROLES = ("adapter", "discriminator")
EXAMPLE_ROLES = ("seeds", "evaluation", "unlabelled")


def load(folder: Path) -> Inputs:
    """Read what is under ``inputs/``; rows are checked against their hashes.

    Raises:
        RunError: a file is missing or has changed since it was accepted.
    """
    listed = _listed(folder)
    adapters: dict[str, Any] = {}
    for role in ADAPTER_ROLES:
        if entry := listed.get(role):
            adapters[role] = _adapter(folder, entry)
    rows: dict[str, Any] = {
        role: _rows(folder, listed[role]) for role in EXAMPLE_ROLES if role in listed
    }
    return Inputs(**adapters, **rows)


def put_adapter(folder: Path, files: AdapterFiles | None, role: str) -> None:
    """Copy an adapter in, or remove it with None."""
    if role not in ADAPTER_ROLES:
        raise RunError(f'An adapter is put in as one of {ADAPTER_ROLES}, not "{role}".')
    if files is None:
        _enter(folder, role, None)
        return
    name = f"{role}-{files.sha256[:16] or 'weights'}.safetensors"
    size, sha256 = atomic.copy_in(files.weights, folder / name)
    if files.sha256 and sha256 != files.sha256:
        (folder / name).unlink()
        raise RunError(f"{files.weights.name} changed while it was copied in. Upload it again.")
    entry = {
        "file": name,
        "bytes": size,
        "sha256": sha256,
        "settings": dataclasses.asdict(files.settings),
        "base_hint": files.base_hint,
        "parameters": files.parameters,
    }
    _enter(folder, role, entry)


def put_examples(folder: Path, role: str, rows: Sequence[Example]) -> None:
    """Store rows as JSON lines, or remove them with no rows."""
    if role not in EXAMPLE_ROLES:
        raise RunError(f'Rows are put in as one of {EXAMPLE_ROLES}, not "{role}".')
    if not rows:
        _enter(folder, role, None)
        return
    lines = [json.dumps({"input": row.input, "output": row.output}) for row in rows]
    content = "".join(line + "\n" for line in lines).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{role}-{sha256[:16]}.jsonl"
    atomic.write_bytes(folder / name, content)
    _enter(folder, role, {"file": name, "bytes": len(content), "sha256": sha256, "rows": len(rows)})


def _listed(folder: Path) -> dict[str, Any]:
    listing = folder / "inputs.json"
    if not listing.exists():
        return {}
    listed = atomic.read_json(listing)
    if not isinstance(listed, dict):
        raise RunError(f"{listing} is damaged. Add the inputs again.")
    return listed


def _enter(folder: Path, role: str, entry: dict[str, Any] | None) -> None:
    listed = _listed(folder)
    former = listed.pop(role, None)
    if entry is not None:
        listed[role] = entry
    atomic.write_json(folder / "inputs.json", listed)
    if former and former["file"] not in {kept["file"] for kept in listed.values()}:
        (folder / former["file"]).unlink(missing_ok=True)


def _adapter(folder: Path, entry: dict[str, Any]) -> AdapterFiles:
    weights = folder / entry["file"]
    if not weights.is_file() or weights.stat().st_size != entry["bytes"]:
        raise RunError(f"{weights} is missing or has changed. Add the adapter again.")
    settings = dict(entry["settings"])
    settings["target_modules"] = tuple(settings["target_modules"])
    return AdapterFiles(
        settings=LoraSettings(**settings),
        weights=weights,
        sha256=entry["sha256"],
        base_hint=entry["base_hint"],
        parameters=entry["parameters"],
    )


def _rows(folder: Path, entry: dict[str, Any]) -> tuple[Example, ...]:
    path = folder / entry["file"]
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise RunError(f"{path} is missing or has changed. Add the rows again.")
    return tuple(Example(**json.loads(line)) for line in content.splitlines())
