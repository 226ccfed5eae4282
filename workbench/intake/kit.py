"""The transfer kit: one zip with everything that a data owner hands over.

kit.json (what it is, and the SHA-256 of every other member), adapter/, optionally discriminator/,
seeds.jsonl, optionally evaluation.jsonl, NOTICE. Hashes find damage and mix-ups; they do not prove
who made a kit. The source base is a name to look up, never a path on this machine.
"""

import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import IntakeError, RecipeError
from workbench.inputs import AdapterFiles, Inputs
from workbench.intake.adapter import WANTED as ADAPTER_FILES
from workbench.intake.adapter import WEIGHTS_NAME, read_adapter
from workbench.intake.archive import unpack
from workbench.intake.bounded_json import read_json
from workbench.intake.config_fields import NAME as CONFIG_NAME
from workbench.intake.copying import Copied
from workbench.intake.rows import decode, parse_rows
from workbench.intake.wording import shown
from workbench.limits import LIMITS
from workbench.recipe import LoraSettings, PromptFormat
from workbench.samples import Example

SCHEMA = 1
KIND = "trans-lora-kit"

_NOTICE_BYTES = 64 * 1024
_KIT_BYTES = 64 * 1024
_MEMBERS = {
    "kit.json": _KIT_BYTES,
    "NOTICE": _NOTICE_BYTES,
    "seeds.jsonl": LIMITS.rows_file_bytes,
    "evaluation.jsonl": LIMITS.rows_file_bytes,
    **{f"adapter/{name}": at_most for name, at_most in ADAPTER_FILES.items()},
    **{f"discriminator/{name}": at_most for name, at_most in ADAPTER_FILES.items()},
}
_REFERENCE = re.compile(
    r"package:[a-z0-9][a-z0-9._-]{0,63}|(?:hub:)?[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}(?:@[\w.-]{1,64})?",
    re.ASCII,
)
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can say: equal kits are equal bytes


@dataclass(frozen=True)
class Kit:
    """What a kit holds, checked.

    Attributes:
        source_base: a package or Hub reference, or "" when the kit names none that can be used.
        discriminator_auc: of the discriminator on held-out rows, 0..1; None when not known.
        notice: licences and attributions, in the owner's words.
    """

    inputs: Inputs
    task_name: str
    source_base: str
    source_format: PromptFormat
    metric: str = "exact"
    discriminator_auc: float | None = None
    notice: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


def write_kit(
    target: Path,
    inputs: Inputs,
    *,
    task_name: str,
    source_base: str,
    source_format: PromptFormat,
    metric: str = "exact",
    discriminator_auc: float | None = None,
    notice: str = "",
) -> Path:
    """Write a kit to ``target`` (replaced at once when complete); equal arguments, equal bytes.

    A ``source_base`` that is a local path is left out, for it means nothing elsewhere.
    """
    if inputs.adapter is None or not inputs.seeds:
        raise IntakeError("A kit needs an adapter and at least one seed.")
    base = source_base if _REFERENCE.fullmatch(source_base) else ""
    contents = _contents(inputs, base, notice)
    about = {
        "schema": SCHEMA,
        "kind": KIND,
        "task_name": task_name,
        "source_base": base,
        "source_format": {
            "kind": source_format.kind,
            "template": source_format.template,
            "system": source_format.system,
        },
        "metric": metric,
        "discriminator_auc": discriminator_auc,
        "counts": {"seeds": len(inputs.seeds), "evaluation": len(inputs.evaluation)},
        "files": {name: _fingerprint(content) for name, content in contents.items()},
    }
    members = {"kit.json": _json_bytes(about), **contents}
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with partial.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                _add(archive, name, content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
    return target


def _contents(inputs: Inputs, base: str, notice: str) -> dict[str, bytes | Path]:
    """Members by name; weights stay files, so that they are streamed."""
    contents: dict[str, bytes | Path] = {}
    for role, adapter in (("adapter", inputs.adapter), ("discriminator", inputs.discriminator)):
        if adapter is not None:
            contents[f"{role}/{CONFIG_NAME}"] = _json_bytes(peft_config(adapter.settings, base))
            contents[f"{role}/{WEIGHTS_NAME}"] = adapter.weights
    contents["seeds.jsonl"] = _jsonl_bytes(inputs.seeds)
    if inputs.evaluation:
        contents["evaluation.jsonl"] = _jsonl_bytes(inputs.evaluation)
    if notice:
        contents["NOTICE"] = (notice.rstrip() + "\n").encode()
    return contents


def peft_config(settings: LoraSettings, base: str) -> dict[str, Any]:
    """An adapter_config.json of our own that PEFT reads and that intake accepts."""
    targets = list(settings.target_modules)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "use_rslora": settings.method == "rslora",
        "use_dora": settings.method == "dora",
        "bias": "none",
        "target_modules": "all-linear" if targets == ["all-linear"] else targets,
        "rank_pattern": settings.rank_pattern,
        "alpha_pattern": settings.alpha_pattern,
        "inference_mode": True,
    }


def read_kit(path: Path, workspace: Path) -> Kit:
    """Check a kit and copy its files below ``workspace``; raises IntakeError with a sentence."""
    folder = Path(tempfile.mkdtemp(prefix="kit-", dir=workspace))
    files = unpack(path, folder, _MEMBERS).files
    about = _about(files, shown(path.name))
    _verify(files, about["files"], shown(path.name))
    inputs = Inputs(
        adapter=_adapter(files, "adapter", folder),
        discriminator=_adapter(files, "discriminator", folder),
        seeds=_rows(files, "seeds.jsonl", LIMITS.seeds),
        evaluation=_rows(files, "evaluation.jsonl", LIMITS.rows),
    )
    if inputs.adapter is None:
        raise IntakeError("The kit has no adapter. Make it again with `prepare`.")
    counts = {"seeds": len(inputs.seeds), "evaluation": len(inputs.evaluation)}
    if about["counts"] != counts:
        raise IntakeError("kit.json counts other rows than the kit holds. Make the kit again.")
    notice = files.get("NOTICE")
    return Kit(
        inputs=inputs,
        task_name=about["task_name"],
        source_base=about["source_base"],
        source_format=about["source_format"],
        metric=about["metric"],
        discriminator_auc=about["discriminator_auc"],
        notice=decode(notice.path.read_bytes(), "NOTICE") if notice else "",
        counts=counts,
    )


def _about(files: Mapping[str, Copied], label: str) -> dict[str, Any]:
    """The fields of kit.json with checked types; unknown ones are dropped."""
    if "kit.json" not in files:
        raise IntakeError(f"{label} is not a kit: kit.json is missing. Is it an adapter?")
    data = read_json(decode(files["kit.json"].path.read_bytes(), "kit.json"), "kit.json")
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise IntakeError(f'{label} is not a kit: kit.json does not say "kind": "{KIND}".')
    schema = data.get("schema")
    if type(schema) is not int or schema < 1:
        raise IntakeError('kit.json: "schema" must be a whole number. Make the kit again.')
    if schema > SCHEMA:
        raise IntakeError(
            f"This kit has schema {schema}; this version reads up to {SCHEMA}. Upgrade."
        )
    base = _text(data, "source_base", 200)
    auc = data.get("discriminator_auc")
    if auc is not None and not (type(auc) in (int, float) and 0 <= auc <= 1):
        raise IntakeError('kit.json: "discriminator_auc" must be from 0 to 1, or null.')
    metric = _text(data, "metric", 20)
    if metric not in ("exact", "number", "json"):
        raise IntakeError('kit.json: "metric" must be "exact", "number" or "json".')
    task_name = " ".join(_text(data, "task_name", 80).split())
    if not task_name.isprintable() or not task_name:
        raise IntakeError('kit.json: "task_name" must be a short text.')
    files_listed, counts = data.get("files"), data.get("counts")
    if not isinstance(files_listed, dict) or not isinstance(counts, dict):
        raise IntakeError('kit.json: "files" and "counts" must be objects. Make the kit again.')
    return {
        "task_name": task_name,
        "source_base": base if _REFERENCE.fullmatch(base) else "",
        "source_format": _format(data.get("source_format")),
        "metric": metric,
        "discriminator_auc": None if auc is None else float(auc),
        "files": files_listed,
        "counts": {name: counts.get(name, 0) for name in ("seeds", "evaluation")},
    }


def _text(data: Mapping[str, Any], name: str, at_most: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or len(value) > at_most:
        raise IntakeError(f'kit.json: "{name}" must be a text of at most {at_most} characters.')
    return value


def _format(data: object) -> PromptFormat:
    where = 'kit.json: "source_format"'
    if not isinstance(data, dict) or not set(data) <= {"kind", "template", "system"}:
        raise IntakeError(f"{where} must have kind, template and system. Make the kit again.")
    system = data.get("system")
    texts = [data.get("kind"), data.get("template"), "" if system is None else system]
    if not all(isinstance(text, str) and len(text) <= LIMITS.input_characters for text in texts):
        raise IntakeError(f"{where} must hold short texts. Make the kit again.")
    try:
        return PromptFormat(kind=data["kind"], template=data["template"], system=system)
    except RecipeError as error:
        raise IntakeError(f"{where}: {error.message}") from error


def _verify(files: Mapping[str, Copied], listed: Mapping[str, Any], label: str) -> None:
    """Every member but kit.json must be listed with its own hash, and every listed one be there."""
    present = {name: copied for name, copied in files.items() if name != "kit.json"}
    if set(present) != set(listed):
        name = sorted(set(present) ^ set(listed))[0]
        raise IntakeError(f"{label}: {shown(name)} is either not listed or missing. Make it again.")
    for name, copied in present.items():
        if listed[name] != {"sha256": copied.sha256, "bytes": copied.bytes}:
            raise IntakeError(
                f"{label}: {name} is not the file that kit.json describes (its SHA-256 differs). "
                "Ask the owner for the kit again."
            )


def _adapter(files: Mapping[str, Copied], role: str, folder: Path) -> AdapterFiles | None:
    paths = [copied.path for name, copied in files.items() if name.startswith(f"{role}/")]
    return read_adapter(paths, folder) if paths else None


def _rows(files: Mapping[str, Copied], name: str, at_most: int) -> tuple[Example, ...]:
    if name not in files:
        return ()
    text = decode(files[name].path.read_bytes(), name)
    return parse_rows(text, "jsonl", at_most, where=name).examples


def _jsonl_bytes(rows: Iterable[Example]) -> bytes:
    lines: list[str] = []
    for row in rows:
        data = {"input": row.input}
        if row.output is not None:
            data["output"] = row.output
        lines.append(json.dumps(data, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _json_bytes(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def _open(content: bytes | Path) -> io.BufferedIOBase:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _fingerprint(content: bytes | Path) -> dict[str, Any]:
    with _open(content) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": digest, "bytes": file.tell()}


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    info = zipfile.ZipInfo(name, _FIXED_DATE)
    info.external_attr = 0o644 << 16
    info.create_system = 3  # Unix, also where it is written on Windows: equal bytes
    # Weights do not compress; everything else is text.
    stored = isinstance(content, Path)
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with _open(content) as source, archive.open(info, "w") as member:
        while chunk := source.read(1024**2):
            member.write(chunk)
