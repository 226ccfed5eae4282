"""Adapters that people really have are accepted, and understood as PEFT would."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.intake import builders
from workbench.adapter_settings import adapter_settings
from workbench.errors import IntakeError
from workbench.intake import adapter as adapters
from workbench.intake import field_checks, lora_tensors
from workbench.intake.adapter import inspect_adapter, read_adapter
from workbench.intake.config import Claims, other_settings, refuse_biases, require_claimed
from workbench.intake.header import Tensor
from workbench.intake.methods import METHODS
from workbench.limits import LIMITS
from workbench.recipe import LoraSettings

# What LoraConfig writes besides the fields that a person sets, version by version; read from the
# dataclasses of the released wheels and from files that they saved.
PEFT_0_5 = {
    "auto_mapping": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_pattern": None,
    "layers_to_transform": None,
    "lora_dropout": 0.05,
    "modules_to_save": None,
    "revision": None,
}
PEFT_0_8 = PEFT_0_5 | {
    "alpha_pattern": {},
    "rank_pattern": {},
    "loftq_config": {},
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "use_rslora": False,
}
PEFT_0_11 = PEFT_0_8 | {"use_dora": False, "layer_replication": None}
PEFT_0_14 = PEFT_0_11 | {"exclude_modules": None, "eva_config": None, "lora_bias": False}
PEFT_0_17 = PEFT_0_14 | {
    "corda_config": None,
    "qalora_group_size": 16,
    "target_parameters": None,
    "trainable_token_indices": None,
    "use_qalora": False,
}
PEFT_0_19 = PEFT_0_17 | {
    "alora_invocation_tokens": None,
    "arrow_config": None,
    "ensure_weight_tying": False,
    "lora_ga_config": None,
    "peft_version": "0.19.0",
    "use_bdlora": None,
}
PEFT_0_21 = PEFT_0_19 | {
    "kasa_config": None,
    "monteclora_config": None,
    "velora_config": None,
    "peft_version": "0.21.2",
}
VISION = {"base_model_class": "DinoVisionTransformer", "parent_library": "dinov3.models"}
REMOTE = {
    "base_model_class": "ChatGLMForConditionalGeneration",
    "parent_library": "transformers_modules.owner.chat-6b.0a1b2c.modeling_chatglm",
}
UNSLOTH = PEFT_0_17 | {
    "auto_mapping": {
        "base_model_class": "Gemma3ForConditionalGeneration",
        "parent_library": "transformers.models.gemma3.modeling_gemma3",
        "unsloth_fixed": True,
    }
}


@pytest.mark.parametrize(
    "defaults",
    [PEFT_0_5, PEFT_0_8, PEFT_0_11, PEFT_0_14, PEFT_0_17, PEFT_0_19, PEFT_0_21, UNSLOTH],
)
def test_ordinary_adapters_of_all_versions_are_accepted(
    tmp_path: Path, defaults: dict[str, object]
) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(**defaults))
    files = read_adapter(folder, tmp_path / "work")
    dropout: Any = defaults["lora_dropout"]
    plain = LoraSettings(rank=4, alpha=8, dropout=dropout, target_modules=("q_proj", "v_proj"))
    assert files.settings == adapter_settings(plain)
    assert files.parameters == 8 * 4 * 8
    assert files.base_hint == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_what_the_installed_peft_saves_is_accepted(tmp_path: Path, tiny_adapter: Path) -> None:
    files = read_adapter(tiny_adapter, tmp_path)
    assert files.weights.read_bytes() == (tiny_adapter / "adapter_model.safetensors").read_bytes()


def given_folder(folder: Path) -> Path:
    return folder


def given_files(folder: Path) -> list[Path]:
    return [folder / "adapter_model.safetensors", folder / "adapter_config.json"]


def given_zip(folder: Path) -> Path:
    return builders.zipped(folder.parent / "a.ZIP", builders.members(folder))


def given_zip_with_parent(folder: Path) -> Path:
    contents = {f"my adapter/{name}": raw for name, raw in builders.members(folder).items()}
    extra = {
        "my adapter/README.md": b"# hi",
        "my adapter/tokenizer.json": b"{}",
        "__MACOSX/my adapter/._adapter_config.json": b"\0\5\26\7",
    }
    return builders.zipped(folder.parent / "a.zip", contents | extra)


@pytest.mark.parametrize("give", [given_folder, given_files, given_zip, given_zip_with_parent])
def test_folder_files_and_zip_are_the_same_adapter(tmp_path: Path, give) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    plain = read_adapter(folder, tmp_path / "one")
    files = read_adapter(give(folder), tmp_path / "two")
    assert (files.sha256, files.settings) == (plain.sha256, plain.settings)
    assert files.weights.is_relative_to(tmp_path / "two")
    assert files.weights.stat().st_mode & 0o777 == 0o600


def test_what_lies_beside_is_reported_as_ignored(tmp_path: Path) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    (folder / "README.md").write_text("hello")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "optimizer.pt").write_bytes(b"never opened")
    inspection = inspect_adapter(folder, tmp_path / "w")
    assert inspection.ignored == ("README.md", "checkpoint-10/ (1 files)")
    assert inspection.adapter is not None
    assert inspection.adapter.notes == (
        "Left out, never opened: README.md, checkpoint-10/ (1 files).",
    )


def test_a_card_is_told_what_the_adapter_is(tmp_path: Path) -> None:
    inspection = inspect_adapter(builders.adapter_folder(tmp_path / "in"), tmp_path / "w")
    assert inspection.modules == (("q_proj", 2), ("v_proj", 2))
    assert inspection.dtypes == ("F32",)
    assert inspection.bytes == len(builders.weights())
    assert [check.problem for check in inspection.checks] == ["", "", "", ""]
    assert inspection.problem == ""


@pytest.mark.parametrize(
    ("settings", "content", "failing"),
    [
        (builders.config(bias="some"), None, adapters.CONFIG),
        (None, builders.weights()[:-4], adapters.LAYERS),
        (
            None,
            builders.weights({k: v * 0 for k, v in builders.tensors().items()}),
            adapters.VALUES,
        ),
    ],
)
def test_checks_end_at_the_first_that_fails(
    tmp_path: Path, settings: dict | None, content: bytes | None, failing: str
) -> None:
    folder = builders.adapter_folder(tmp_path / "in", settings, content)
    inspection = inspect_adapter(folder, tmp_path / "w")
    assert inspection.adapter is None
    assert inspection.checks[-1].words == failing
    assert inspection.problem == inspection.checks[-1].problem != ""


def test_ranks_and_alphas_of_single_layers(tmp_path: Path) -> None:
    """PEFT matches a plain key against the end of the name, and the first key wins."""
    arrays = builders.tensors(builders.LAYERS[:2]) | builders.tensors(builders.LAYERS[2:], rank=2)
    settings = builders.config(
        rank_pattern={"layers.1.self_attn.q_proj": 2, "model.layers.1.self_attn.v_proj": 2},
        alpha_pattern={"v_proj": 32, "layers.0.self_attn.v_proj": 5},
    )
    folder = builders.adapter_folder(tmp_path / "in", settings, builders.weights(arrays))
    read = read_adapter(folder, tmp_path / "w").settings
    assert read.fields["rank_pattern"] == {
        "model.layers.1.self_attn.q_proj": 2,
        "model.layers.1.self_attn.v_proj": 2,
    }
    assert read.fields["alpha_pattern"] == dict.fromkeys(
        ("model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.v_proj"), 32.0
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"target_modules": r"(?:.*?(?:language|text).*?(?:q_proj|v_proj))"},
        {"target_modules": None},
        {"layers_to_transform": [0, 1]},
        {"exclude_modules": ["vision_tower"]},
    ],
)
def test_layers_chosen_by_a_rule_are_read_from_the_weights(tmp_path: Path, rule: dict) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(**rule))
    settings = read_adapter(folder, tmp_path / "w").settings
    assert settings.fields["target_modules"] == sorted(builders.LAYERS)


def test_all_linear_stays_all_linear(tmp_path: Path) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(target_modules="all-linear"))
    fields = read_adapter(folder, tmp_path / "w").settings.fields
    assert fields["target_modules"] == ["all-linear"]


def test_names_without_weights_are_dropped(tmp_path: Path) -> None:
    targets = ["q_proj", "query_key_value", "v_proj"]
    folder = builders.adapter_folder(tmp_path / "in", builders.config(target_modules=targets))
    fields = read_adapter(folder, tmp_path / "w").settings.fields
    assert fields["target_modules"] == ["q_proj", "v_proj"]


def test_dora_needs_its_magnitudes(tmp_path: Path) -> None:
    arrays = builders.tensors()
    magnitudes = {
        f"{builders.PREFIX}{layer}.lora_magnitude_vector": np.ones(8, np.float32)
        for layer in builders.LAYERS
    }
    good = builders.adapter_folder(
        tmp_path / "good", builders.config(use_dora=True), builders.weights(arrays | magnitudes)
    )
    assert read_adapter(good, tmp_path / "w").settings.title == "DoRA"
    bad = builders.adapter_folder(tmp_path / "bad", builders.config(use_dora=True))
    with pytest.raises(IntakeError, match="use_dora"):
        read_adapter(bad, tmp_path / "w")


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B"),
        ("/home/ann/secret project/llama-7b/", "llama-7b"),
        ("C:\\models\\mistral", "mistral"),
        ("../../etc/passwd", "passwd"),
        ("<img src=x onerror=alert(1)>", "?img src=x onerror=alert(1)?"),
        (None, ""),
    ],
)
def test_the_hint_at_the_base_shows_no_paths(tmp_path: Path, hint: str | None, shown: str) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(base_model_name_or_path=hint))
    assert read_adapter(folder, tmp_path / "w").base_hint == shown


@pytest.mark.parametrize("missing", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    (folder / missing).unlink()
    with pytest.raises(IntakeError, match=f"{missing} is missing"):
        read_adapter(folder, tmp_path / "w")


def test_nothing_and_other_files_get_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="Nothing was handed over"):
        read_adapter([], tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(builders.weights())
    with pytest.raises(IntakeError, match="is missing"):
        read_adapter([tmp_path / "weights.safetensors"], tmp_path / "w")
    with pytest.raises(IntakeError, match="adapters/mine was not found"):
        read_adapter(Path("C:\\adapters\\mine"), tmp_path / "w")


def test_half_formats_are_read(tmp_path: Path) -> None:
    """BF16 arrives as the upper half of a float32; numpy has no such type."""
    half = {name: values.astype(np.float16) for name, values in builders.tensors().items()}
    brain = {
        name: (values.view(np.uint32) >> 16).astype(np.uint16)
        for name, values in builders.tensors().items()
    }
    for name, arrays in (("F16", half), ("BF16", brain)):
        folder = builders.adapter_folder(tmp_path / name, None, builders.weights(arrays))
        assert inspect_adapter(folder, tmp_path / "w").dtypes == (name,)


def test_the_config_is_not_kept(tmp_path: Path) -> None:
    """Only what was understood travels on; no other reader finds the file beside the weights."""
    folder = builders.adapter_folder(tmp_path / "in", builders.config(revision="canary"))
    files = read_adapter(folder, tmp_path / "w")
    assert "canary" not in json.dumps(files.__dict__, default=str)
    assert [path.name for path in files.weights.parent.iterdir()] == ["adapter_model.safetensors"]


def test_patterns_are_matched_in_pefts_order(tmp_path: Path) -> None:
    """The first key that fits counts, be it a plain name or a pattern."""
    settings = builders.config(
        use_rslora=True,
        alpha_pattern={r".*layers\.1\..*v_proj": 2, "v_proj": 3, "^model.*q_proj": 5},
    )
    fields = read_adapter(
        builders.adapter_folder(tmp_path / "in", settings), tmp_path / "w"
    ).settings.fields
    assert fields["alpha_pattern"] == {
        "model.layers.0.self_attn.q_proj": 5,
        "model.layers.1.self_attn.q_proj": 5,
        "model.layers.0.self_attn.v_proj": 3,
        "model.layers.1.self_attn.v_proj": 2,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_modules": ["to_q", "to_k"]}, "for image models, not text"),
        ({"base_model_name_or_path": "black-forest-labs/FLUX.1-dev"}, "for image models"),
        ({"base_model_name_or_path": "openai/whisper-small"}, "for speech, not text"),
        ({"task_type": "SEQ_CLS"}, "classifies texts"),
        ({"auto_mapping": VISION}, "for image models, not text"),
    ],
)
def test_adapters_of_other_models_have_the_true_sentence(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(**change))
    with pytest.raises(IntakeError, match=words):
        read_adapter(folder, tmp_path / "w")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"base_model": "robots/arm"}, "it has no peft_type"),
        ({"config": {"non_linearity": "relu"}, "model_class": "BertAdapterModel"}, "AdapterHub"),
    ],
)
def test_configs_that_are_not_of_peft_say_what_they_are(
    tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(IntakeError, match=words):
        read_adapter(builders.adapter_folder(tmp_path / "in", data), tmp_path / "w")


@pytest.mark.parametrize("top", ["encoder", "model.encoder"])
@pytest.mark.parametrize("task", ["SEQ_2_SEQ_LM", None])
def test_encoder_decoder_models_are_known_by_their_layers(
    tmp_path: Path, top: str, task: str | None
) -> None:
    layers = (f"{top}.block.0.layer.0.SelfAttention.q_proj",)
    content = builders.weights(builders.tensors(layers))
    folder = builders.adapter_folder(tmp_path / "in", builders.config(task_type=task), content)
    with pytest.raises(IntakeError, match="encoder-decoder"):
        read_adapter(folder, tmp_path / "w")


def test_a_plain_model_may_call_its_task_otherwise(tmp_path: Path) -> None:
    named = builders.config(task_type="SEQ_2_SEQ_LM", auto_mapping=REMOTE)
    files = read_adapter(builders.adapter_folder(tmp_path / "in", named), tmp_path / "w")
    plain = read_adapter(builders.adapter_folder(tmp_path / "plain"), tmp_path / "w")
    assert files.settings == plain.settings


def unwrapped(name: str) -> str:
    return name.removeprefix(builders.PREFIX)


@pytest.mark.parametrize(
    "saved_as",
    [
        lambda name: name.replace(".weight", ".default.weight"),
        lambda name: name.replace("model.model.", "model._orig_mod.model.", 1),
        unwrapped,
    ],
    ids=["adapter's name", "compiled", "no beginning"],
)
def test_names_that_peft_did_not_write_become_those_that_it_would(tmp_path: Path, saved_as) -> None:
    arrays = {saved_as(name): values for name, values in builders.tensors().items()}
    content = builders.weights(arrays)
    files = read_adapter(
        builders.adapter_folder(tmp_path / "in", content=content), tmp_path / "work"
    )
    plain = read_adapter(builders.adapter_folder(tmp_path / "plain"), tmp_path / "work")
    assert files.settings == plain.settings
    ours, wanted = load_file(files.weights), load_file(plain.weights)
    assert ours.keys() == wanted.keys()
    assert all(np.array_equal(ours[name], wanted[name]) for name in wanted)
    assert [path.name for path in files.weights.parent.iterdir()] == [files.weights.name]


@pytest.mark.parametrize("rule", [{"layers_to_transform": 1}, {"exclude_modules": r".*k_proj"}])
def test_rules_as_number_or_pattern_are_read_from_the_weights(tmp_path: Path, rule: dict) -> None:
    folder = builders.adapter_folder(tmp_path / "in", builders.config(**rule))
    fields = read_adapter(folder, tmp_path / "w").settings.fields
    assert fields["target_modules"] == sorted(builders.LAYERS)


def test_targets_named_twice_count_once(tmp_path: Path) -> None:
    targets = ["q_proj", "v_proj", "q_proj"]
    folder = builders.adapter_folder(tmp_path / "in", builders.config(target_modules=targets))
    fields = read_adapter(folder, tmp_path / "w").settings.fields
    assert fields["target_modules"] == ["q_proj", "v_proj"]


@pytest.mark.parametrize("rank", [0, 1, LIMITS.rank, LIMITS.rank + 1])
def test_a_rank_has_its_bounds(rank: int) -> None:
    found = {
        "lora_A.weight": Tensor("a", "F32", (rank, 3), 0, 0),
        "lora_B.weight": Tensor("b", "F32", (5, rank), 0, 0),
    }
    if 1 <= rank <= LIMITS.rank:
        assert lora_tensors._module("q_proj", found, "adapter").rank == rank
    else:
        with pytest.raises(IntakeError, match=f"has rank {rank}"):
            lora_tensors._module("q_proj", found, "adapter")


def test_token_ids_are_whole_numbers_of_a_bounded_list() -> None:
    good = ([], [0, 2**31 - 1], {"embed_tokens": [1, 2]}, [7] * LIMITS.rows)
    for value in good:
        field_checks.indices("ids", value)
    bad = (3, "1", [-1], [2**31], [True], ["1"], [1.0], [[1]], [7] * (LIMITS.rows + 1),
           {"embed tokens": [1]}, {"embed_tokens": 1})  # fmt: skip
    for value in bad:
        with pytest.raises(IntakeError, match="ids"):
            field_checks.indices("ids", value)


def test_biases_are_refused_unless_they_are_the_adapters_own() -> None:
    def biased(name: str, *saved: str) -> None:
        refuse_biases(Claims("LORA", {}, None, saved, ""), [Tensor(name, "F32", (1,), 0, 4)])

    biased("layers.0.q_proj.lora_B.bias")
    biased("lm_head.bias", "lm_head")
    biased("layers.0.bias.weight")
    for name in ("layers.0.q_proj.bias", "lm_head.bias"):
        with pytest.raises(IntakeError, match="biases of the base"):
            biased(name, "score")


def test_a_method_whose_weights_tell_no_layers_must_name_them() -> None:
    by_name = [name for name, method in METHODS.items() if method.mark and method.by_name]
    assert by_name
    for name in by_name:
        settings = other_settings(Claims(name, {}, ("q_proj", "v_proj"), (), ""), [])
        assert settings.fields["target_modules"] == ["q_proj", "v_proj"]
        with pytest.raises(IntakeError, match="name them"):
            other_settings(Claims(name, {}, None, (), ""), [])


def test_layers_of_other_methods_are_those_that_the_weights_have() -> None:
    name = "base_model.model.layers.0.q_proj.boft_R"
    claims = Claims("BOFT", {}, ("k_proj",), (), "")
    settings = other_settings(claims, [Tensor(name, "F32", (1, 4, 4, 4), 0, 0)])
    assert settings.fields == {"target_modules": ["layers.0.q_proj"]}
    with pytest.raises(IntakeError, match="hold no layer of the method BOFT"):
        other_settings(claims, [])


def test_so_many_folders_below_the_one_handed_over_are_looked_into(tmp_path: Path) -> None:
    def below(folders: int) -> Path:
        top = tmp_path / str(folders)
        builders.adapter_folder(top.joinpath(*"abcdefghij"[:folders]))
        return top

    assert read_adapter(below(8), tmp_path / "w").weights.exists()
    with pytest.raises(IntakeError, match="adapter_config"):
        read_adapter(below(9), tmp_path / "w2")


def test_layers_that_were_saved_whole_are_in_the_weights() -> None:
    whole = [Tensor("base_model.model.lm_head.weight", "F32", (8, 4), 0, 0)]
    require_claimed(Claims("LORA", {}, None, ("lm_head",), ""), whole)
    with pytest.raises(IntakeError, match=r'"modules_to_save".*embed_tokens.*no such layer'):
        require_claimed(Claims("LORA", {}, None, ("lm_head", "embed_tokens"), ""), whole)


def test_a_layer_saved_whole_is_no_lora_matrix() -> None:
    layer = "base_model.model.layers.0.q_proj"
    tensors = [
        Tensor(f"{layer}.lora_A.weight", "F32", (2, 8), 0, 0),
        Tensor(f"{layer}.lora_B.weight", "F32", (8, 2), 0, 0),
        Tensor("base_model.model.score.weight", "F32", (3, 8), 0, 0),
    ]
    modules = lora_tensors.lora_modules(tensors, ("score",))
    assert [module.name for module in modules] == ["layers.0.q_proj"]
    with pytest.raises(IntakeError, match="modules_to_save"):
        lora_tensors.lora_modules(tensors)


def test_a_zip_with_windows_names_is_read(tmp_path: Path) -> None:
    files = builders.members(builders.adapter_folder(tmp_path / "in"))
    path = builders.zipped(tmp_path / "a.zip", {rf"mine\{n}": raw for n, raw in files.items()})
    assert read_adapter(path, tmp_path / "w").weights.exists()


@pytest.mark.parametrize("method", ["FOURIERFT", "WAVEFT"])
@pytest.mark.parametrize(("number", "good"), [(0, False), (1, True), (10**7, True),
                                              (10**7 + 1, False), (2.0, False)])  # fmt: skip
def test_a_layer_has_one_to_ten_million_frequencies(
    method: str, number: object, good: bool
) -> None:
    """Numbers are drawn for each of them, so a config could ask for more than there is memory."""
    taken = METHODS[method].taken
    for field, value in (("n_frequency", number), ("n_frequency_pattern", {"q_proj": number})):
        with nullcontext() if good else pytest.raises(IntakeError, match="from 1 to 10000000"):
            taken[field](field, value)
