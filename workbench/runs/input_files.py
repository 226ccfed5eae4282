"""The inputs of a run as validated copies under ``inputs/``, with sizes and SHA-256.

Only what intake has accepted is copied. ``inputs.json`` is written last and is the only list of
what counts; a file that it does not name does not exist for the run.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.adapter_settings import AdapterSettings, adapter_settings
from workbench.errors import RunError
from workbench.inputs import AdapterFiles, Inputs, changed
from workbench.recipe import LoraSettings
from workbench.runs import atomic
from workbench.samples import Example

ADAPTER_ROLES = ("adapter", "discriminator", "writer")
EXAMPLE_ROLES = ("seeds", "evaluation", "unlabelled")


def load(folder: Path) -> Inputs:
    """Read what is under ``inputs/``; rows are checked against their hashes, adapters by size.

    Raises:
        RunError: a file is missing or has changed since it was accepted, or the list is damaged.
    """
    listed = _listed(folder)
    parts: dict[str, Any] = {}
    try:
        for role in ADAPTER_ROLES:
            if role in listed:
                parts[role] = _adapter(folder, listed[role])
        for role in EXAMPLE_ROLES:
            if role in listed:
                parts[role] = _rows(folder, listed[role])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{folder / 'inputs.json'} is damaged ({type(error).__name__}). Add the inputs again."
        ) from error
    return Inputs(**parts)


def require_present(folder: Path) -> set[str]:
    """Roles that are there, by sizes alone: for lists. RunError when a file is not."""
    listed = _listed(folder)
    for entry in listed.values():
        path = folder / entry["file"]
        if not path.is_file() or path.stat().st_size != entry.get("bytes"):
            raise RunError(changed(path, "it"))
    return set(listed)


def put_all(folder: Path, inputs: Inputs) -> None:
    """Copy in everything that is there, as one change; what is not there stays as it was."""
    entries: dict[str, dict[str, Any] | None] = {}
    for role in ADAPTER_ROLES:
        if files := getattr(inputs, role):
            entries[role] = _store_adapter(folder, files, role)
    for role in EXAMPLE_ROLES:
        if rows := getattr(inputs, role):
            entries[role] = _store_rows(folder, role, rows)
    if entries:
        _enter(folder, entries)


def put_adapter(folder: Path, files: AdapterFiles | None, role: str) -> None:
    """Copy an adapter in, or remove it with None."""
    if role not in ADAPTER_ROLES:
        raise RunError(f'An adapter is put in as one of {ADAPTER_ROLES}, not "{role}".')
    _enter(folder, {role: None if files is None else _store_adapter(folder, files, role)})


def put_examples(folder: Path, role: str, rows: Sequence[Example]) -> None:
    """Store rows as JSON lines, or remove them with no rows."""
    if role not in EXAMPLE_ROLES:
        raise RunError(f'Rows are put in as one of {EXAMPLE_ROLES}, not "{role}".')
    _enter(folder, {role: _store_rows(folder, role, rows) if rows else None})


def _store_adapter(folder: Path, files: AdapterFiles, role: str) -> dict[str, Any]:
    name = f"{role}-{files.sha256[:16] or 'weights'}.safetensors"
    size, sha256 = atomic.copy_in(files.weights, folder / name)
    if files.sha256 and sha256 != files.sha256:
        (folder / name).unlink()
        raise RunError(f"{files.weights.name} changed while it was copied in. Upload it again.")
    return {
        "file": name,
        "bytes": size,
        "sha256": sha256,
        "settings": dataclasses.asdict(files.settings),
        "base_hint": files.base_hint,
        "parameters": files.parameters,
        "notes": list(files.notes),
    }


def _store_rows(folder: Path, role: str, rows: Sequence[Example]) -> dict[str, Any]:
    lines = [json.dumps(_fields(row)) for row in rows]
    content = "".join(line + "\n" for line in lines).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"{role}-{sha256[:16]}.jsonl"
    atomic.write_bytes(folder / name, content)
    return {"file": name, "bytes": len(content), "sha256": sha256, "rows": len(rows)}


def _listed(folder: Path) -> dict[str, Any]:
    listing = folder / "inputs.json"
    if not listing.exists():
        return {}
    listed = atomic.read_json(listing)
    if not isinstance(listed, dict) or not all(map(_plain_file, listed.values())):
        raise RunError(f"{listing} is damaged. Add the inputs again.")
    return listed


def _plain_file(entry: Any) -> bool:
    """Whether an entry names a file of the folder itself."""
    name = entry.get("file") if isinstance(entry, dict) else None
    return isinstance(name, str) and name == Path(name).name and name not in ("", "..")


def _enter(folder: Path, entries: dict[str, dict[str, Any] | None]) -> None:
    listed = _listed(folder)
    former = {entry["file"] for role in entries if (entry := listed.pop(role, None))}
    listed |= {role: entry for role, entry in entries.items() if entry is not None}
    atomic.write_json(folder / "inputs.json", listed)
    for name in former - {entry["file"] for entry in listed.values()}:
        (folder / name).unlink(missing_ok=True)


def _adapter(folder: Path, entry: dict[str, Any]) -> AdapterFiles:
    weights = folder / entry["file"]
    if not weights.is_file() or weights.stat().st_size != entry["bytes"]:
        raise RunError(changed(weights, "the adapter"))
    return AdapterFiles(
        settings=_settings(entry["settings"]),
        weights=weights,
        sha256=entry["sha256"],
        base_hint=entry["base_hint"],
        parameters=entry["parameters"],
        notes=tuple(entry.get("notes", ())),
    )


def _settings(stored: dict[str, Any]) -> AdapterSettings:
    """Also of runs from before other methods than LoRA were taken."""
    if "fields" in stored:
        return AdapterSettings(**stored)
    targets = tuple(stored["target_modules"])
    return adapter_settings(LoraSettings(**{**stored, "target_modules": targets}))


def _rows(folder: Path, entry: dict[str, Any]) -> tuple[Example, ...]:
    path = folder / entry["file"]
    content = b""
    with suppress(OSError):
        content = atomic.read_bytes(path)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise RunError(changed(path, "the rows"))
    return tuple(_row(json.loads(line)) for line in content.splitlines())


def _fields(row: Example) -> dict[str, Any]:
    fields: dict[str, Any] = {"input": row.input, "output": row.output}
    return fields | ({"references": list(row.references)} if row.references else {})


def _row(fields: dict[str, Any]) -> Example:
    return Example(fields["input"], fields["output"], tuple(fields.get("references", ())))
