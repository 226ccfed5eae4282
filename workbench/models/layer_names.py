"""The same layers under other names: versions of transformers call a text model's differently.

A model that also sees has its layers below ``model.language_model`` today, had them below
``language_model.model`` until 2025, and below ``model`` where its text model is loaded alone. A
LoRA's tensors carry the names of the version that it was trained with. PEFT's own remedy is the
``key_mapping`` of ``PeftModel.from_pretrained``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from workbench.adapter_settings import LORA, AdapterSettings

_PREFIX = "base_model.model."
_TEXT = ("model.language_model.", "language_model.model.", "language_model.", "model.", "")
# Layers that images or sounds pass and text does not.
_SEEING = re.compile(
    r"(?:\A|\.)(?:vis\w*|image_\w+|audio\w*|multi_modal_projector|embed_(?:vision|audio)|connector)\."
)


def with_names_of(
    modules: Sequence[str], settings: AdapterSettings, tensors: Mapping[str, Tensor]
) -> tuple[AdapterSettings, dict[str, Tensor]]:
    """Settings and tensors with the names that a base has for the same layers.

    Where all names fit, and where some cannot be made to fit, both are as they were. Layers that
    text does not pass are left out where the base has them under no such name: what is written is
    the same without them.

    Args:
        modules: names of all modules of the base.
        tensors: of the adapter's file, by PEFT's names.
    """
    as_they_were = settings, dict(tensors)
    layers = {key: _layer(key) for key in tensors}
    known = frozenset(modules)
    if settings.method != LORA or known.issuperset(layers.values()):
        return as_they_were
    new = {layer: _fitting(layer, known) for layer in layers.values() if not _SEEING.search(layer)}
    if not new or not all(new.values()):
        return as_they_were
    renamed = {
        f"{_PREFIX}{new[layer]}{key.removeprefix(_PREFIX + layer)}": tensors[key]
        for key, layer in layers.items()
        if layer in new
    }
    fields = dict(settings.fields)
    adapted = {new[_layer(key)] for key in tensors if ".lora_" in key and _layer(key) in new}
    fields["target_modules"] = sorted(adapted)
    for name in ("rank_pattern", "alpha_pattern"):
        pattern = fields.get(name) or {}
        fields[name] = {new[layer]: value for layer, value in pattern.items() if layer in new}
    return replace(settings, fields=fields), renamed


def _layer(key: str) -> str:
    """The layer of a tensor: "base_model.model.a.b.lora_A.weight" is of "a.b"."""
    path = key.removeprefix(_PREFIX).replace(".base_layer.", ".")
    before, adapted, _ = path.partition(".lora_")
    return before if adapted else path.rpartition(".")[0]


def _fitting(layer: str, known: frozenset[str]) -> str:
    """The name that the base has for a layer; "" where it has none."""
    if layer in known:
        return layer
    bare = [layer.removeprefix(old) for old in _TEXT if layer.startswith(old)]
    return next((f"{start}{rest}" for rest in bare for start in _TEXT if start + rest in known), "")
