"""Kinds of answers: what is decided by the teacher, apart from what is copied from the input."""

import json

import pytest

from workbench.samples import Sample
from workbench.synthesize.answers import coverage, is_whole, kind_of, recur


def test_a_plain_answer_is_its_own_kind() -> None:
    assert kind_of("transfer money", "please transfer money to bob") == "transfer money"


def test_a_json_answer_ends_before_the_first_copied_value() -> None:
    answer = json.dumps({"intent": "RateBook", "object_name": "Dune", "rating": "4"})
    assert kind_of(answer, "give dune 4 stars") == '{"intent": "RateBook", "object_name":'
    assert not is_whole(kind_of(answer, "give dune 4 stars"))


def test_two_inputs_with_other_values_have_the_same_kind() -> None:
    kinds = {
        kind_of(json.dumps({"intent": "PlayMusic", "artist": name}), f"play {name}")
        for name in ("Bjork", "the who", "Nina Simone")
    }
    assert kinds == {'{"intent": "PlayMusic", "artist":'}


def test_a_json_answer_without_copied_values_is_whole() -> None:
    answer = json.dumps({"intent": "Weather", "when": "now"})
    assert kind_of(answer, "how is it outside") == answer
    assert is_whole(answer)


def test_a_json_answer_whose_first_value_is_copied_ends_after_its_name() -> None:
    kind = kind_of('{"artist": "Björk"}', "play björk")
    assert kind == '{"artist":'
    assert not is_whole(kind)


def test_json_that_is_spelled_in_another_way_is_not_cut_in_the_wrong_place() -> None:
    answer = '{"intent":"PlayMusic","artist":"Björk"}'
    assert kind_of(answer, "play björk") == "{"
    assert not is_whole("{")


@pytest.mark.parametrize("answer", ["{broken", "{}", "[1, 2]", "{" * 5000])
def test_what_is_no_object_is_a_plain_answer(answer: str) -> None:
    assert kind_of(answer, "anything") == answer


def test_labels_recur_and_free_text_does_not() -> None:
    assert recur(["yes", "no"])
    assert recur([f"label {i % 30}" for i in range(120)])
    # 30 different ones among 50, but only 10 that nobody else gave.
    assert recur([f"label {i % 20}" for i in range(40)] + [f"single {i}" for i in range(10)])
    assert not recur([f"a sentence of its own {i}" for i in range(120)])


def _sample(text: str, answer: str | None, wanted: str | None = None) -> Sample:
    return Sample(text, text, "target", written_for=wanted, teacher_output=answer, confidence=0.8)


def test_coverage_counts_a_sample_for_the_answer_that_the_teacher_gave() -> None:
    known = coverage(
        [_sample("a", "x", "x"), _sample("b", "y", "x"), _sample("c", "x"), _sample("d", None, "z")]
    )
    assert (known["x"].samples, known["x"].asked, known["x"].consistent) == (2, 2, 1)
    assert (known["y"].samples, known["y"].asked) == (1, 0)
    assert (known["z"].samples, known["z"].asked) == (0, 1)
