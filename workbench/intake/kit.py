"""The transfer kit: one zip with everything that a data owner hands over.

kit.json (what it is, and the SHA-256 of every other member), adapter/, optionally discriminator/
and writer/, seeds.jsonl, optionally evaluation.jsonl, NOTICE. The hashes find damage and mix-ups;
they do not prove who made a kit, so every member is checked like a stranger's file.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import IntakeError
from workbench.inputs import AdapterFiles, Inputs, Memorised
from workbench.intake.adapter import WANTED as ADAPTER_FILES
from workbench.intake.adapter import WEIGHTS_NAME, read_adapter
from workbench.intake.archive import unpack
from workbench.intake.copying import Copied
from workbench.intake.field_checks import NAME as CONFIG_NAME
from workbench.intake.kit_about import About, about_bytes, portable_reference, read_about
from workbench.intake.rows import parse_rows
from workbench.intake.tables import decode
from workbench.intake.wording import shown
from workbench.limits import LIMITS
from workbench.models import folders, references
from workbench.recipe import AUTO, METRICS, PromptFormat, TransferRecipe
from workbench.samples import Example

_MEMBERS = {
    **dict.fromkeys(("kit.json", "NOTICE"), LIMITS.recipe_bytes),
    "seeds.jsonl": LIMITS.rows_file_bytes,
    "evaluation.jsonl": LIMITS.rows_file_bytes,
    **{f"adapter/{name}": at_most for name, at_most in ADAPTER_FILES.items()},
    **{
        f"{role}/{name}": at_most
        for role in ("discriminator", "writer")
        for name, at_most in ADAPTER_FILES.items()
    },
}
WRITER_REPEATS = "writer_repeats"  # where a run remembers ``Kit.memorised``
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can say: equal kits are equal bytes


@dataclass(frozen=True)
class Kit:
    """What a kit holds, checked.

    Attributes:
        source_base: a package or Hub reference, or "" when the kit names none that can be used.
        discriminator_auc: of the discriminator on held-out rows, 0..1; None when not known.
        attribution: licences and sources of the data, in the owner's words.
        memorised: what its owner was told of the writer (``kit_about.About``); None without one.
    """

    inputs: Inputs
    task_name: str
    source_base: str
    source_format: PromptFormat
    metric: str = "exact"
    discriminator_auc: float | None = None
    attribution: str = ""
    memorised: dict[str, int] | None = None

    def recipe_from(self, recipe: TransferRecipe) -> TransferRecipe:
        """``recipe`` with what the kit knows: task, source base and format, metric."""
        return replace(
            recipe,
            task_name=self.task_name,
            source_base=self.source_base or recipe.source_base,
            source_format=self.source_format,
            evaluation=replace(recipe.evaluation, metric=self.metric),
        )


def write_kit(
    target: Path,
    inputs: Inputs,
    recipe: TransferRecipe,
    *,
    discriminator_auc: float | None = None,
    attribution: str = "",
    memorised: Memorised | None = None,
) -> Path:
    """Write a kit to ``target``, which is replaced when complete; equal content, equal bytes.

    Args:
        inputs: adapter and seeds, optionally discriminator and evaluation rows.
        recipe: task name, source base and format, and metric are taken from it. A source base
            that is a local folder is left out: it means nothing on another machine.
        attribution: becomes the file NOTICE.
        memorised: what a writer that was trained repeats, whether it is packed or not.
    """
    if inputs.adapter is None or not 0 < len(inputs.seeds) <= LIMITS.seeds:
        raise IntakeError(f"A kit needs an adapter and 1 to {LIMITS.seeds} seeds.")
    base = "" if folders.named(recipe.source_base) else portable_reference(recipe.source_base)
    contents = _contents(inputs, base, attribution)
    about = About(
        task_name=recipe.task_name,
        source_base=base,
        source_format=recipe.source_format,
        # A checker is a recipe's: the kit holds neither schema nor database.
        metric=metric if (metric := recipe.evaluation.metric) in METRICS else AUTO,
        discriminator_auc=discriminator_auc,
        memorised=memorised
        and {
            "distinct": memorised.distinct,
            "copied": memorised.copied,
            "near": memorised.near,
            "packed": int(inputs.writer is not None),
        },
        counts={"seeds": len(inputs.seeds), "evaluation": len(inputs.evaluation)},
        files={name: _fingerprint(content) for name, content in contents.items()},
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    with partial.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in {"kit.json": about_bytes(about), **contents}.items():
                _add(archive, name, content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
    return target


def read_kit(path: Path, workspace: Path) -> Kit:
    """Check a kit and copy its files below ``workspace``; raises IntakeError with a sentence."""
    workspace.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kit-", dir=workspace))
    label = shown(path.name)
    files = unpack(path, folder, _MEMBERS)
    if "kit.json" not in files:
        raise IntakeError(f"{label} is not a kit: kit.json is missing. Is it a bare adapter?")
    about = read_about(decode(files["kit.json"].path.read_bytes(), "kit.json"))
    _verify(files, about.files, label)
    adapter = _adapter(files, "adapter", folder)
    if adapter is None:
        raise IntakeError(f"{label} has no adapter. Make it again with `prepare`.")
    inputs = Inputs(
        adapter=adapter,
        discriminator=_adapter(files, "discriminator", folder),
        writer=_adapter(files, "writer", folder),
        seeds=_rows(files, "seeds.jsonl", LIMITS.seeds),
        evaluation=_rows(files, "evaluation.jsonl", LIMITS.rows),
    )
    if about.counts != {"seeds": len(inputs.seeds), "evaluation": len(inputs.evaluation)}:
        raise IntakeError(f"{label}: kit.json counts other rows than are there. Make it again.")
    notice = files.get("NOTICE")
    return Kit(
        inputs=inputs,
        task_name=about.task_name,
        source_base=about.source_base,
        source_format=about.source_format,
        metric=about.metric,
        discriminator_auc=about.discriminator_auc,
        memorised=about.memorised,
        attribution=decode(notice.path.read_bytes(), "NOTICE").strip() if notice else "",
    )


def _verify(files: Mapping[str, Copied], listed: Mapping[str, Any], label: str) -> None:
    """Every member but kit.json must be listed with its own hash, and every listed one be there."""
    present = {name: copied for name, copied in files.items() if name != "kit.json"}
    if set(present) != set(listed):
        name = sorted(set(present) ^ set(listed))[0]
        problem = "is not listed in kit.json" if name in present else "is missing"
        raise IntakeError(f"{label}: {shown(name)} {problem}. Ask the owner for the kit again.")
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


def _contents(inputs: Inputs, base: str, attribution: str) -> dict[str, bytes | Path]:
    """Members by name; weights stay files, so that they are streamed."""
    contents: dict[str, bytes | Path] = {}
    for role in ("adapter", "discriminator", "writer"):
        adapter: AdapterFiles | None = getattr(inputs, role)
        if adapter is not None:
            named = references.hub_id(base) if base else None
            config = json.dumps(adapter.settings.file(named), indent=2) + "\n"
            contents[f"{role}/{CONFIG_NAME}"] = config.encode()
            contents[f"{role}/{WEIGHTS_NAME}"] = adapter.verified()
    contents["seeds.jsonl"] = _jsonl(inputs.seeds)
    if inputs.evaluation:
        contents["evaluation.jsonl"] = _jsonl(inputs.evaluation)
    if attribution.strip():
        contents["NOTICE"] = (attribution.strip() + "\n").encode()
    return contents


def _jsonl(rows: Iterable[Example]) -> bytes:
    lines: list[str] = []
    for row in rows:
        data: dict[str, Any] = {"input": row.input}
        if row.output is not None:
            data["output"] = row.output
        if row.references:
            data["references"] = row.references
        lines.append(json.dumps(data, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _open(content: bytes | Path) -> io.BufferedIOBase:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _fingerprint(content: bytes | Path) -> dict[str, Any]:
    with _open(content) as file:
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # a BytesIO is one
    return {"sha256": digest.hexdigest(), "bytes": _size(content)}


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    info = zipfile.ZipInfo(name, _FIXED_DATE)
    info.external_attr = 0o644 << 16
    info.file_size = _size(content)  # from 2 GiB on another form is needed
    info.create_system = 3  # Unix, also where it is written on Windows: equal bytes
    # Weights do not compress; everything else is text.
    stored = isinstance(content, Path)
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with _open(content) as source, archive.open(info, "w") as member:
        shutil.copyfileobj(source, member, 1024**2)
