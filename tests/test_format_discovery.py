"""The prompt format of an adapter that writes, by the words of its own that close an input."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.models.decoding import Decoded
from workbench.models.format_choice import ALPACA, CANDIDATES
from workbench.models.formats import CHATML, bind
from workbench.models.resident import Resident, load
from workbench.recipe import PromptFormat
from workbench.recipe.prompt_format import alpaca_with_input
from workbench.steps import format_discovery
from workbench.steps.format_discovery import (
    FORMAT_TEXTS,
    _of_one_instruction,
    _possible,
    _Tried,
    formats_by_writing,
)
from workbench.synthesize.adapter_writer import InputSlot, input_slot
from workbench.teach import TEACHER

SLOT = InputSlot([0], (1,), None)
SHORT = PromptFormat(kind="text", template="### Instruction:\n{input}\n\n### Response:\n")


def written(row: str, *, where: dict[str, str] | None = None, ends: bool = True) -> list[_Tried]:
    """What an adapter writes after the beginning of every known format: the same, but ``where``."""
    tried = []
    for form in CANDIDATES:
        before, _, after = form.template.partition("{input}")
        after = "" if form.kind == "chat" or form.template == CHATML else after.strip(" ")
        text = (where or {}).get(form.template, row)
        bound = type("Bound", (), {"format": form})()
        tried.append(_Tried(bound, SLOT, before, after, [(text, ends)] * FORMAT_TEXTS))  # type: ignore[arg-type]
    return tried


def possible(tried: list[_Tried]) -> set[str]:
    return {one.form.format.template for one in _possible(tried)}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("call a cab\n### Assistant:taxi", {"### Human: {input}\n### Assistant:"}),
        ("call a cab### Assistant: taxi", {"### Human: {input}### Assistant:"}),
        ("call a cab [/INST] taxi", {"[INST] {input} [/INST]"}),
        ("call a cab\n\nAnswer: taxi", {"{input}\n\nAnswer:"}),
        ("call a cab\nAnswer: taxi", {"Question: {input}\nAnswer:"}),
        ("call a cab", {"{input}", CHATML}),
        ("call a cab\nnow", {"{input}", CHATML, "{input}\n"}),
        (
            "call a cab\n\n### Response:\ntaxi",
            {ALPACA, SHORT.template},
        ),
        ("...\n### Assistant:", set()),
    ],
)
def test_formats_are_possible_whose_words_close_what_is_written(row: str, found: set[str]) -> None:
    assert possible(written(row)) == found


def test_what_no_token_ends_is_no_input_of_a_chat() -> None:
    assert not possible(written("call a cab call a cab", ends=False))


def test_alpaca_without_an_input_is_no_rival_of_alpaca_with_one() -> None:
    """Asked for an instruction it writes both, and "### Input:" between them."""
    both = "Name it.\n\n### Input:\ncall a cab\n\n### Response:\ntaxi"
    tried = written(both)
    asked = replace(tried[0], after="\n\n### Input:\n", rows=[(both, True)] * FORMAT_TEXTS)
    (form,) = _of_one_instruction(asked)
    assert form.template == alpaca_with_input("Name it.")
    before, _, after = form.template.partition("{input}")
    bound = type("Bound", (), {"format": form})()
    rows = [("call a cab\n\n### Response:\ntaxi", True)] * FORMAT_TEXTS
    tried.append(_Tried(bound, SLOT, before, after, rows))  # type: ignore[arg-type]
    assert possible(tried) == {form.template}
    many = [(f"Name {n}.{both}", True) for n in range(FORMAT_TEXTS)]
    assert not list(_of_one_instruction(replace(asked, rows=many)))


@pytest.mark.parametrize("writes_anywhere", [True, False])
def test_formats_that_end_alike_are_told_apart_by_their_beginnings(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch, writes_anywhere: bool
) -> None:
    """Inputs are likeliest after the beginning that the adapter was trained with."""
    source = load(tiny_source, device="cpu")
    rows = [(f"call cab {n}\n\n### Response:\ntaxi", True) for n in range(FORMAT_TEXTS)]
    decoded = [Decoded(source.tokenizer(text)["input_ids"], [], True) for text, _ in rows]
    asked: list[int] = []

    def decode(resident: Resident, prompts: list[list[int]], **_: object) -> object:
        asked.append(len(prompts))
        return ((at, decoded[at % FORMAT_TEXTS]) for at in range(len(prompts)))

    short = bind(SHORT, source.tokenizer).prompt_ids("")[:4]

    def log_prob(adapter: str | None, prompt: list[int]) -> float:
        if len(prompt) == 1:  # a beginning itself, on which was no loss
            return -2.0
        if adapter is None:
            return -9.0 if writes_anywhere else -1.0
        return -1.0 if prompt[:4] == short else -3.0

    def log_probs(resident: Resident, pairs: list[tuple[list[int], list[int]]]) -> list[Tensor]:
        return [torch.full([len(ids)], log_prob(resident.active, prompt)) for prompt, ids in pairs]

    source.attach_nothing(TEACHER)
    monkeypatch.setattr(format_discovery, "decode", decode)
    monkeypatch.setattr(format_discovery, "answer_log_probs", log_probs)
    monkeypatch.setattr(format_discovery, "_learned_words", lambda *_: True)
    monkeypatch.setattr(format_discovery, "input_gain", lambda *_: 2.5)
    monkeypatch.setattr(format_discovery, "input_lead", lambda *_: 4.0)
    pair = type("Pair", (), {"source": source})()
    found = formats_by_writing(pair, CANDIDATES, 0)  # type: ignore[arg-type]
    assert [one.form.template for one in found] == [SHORT.template, ALPACA]
    assert found[0].learned == 2.5 and found[1].learned < 1.5
    assert found[0].texts == [f"call cab {n}" for n in range(FORMAT_TEXTS)]
    assert asked[0] == (len(CANDIDATES) + 1) * FORMAT_TEXTS, "all are written together"


@pytest.mark.parametrize("learned", [True, False])
def test_words_that_were_learned_say_more_than_the_end_of_a_turn(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch, learned: bool
) -> None:
    """An instruct model ends turns, and goes on with "Answer:" after a question, without any."""
    source = load(tiny_source, device="cpu")
    source.attach_nothing(TEACHER)
    question = next(form for form in CANDIDATES if form.template.startswith("Question"))
    chat = PromptFormat()

    def written(source: Resident, forms: list[PromptFormat], *_: object) -> object:
        for form in forms:
            bound = bind(form, source.tokenizer)
            after = "\nAnswer:" if form == question else ""
            rows = [(f"call cab {n}{after}", True) for n in range(FORMAT_TEXTS)]
            yield _Tried(bound, input_slot(bound), "", after or "\n###" * (form != chat), rows)

    def log_probs(resident: Resident, pairs: list[tuple[list[int], list[int]]]) -> list[Tensor]:
        likely = -2.0 if resident.active is None else -1.0 if learned else -3.0
        return [torch.full([len(ids)], likely) for _, ids in pairs]

    monkeypatch.setattr(format_discovery, "_written", written)
    monkeypatch.setattr(format_discovery, "answer_log_probs", log_probs)
    monkeypatch.setattr(format_discovery, "input_gain", lambda *_: 2.5)
    monkeypatch.setattr(format_discovery, "input_lead", lambda *_: 4.0)
    pair = type("Pair", (), {"source": source})()
    (found,) = formats_by_writing(pair, (chat, question), 0)  # type: ignore[arg-type]
    assert found.form == (question if learned else chat)
