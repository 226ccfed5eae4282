"""Which kinds of answers belong to a task."""

from dataclasses import replace

from workbench.synthesize.answers import Pair
from workbench.synthesize.evidence import (
    BY_ITSELF,
    JUDGED_AFTER,
    task_kinds,
    weigh,
    well_known,
)

from workbench.samples import Sample

SEEDS = [Pair("pay my bill", "pay bill")]


def _sample(text: str, answer: str, confidence: float, wanted: str | None = None) -> Sample:
    return Sample(
        text, text, "target", written_for=wanted, teacher_output=answer, confidence=confidence
    )


def test_an_answer_belongs_once_the_teacher_was_certain_of_it() -> None:
    """It answers "stock price" to texts about stocks, but never as surely as it gives its own."""
    made_up = [_sample(f"stocks {i}", "stock price", 0.55) for i in range(30)]
    bills = [_sample(f"bill {i}", "pay bill", 0.5) for i in range(9)]
    others = [*made_up, *bills]

    def shots(*confidences: float) -> list[Sample]:
        return [_sample(f"shot {c}", "vaccines", c) for c in confidences]

    assert task_kinds(SEEDS, [*others, *shots(0.98)]) == ["pay bill", "vaccines"]
    assert task_kinds(SEEDS, [*others, *shots(0.82, 0.85)]) == ["pay bill", "vaccines"]
    assert task_kinds(SEEDS, [*others, *shots(0.95, 0.6)]) == ["pay bill"]
    assert task_kinds(SEEDS, [*others, *shots(0.7, 0.65, 0.62)]) == ["pay bill"]
    assert task_kinds(SEEDS, [*others, *shots(0.7, 0.65, 0.62, 0.61)])[1:] == ["vaccines"]


def test_an_answer_in_the_words_of_the_input_takes_more_certainty() -> None:
    def lost(text: str, confidence: float) -> Sample:
        return _sample(text, "lost card", confidence, wanted="lost card")

    made_up = [lost(f"i lost my cat {i}", 0.96) for i in range(3)]
    made_up += [lost("is my card lost", 0.96), lost("my wallet is gone", 0.79)]
    assert task_kinds(SEEDS, made_up) == ["pay bill"]
    for more in (
        lost("my purse is gone", 0.97),
        lost("my purse is gone", 0.8),
        lost("i lost my dog", 0.97),
        lost("the card is lost", 0.97),
    ):
        away = [] if more.confidence != 0.8 else [lost("where is it", 0.8)]
        assert task_kinds(SEEDS, [*made_up, *away, more])[1:] == ["lost card"], more
    assert task_kinds(SEEDS, [*made_up, lost("my purse is gone", 0.8)]) == ["pay bill"]


def test_a_well_known_answer_was_certain_twice_and_was_given_away_from_its_words() -> None:
    certain = [_sample(f"lost card {i}", "lost card", 0.98) for i in range(2)]
    away = [_sample(text, "lost card", 0.5) for text in ("my purse is gone", "where is it")]
    assert well_known(SEEDS, []) == {"pay bill"}
    assert well_known(SEEDS, certain) == {"pay bill"}, "only where its words stand"
    assert well_known(SEEDS, [certain[0], *away]) == {"pay bill"}
    assert well_known(SEEDS, [*certain, away[0]]) == {"pay bill"}
    assert well_known(SEEDS, [*certain, *away]) == {"pay bill", "lost card"}


def test_an_answer_that_comes_unasked_belongs_and_is_well_known() -> None:
    """A teacher makes answers up when it reads their words, hardly ever for other texts."""

    def calories(count: int, **more: str) -> list[Sample]:
        texts = (f"how many calories has dish {i}" for i in range(count))
        return [replace(_sample(t, "calories", 0.93, wanted="nutrition"), **more) for t in texts]

    assert task_kinds(SEEDS, calories(2)) == ["pay bill"]
    assert task_kinds(SEEDS, calories(3)) == ["pay bill", "calories"]
    assert well_known(SEEDS, calories(3)) == {"pay bill", "calories"}
    assert task_kinds(SEEDS, calories(9, written_for="calories")) == ["pay bill"]
    assert task_kinds(SEEDS, calories(9, origin="graft")) == ["pay bill"], "nobody wrote them"


def test_what_comes_by_itself_is_sought() -> None:
    """What is made up is the answer to texts that were written for it, hardly ever to others."""
    known = [_sample(f"lost card {i}", "lost card", 0.98, "lost card") for i in range(20)]
    known += [_sample(text, "lost card", 0.6, "lost card") for text in ("my purse", "a wallet")]
    by_itself = [_sample("my purse is gone", "lost card", 0.5, "balance")]
    unsure = [replace(by_itself[0], confidence=0.4)]
    nobody_wrote = [replace(by_itself[0], origin="word")]

    def sought(*more: Sample) -> set[str]:
        return weigh(SEEDS, [*known, *more]).sought

    for none in ([], unsure, nobody_wrote):
        assert sought(*none) == {"pay bill"}
    assert sought(*by_itself) == {"pay bill", "lost card"}
    assert weigh(SEEDS, by_itself).sought == {"pay bill"}, "not well known"
    bills = [_sample(f"bill {i}", "pay bill", 0.9, "balance") for i in range(round(2 / BY_ITSELF))]
    assert sought(*bills, *by_itself) == {"pay bill"}, "too rare"
    again = [_sample("my wallet is gone", "lost card", 0.5, "balance")]
    assert sought(*bills, *by_itself, *again) == {"pay bill", "lost card"}


def test_words_that_many_texts_have_say_nothing() -> None:
    def named(text: str) -> Sample:
        return _sample(text, "what is your name", 0.85)

    bills = [_sample(f"what is bill {i}", "pay bill", 0.9) for i in range(8)]
    asked = [named("what is he called"), named("who is that")]
    assert task_kinds(SEEDS, [*bills, *asked]) == ["pay bill"]
    bills += [_sample(f"what is bill {i}", "pay bill", 0.9) for i in range(8, 30)]
    assert task_kinds(SEEDS, [*bills, *asked])[1:] == ["what is your name"]
    worded = [named("a name for it"), named("name two of them")]
    assert task_kinds(SEEDS, [*bills, *worded]) == ["pay bill"]


def test_a_field_belongs_after_three_sure_answers_with_it() -> None:
    seeds = [Pair("play dune", '{"intent": "Music", "song": "dune"}')]
    year = '{"intent": "Music", "year":'

    def play(number: int) -> Sample:
        text = f"songs of {number}"
        answer = f'{{"intent": "Music", "song": "songs", "year": "{number}"}}'
        return _sample(text, answer, 0.96)

    few, enough = [play(1980), play(1981)], [play(1980), play(1981), play(1982)]
    assert year not in task_kinds(seeds, few)
    assert task_kinds(seeds, enough) == ['{"intent": "Music", "song":', year]


def test_an_answer_that_was_written_for_and_convinces_nowhere_is_dropped_again() -> None:
    first = [_sample("my wallet is gone", "lost card", 0.98)]
    tried = [_sample(f"gone {i}", "lost card", 0.85, "lost card") for i in range(JUDGED_AFTER)]
    elsewhere = [_sample(f"away {i}", "lost card", 0.92, "pay bill") for i in range(2)]
    bills = [_sample(f"bill {i}", "pay bill", 0.6, "pay bill") for i in range(JUDGED_AFTER)]
    assert task_kinds(SEEDS, [*bills, *first]) == ["pay bill", "lost card"]
    assert task_kinds(SEEDS, [*bills, *first, *tried[1:]]) == ["pay bill", "lost card"]
    assert task_kinds(SEEDS, [*bills, *tried, *tried]) == ["pay bill"]
    assert task_kinds(SEEDS, [*bills, *tried, *elsewhere]) == ["pay bill", "lost card"]
