"""Selection: every answer alike, consistent samples first, and a reason for each rejection."""

from collections import Counter

from workbench.samples import Sample
from workbench.synthesize.selection import DOUBTFUL, ENOUGH, FOREIGN, select, spread


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


def test_a_sample_with_the_answer_it_was_written_for_comes_first() -> None:
    samples = [_sample(f"free{i}", "x") for i in range(20)]
    samples += [_sample(f"for{i}", "x", wanted="x") for i in range(3)]
    samples += [_sample(f"missed{i}", "x", wanted="y") for i in range(20)]
    reasons = select(samples, 3, {"x"})
    assert {name for name, reason in reasons.items() if not reason} == {"for0", "for1", "for2"}


def test_a_foreign_answer_and_a_doubtful_one_are_rejected_with_their_reason() -> None:
    samples = [_sample("a", "cat behavior"), _sample("b", "balance", confidence=0.2)]
    assert select(samples, 10, {"balance"}) == {"a": FOREIGN, "b": DOUBTFUL}


def test_answers_that_never_recur_are_kept_up_to_the_number() -> None:
    samples = [_sample(str(i), f"text {i}") for i in range(10)]
    reasons = select(samples, 4, None)
    assert sum(reason == "" for reason in reasons.values()) == 4


def test_the_choice_does_not_depend_on_the_order_of_the_samples() -> None:
    samples = [_sample(f"s{i}", f"label {i % 3}") for i in range(60)]
    kinds = {"label 0", "label 1", "label 2"}
    assert select(samples, 10, kinds) == select(samples[::-1], 10, kinds)


def test_what_differs_comes_before_variations() -> None:
    """Nine of ten texts for an answer varied one seed, and so did the student's idea of it."""
    texts = ["pay my phone bill", "pay my phone bill now", "please pay my phone bill"]
    texts += ["i owe the gas company", "settle what is due"]
    ordered = [sample.input for sample in spread([_sample(text, "pay") for text in texts])]
    assert sorted(ordered) == sorted(texts)
    assert set(ordered[1:3]) == {"i owe the gas company", "settle what is due"}


def test_spreading_keeps_every_sample_and_takes_one_or_none() -> None:
    many = [_sample(f"text number {i}", "x") for i in range(30)]
    assert {s.id for s in spread(many)} == {s.id for s in many}
    assert spread(many[:1]) == many[:1] and spread([]) == []
