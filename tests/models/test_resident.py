"""Adapters switched on one base: exact loading, no leaks, and files that plain PEFT reads."""

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests import tiny
from tests.reliability.dying import in_child
from workbench.errors import ModelError
from workbench.models.dense import dense
from workbench.models.forward import mixed_precision
from workbench.models.number_types import compute_dtype
from workbench.models.resident import Resident, load
from workbench.recipe import LoraSettings

WEIGHTS = "adapter_model.safetensors"
IDS = torch.tensor([[40, 41, 42, 50, 60, 70, 80, 90]])

# What a stranger does with an exported folder, in a process that knows nothing of the workbench.
STRANGER = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, dtype, *folders = sys.argv[1:]
for folder in folders:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, attn_implementation="eager")
    model = PeftModel.from_pretrained(model, folder)
    ids = torch.tensor([[40, 41, 42, 50, 60, 70, 80, 90]])
    print(json.dumps(model.generate(input_ids=ids, max_new_tokens=12, do_sample=False).tolist()))
"""


@pytest.fixture
def resident(tiny_source: Path) -> Resident:
    return load(tiny_source, device="cpu")


def logits(resident: Resident, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        return resident.model(input_ids=ids).logits.float()


def greedy(resident: Resident) -> list[list[int]]:
    out = resident.model.generate(input_ids=IDS, max_new_tokens=12, do_sample=False)
    return out.tolist()


def with_gradient(resident: Resident) -> set[str]:
    return {name for name, value in resident.model.named_parameters() if value.requires_grad}


def shake(resident: Resident, name: str, seed: int = 0) -> None:
    """Give a fresh adapter a B that does something."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in resident.trainable(name).values():
        noise = torch.randn(parameter.shape, generator=generator) * 0.1
        parameter.data.add_(noise.to(parameter.device))


def test_load_is_frozen_and_in_eval_mode(resident: Resident) -> None:
    assert resident.model.dtype == compute_dtype(torch.device("cpu"))
    assert not resident.model.training
    assert not with_gradient(resident)
    assert resident.model.config._attn_implementation == "eager"


def test_switching_adapters_leaves_no_trace(
    resident: Resident, tiny_source: Path, tmp_path: Path
) -> None:
    base = logits(resident)
    for name, seed in (("teacher", 1), ("discriminator", 2)):
        folder = tiny.write_adapter(tmp_path / name, tiny_source, seed=seed)
        resident.attach(name, tiny.lora_settings(), folder / WEIGHTS)
    assert torch.equal(logits(resident), base), "attaching alone must change nothing"
    with resident.using("teacher"):
        teacher = logits(resident)
        with resident.using("discriminator"):
            discriminator = logits(resident)
            with resident.using(None):
                assert torch.equal(logits(resident), base)
            assert torch.equal(logits(resident), discriminator)
        assert torch.equal(logits(resident), teacher)
    assert torch.equal(logits(resident), base)
    assert not torch.equal(teacher, base)
    assert not torch.equal(teacher, discriminator)


def test_an_adapter_on_other_layers_does_not_leak(
    resident: Resident, tiny_source: Path, tmp_path: Path
) -> None:
    """Layers that only the second adapter touches are made enabled when it is attached."""
    first = tiny.write_adapter(tmp_path / "a", tiny_source, modules=("q_proj",))
    second = tiny.write_adapter(tmp_path / "b", tiny_source, modules=("up_proj", "q_proj"))
    base = logits(resident)
    resident.attach("first", tiny.lora_settings(modules=("q_proj",)), first / WEIGHTS)
    with resident.using("first"):
        alone = logits(resident)
        settings = tiny.lora_settings(modules=("up_proj", "q_proj"))
        resident.attach("second", settings, second / WEIGHTS)
        assert torch.equal(logits(resident), alone)
    assert torch.equal(logits(resident), base)


def test_using_restores_after_an_error(resident: Resident, tiny_adapter: Path) -> None:
    resident.attach("teacher", tiny.lora_settings(), tiny_adapter / WEIGHTS)
    base = logits(resident)
    with pytest.raises(RuntimeError, match="stop"), resident.using("teacher"):
        raise RuntimeError("stop")
    assert resident.active is None
    assert torch.equal(logits(resident), base)


def test_only_the_selected_trainable_adapter_requires_gradients(
    resident: Resident, tiny_adapter: Path
) -> None:
    """PEFT's own switching makes whatever it selects trainable, a frozen teacher included."""
    resident.attach("teacher", tiny.lora_settings(), tiny_adapter / WEIGHTS)
    resident.attach_new("student", LoraSettings(rank=4), seed=0)
    assert not with_gradient(resident)
    with resident.using("student"):
        wanted = {id(parameter) for parameter in resident.trainable("student").values()}
        with resident.using("teacher"):
            assert not with_gradient(resident)
        with resident.using(None):
            assert not with_gradient(resident)
        have = {id(p) for p in resident.model.parameters() if p.requires_grad}
        assert have == wanted
        loss = resident.model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        assert all(
            parameter.grad is not None for parameter in resident.trainable("student").values()
        )
    with pytest.raises(ModelError, match="frozen"):
        resident.trainable("teacher")


def test_a_new_adapter_changes_nothing_and_depends_only_on_its_seed(tiny_source: Path) -> None:
    weights = []
    for seed, noise in ((5, 1), (5, 2), (6, 1)):
        resident = load(tiny_source, device="cpu")
        base = logits(resident)
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        resident.attach_new("student", LoraSettings(rank=4), seed=seed)
        assert torch.equal(torch.get_rng_state(), before), "the caller's random state was used"
        with resident.using("student"):
            assert torch.equal(logits(resident), base)
        parameters = resident.trainable("student")
        assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
        assert not any(p.any() for key, p in parameters.items() if "lora_B" in key)
        weights.append(torch.cat([p.detach().flatten() for p in parameters.values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_all_linear_is_every_layer_but_the_head(resident: Resident) -> None:
    resident.attach_new("student", LoraSettings(rank=4), seed=0)
    layers = {key.split(".")[-3] for key in resident.trainable("student")}
    assert layers == set(tiny.ALL_LINEAR)
    assert len(resident.trainable("student")) == 2 * 2 * len(tiny.ALL_LINEAR)


@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
def test_names_are_those_of_peft(resident: Resident, tiny_source: Path, method: str) -> None:
    resident.attach_new("student", LoraSettings(method=method, rank=4), seed=0)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=4, target_modules="all-linear", use_dora=method == "dora"
    )
    theirs = get_peft_model_state_dict(get_peft_model(load(tiny_source).model, config))
    assert set(resident.trainable("student")) == set(theirs)


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
def test_small_steps_with_kept_copies_give_the_same_numbers(
    tiny_source: Path, method: str, quantize: bool
) -> None:
    resident = load(tiny_source, device="cpu", quantize=quantize)
    for seed, name in enumerate(("one", "two")):
        resident.attach_new(name, LoraSettings(method=method, rank=4), seed)
        shake(resident, name, seed)

    def of(name: str | None) -> Tensor:
        with resident.using(name), mixed_precision(resident):
            return logits(resident)

    wanted = {name: of(name) for name in ("one", "two", None)}
    assert not torch.equal(wanted["one"], wanted["two"])
    for kept in ("one", None):
        with resident.using(kept), dense(resident):
            copies = any("forward" in vars(m) for m in resident.model.modules())
            assert copies == (quantize or (kept is not None and method != "dora"))
            for name, expected in wanted.items():  # also of those that no copies were made of
                assert torch.equal(of(name), expected), f"{name} while copies of {kept} are kept"
        assert not any("forward" in vars(m) for m in resident.model.modules())


def test_kept_copies_do_not_stand_in_the_way_of_gradients(resident: Resident) -> None:
    resident.attach_new("student", LoraSettings(rank=4), seed=0)
    shake(resident, "student")
    gradients = []
    for context in (nullcontext(), dense(resident)):
        with resident.using("student"), context, mixed_precision(resident):
            resident.model(input_ids=IDS).logits.float().logsumexp(-1).sum().backward()
        parameters = resident.trainable("student").values()
        gradients.append([parameter.grad for parameter in parameters])
        for parameter in parameters:
            parameter.grad = None
    for plain, kept in zip(*gradients, strict=True):
        assert plain is not None and kept is not None and torch.equal(plain, kept)


def test_detach_gives_the_plain_model_back(resident: Resident, tiny_adapter: Path) -> None:
    base, modules = logits(resident), [name for name, _ in resident.model.named_modules()]
    resident.attach("teacher", tiny.lora_settings(), tiny_adapter / WEIGHTS)
    resident.attach_new("student", LoraSettings(rank=4), seed=0)
    with resident.using("teacher"):
        teacher = logits(resident)
    resident.detach("student")
    with resident.using("teacher"):
        assert torch.equal(logits(resident), teacher)
        resident.detach("teacher")
        assert torch.equal(logits(resident), base)
    assert [name for name, _ in resident.model.named_modules()] == modules
    resident.attach("teacher", tiny.lora_settings(), tiny_adapter / WEIGHTS)
    with resident.using("teacher"):
        assert torch.equal(logits(resident), teacher)


def test_exported_adapters_answer_the_same_in_plain_peft(tiny_source: Path, tmp_path: Path) -> None:
    """The new adapter must work without us: same greedy tokens in a fresh process."""
    pattern = "model.layers.1.mlp.up_proj"
    shapes = {
        "plain": LoraSettings(rank=4, alpha=8),
        "rslora": LoraSettings(method="rslora", rank=8, alpha=8, target_modules=("q_proj",)),
        "dora": LoraSettings(method="dora", rank=4, alpha=12.5, target_modules=("o_proj",)),
        "patterns": LoraSettings(rank=4, rank_pattern={pattern: 8}, alpha_pattern={pattern: 64}),
    }
    resident, ours = load(tiny_source, device="cpu"), {}
    plain = greedy(resident)
    for name, settings in shapes.items():
        resident.attach_new(name, settings, seed=1)
        shake(resident, name)
        with resident.using(name):
            ours[name] = greedy(resident)
        resident.save_adapter(name, tmp_path / name, "tiny/source")
        config = json.loads((tmp_path / name / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "tiny/source"
        assert str(tmp_path) not in json.dumps(config)
    up = f"base_model.model.{pattern}.lora_A.weight"
    assert load_file(tmp_path / "patterns" / WEIGHTS)[up].shape[0] == 8
    dtype = str(resident.model.dtype).removeprefix("torch.")
    folders = [str(tmp_path / name) for name in shapes]
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tiny_source), dtype, *folders],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    assert theirs == list(ours.values())
    assert plain not in theirs


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_a_saved_adapter_comes_back_exactly(
    resident: Resident, tmp_path: Path, method: str
) -> None:
    settings = LoraSettings(method=method, rank=4)
    resident.attach_new("student", settings, seed=3)
    shake(resident, "student")
    with resident.using("student"):
        before = logits(resident)
    resident.save_adapter("student", tmp_path, "tiny/source")
    resident.attach("copy", settings, tmp_path / WEIGHTS)
    with resident.using("copy"):
        assert torch.equal(logits(resident), before)


def spoil_missing(tensors: dict[str, Tensor]) -> None:
    del tensors[sorted(tensors)[0]]


def spoil_renamed(tensors: dict[str, Tensor]) -> None:
    key = sorted(tensors)[0]
    tensors[key.replace("layers.0", "layers.9")] = tensors.pop(key)


def spoil_extra(tensors: dict[str, Tensor]) -> None:
    tensors["base_model.model.lm_head.lora_A.weight"] = torch.ones(4, 64)


def spoil_prefix(tensors: dict[str, Tensor]) -> None:
    for key in list(tensors):
        tensors[key.removeprefix("base_model.model.")] = tensors.pop(key)


def spoil_shape(tensors: dict[str, Tensor]) -> None:
    key = sorted(tensors)[0]
    tensors[key] = torch.ones(4, 32)


def spoil_nan(tensors: dict[str, Tensor]) -> None:
    tensors[sorted(tensors)[1]][0, 0] = float("nan")


def spoil_infinite(tensors: dict[str, Tensor]) -> None:
    tensors[sorted(tensors)[0]][0, 0] = float("inf")


def spoil_zero(tensors: dict[str, Tensor]) -> None:
    for key, value in tensors.items():
        if "lora_B" in key:
            value.zero_()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (spoil_missing, "lacks the tensor"),
        (spoil_renamed, "lacks the tensor"),
        (spoil_extra, "no place for"),
        (spoil_prefix, "lacks the tensor"),
        (spoil_shape, "has shape"),
        (spoil_nan, "NaN"),
        (spoil_infinite, "infinite"),
        (spoil_zero, "changes nothing"),
    ],
)
def test_t4_an_adapter_that_would_silently_do_nothing_is_refused(
    resident: Resident, tiny_source: Path, tmp_path: Path, spoil, sentence: str
) -> None:
    """PEFT only warns when names do not match: the run would report the base's accuracy."""
    base = logits(resident)
    tensors = tiny.lora_tensors(tiny_source)
    spoil(tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(ModelError, match=sentence):
        resident.attach("teacher", tiny.lora_settings(), tmp_path / WEIGHTS)
    assert resident.adapters == ()
    assert torch.equal(logits(resident), base)


def test_an_adapter_for_other_layers_is_refused(resident: Resident, tiny_adapter: Path) -> None:
    settings = LoraSettings(rank=4, alpha=8, target_modules=("q_proj", "query_key_value"))
    with pytest.raises(ModelError, match='no layer named "query_key_value"'):
        resident.attach("teacher", settings, tiny_adapter / WEIGHTS)


def test_a_torn_adapter_file_is_refused(resident: Resident, tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"\x80\x04not safetensors")
    with pytest.raises(ModelError, match="cannot be read"):
        resident.attach("teacher", tiny.lora_settings(), tmp_path / WEIGHTS)


def test_names_are_unique_and_plain(resident: Resident) -> None:
    resident.attach_new("student", LoraSettings(rank=2), seed=0)
    with pytest.raises(ModelError, match="already attached"):
        resident.attach_new("student", LoraSettings(rank=2), seed=0)
    with pytest.raises(ModelError, match="no adapter name"):
        resident.attach_new("a.b", LoraSettings(rank=2), seed=0)
    with pytest.raises(ModelError, match='No adapter named "teacher"'), resident.using("teacher"):
        pass


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"quantization_config": {"quant_method": "gptq"}}, "already quantised"),
        ({"_attn_implementation_internal": "kernels/x"}, "private field"),
    ],
)
def test_folders_that_bring_code_are_refused(
    tiny_source: Path, tmp_path: Path, change: dict, sentence: str
) -> None:
    for file in tiny_source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=sentence):
        load(tmp_path)


def test_a_tokenizer_that_brings_code_is_refused(tiny_source: Path, tmp_path: Path) -> None:
    for file in tiny_source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["evil.Tokenizer", None]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="its tokenizer asks to run code"):
        load(tmp_path)


def test_what_is_no_model_gets_one_sentence(tiny_adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(tmp_path)
    with pytest.raises(ModelError, match="it is an adapter"):
        load(tiny_adapter)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="pickle"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="no tokenizer"):
        load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="could not be loaded"):
        load(tmp_path)


def test_a_fork_of_a_process_that_has_computed_can_load(tiny_source: Path) -> None:
    """On a lent GPU every slice is one. Torch makes its thread pool anew there, at first use; of
    the threads with which transformers loads one now and then found none."""
    torch.set_num_threads(torch.get_num_threads())
    torch.ones(300, 300) @ torch.ones(300, 300)
    for _ in range(12):
        assert in_child(lambda: load(tiny_source, device="cpu")) == 0
