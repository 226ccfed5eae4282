"""Card and config of a bundle as they read on the Hub: where they lie, what lies beside them.

People edit cards, so only lines that are still as we wrote them are changed. A base is named by
its Hub id or the texts are refused: a path would tell of this machine and load nowhere.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.errors import StageError
from workbench.export.card import WITH_SAMPLES, WITHOUT_SAMPLES

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_HEAD = re.compile(r"\A---\n(.*?)^---$", re.DOTALL | re.MULTILINE)
_BASE_LINE = re.compile(r"^base_model:[ \t]*(\S.*)$", re.MULTILINE)
_FOLDER = '"the folder of this card"'


def published_texts(
    card: str, config: str, *, name: str, base_model: str, samples: bool
) -> tuple[str, str]:
    """(README.md, adapter_config.json) for the repository ``name``.

    Args:
        base_model: used where the config names no base; may be "" otherwise.
        samples: whether samples.jsonl is sent too.

    Raises:
        StageError: the base has no Hub id, or the card says something else.
    """
    fields = json.loads(config)
    base = str(fields.get("base_model_name_or_path") or base_model)
    if not HUB_ID.fullmatch(base):
        raise StageError(
            "The target base is a folder of this machine. Give its id on the Hub (owner/name), so "
            "that others can load the adapter."
        )
    new_config = config
    if not fields.get("base_model_name_or_path"):
        new_config = _with_base(fields, base)
        # The card lists the hash of the config.
        card = card.replace(_sha256(config), _sha256(new_config))
        card = re.sub(r"^base = '[^'\n]*'$", f"base = {base!r}", card, flags=re.MULTILINE)
    card = card.replace(_FOLDER, json.dumps(name))
    if samples:
        card = re.sub(f"^{re.escape(WITHOUT_SAMPLES)}$", WITH_SAMPLES, card, flags=re.MULTILINE)
    else:
        card = card.replace(WITH_SAMPLES, WITHOUT_SAMPLES)
        card = re.sub(r"^\| samples\.jsonl \|.*\n", "", card, flags=re.MULTILINE)
    return _with_head(card, base), new_config


def _with_head(card: str, base: str) -> str:
    line = f"base_model: {json.dumps(base)}\n"
    head = _HEAD.match(card)
    if head is None:
        return f"---\nlibrary_name: peft\n{line}---\n\n{card}"
    said = _BASE_LINE.search(head.group(1))
    if said is None:
        return card if "base_model:" in head.group(1) else card.replace("---\n", f"---\n{line}", 1)
    if said.group(1).strip().strip("\"'") != base:
        raise StageError(
            f"The card names another base_model than the adapter, which is for {base}. Edit the "
            "card and save it."
        )
    return card


def _with_base(fields: Mapping[str, Any], base: str) -> str:
    named = {**fields, "base_model_name_or_path": base}
    return json.dumps(named, indent=2, ensure_ascii=False) + "\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
