"""A base that an adapter cannot be of is told by sizes; what has sizes of its own tells nothing."""

import json
from pathlib import Path

import pytest

from workbench.intake import adapter_sizes

BASE = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("model.layers.1.self_attn.q_proj", "reads 16 values; this base's reads 64"),
        ("model.layers.1.mlp.down_proj", "reads 16 values; this base's reads 32"),
        ("model.layers.2.self_attn.q_proj", "has a layer 2; this base has 2 layers"),
        ("model.layers.1.mlp.shared_expert.down_proj", ""),
        ("model.layers.1.mlp.experts.3.down_proj", ""),
        ("model.vision_tower.layers.9.self_attn.q_proj", ""),
    ],
)
def test_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, words: str) -> None:
    monkeypatch.setattr(adapter_sizes, "text_config", lambda reference: BASE)
    name = f"base_model.model.{layer}.lora_A.weight"
    header = json.dumps({name: {"dtype": "F32", "shape": [1, 16], "data_offsets": [0, 64]}})
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(64))
    found = adapter_sizes.base_mismatch(path, "any")
    assert words in found and bool(words) == bool(found)
