"""kit.json: what a transfer kit says about itself, and the hash of every other member.

Read as claims with types and lengths; fields of a later version are dropped, a later schema is
refused. The source base is a name to look up, never a path on this machine.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import IntakeError, RecipeError
from workbench.intake.bounded_json import read_json
from workbench.limits import LIMITS
from workbench.recipe import AUTO, METRICS, PromptFormat

SCHEMA = 1
KIND = "trans-lora-kit"
COUNTED = ("seeds", "evaluation")
MEMORISED = ("distinct", "copied", "near", "packed")

_PACKAGE = r"package:[a-z0-9][a-z0-9._-]{0,63}"
_HUB = r"(?:hub:)?[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(?:@[\w.-]{1,64})?"
_REFERENCE = re.compile(f"{_PACKAGE}|{_HUB}", re.ASCII)
_AGAIN = "Ask the owner for the kit again."


@dataclass(frozen=True)
class About:
    """The content of kit.json.

    Attributes:
        source_base: a package or Hub reference, or "" when there is none that means anything here.
        discriminator_auc: of the discriminator on held-out rows, 0..1; None when not known.
        memorised: of a writer that was trained, {"distinct", "copied", "near", "packed"}: how many
            of its texts are training rows, and whether the owner put it into the kit; else None.
        counts: rows by file, "seeds" and "evaluation".
        files: member name -> {"sha256", "bytes"}, of every member but kit.json.
    """

    task_name: str
    source_base: str
    source_format: PromptFormat
    metric: str
    discriminator_auc: float | None
    memorised: dict[str, int] | None
    counts: dict[str, int]
    files: dict[str, dict[str, Any]]


def portable_reference(reference: str) -> str:
    """The reference if it means the same on every machine (package, Hub id), else "".

    A plain owner/name is of the Hub, whatever folder of that name is on a machine.
    """
    if not _REFERENCE.fullmatch(reference) or ".." in reference:
        return ""
    return reference if ":" in reference else f"hub:{reference}"


def about_bytes(about: About) -> bytes:
    """kit.json, the same bytes for the same content."""
    data = {"schema": SCHEMA, "kind": KIND, **asdict(about)}
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def read_about(text: str) -> About:
    """Check kit.json; raises IntakeError naming the field."""
    data = read_json(text, "kit.json")
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise IntakeError(f'kit.json does not say "kind": "{KIND}", so this is not a kit.')
    schema = data.get("schema")
    if type(schema) is not int or schema < 1:
        raise IntakeError(f'kit.json: "schema" must be a whole number. {_AGAIN}')
    if schema > SCHEMA:
        raise IntakeError(f"The kit has schema {schema}; this version reads {SCHEMA}. Upgrade.")
    metric = _text(data, "metric", 20)
    if metric not in (AUTO, *METRICS):
        raise IntakeError(f'kit.json: "metric" must be one of {", ".join(METRICS)}. {_AGAIN}')
    task_name = " ".join(_text(data, "task_name", 80).split())
    if not task_name or not task_name.isprintable():
        raise IntakeError(f'kit.json: "task_name" must be a short readable text. {_AGAIN}')
    counts = _object(data, "counts")
    return About(
        task_name=task_name,
        source_base=portable_reference(_text(data, "source_base", 200)),
        source_format=_format(_object(data, "source_format")),
        metric=metric,
        discriminator_auc=_share(data, "discriminator_auc"),
        memorised=_memorised(data),
        counts={name: counts.get(name, 0) for name in COUNTED},
        files=_object(data, "files"),
    )


def writer_words(told: Mapping[str, int]) -> str:
    """What a kit says of the writer that its owner trained: ``About.memorised``."""
    place = "in the kit" if told["packed"] else "kept back by the kit's owner"
    return (
        f"{place}; of {told['distinct']:,} different texts that it wrote, {told['copied']:,} are "
        f"its owner's rows word for word and {told['near']:,} more are nearly so"
    )


def _text(data: Mapping[str, Any], name: str, at_most: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or len(value) > at_most:
        raise IntakeError(
            f'kit.json: "{name}" must be a text of at most {at_most} characters. {_AGAIN}'
        )
    return value


def _object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name)
    if not isinstance(value, dict):
        raise IntakeError(f'kit.json: "{name}" must be an object. {_AGAIN}')
    return value


def _share(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise IntakeError(f'kit.json: "{name}" must be a number from 0 to 1, or null. {_AGAIN}')
    return float(value)


def _memorised(data: Mapping[str, Any]) -> dict[str, int] | None:
    if data.get("memorised") is None:
        return None
    told = _object(data, "memorised")
    numbers = {name: told.get(name) for name in MEMORISED}
    if not all(type(value) is int and value >= 0 for value in numbers.values()):
        raise IntakeError(f'kit.json: "memorised" must hold counts. {_AGAIN}')
    return {name: int(value or 0) for name, value in numbers.items()}


def _format(data: Mapping[str, Any]) -> PromptFormat:
    kind, template = _text(data, "kind", 20), _text(data, "template", LIMITS.input_characters)
    system = data.get("system")
    if system is not None:
        system = _text(data, "system", LIMITS.input_characters)
    others = {  # of a kit that was made before there were these
        name: _text(data, name, at_most) if name in data else ""
        for name, at_most in (("stop_text", 200), ("input_columns", 2000))
    }
    try:
        return PromptFormat(kind=kind, template=template, system=system, **others)
    except RecipeError as error:
        raise IntakeError(f'kit.json: "source_format": {error.message}') from error
