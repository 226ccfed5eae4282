"""Writing for labels: what is mined, who is asked for, and how a continuation is read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from workbench.synthesize.answers import Coverage, Pair
from workbench.synthesize.by_label import (
    DOUBTFUL_ATTEMPTS,
    DOUBTFUL_SHARE,
    MARK,
    MOST_DOUBTFUL,
    PROBE_ATTEMPTS,
    PROMISING_TIMES,
    attempts_left,
    plan,
    write,
)
from workbench.synthesize.mining import NAMED_INPUTS, choose_probes, come_nearer, named_inputs

from workbench.models.decoding import Sampling
from workbench.models.formats import bind
from workbench.models.resident import Resident, load
from workbench.recipe import PromptFormat
from workbench.samples import Sample
from workbench.synthesize import by_label, mining

SEEDS = [Pair(f"the film was fine {n}", ("good", "bad", "dull")[n % 3]) for n in range(6)]


@pytest.fixture(scope="module")
def source(tiny_source: Path) -> Resident:
    return load(tiny_source, device="cpu")


@pytest.fixture(scope="module")
def target(tiny_target: Path) -> Resident:
    return load(tiny_target, device="cpu")


def test_thin_answers_are_asked_for_more_often_than_covered_ones() -> None:
    known = {"full": Coverage(40, 40, 40, 0.9), "thin": Coverage(2, 4, 2, 0.9)}
    known["half"] = Coverage(20, 40, 20, 0.9)
    kinds = ["full", "thin", "half"]
    planned = plan(known, kinds, {}, per_kind=40, prompts=60, seed=1)
    assert len(planned) == 60
    assert planned.count("full") == 0
    assert planned.count("thin") > planned.count("half") > 0
    assert planned == plan(known, kinds, {}, per_kind=40, prompts=60, seed=1)


def test_samples_that_were_not_written_for_their_answer_fill_no_share() -> None:
    """Texts about nothing were answered "order checks" until nobody asked for order checks."""
    known = {"order checks": Coverage(40, 0, 0, 0.9)}
    assert plan(known, ["order checks"], {}, per_kind=20, prompts=96, seed=1)


def test_a_doubtful_kind_gets_a_few_attempts_only() -> None:
    known = {"made up": Coverage(3, 10, 1, 0.9), "real": Coverage(3, 10, 1, 0.9)}
    planned = plan(known, ["real"], {}, per_kind=20, prompts=400, seed=1, doubtful=["made up"])
    assert planned.count("made up") == DOUBTFUL_ATTEMPTS - 10
    assert planned.count("real") == 95
    known["made up"] = Coverage(3, DOUBTFUL_ATTEMPTS, 1, 0.9)
    planned = plan(known, ["real"], {}, per_kind=20, prompts=400, seed=1, doubtful=["made up"])
    assert planned.count("made up") == 0 < planned.count("real")


def test_doubtful_kinds_share_a_part_of_the_prompts_the_best_first() -> None:
    """Without it 200 answers, one or two of them real, took more than half of the late rounds."""
    doubtful = [f"made up {i}" for i in range(50)]
    planned = plan({}, ["real"], {}, per_kind=100, prompts=100, seed=1, doubtful=doubtful)
    assert len(planned) == 100
    assert planned.count("made up 0") == planned.count("made up 1") == MOST_DOUBTFUL
    in_doubt = sum(kind != "real" for kind in planned)
    assert in_doubt == round(DOUBTFUL_SHARE * 100) and "made up 49" not in planned


def test_a_round_is_no_longer_than_what_is_missing() -> None:
    known = {"a": Coverage(12, 18, 9, 0.9)}
    assert plan(known, ["a"], {}, per_kind=10, prompts=96, seed=1) == ["a"] * 2


def test_a_candidate_is_tried_and_given_up_unless_texts_come_nearer_to_it() -> None:
    assert attempts_left(None, None, promising=False) == PROBE_ATTEMPTS
    tried = Coverage(0, PROBE_ATTEMPTS, 0, 0.0)
    assert attempts_left(tried, None, promising=False) == 0
    assert attempts_left(tried, {"inputs": [(-3.0, "x")], "steps": 3}, False) == PROBE_ATTEMPTS
    assert attempts_left(tried, None, promising=True) == PROBE_ATTEMPTS, "no more in one round"
    often = Coverage(0, PROMISING_TIMES * PROBE_ATTEMPTS, 0, 0.0)
    assert attempts_left(often, None, promising=True) == 0


def test_candidates_take_half_of_a_round_at_most_the_most_promising_first() -> None:
    known = {"a": Coverage(9, 9, 1, 0.9)}
    mined = {f"mined {i}": PROBE_ATTEMPTS for i in range(50)}
    planned = plan(known, ["a"], mined, per_kind=100, prompts=40, seed=1)
    assert len(planned) == 40
    assert planned.count("a") == 20
    assert planned.count("mined 0") == PROBE_ATTEMPTS and "mined 49" not in planned


def test_an_answer_without_samples_is_shown_the_input_that_came_nearest(
    target: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[str] = []
    real = by_label._prompt
    monkeypatch.setattr(by_label, "_prompt", lambda *given: prompts.append(real(*given)) or "x")
    nearest = {"vaccines": ["do i need a shot"]}
    with target.using(None):
        targets = ["vaccines"] * 20 + ["good"]
        write(target, SEEDS, [], targets, new_tokens=1, seed=1, nearest=nearest)
    shown = [f"{MARK} vaccines\ndo i need a shot\n\n{MARK} vaccines\n" in p for p in prompts]
    assert 5 <= sum(shown[:20]) <= 15, "half of them: it may be nonsense"
    assert "do i need a shot" not in prompts[20]


def test_texts_for_what_is_tried_are_drawn_cool_and_apart(
    target: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, float]] = []

    def decoded(_: object, prompts: list, *, sampling: Sampling, **__: object) -> Iterator[object]:
        drawn.append((len(prompts), sampling.temperature))
        return iter(())

    monkeypatch.setattr(by_label, "decode", decoded)
    nearest = {"vaccines": ["do i need a shot"]}
    write(target, SEEDS, [], ["vaccines", "good", "bad"], new_tokens=1, seed=1, nearest=nearest)
    assert drawn == [(1, by_label.TRIAL_TEMPERATURE), (2, by_label.TEMPERATURES[2])]


def test_a_text_ends_before_markup_that_no_seed_has(
    target: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[list[int]] = []

    def decoded(*_: object, stop_ids: list[int], **__: object) -> Iterator[object]:
        stops.append(stop_ids)
        return iter(())

    monkeypatch.setattr(by_label, "decode", decoded)
    token = target.tokenizer.convert_tokens_to_ids("<pad>")
    for seeds in (SEEDS, [*SEEDS, Pair("what does <pad> mean", "dull")]):
        write(target, seeds, [], [None], new_tokens=1, seed=1)
    assert token in stops[0] and token not in stops[1]


def test_free_texts_are_about_topics_in_turn(
    target: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str | None] = []
    prompt = by_label._prompt

    def noted(draw: Random, pairs: Sequence[Pair], asked: str | None, own: Sequence[Pair]) -> str:
        shown.append(asked)
        return prompt(draw, pairs, asked, own)

    monkeypatch.setattr(by_label, "_prompt", noted)
    targets = [None, "good", None, None]
    with target.using(None):
        made = write(target, SEEDS, [], targets, 1, seed=1, topics=["dice", "shoes"])
        assert sorted(map(str, shown)) == ["dice", "dice", "good", "shoes"]
        assert [text.written_for for text in made] == targets, "a topic is no answer"
        shown.clear()
        write(target, SEEDS, [], [None], 1, seed=1)
    assert shown == [None]


def test_nothing_is_planned_when_everything_is_covered() -> None:
    assert plan({"a": Coverage(10, 10, 10, 0.9)}, ["a"], {}, 10, 8, seed=1) == []


def test_probes_show_every_answer_once_before_any_twice() -> None:
    chosen = choose_probes([*SEEDS, Pair("another", "rare")], 4)
    assert [pair.answer for pair in chosen] == ["good", "bad", "dull", "rare"]


def test_an_answer_that_fits_anywhere_is_told_from_one_that_only_an_input_suggests(
    source: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked about cats, a teacher of bank requests invents "cat behavior" with confidence; such
    answers crowded out the task's own, 53 invented ones beside 30 real."""
    import torch  # noqa: PLC0415

    form = bind(PromptFormat(), source.tokenizer)
    probes = [Pair("my card", "card"), Pair("about cats", "cat behavior"), Pair("pay", "bill")]
    scores = {"card": [-0.1, -6.0, -5.0], "bill": [-5.0, -6.0, -0.1], "rate": [-6.0, -6.5, -6.0]}
    scores["cat behavior"] = [-14.0, -0.2, -15.0]

    def scored(_resident: Resident, _prompts: list, answers: list) -> torch.Tensor:
        names = [form.read(ids) for ids in answers]
        return torch.tensor([scores[name] for name in names]).T

    monkeypatch.setattr(mining, "choice_log_probs", scored)
    levels = mining.levels(source, form, ["card", "bill", "rate", "cat behavior"], probes)
    assert sorted(levels, key=lambda answer: -levels[answer])[-1] == "cat behavior"


def test_mined_answers_are_distinct_and_complete(source: Resident) -> None:
    form = bind(PromptFormat(), source.tokenizer)
    with source.using(None):
        mined = mining.mine_answers(source, form, ["a film"], new_tokens=4)
        assert mined == mining.mine_answers(source, form, ["a film"], new_tokens=4)
    assert all(answer.strip() for answer in mined)
    assert all(text == "a film" and log_prob <= 0 for text, log_prob in mined.values())


def test_a_label_comes_after_the_beginning_of_known_inputs() -> None:
    hosts = ["where did they leave the bags", "my suitcase is not here yet"]
    named = named_inputs("lost luggage", hosts)
    assert named == named_inputs("lost luggage", hosts)
    assert 1 < len(named) == len(set(named)) <= NAMED_INPUTS
    beginnings = {"where", "where did", "my", "my suitcase"}
    assert {text.removesuffix(" lost luggage") for text in named} <= beginnings


def test_texts_that_come_nearer_are_remembered_once() -> None:
    nearest: mining.Nearest = {}
    for text, log_prob in (("far", -9.0), ("near", -5.0), ("nearer", -4.8), ("far", -9.0)):
        come_nearer(nearest, "new", text, log_prob)
    again = [tuple(entry) for entry in nearest["new"]["inputs"]]
    assert again == [(-4.8, "nearer"), (-5.0, "near")]
    assert nearest["new"]["steps"] == 2, "the first one and one that is clearly nearer"


def test_an_answer_is_mined_though_no_input_makes_it_likely(
    source: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First tokens under any input, then what is likely given the beginning."""
    form = bind(PromptFormat(), source.tokenizer)
    card, rate = (tuple(form.answer_ids(word)) for word in ("card limit", "rate"))
    prompts = {tuple(form.prompt_ids(text)): text for text in ("one", "two")}

    def likely(_: Resident, rows: list[tuple[int, ...]], count: int) -> list:
        replies = []
        for row in rows:
            prompt = next(p for p in prompts if row[: len(p)] == p)
            said = row[len(prompt) :]
            follows = {a[len(said)] for a in (card, rate) if a[: len(said)] == said}
            # "rate" is what both inputs ask for; "card limit" is one in a thousand under "two".
            chance = dict.fromkeys(follows, 0.0 if said else -6.8)
            if not said:
                chance[rate[0]] = -0.01
                if prompts[prompt] == "one":
                    chance[card[0]] = -12.0
            order = sorted(chance, key=lambda t: -chance[t])[:count]
            replies.append((order, [chance[t] for t in order]))
        return replies

    monkeypatch.setattr(mining, "likeliest_next", likely)
    mined = mining.mine_answers(source, form, ["one", "two"], new_tokens=16)
    assert list(mined) == ["rate", "card limit"]
    assert mined["card limit"] == ("two", -6.8)


def test_a_round_is_repeatable_and_keeps_the_order_of_its_targets(target: Resident) -> None:
    targets = ["good", None, '{"kind":', "bad"] * 6
    accepted = [Sample("s", "a warm story", "target", teacher_output="good", confidence=0.9)]
    with target.using(None):
        first = write(target, SEEDS, accepted, targets, new_tokens=6, seed=5)
        again = write(target, SEEDS, accepted, targets, new_tokens=6, seed=5)
    assert first == again
    assert [written.written_for for written in first] == targets


def test_a_prompt_shows_blocks_and_leaves_the_input_open() -> None:
    import random  # noqa: PLC0415

    text = by_label._prompt(random.Random(0), SEEDS[:2], "dull", ())
    assert text == (
        f"{MARK} good\nthe film was fine 0\n\n{MARK} bad\nthe film was fine 1\n\n{MARK} dull\n"
    )
    begun = by_label._prompt(random.Random(0), SEEDS[:1], '{"kind":', ())
    assert begun.endswith(f'{MARK} {{"kind":')
    assert "good" not in by_label._prompt(random.Random(0), SEEDS[:2], None, ())


@pytest.mark.parametrize(
    ("text", "target", "multiline", "finished", "expected"),
    [
        ("pay my bill\n\n### good\nanother", "bad", False, False, "pay my bill"),
        ("pay my bill\nand more", "bad", False, False, "pay my bill"),
        ("pay my bill\nand more\n\n", "bad", True, False, "pay my bill\nand more"),
        ("cut off in the mid", "bad", False, False, ""),
        ("ended by itself", "bad", False, True, "ended by itself"),
        (' "x"}\nplay x\n\n', '{"kind":', False, False, "play x"),
        (' "x"} and no line', '{"kind":', False, True, ""),
        ("bad\n\n", "bad", False, True, ""),
        ("...\n\n", None, False, True, ""),
    ],
)
def test_the_input_in_a_continuation(
    text: str, target: str | None, multiline: bool, finished: bool, expected: str
) -> None:
    assert by_label._body(text, target, multiline, finished) == expected
