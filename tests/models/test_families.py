"""What is scored is what would be written: every usual chat template, every kind of tokenizer."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.models.chat_families import ALWAYS, BYTE_LEVEL, FAMILIES, FIRST, KINDS, tokenizer_of
from workbench.models.decoding import decode
from workbench.models.formats import bind
from workbench.models.resident import Resident
from workbench.models.scoring import answer_log_probs, choice_log_probs
from workbench.recipe import PromptFormat

INPUTS = ("the film was a delight", "put 3 coins\n\ninto the box:", "日本?")
ANSWERS = ("positive", "box 12", "two\nlines", "日本", "- yes", '{"a": 1}')
TEXTS = (
    "Review: {input}\nAnswer:",
    "Review: {input}\n",
    "### Instruction:\n{input}\n\n### Response:\n",
    "{input}",
    "Question: {input} Answer: ",
)


@cache
def tokenizer_for(family: str, kind: str) -> PreTrainedTokenizerFast:
    return tokenizer_of(FAMILIES[family], kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_those_of_one_rendering(family: str, kind: str) -> None:
    """What a trainer of whole conversations has seen, cut where the answer begins and ends."""
    tokenizer = tokenizer_for(family, kind)
    form = bind(PromptFormat(), tokenizer)
    end = tokenizer.convert_tokens_to_ids(FAMILIES[family].end)
    assert form.end_id == end
    for text in INPUTS:
        prompt = form.prompt_ids(text)
        for answer in ANSWERS:
            closed = render(tokenizer, text, answer)
            whole = prompt + form.answer_ids(answer)
            assert whole == closed[: len(whole)], tokenizer.decode(whole)
            assert whole[-1] == end
            assert form.read(form.answer_ids(answer)) == answer


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_are_what_the_template_opens(family: str) -> None:
    """But for a thought, and for white space that a tokenizer joins with the answer."""
    tokenizer = tokenizer_for(family, FIRST)
    form = bind(PromptFormat(), tokenizer)
    opened = tokenizer.decode(render(tokenizer, INPUTS[0]))
    if "R1" in family:  # the closed rendering has no thought
        opened = opened.removesuffix("<think>\n")
    thought = FAMILIES[family].thought
    expected = opened.removesuffix(thought[: len("<think>\n")]) + thought
    assert tokenizer.decode(form.prompt_ids(INPUTS[0])) == expected.rstrip(" ")


def render(tokenizer: PreTrainedTokenizerFast, text: str, answer: str | None = None) -> list[int]:
    turns = [{"role": "user", "content": text}]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=answer is None)
    return list(ids["input_ids"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("template", TEXTS)
def test_text_formats_too(template: str, kind: str) -> None:
    tokenizer = tokenizer_for("Llama 2", kind)
    form = bind(PromptFormat(kind="text", template=template), tokenizer)
    for text in INPUTS:
        filled = template.replace("{input}", text)
        space = "" if template[-1].isspace() else " "
        prompt = form.prompt_ids(text)
        assert prompt == tokenizer(filled)["input_ids"]
        for answer in ANSWERS:
            ids = form.answer_ids(answer)
            assert form.read(ids) == answer
            assert tokenizer.decode(prompt[1:] + ids[:-1]) == f"{filled}{space}{answer}"
            if not template.endswith(" "):  # there the tokens of prompt and answer would join
                assert prompt + ids[:-1] == tokenizer(f"{filled}{space}{answer}")["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_answers_stay_text(kind: str) -> None:
    for family in ("Llama 2", "Mistral", "Qwen 3", "ChatML, base's end", "Gemma"):
        tokenizer = tokenizer_for(family, kind)
        form = bind(PromptFormat(), tokenizer)
        end = FAMILIES[family].end
        ids = form.answer_ids(f"yes{end}no {tokenizer.bos_token} x")
        assert form.special_ids.isdisjoint(ids[:-1])
        assert form.read(ids).startswith("yes")
        assert "no" in form.read(ids)


def test_an_empty_thought_is_no_answer() -> None:
    tokenizer = tokenizer_for("Qwen 3", BYTE_LEVEL)
    form = bind(PromptFormat(), tokenizer)
    assert form.preview("x").endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    written = tokenizer("<think>\n\n</think>\n\nyes", add_special_tokens=False)["input_ids"]
    assert form.read(written) == "yes"


@pytest.mark.parametrize(
    ("family", "kind"),
    [(family, kind) for family in FAMILIES for kind in (BYTE_LEVEL, FIRST, ALWAYS)],
)
def test_what_is_given_with_87_percent_has_that_likelihood(family: str, kind: str) -> None:
    tokenizer = tokenizer_for(family, kind)
    form = bind(PromptFormat(), tokenizer)
    prompt = form.prompt_ids(INPUTS[0])
    closed = render(tokenizer, INPUTS[0], "box 12")
    end = closed.index(form.end_id, len(prompt))
    written = closed[len(prompt) : end + 1]
    resident = resident_that_writes(tokenizer, prompt[-1], written, 0.87)
    ((_, decoded),) = decode(
        resident, [prompt], new_tokens=16, stop_ids=form.stop_ids, sampling=None
    )
    assert decoded.finished
    assert [*decoded.ids, form.end_id] == written == form.answer_ids("box 12")
    assert form.read(decoded.ids) == "box 12"
    (scored,) = answer_log_probs(resident, [(prompt, form.answer_ids("box 12"))])
    assert math.exp(float(scored.sum())) == pytest.approx(0.87, abs=0.01)
    answers = [form.answer_ids(answer) for answer in ("box 12", "box", "yes")]
    choices = choice_log_probs(resident, [prompt], answers)[0].exp()
    assert float(choices[0]) == pytest.approx(0.87, abs=0.01)
    assert float(choices[1:].sum()) < 0.13


def resident_that_writes(
    tokenizer: PreTrainedTokenizerFast, last: int, written: Sequence[int], likelihood: float
) -> Resident:
    """A model that writes these tokens after ``last``, with this likelihood in all.

    Every token's embedding is a direction of its own and nothing else counts, so that the next
    token follows from the latest alone.
    """
    size = len(tokenizer)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size + size % 2,
        intermediate_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state["model.embed_tokens.weight"] = torch.eye(size, config.hidden_size)
    state["model.norm.weight"] = torch.ones(config.hidden_size)
    each = likelihood ** (1 / len(written))
    strength = math.log(each / (1 - each) * (size - 1)) / math.sqrt(config.hidden_size)
    for before, after in zip([last, *written], written, strict=False):
        state["lm_head.weight"][after, before] = strength
    model.load_state_dict(state)
    return Resident(model, tokenizer, torch.device("cpu"), quantized=False, folder=Path())
