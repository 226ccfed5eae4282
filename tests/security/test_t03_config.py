"""T3: adapter_config.json never imports, opens, fetches, compiles or allocates anything."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.intake import builders
from tests.security.watching import watched
from tests.timing import computes_at_most
from workbench.errors import IntakeError
from workbench.intake.adapter import read_adapter
from workbench.intake.config import claims_of, read_config

CANARY = "/tmp/canary-of-t03"
EVIL_PATTERN = "(((a+)+)+)+$"

HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"peft_type": "PROMPT_TUNING", "tokenizer_name_or_path": CANARY}, "num_virtual_tokens"),
    ({"peft_type": "MULTITASK_PROMPT_TUNING"}, "num_virtual_tokens"),
    ({"peft_type": "XLORA", "adapters": {"0": CANARY}}, "peft_type"),
    ({"peft_type": "lora"}, "peft_type"),
    ({"peft_type": None}, "peft_type"),
    ({"peft_type": ["LORA"]}, "peft_type"),
    ({"task_type": "SEQ_CLS"}, "task_type"),
    ({"task_type": ["CAUSAL_LM"]}, "task_type"),
    ({"auto_mapping": {"base_model_class": "system", "parent_library": "os"}}, "auto_mapping"),
    (
        {"auto_mapping": {"base_model_class": "A", "parent_library": "transformers.x.evil-y"}},
        "auto_mapping",
    ),
    ({"auto_mapping": {"base_model_class": "A.b", "parent_library": "transformers"}}, "auto_map"),
    ({"auto_mapping": "os"}, "auto_mapping"),
    ({"megatron_config": {"a": 1}, "megatron_core": "megatron.core"}, "megatron_config"),
    ({"megatron_core": "os"}, "megatron_core"),
    ({"megatron_core": "megatron.evil"}, "megatron_core"),
    ({"base_model_name_or_path": {"a": 1}}, "base_model_name_or_path"),
    ({"base_model_name_or_path": "x" * 501}, "base_model_name_or_path"),
    ({"revision": ["refs/pr/1"]}, "revision"),
    ({"target_modules": [EVIL_PATTERN]}, "target_modules"),
    ({"target_modules": ["q_proj", 5]}, "target_modules"),
    ({"target_modules": {"q_proj": 1}}, "target_modules"),
    ({"target_modules": ["../../etc/passwd"]}, "target_modules"),
    ({"target_modules": "x" * 10_001}, "target_modules"),
    ({"target_modules": ["q_proj"]}, "target_modules"),
    ({"exclude_modules": {"a": 1}}, "exclude_modules"),
    ({"rank_pattern": {EVIL_PATTERN: 4}}, "rank_pattern"),
    ({"rank_pattern": {"q_proj": 2**40}}, "rank_pattern.q_proj"),
    ({"rank_pattern": {"q_proj": "4"}}, "rank_pattern.q_proj"),
    ({"rank_pattern": ["q_proj"]}, "rank_pattern"),
    ({"alpha_pattern": {"(a|aa)+$": 4}}, "alpha_pattern"),
    ({"alpha_pattern": {"q_proj": -1}}, "alpha_pattern.q_proj"),
    ({"layer_replication": [[0, 1000000]]}, "layer_replication"),
    ({"layers_to_transform": {"a": 1}}, "layers_to_transform"),
    ({"r": 10**9}, '"r"'),
    ({"r": 0}, '"r"'),
    ({"r": True}, '"r"'),
    ({"r": "4"}, '"r"'),
    ({"r": 8}, "rank 8"),
    ({"lora_alpha": 1e300}, "lora_alpha"),
    ({"lora_alpha": None}, "lora_alpha"),
    ({"lora_dropout": 2}, "lora_dropout"),
    ({"bias": "some"}, "bias"),
    ({"bias": True}, "bias"),
    ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights"),
    ({"init_lora_weights": "olora"}, "init_lora_weights"),
    ({"init_lora_weights": 1}, "init_lora_weights"),
    ({"init_lora_weights": "corda", "corda_config": {"cache_file": CANARY}}, "init_lora_weights"),
    ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, "init_lora_weights"),
    ({"arrow_config": {"top_k": 3}}, "arrow_config"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
    ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters"),
    ({"lora_bias": True}, "lora_bias"),
    ({"use_dora": 1}, "use_dora"),
    ({"use_dora": True, "use_rslora": True}, "use_dora"),
    ({"use_qalora": True}, "use_qalora"),
    ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens"),
    ({"runtime_config": {"ephemeral_gpu_offload": True}}, "runtime_config"),
    ({"enable_lora": [True, False, True]}, "enable_lora"),
    ({"prompt_tuning_init_state_dict_path": CANARY}, "prompt_tuning_init_state_dict_path"),
    ({"a_field_of_tomorrow": "on"}, "a_field_of_tomorrow"),
    ({"__class__": "os.system"}, "__class__"),
]


@pytest.mark.parametrize(
    ("change", "field"), HOSTILE, ids=[f"{i}-{field}" for i, (_, field) in enumerate(HOSTILE)]
)
def test_t03_hostile_fields_are_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(**change))
    with computes_at_most(1), watched() as seen, pytest.raises(IntakeError) as caught:
        read_adapter(folder, tmp_path / "work")
    assert field in str(caught.value)
    assert "adapter_config.json" in str(caught.value)
    assert seen.imported == [] and seen.connected == []
    assert not any(CANARY in path for path in seen.opened)


def test_t03_leftovers_of_the_start_are_never_opened(tmp_path: Path) -> None:
    leftovers = {
        "corda_config": {"cache_file": CANARY, "covariance_file": CANARY},
        "eva_config": {"rho": 2.0},
        "loftq_config": {"loftq_bits": 4},
    }
    folder = builders.adapter_folder(tmp_path / "in", builders.config(**leftovers))
    with watched() as seen:
        files = read_adapter(folder, tmp_path / "work")
    assert not any(CANARY in path for path in seen.opened)
    assert CANARY not in json.dumps(files.settings.fields)


BROKEN = [
    (b"", "not valid JSON"),
    (b"[]", "one JSON object"),
    (b"null", "one JSON object"),
    (b"\xff\xfe", "UTF-8"),
    (b'{"peft_type": "LORA", "r": NaN}', "NaN"),
    (b'{"peft_type": "LORA", "r": 1e999}', "out of range"),
    (b'{"peft_type": "LORA", "peft_type": "LORA"}', "twice"),
    (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested"),
    (b'{"peft_type": "LORA", "x": ' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
    (b'{"peft_type": "LORA", "lora_alpha": 8}', '"r" is missing'),
    (b'{"peft_type": "LORA", "r": ' + b"9" * 5000 + b"}", "digits"),
]


@pytest.mark.parametrize(("raw", "words"), BROKEN)
def test_t03_broken_json_has_its_sentence(raw: bytes, words: str) -> None:
    with computes_at_most(1), pytest.raises(IntakeError) as caught:
        claims_of(read_config(raw))
    assert words in str(caught.value)


def test_t03_a_pattern_is_never_compiled(tmp_path: Path) -> None:
    """Matched by PEFT, this pattern takes minutes on one layer's name of 40 characters."""
    name = "a" * 40
    arrays = builders.tensors((f"{name}.b",))
    folder = builders.adapter_folder(
        tmp_path / "in",
        builders.config(target_modules=EVIL_PATTERN, exclude_modules=EVIL_PATTERN),
        builders.weights(arrays),
    )
    with computes_at_most(1):
        settings = read_adapter(folder, tmp_path / "work").settings
    assert settings.fields["target_modules"] == [f"{name}.b"]


def test_t03_many_layers_and_many_exceptions_take_no_time(tmp_path: Path) -> None:
    """As many layers and exceptions as 64 KB of config can hold."""
    layers = tuple(f"model.layers.{i}.self_attn.q_proj" for i in range(700))
    pattern = {f"x{i}.q_proj": 4 for i in range(700)}
    folder = builders.adapter_folder(
        tmp_path / "in",
        builders.config(rank_pattern=pattern, target_modules=list(layers)),
        builders.weights(builders.tensors(layers, rank=4, width=1)),
    )
    with computes_at_most(2):
        fields = read_adapter(folder, tmp_path / "work").settings.fields
    assert len(fields["target_modules"]) == 700


def test_t03_size_ceiling(tmp_path: Path) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    text = json.dumps(builders.config()) + " " * 2**20
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(IntakeError, match="larger than 1 MB"):
        read_adapter(folder, tmp_path / "work")
