"""What is taken home answers as it did here, with plain transformers and PEFT."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tests import tiny
from workbench.evaluate.arms import answer_rows
from workbench.export.card import merged_card, model_card
from workbench.models.formats import bind
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, train
from workbench.recipe import LoraSettings, PromptFormat, TrainingSettings, TransferRecipe

INPUTS = [f"put {n} coins into box {n}" for n in (3, 7, 12)]
THINKS = "{% if message['role'] == 'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
FORMS = {
    "chat": PromptFormat(template="Where? {input}"),
    "thinking": PromptFormat(),
    "text": PromptFormat(kind="text", template="{input}\nAnswer:"),
}


@pytest.fixture(params=FORMS)
def student(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Resident, PromptFormat]:
    """A base whose turns end with another token than its end of text, and a trained adapter."""
    base = tiny.write_source(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.eos_token = "<pad>"
    if request.param == "thinking":
        content = "message['content']"
        tokenizer.chat_template = tiny.CHAT_TEMPLATE.replace(
            "'\n' + message['content']", f"'\n' }}}}{THINKS}{{{{ {content}"
        )
    tokenizer.save_pretrained(base)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id).save_pretrained(base)
    resident, form = load(base, device="cpu"), FORMS[request.param]
    bound = bind(form, resident.tokenizer)
    if form.kind == "chat":
        assert bound.end_id != tokenizer.eos_token_id
    if request.param == "thinking":
        assert "<think>" in bound.preview("x")
    resident.attach_new("student", LoraSettings(rank=8), seed=0)
    rows = [
        TrainingRow(bound.prompt_ids(text), bound.answer_ids(f"box {n}"))
        for n, text in enumerate(INPUTS)
    ]
    settings = TrainingSettings(epochs=60, batch_rows=3, learning_rate=1e-2)
    for _ in train(resident, "student", rows, settings, seed=0):
        pass
    return resident, form


def test_the_card_and_the_merged_model_give_the_same_answers(
    student: tuple[Resident, PromptFormat], tmp_path: Path
) -> None:
    resident, form = student
    here = dict(answer_rows(resident, "student", form, INPUTS, 24))
    assert [here[n] for n in range(3)] == ["box 0", "box 1", "box 2"]
    recipe = TransferRecipe(target_base=f"folder:{resident.folder}", target_format=form)
    bound = bind(form, resident.tokenizer)
    result = {"answer_tokens": 24, "answering": bound.for_people()}
    home, merged = tmp_path / "home", tmp_path / "merged"
    resident.save_adapter("student", home, "")
    card = model_card(recipe, result, {})
    assert [run_snippet(card, text, resident.folder, home) for text in INPUTS] == [
        here[n] for n in range(3)
    ]
    resident.save_merged("student", merged, "", bound.stop_ids)
    card = merged_card(recipe, result)
    assert [run_snippet(card, text, resident.folder, merged) for text in INPUTS] == [
        here[n] for n in range(3)
    ]
    assert f"eot_token_id=int:{bound.end_id}" in card
    # Whoever only knows transformers gives no stop tokens: the folder knows them.
    model = AutoModelForCausalLM.from_pretrained(merged)
    ids = torch.tensor([bound.prompt_ids(INPUTS[0])])
    written = model.generate(input_ids=ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
    assert written[-1] == bound.end_id
    assert bound.read(written.tolist()) == here[0]


def run_snippet(card: str, text: str, base: Path, folder: Path) -> str:
    """What the card's Python prints for an input."""
    found = re.search(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    assert found
    code = found[1].replace("your input", text).replace("the folder of this card", str(folder))
    code = code.replace(f"base = {base.name!r}", f"base = {str(base)!r}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "card", "exec"), {})
    return printed.getvalue().strip()
