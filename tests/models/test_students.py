"""Every kind of adapter that is trained here: trained, saved, reloaded by plain PEFT, merged."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from workbench.errors import ModelError
from workbench.models.decoding import decode
from workbench.models.first_words import begin_with
from workbench.models.formats import BoundFormat, bind
from workbench.models.forward import logits_at, shared_prefix
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, train
from workbench.recipe import PromptFormat, TransferRecipe, override
from workbench.recipe.sections import StudentSettings, TrainingSettings
from workbench.students import STUDENTS, TOKEN_KINDS

FORM = PromptFormat(kind="text", template="{input}\nAnswer:")
# Of different lengths, so that a batch is padded.
INPUTS = [f"put {n} coins into box {'and again ' * (n % 4)}{n}" for n in range(8)]
WORDS = "coins: box0, box1, box2. put 3 coins into box 3"


def settings(method: str) -> StudentSettings:
    recipe = override(TransferRecipe(), {"student.method": method})
    small = {"student.rank": 8, "student.virtual_tokens": 6}
    return override(recipe, small).student


def trained(folder: Path, method: str, quantize: bool = True, epochs: float = 3) -> Resident:
    resident = load(folder, quantize=quantize)
    form = bind(FORM, resident.tokenizer)
    resident.attach_new("student", settings(method), 0)
    begin_with(resident, "student", WORDS)
    rows = [
        TrainingRow(form.prompt_ids(text), form.answer_ids(f"box{n % 3}"))
        for n, text in enumerate(INPUTS)
    ]
    rate = 2e-2 if method in (*TOKEN_KINDS, "ia3") else 5e-3
    chosen = TrainingSettings(learning_rate=rate, epochs=epochs, batch_rows=4, warmup_fraction=0)
    losses = [step.loss for step in train(resident, "student", rows, chosen, seed=0)]
    assert losses[-1] < losses[0]
    return resident


def answer_logits(resident: Resident, form: BoundFormat, texts: list[str]) -> torch.Tensor:
    """Logits [texts, vocabulary] of the first answer token, as our road computes them."""
    rows = [resident.with_virtual_tokens(form.prompt_ids(text)) for text in texts]
    shared, prefix = shared_prefix(resident, rows)
    longest = max(map(len, rows)) - shared
    ids = torch.tensor([row[shared:] + [0] * (longest - len(row) + shared) for row in rows])
    keep = torch.tensor([at * longest + len(row) - shared - 1 for at, row in enumerate(rows)])
    with torch.no_grad():
        return logits_at(resident, ids, keep, prefix)


@pytest.mark.parametrize("method", STUDENTS)
def test_trained_on_four_bits_it_answers_alone_as_among_others(
    method: str, tiny_target: Path
) -> None:
    """PEFT puts a batch's padding between virtual tokens and text; here it never comes there."""
    resident = trained(tiny_target, method)
    form = bind(FORM, resident.tokenizer)
    prompts = [form.prompt_ids(text) for text in INPUTS]
    with resident.using("student"):
        options = {"new_tokens": 6, "stop_ids": form.stop_ids, "sampling": None}
        together = dict(decode(resident, prompts, **options))
        alone = dict(decode(resident, prompts, rows=1, **options))
    assert [together[at].ids for at in range(8)] == [alone[at].ids for at in range(8)]


@pytest.mark.parametrize("method", STUDENTS)
def test_plain_peft_reads_it_and_computes_the_same(
    method: str, tiny_target: Path, tmp_path: Path
) -> None:
    resident = trained(tiny_target, method, quantize=False)
    resident.model.float()
    form = bind(FORM, resident.tokenizer)
    resident.save_adapter("student", tmp_path / "adapter", "tiny/target")
    plain = AutoModelForCausalLM.from_pretrained(
        tiny_target, dtype=torch.float32, attn_implementation="eager"
    )
    theirs = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    with resident.using("student"):
        ours = answer_logits(resident, form, INPUTS)
    for text, row in zip(INPUTS, ours, strict=True):
        with torch.no_grad():
            logits = theirs(input_ids=torch.tensor([form.prompt_ids(text)])).logits[0, -1]
        assert torch.allclose(logits, row, atol=1e-4), method


@pytest.mark.parametrize("method", [name for name, kind in STUDENTS.items() if kind.merges])
def test_what_merges_computes_the_same_when_merged(
    method: str, tiny_target: Path, tmp_path: Path
) -> None:
    resident = trained(tiny_target, method, quantize=False, epochs=1)
    form = bind(FORM, resident.tokenizer)
    with resident.using("student"):
        before = answer_logits(resident, form, INPUTS).float()
    resident.save_merged("student", tmp_path / "merged", "", form.stop_ids)
    merged = load(tmp_path / "merged")
    after = answer_logits(merged, form, INPUTS).float()
    plain = answer_logits(load(tiny_target), form, INPUTS).float()
    # bf16 rounds the merged weights; what the adapter does must be far above that.
    assert (before - after).abs().mean() < 0.25 * (before - plain).abs().mean()


@pytest.mark.parametrize("method", TOKEN_KINDS)
@pytest.mark.parametrize("base", ["tiny_source", "tiny_target"])
def test_virtual_tokens_begin_as_words_before_the_text(
    method: str, base: str, request: pytest.FixtureRequest
) -> None:
    resident = load(request.getfixturevalue(base))
    resident.model.float()
    resident.attach_new("new", settings(method), 0)
    begin_with(resident, "new", WORDS)
    words = list(resident.tokenizer(WORDS, add_special_tokens=False)["input_ids"])[:6]
    form = bind(FORM, resident.tokenizer)
    ids = form.prompt_ids("put 3 coins")
    with torch.no_grad():
        plain = resident.model(input_ids=torch.tensor([words + ids])).logits[0, -1]
    with resident.using("new"):
        adapted = answer_logits(resident, form, ["put 3 coins"])[0]
    assert torch.allclose(plain, adapted, atol=1e-4)


@pytest.mark.parametrize("method", ["prompt_tuning", "lora"])
def test_steps_of_a_prompt_are_as_large_as_words_call_for(tiny_source: Path, method: str) -> None:
    """AdamW's first step is the rate itself, whatever the gradient."""
    resident = load(tiny_source)
    embed = resident.model.get_input_embeddings().weight.data
    embed *= 5  # another base's size
    form = bind(FORM, resident.tokenizer)
    resident.attach_new("student", settings(method), 0)
    begin_with(resident, "student", WORDS)
    before = {key: part.detach().clone() for key, part in resident.trainable("student").items()}
    rows = [TrainingRow(form.prompt_ids("put 3 coins"), form.answer_ids("box0"))]
    chosen = TrainingSettings(learning_rate=0.01, epochs=1, batch_rows=1, warmup_fraction=0)
    list(train(resident, "student", rows, chosen, seed=0))
    after = resident.trainable("student")
    moved = max(float((after[key] - part).abs().max()) for key, part in before.items())
    unit = float(embed.float().square().mean().sqrt()) if method == "prompt_tuning" else 1.0
    assert moved == pytest.approx(0.01 * unit, rel=0.01)


def test_virtual_tokens_need_words(tiny_target: Path) -> None:
    resident = load(tiny_target)
    resident.attach_new("new", settings("prompt_tuning"), 0)
    with pytest.raises(ModelError, match="no words"):
        begin_with(resident, "new", "")
