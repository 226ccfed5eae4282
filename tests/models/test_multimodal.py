"""Bases that also see: their text model does everything, and new adapters stay on it."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests import tiny
from workbench.adapter_settings import LORA, AdapterSettings
from workbench.models.decoding import decode
from workbench.models.embedding import embed
from workbench.models.formats import bind
from workbench.models.resident import Resident, load
from workbench.models.scoring import answer_log_probs, choice_log_probs
from workbench.models.training import TrainingRow, train
from workbench.recipe import LoraSettings, PromptFormat, TrainingSettings

PROMPTS = [[1, 40, 41, 42, 50, 60], [1, 70, 80], [1, 40, 41, 90, 91, 92, 93]]
TEXT = PromptFormat(kind="text", template="{input}\nAnswer:")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_seeing(tmp_path_factory.mktemp("models") / "seeing")


@pytest.fixture(params=["own attention", "transformers' attention"])
def resident(
    seeing: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Resident:
    if request.param != "own attention":
        monkeypatch.setattr("workbench.models.forward.FAMILIES", frozenset())
    return load(seeing, device="cpu")


def test_it_scores_and_writes_like_the_whole_model(resident: Resident) -> None:
    assert resident.sees
    whole = resident.model
    for prompt, scored in zip(
        PROMPTS, answer_log_probs(resident, [(p, [7, 8, 9]) for p in PROMPTS]), strict=True
    ):
        with torch.no_grad():
            logits = whole(input_ids=torch.tensor([[*prompt, 7, 8]])).logits[0, len(prompt) - 1 :]
        expected = logits.float().log_softmax(-1)[range(3), [7, 8, 9]]
        assert torch.allclose(scored, expected, atol=0.08)
    choices = choice_log_probs(resident, PROMPTS, [[7, 8, 9], [7, 5]])
    sums = [float(s.sum()) for s in answer_log_probs(resident, [(p, [7, 8, 9]) for p in PROMPTS])]
    assert choices[:, 0].tolist() == pytest.approx(sums, abs=0.15)
    replies = dict(decode(resident, PROMPTS, new_tokens=5, stop_ids=[2], sampling=None))
    assert all(reply.ids for reply in replies.values())
    assert embed(resident, ["put 3 coins", "x"]).shape == (2, 64)


@pytest.mark.parametrize("targets", [("all-linear",), ("q_proj", "v_proj")])
def test_new_adapters_stay_off_the_tower(
    resident: Resident, targets: tuple[str, ...], seeing: Path, tmp_path: Path
) -> None:
    resident.attach_new("student", LoraSettings(rank=4, target_modules=targets), seed=0)
    form = bind(TEXT, resident.tokenizer)
    rows = [TrainingRow(form.prompt_ids(f"put {n}"), form.answer_ids("box")) for n in range(2)]
    settings = TrainingSettings(epochs=30, batch_rows=2, learning_rate=1e-2)
    losses = [step.loss for step in train(resident, "student", rows, settings, seed=0)]
    assert losses[-1] < 0.75 * losses[0]
    resident.save_adapter("student", tmp_path, "tiny/seeing")
    keys = load_file(tmp_path / "adapter_model.safetensors")
    assert keys
    assert all(".language_model.layers." in key for key in keys)
    loaded = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(seeing, dtype=resident.model.dtype), tmp_path
    )
    ids = torch.tensor([rows[0].prompt_ids])
    with torch.no_grad():
        expected = loaded(input_ids=ids).logits[0, -1].float().log_softmax(-1)
    with resident.using("student"):
        (scored,) = answer_log_probs(resident, [(rows[0].prompt_ids, [7])])
    assert float(scored[0]) == pytest.approx(float(expected[7]), abs=0.1)


def seen_by_text(resident: Resident, weights: Path, targets: list[str], name: str) -> torch.Tensor:
    fields = {"r": 4, "lora_alpha": 8, "target_modules": targets, "bias": "none"}
    resident.attach(name, AdapterSettings(LORA, fields), weights)
    with resident.using(name):
        (scored,) = answer_log_probs(resident, [(PROMPTS[0], [7, 8, 9])])
    return scored


@pytest.mark.parametrize("start", ["language_model.model.", "model.", ""])
@pytest.mark.parametrize("tower", [False, True])
def test_names_of_other_versions_are_the_same_layers(
    resident: Resident, tmp_path: Path, start: str, tower: bool
) -> None:
    """As transformers before 4.52, a text model alone and a model without its head call them."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = {}, {}
    for layer in range(2):
        for part, shape in (("A", (4, 64)), ("B", (64, 4))):
            path = f"layers.{layer}.self_attn.q_proj.lora_{part}.weight"
            value = torch.randn(shape, generator=generator) * 0.3
            ours[f"base_model.model.model.language_model.{path}"] = value
            theirs[f"base_model.model.{start}{path}"] = value
            if tower:
                sees = path.replace(f"layers.{layer}", "vision_tower.vision_model.encoder.layers.0")
                theirs[f"base_model.model.{sees}"] = torch.randn(shape, generator=generator)
    save_file(ours, tmp_path / "ours.safetensors")
    save_file(theirs, tmp_path / "theirs.safetensors")
    named = sorted(k.removeprefix("base_model.model.").partition(".lora_")[0] for k in ours)
    expected = seen_by_text(resident, tmp_path / "ours.safetensors", sorted(set(named)), "ours")
    found = seen_by_text(resident, tmp_path / "theirs.safetensors", ["q_proj"], "theirs")
    assert torch.equal(found, expected)
    with resident.using(None):
        (plain,) = answer_log_probs(resident, [(PROMPTS[0], [7, 8, 9])])
    assert not torch.allclose(plain, expected, atol=1e-3)


def test_a_text_model_alone_takes_what_was_trained_below_its_tower(tmp_path: Path) -> None:
    base = tiny.write_source(tmp_path / "source")
    adapter = tiny.write_adapter(tmp_path / "adapter", base) / "adapter_model.safetensors"
    tensors = load_file(adapter)
    renamed = {
        k.replace("model.model.", "model.model.language_model.", 1): v for k, v in tensors.items()
    }
    save_file(renamed, tmp_path / "renamed.safetensors")
    resident = load(base, device="cpu")
    expected = seen_by_text(resident, adapter, ["q_proj", "v_proj"], "plain")
    found = seen_by_text(
        resident, tmp_path / "renamed.safetensors", ["q_proj", "v_proj", "qkv"], "renamed"
    )
    assert torch.equal(found, expected)
