"""The prompt format of adapters that learned whole rows, on a tiny base that really learns them."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.tiny import ALL_LINEAR
from workbench.adapter_settings import LoraSettings
from workbench.models.format_choice import ALPACA, CANDIDATES, known_formats
from workbench.models.formats import CHATML, bind
from workbench.models.pair import Pair
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, train
from workbench.recipe import PromptFormat, TrainingSettings
from workbench.steps import format_discovery
from workbench.steps.format_discovery import (
    Found,
    _evidence,
    _inputs,
    _of_the_task,
    _Tried,
    formats_by_writing,
)
from workbench.steps.writer_choice import LEAST_GAIN
from workbench.synthesize.adapter_writer import InputSlot, input_slot
from workbench.teach import TEACHER

INPUTS = [f"{verb} the {kind} film" for verb in ("see", "skip") for kind in ("warm", "thin", "bad")]
TEXT = {form.template: form for form in CANDIDATES if form.kind == "text"}
CHAT = PromptFormat()


@pytest.fixture
def source(tiny_source: Path) -> Resident:
    """A tiny base whose logits can be as far apart as a real one's: it learns rows by heart."""
    loaded = load(tiny_source, device="cpu")
    loaded.model.float()
    loaded.model.get_input_embeddings().weight.data.mul_(6)
    return loaded


def learn(source: Resident, form: PromptFormat, loss: str) -> None:
    """A teacher that has learned whole rows, all but their beginnings, or their answers alone."""
    bound = bind(form, source.tokenizer)
    rows = []
    for text in INPUTS * 8:
        prompt, answer = bound.prompt_ids(text), bound.answer_ids("positive")
        begin = len(input_slot(bound).begin_ids)
        cut = {"whole": 1, "no beginning": begin, "answers": len(prompt)}[loss]
        rows.append(TrainingRow(prompt[:cut], prompt[cut:] + answer))
    lora = LoraSettings(rank=16, alpha=32, target_modules=ALL_LINEAR)
    settings = TrainingSettings(learning_rate=0.01, epochs=30, batch_rows=16, soft_labels=False)
    source.attach_new(TEACHER, lora, seed=0)
    for _ in train(source, TEACHER, rows, settings, seed=0):
        pass


def find(source: Resident, *more: PromptFormat) -> list[Found]:
    pair = cast("Pair", SimpleNamespace(source=source))
    return formats_by_writing(pair, (*more, *CANDIDATES), 0)


@pytest.mark.parametrize(
    ("form", "loss"),
    [
        (CHAT, "whole"),
        (TEXT["[INST] {input} [/INST]"], "whole"),
        (TEXT["### Human: {input}\n### Assistant:"], "whole"),
        (TEXT["### Human: {input}### Assistant:"], "no beginning"),
        (known_formats("Rate.")[-1], "whole"),
        (TEXT[ALPACA], "no beginning"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.template[-24:],
)
def test_the_format_that_an_adapter_was_trained_in_is_found(
    source: Resident, form: PromptFormat, loss: str
) -> None:
    learn(source, form, loss)
    first, second, *_ = find(source)
    assert first.form == form
    assert first.learned >= LEAST_GAIN
    assert first.learned - second.learned > 0.5
    assert set(first.texts) & set(INPUTS)


@pytest.mark.parametrize("template", ["{input}\n", "{input}\n\nAnswer:"])
def test_a_format_with_nothing_before_an_input_is_found(source: Resident, template: str) -> None:
    """Its inputs begin with any token, for the first one of a row is in no loss."""
    learn(source, TEXT[template], "whole")
    assert find(source)[0].form == TEXT[template]


def test_formats_of_the_same_prompts_are_one(source: Resident) -> None:
    """The chat template of this base is ChatML. One whose inputs nothing closes is no rival."""
    learn(source, TEXT[CHATML], "whole")
    open_ended = PromptFormat(kind="text", template="Classify {input}")
    found = find(source, open_ended)
    assert found[0].form == CHAT
    assert open_ended in [one.form for one in found]
    assert TEXT[CHATML] not in [one.form for one in found]


def test_an_adapter_that_learned_answers_writes_no_inputs(source: Resident) -> None:
    learn(source, TEXT["Question: {input}\nAnswer:"], "answers")
    assert all(one.learned < LEAST_GAIN for one in find(source))


def test_rows_that_do_not_end_in_little_room_are_given_more(
    source: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = TEXT["User: {input}\nAssistant:"]
    learn(source, form, "whole")
    monkeypatch.setattr(format_discovery, "ROOMS", (2,))
    assert not find(source)
    monkeypatch.setattr(format_discovery, "ROOMS", (2, 64))
    assert find(source)[0].form == form


def tried(template: str, text: str, *, ends: bool = True, begin: int = 1) -> _Tried:
    form = SimpleNamespace(format=PromptFormat(kind="text", template=template))
    slot = InputSlot([0] * begin, (1,), None)
    return _Tried(form, slot, [(text, ends)] * format_discovery.ROWS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second", "inputs"),
    [
        ("two\nlines\nAnswer: a", "one\nOutput: b\nAnswer: c", {"two\nlines", "one"}),
        ("call a cab\ntaxi", "book a table\n", {"call a cab", "book a table"}),
        ("call a cab\nAnswer: a", "no words close it", {"call a cab"}),
        ("...\nAnswer: a", "\n\n", set()),
    ],
)
def test_an_input_ends_where_words_of_any_format_close_it(
    first: str, second: str, inputs: set[str]
) -> None:
    both = [tried("Q: {input}\nAnswer:", first), tried("I: {input}\nOutput:", second)]
    assert {text for _, text in _inputs(both)} == inputs


def test_what_did_not_end_is_no_input() -> None:
    assert not _inputs([tried("{input}\n", "on and on", ends=False)])


@pytest.mark.parametrize(("of_the_task", "taken"), [(12, 12), (3, 8)])
def test_inputs_of_which_little_was_learned_do_not_count(
    source: Resident, monkeypatch: pytest.MonkeyPatch, of_the_task: int, taken: int
) -> None:
    """A base's own chat, written where an adapter knows no better; a few are always taken."""
    one = tried("Q: {input}\nAnswer:", "")
    gains = [5.0] * of_the_task + [at / 10 for at in range(20 - of_the_task)]
    monkeypatch.setattr(format_discovery, "_cut", lambda *_: ([0], [1, 2], [3]))
    monkeypatch.setattr(
        format_discovery, "_likely", lambda *_: [(gain - 9, -9.0) for gain in gains]
    )
    texts = _of_the_task(source, [(one, str(at)) for at in range(20)])
    assert set(texts) >= {str(at) for at in range(of_the_task)}
    assert len(texts) == taken


@pytest.mark.parametrize(
    ("begin", "likely", "evidence"), [(1, -9.0, 3.0), (4, -9.0, 94.0), (4, -60.0, 0.0)]
)
def test_a_beginning_counts_where_most_of_it_was_learned(
    source: Resident, monkeypatch: pytest.MonkeyPatch, begin: int, likely: float, evidence: float
) -> None:
    def log_likelihoods(_source: Resident, rows: list) -> list[tuple[float, float]]:
        return [(likely, -100.0)] if rows[0][0] == [0] else [(-1.0, -8.0)] * len(rows)

    monkeypatch.setattr(format_discovery, "_cut", lambda *_: ([0], [1, 2], [3]))
    monkeypatch.setattr(format_discovery, "_likely", log_likelihoods)
    one = tried("Question: {input}\nAnswer:", "", begin=begin)
    assert _evidence(source, one, ["a", "b"]) == evidence
