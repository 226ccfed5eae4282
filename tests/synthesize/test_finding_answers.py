"""Which inputs answers are mined from, and when it is over."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import torch
from workbench.steps.finding import (
    LEAST_PROBE_SHARE,
    LEVELS,
    MINED,
    MINING_ROUNDS,
    NEAREST,
    _to_mine,
    candidates,
    doubtful,
    must_mine,
    share_of_trials,
    success_of_trials,
    trials,
    untried,
)
from workbench.steps.label_synthesis import WORTH_TRYING, choose_targets
from workbench.synthesize.answers import Pair
from workbench.synthesize.by_label import DOUBTFUL_SHARE, PROBE_SHARE
from workbench.synthesize.evidence import Findings, weigh

from workbench.models.pair import Pair as ModelPair
from workbench.recipe import TransferRecipe, override
from workbench.runs.folder import create
from workbench.samples import Sample

SEEDS = [Pair("pay my bill", "pay bill")]

BILL = ["pay bill"]


def _found(samples: Sequence[Sample], kinds: Sequence[str] = BILL) -> Findings:
    return replace(weigh(SEEDS, samples), kinds=list(kinds))


def _sample(text: str, answer: str, wanted: str | None = None, number: int = 0) -> Sample:
    return Sample(
        text,
        text,
        "target",
        written_for=wanted,
        teacher_output=answer,
        confidence=0.9,
        round=number,
    )


def test_seeds_and_different_answers_are_mined_first() -> None:
    samples = [_sample(f"same {i}", "pay bill") for i in range(60)] + [_sample("other", "routing")]
    inputs = _to_mine(_found(samples), [], 48)
    assert inputs[:2] == ["pay my bill", "other"]
    assert len(inputs) == len(set(inputs)) == 48


def test_later_what_was_written_in_vain_for_an_answer_goes_first() -> None:
    old = [_sample("before", "routing", number=0)]
    new = [_sample("new", "balance", number=2)]
    new += [_sample("which shots", "travel", wanted="vaccines", number=2)]
    inputs = _to_mine(_found([*old, *new]), [1, 2], 48)
    assert inputs == ["which shots", "new"]


def test_mining_goes_on_while_answers_come_to_belong(tmp_path: Path) -> None:
    run = create(tmp_path, TransferRecipe())
    known = [_sample("a bill", "pay bill", wanted="pay bill")]
    fresh = [*known, replace(_sample("a shot", "vaccines", number=1), confidence=0.98)]
    assert not must_mine(run, weigh(SEEDS, known), 0), "before anything is written"
    assert must_mine(run, weigh(SEEDS, known), 1)
    assert must_mine(run, weigh(SEEDS, known), 3), "never yet, whatever the round"
    run.remember(MINED, [1])
    assert not must_mine(run, weigh(SEEDS, fresh), 1), "not twice before the same round"
    assert not must_mine(run, weigh(SEEDS, known), MINING_ROUNDS[1])
    assert must_mine(run, weigh(SEEDS, fresh), MINING_ROUNDS[1])
    assert not must_mine(run, weigh(SEEDS, fresh), 3)
    run.remember(MINED, [1, 2])
    assert not must_mine(run, weigh(SEEDS, fresh), MINING_ROUNDS[2]), "it belonged before"


def test_candidates_that_were_nearly_certain_come_first_then_those_on_the_level(
    tmp_path: Path,
) -> None:
    run = create(tmp_path, override(TransferRecipe(), {"synthesis.prompts_per_round": 16}))
    levels = {"pay bill": -5.0, "level": -4.0, "likely": -6.0, "given": -9.0, "unlikely": -12.0}
    run.remember(LEVELS, levels)
    bills = [_sample(f"bill {i}", "pay bill") for i in range(9)]
    samples = [*bills, replace(_sample("what", "given"), confidence=0.6)]
    assert candidates(run, _found(samples)) == [
        "level",
        "given",
        "likely",
        "unlikely",
    ]
    assert candidates(run, _found(samples), promising_only=True) == ["level"]
    nearly = [*bills, replace(_sample("what", "given"), confidence=0.85)]
    assert candidates(run, _found(nearly), promising_only=True) == [
        "given",
        "level",
    ]
    sure = [*bills, replace(_sample("what", "given"), confidence=0.98)]
    assert "given" not in candidates(run, _found(sure, [*BILL, "given"])), "it belongs to the task"


def test_a_candidate_that_came_unasked_is_tried_before_one_that_nonsense_got(
    tmp_path: Path,
) -> None:
    run = create(tmp_path, TransferRecipe())
    run.remember(LEVELS, {"pay bill": -1.0, "made up": -9.0, "timezone": -9.0, "asked": -9.0})
    samples = [
        replace(_sample("i corners", "made up"), origin="word", confidence=0.79),
        replace(_sample("ask", "asked", wanted="asked"), confidence=0.7),
        replace(_sample("the time in maine", "timezone", wanted="time"), confidence=0.51),
    ]
    assert candidates(run, _found(samples)) == ["timezone", "made up", "asked"]


def test_of_doubtful_answers_the_likely_and_those_that_come_unasked_go_first(
    tmp_path: Path,
) -> None:
    run = create(tmp_path, TransferRecipe())
    run.remember(LEVELS, {"routing": -4.0, "made up": -5.0, "nothing": -7.0, "timezone": -9.0})
    samples = [_sample(f"bill {i}", "pay bill") for i in range(9)]
    samples += [_sample("the time in maine", "timezone", wanted="date")]
    samples += [_sample(f"what {i}", "nothing", wanted="nothing") for i in range(5)]
    kinds = [*BILL, "nothing", "timezone", "made up", "routing", "never examined"]
    first = ["routing", "timezone", "made up", "nothing", "never examined"]
    assert doubtful(run, _found(samples, kinds)) == first


def test_when_there_is_enough_thin_answers_are_waited_for_but_no_doubtful_ones(
    tmp_path: Path,
) -> None:
    changes = {"synthesis.samples": 40, "synthesis.prompts_per_round": 40}
    run = create(tmp_path, override(TransferRecipe(), changes))
    on_cpu = cast(ModelPair, SimpleNamespace(source=SimpleNamespace(device=torch.device("cpu"))))
    seeds = [*SEEDS, Pair("how much do i have", "balance")]
    bills = [_sample(f"bill {i}", "pay bill", wanted="pay bill") for i in range(44)]
    balances = [_sample(f"money {i}", "balance", wanted="balance") for i in range(22)]
    kinds = ["pay bill", "balance", "made up"]

    def chosen(samples: Sequence[Sample]) -> list[str | None]:
        return choose_targets(run, on_cpu, replace(weigh(seeds, samples), kinds=kinds), 5)

    thin = chosen([*bills, *balances[:8]])
    assert thin.count("balance") >= 14 and thin.count("pay bill") == 0
    assert thin.count("made up") == round(DOUBTFUL_SHARE * 35)
    assert chosen([*bills, *balances]) == []


def test_a_share_for_trials_stays_however_few_candidates_were_worth_it(tmp_path: Path) -> None:
    """The success itself has no lower bound: by it a run that has its samples stops trying all."""
    run = create(tmp_path, TransferRecipe())
    run.remember(LEVELS, {f"none {i}": -9.0 for i in range(18)})
    bills = [_sample(f"bill {i}", "pay bill") for i in range(90)]
    asked = [_sample(f"what {i}", "pay bill", wanted=f"none {i}") for i in range(18)]
    success = success_of_trials(run, _found([*bills, *asked]))
    assert success == 1 / 20 < WORTH_TRYING
    assert share_of_trials(success) == LEAST_PROBE_SHARE
    assert share_of_trials(0.3) == 0.3
    assert share_of_trials(0.9) == PROBE_SHARE


def test_candidates_are_tried_in_their_own_words_before_anything_is_written(
    tmp_path: Path,
) -> None:
    run = create(tmp_path, override(TransferRecipe(), {"synthesis.prompts_per_round": 16}))
    run.remember(LEVELS, {"pay bill": -5.0, "level": -4.0, "likely": -6.0, "unlikely": -9.0})
    bills = [_sample(f"bill {i}", "pay bill") for i in range(9)]
    names = candidates(run, _found(bills))
    assert trials(run, _found(bills), names) == {}
    assert untried(_found(bills), names, 2) == ["level", "likely"], "no more than asked"
    tried = bills + [_sample(f"vain {i}", "pay bill", wanted="level") for i in range(4)]
    assert untried(_found(tried), names, 8) == ["likely", "unlikely"]
    assert trials(run, _found(tried), names) == {"level": 4}, "promising, so it gets more"
    tried += [_sample(f"no {i}", "pay bill", wanted="likely") for i in range(4)]
    assert trials(run, _found(tried), names) == {"level": 4}
    tried += [_sample(f"nothing {i}", "pay bill", wanted="level") for i in range(12)]
    assert trials(run, _found(tried), names) == {}, "it had its attempts"
    run.remember(NEAREST, {"likely": {"inputs": [[-0.5, "no 1"]], "steps": 2}})
    assert trials(run, _found(tried), names) == {"likely": 4}, "texts came nearer to it"
