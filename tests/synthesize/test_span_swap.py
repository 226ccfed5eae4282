"""Span swaps: made of what there is, never what there was."""

from collections import Counter

from workbench.samples import Example, normalise
from workbench.synthesize.span_swap import swap_spans

SEEDS = [Example("book a flight to rome", "travel"), Example("freeze my card now", "bank")]
WRITTEN = [Example(f"send {n} euros to number {n} today", f"label{n % 4}") for n in range(20)]


def test_texts_are_new_and_made_of_known_words() -> None:
    known = {normalise(each.input) for each in (*SEEDS, *WRITTEN)}
    texts = swap_spans(SEEDS, WRITTEN, 50, 1, known)
    words = {word for each in (*SEEDS, *WRITTEN) for word in each.input.split()}
    assert len(texts) == len(set(texts)) == 50
    assert not {normalise(text) for text in texts} & known
    assert {word for text in texts for word in text.split()} <= words
    assert texts == swap_spans(SEEDS, WRITTEN, 50, 1, known)
    assert texts != swap_spans(SEEDS, WRITTEN, 50, 2, known)


def test_seeds_do_not_crowd_out_labels_that_no_seed_has() -> None:
    texts = swap_spans(SEEDS, WRITTEN, 200, 1, set())
    hosts = Counter("seed" if {"flight", "freeze"} & set(text.split()) else "" for text in texts)
    assert hosts["seed"] < 60


def test_scripts_without_spaces_are_left_alone() -> None:
    assert swap_spans([Example("请帮我订一张去北京的机票", "x")], [], 5, 1, set()) == []
