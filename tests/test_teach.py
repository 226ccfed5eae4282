"""The teacher says how likely its answers are, whole answers at a time."""

from dataclasses import replace
from pathlib import Path

import pytest

from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.models.pair import Pair
from workbench.models.scoring import answer_log_probs
from workbench.recipe import TransferRecipe, override
from workbench.teach import TEACHER, answer, soft_labels

TEXTS = ["please move 3 coins", "move them", "how many coins are there"]


@pytest.fixture
def pair(tmp_path: Path, tiny_source: Path, tiny_target: Path, tiny_adapter: Path) -> Pair:
    bases = {"source_base": f"folder:{tiny_source}", "target_base": f"folder:{tiny_target}"}
    adapter = read_adapter(tiny_adapter, tmp_path)
    return Pair(override(TransferRecipe(), bases), Inputs(adapter))


def test_answers_are_weighed_by_the_probability_of_the_whole_answer(pair: Pair) -> None:
    form, answers = pair.source_form, ["box one", "box"]
    labels = soft_labels(pair.source, form, TEXTS, answers)
    with pair.source.using(TEACHER):
        for text, label in zip(TEXTS, labels, strict=True):
            asked = [(form.prompt_ids(text), form.answer_ids(answer)) for answer in answers]
            first, second = (float(p.sum().exp()) for p in answer_log_probs(pair.source, asked))
            share = first / (first + second)
            expected = {"box one": share, "box": 1 - share}
            expected = {a: p for a, p in expected.items() if p >= 0.03}
            total = sum(expected.values())
            expected = {answer: p / total for answer, p in expected.items()}
            assert dict(label) == pytest.approx(expected, rel=1e-3)
            assert [p for _, p in label] == sorted((p for _, p in label), reverse=True)


def test_answers_that_are_cut_are_told_from_those_that_end(pair: Pair) -> None:
    form = pair.source_form
    replies = dict(answer(pair.source, TEACHER, form, TEXTS, 40))
    ended = {at for at, reply in replies.items() if reply.finished}
    short = dict(answer(pair.source, TEACHER, form, TEXTS, 1))
    assert ended
    assert not any(reply.finished for reply in short.values() if reply.text)


def test_a_stop_text_ends_answers_and_is_no_part_of_them(pair: Pair) -> None:
    form = pair.source_form
    texts = [f"move {n} coins" for n in range(16)]
    written = dict(answer(pair.source, TEACHER, form, texts, 12))
    at = max(written, key=lambda index: len(written[index].text))
    letter = max(written[at].text[2:])  # of an answer, not at its beginning
    stopped = replace(form, format=replace(form.format, stop_text=letter))
    replies = dict(answer(pair.source, TEACHER, stopped, texts, 12))
    assert replies[at].finished
    assert replies[at].text == written[at].text.split(letter)[0].strip()
    assert stopped.answer_ids("yes") == [*form.answer_ids(f"yes{letter}")[:-1]]
    assert stopped.read(stopped.answer_ids("yes")) == "yes"
