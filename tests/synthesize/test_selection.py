"""Selection: every answer alike, and a reason for each rejection."""

from collections import Counter

from workbench.samples import Sample
from workbench.synthesize.selection import (
    DOUBTFUL,
    ENOUGH,
    FOREIGN,
    MALFORMED,
    MANGLED,
    select,
)


def _sample(name: str, answer: str, wanted: str | None = None, confidence: float = 0.9) -> Sample:
    return Sample(
        name, name, "target", written_for=wanted, teacher_output=answer, confidence=confidence
    )


def test_every_answer_gets_its_share_although_one_is_frequent() -> None:
    samples = [_sample(f"a{i}", "common") for i in range(50)]
    samples += [_sample(f"b{i}", "rare") for i in range(4)] + [_sample("c", "single")]
    reasons = select(samples, 9, {"common", "rare", "single"})
    kept = Counter(s.teacher_output for s in samples if reasons[s.id] == "")
    assert kept == {"common": 4, "rare": 4, "single": 1}
    assert sum(reason == ENOUGH for reason in reasons.values()) == 46


def test_a_foreign_answer_and_a_doubtful_one_are_rejected_with_their_reason() -> None:
    samples = [_sample("a", "cat behavior"), _sample("b", "balance", confidence=0.2)]
    assert select(samples, 10, {"balance"}) == {"a": FOREIGN, "b": DOUBTFUL}


def test_answers_that_never_recur_are_kept_up_to_the_number() -> None:
    samples = [_sample(str(i), f"text {i}") for i in range(10)]
    reasons = select(samples, 4, None)
    assert sum(reason == "" for reason in reasons.values()) == 4


def test_what_missed_its_answer_is_as_welcome_as_what_met_it() -> None:
    samples = [_sample(f"met{i}", "x", wanted="x") for i in range(40)]
    samples += [_sample(f"missed{i}", "x", wanted="y") for i in range(40)]
    kept = [name for name, reason in select(samples, 40, {"x"}).items() if not reason]
    assert 10 < sum(name.startswith("missed") for name in kept) < 30


def test_the_choice_does_not_depend_on_the_order_of_the_samples() -> None:
    samples = [_sample(f"s{i}", f"label {i % 3}") for i in range(60)]
    kinds = {"label 0", "label 1", "label 2"}
    assert select(samples, 10, kinds) == select(samples[::-1], 10, kinds)


def test_of_objects_the_surest_of_every_field_are_kept() -> None:
    song, year = '{"intent": "Music", "song":', '{"intent": "Music", "year":'
    plays = [
        _sample(f"play a{i}", f'{{"intent": "Music", "song": "a{i}"}}', confidence=0.9 + i / 1000)
        for i in range(6)
    ]
    rare = [_sample("1980 b", '{"intent": "Music", "song": "b", "year": "1980"}', confidence=0.6)]
    odd = [
        _sample("twice x y", '{"intent": "Music", "song": "x", "song": "y"}'),
        _sample("wash c", '{"intent": "Music", "car": "c"}'),
        _sample("play a7 by b", '{"intent": "Music", "song": "a7", "artist": "bee"}'),
    ]
    reasons = select([*plays, *rare, *odd], 3, {song, year}, decided={"intent"})
    assert reasons["play a7 by b"] == MANGLED
    assert (reasons["twice x y"], reasons["wash c"]) == (MALFORMED, FOREIGN)
    # "1980 b" fills the share of the years, and counts as a song as well.
    assert {name for name, reason in reasons.items() if not reason} == {
        "1980 b",
        "play a5",
        "play a4",
    }
