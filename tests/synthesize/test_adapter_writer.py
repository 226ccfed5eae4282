"""Adapters that learned whole rows write inputs: where inputs stand, and who has learned them."""

from pathlib import Path

import pytest

from workbench.adapter_settings import LoraSettings
from workbench.models.decoding import Sampling
from workbench.models.formats import bind
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, train
from workbench.recipe import PromptFormat, TrainingSettings
from workbench.synthesize import adapter_writer
from workbench.synthesize.adapter_writer import (
    input_gain,
    input_lead,
    input_row,
    input_slot,
    whole_row,
    write_inputs,
)

FORMATS = [
    PromptFormat(kind="chat"),
    PromptFormat(kind="chat", template="Classify: {input}\nLabel:"),
    PromptFormat(kind="text", template="### Input:\n{input}\n\n### Label:\n"),
    PromptFormat(kind="text", template="{input}\n\nAnswer:"),
]
ROWS = [(f"the {word} film", "positive") for word in ("warm", "funny", "thin", "worse")] * 8


@pytest.fixture(scope="module")
def resident(tiny_source: Path) -> Resident:
    loaded = load(tiny_source, device="cpu")
    loaded.model.float()
    return loaded


@pytest.mark.parametrize("format", FORMATS, ids=lambda each: each.template)
def test_a_row_is_the_prompt_and_the_answer_and_begins_as_writing_does(
    resident: Resident, format: PromptFormat
) -> None:
    form = bind(format, resident.tokenizer)
    slot = input_slot(form)
    for text in ("stocks fell", "42", "(yes)", "two\n\nlines"):
        begin, rest = input_row(form, slot, text)
        # Where nothing stands before an input, the end of another text does.
        assert (begin + rest)[-len(form.prompt_ids(text)) :] == form.prompt_ids(text)
        row = whole_row(form, slot, text, "no")
        assert row.prompt_ids == begin
        assert row.answer_ids == rest + form.answer_ids("no")
    assert slot.begin_ids
    ends_by_token = any(token in form.special_ids for token in slot.stop_ids[:1])
    assert slot.stop_text or ends_by_token


def _train(resident: Resident, name: str, rows: list[TrainingRow]) -> None:
    resident.attach_new(name, LoraSettings(rank=8, alpha=16), seed=0)
    settings = TrainingSettings(learning_rate=0.01, epochs=60, batch_rows=16, soft_labels=False)
    for _ in train(resident, name, rows, settings, seed=0):
        pass


def test_only_what_was_trained_on_inputs_has_learned_them(resident: Resident) -> None:
    form = bind(FORMATS[0], resident.tokenizer)
    slot = input_slot(form)
    _train(resident, "whole", [whole_row(form, slot, text, answer) for text, answer in ROWS])
    answers = [TrainingRow(form.prompt_ids(text), form.answer_ids(answer)) for text, answer in ROWS]
    _train(resident, "answers", answers)
    texts = sorted({text for text, _ in ROWS})
    learned, not_learned = (
        input_gain(resident, name, form, texts) for name in ("whole", "answers")
    )
    assert learned > 1.0
    assert not_learned < 0.4
    # What either writes where inputs stand: the first inputs, the other its answers.
    assert input_lead(resident, "whole", form, texts) > 0
    assert input_lead(resident, "answers", form, ["positive"] * 4) < 0
    written = write_inputs(
        resident, "whole", form, 40, new_tokens=48, sampling=Sampling(0.3), seed=1
    )
    assert set(written) & set(texts)
    again = write_inputs(resident, "whole", form, 40, new_tokens=48, sampling=Sampling(0.3), seed=1)
    assert written == again


def test_a_text_ends_where_the_template_goes_on(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = bind(FORMATS[2], resident.tokenizer)
    said = "first\n\nsecond\n\n### Label:\npositive"
    told = "first\n\n### Label:\nis a heading\n\n### Label:\nnegative"

    def decode(_resident: Resident, prompts: list[list[int]], **asked: object) -> object:
        stop = asked["stop_text"]
        for at, text in enumerate((said, told)):
            ids = resident.tokenizer(text, add_special_tokens=False)["input_ids"]
            yield at, adapter_writer_decoded(ids, stop is None or str(stop) in text)

    def adapter_writer_decoded(ids: list[int], finished: bool) -> object:
        return type("Drawn", (), {"ids": ids, "finished": finished})()

    monkeypatch.setattr(adapter_writer, "decode", decode)
    resident.attach_new("any", LoraSettings(rank=2, alpha=2), seed=0)
    asked = {"new_tokens": 9, "sampling": Sampling(), "seed": 0}
    plain = write_inputs(resident, "any", form, 2, **asked)
    assert plain == ["first\n\nsecond", "first"]
    held = write_inputs(resident, "any", form, 2, held_texts=["a\n\n### Label:\nb"], **asked)
    assert held == ["first\n\nsecond", "first\n\n### Label:\nis a heading"]
