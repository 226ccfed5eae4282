"""Selection: every label alike, and a reason for each rejection."""

from collections import Counter

from workbench.samples import Sample
from workbench.synthesize.selection import ENOUGH, FOREIGN, UNSURE, select


def _sample(name: str, answer: str, wanted: str | None = None, confidence: float = 0.9) -> Sample:
    return Sample(
        name, name, "target", written_for=wanted, teacher_output=answer, confidence=confidence
    )


def test_every_label_gets_its_share_although_one_is_frequent() -> None:
    samples = [_sample(f"a{i}", "common") for i in range(50)]
    samples += [_sample(f"b{i}", "rare") for i in range(4)] + [_sample("c", "single")]
    reasons = select(samples, 9, {"common", "rare", "single"})
    kept = Counter(s.teacher_output for s in samples if reasons[s.id] == "")
    assert kept == {"common": 4, "rare": 4, "single": 1}
    assert sum(reason == ENOUGH for reason in reasons.values()) == 46


def test_a_foreign_answer_and_an_unsure_one_are_rejected_with_their_reason() -> None:
    samples = [_sample("a", "cat behavior"), _sample("b", "balance", confidence=0.2)]
    assert select(samples, 10, {"balance"}) == {"a": FOREIGN, "b": UNSURE}


def test_free_text_is_kept_up_to_the_number_however_sure() -> None:
    samples = [_sample(str(i), f"text {i}", confidence=0.1) for i in range(10)]
    reasons = select(samples, 4, None)
    assert sum(reason == "" for reason in reasons.values()) == 4


def test_what_missed_its_label_is_as_welcome_as_what_met_it() -> None:
    samples = [_sample(f"met{i}", "x", wanted="x") for i in range(40)]
    samples += [_sample(f"missed{i}", "x", wanted="y") for i in range(40)]
    kept = [name for name, reason in select(samples, 40, {"x"}).items() if not reason]
    assert 10 < sum(name.startswith("missed") for name in kept) < 30


def test_the_choice_does_not_depend_on_the_order_of_the_samples() -> None:
    samples = [_sample(f"s{i}", f"label {i % 3}") for i in range(60)]
    labels = {"label 0", "label 1", "label 2"}
    assert select(samples, 10, labels) == select(samples[::-1], 10, labels)
