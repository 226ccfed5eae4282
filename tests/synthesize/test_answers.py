"""Kinds of answers: what is decided by the teacher, apart from what is copied from the input."""

import json

import pytest
from workbench.synthesize.answers import (
    Pair,
    begun_with,
    coverage,
    decided_fields,
    is_whole,
    kind_of,
    kinds_of,
    mangles,
    recur,
)

from workbench.samples import Sample


def test_a_plain_answer_is_its_own_kind() -> None:
    assert kind_of("transfer money", "please transfer money to bob") == "transfer money"


def test_a_json_answer_ends_before_the_first_copied_value() -> None:
    answer = json.dumps({"intent": "RateBook", "object_name": "Dune", "rating": "4"})
    assert kind_of(answer, "give dune 4 stars") == '{"intent": "RateBook", "object_name":'
    assert not is_whole(kind_of(answer, "give dune 4 stars"))


def test_a_json_answer_is_of_a_kind_for_each_copied_value() -> None:
    answer = json.dumps(
        {"intent": "RateBook", "object_name": "Dune", "sort": "best", "rating": "4"}
    )
    begun = ('{"intent": "RateBook", "object_name":', '{"intent": "RateBook", "rating":')
    assert kinds_of(answer, "give dune 4 stars") == begun


def test_the_field_that_a_kind_ends_with_comes_first_and_nothing_is_lost() -> None:
    answer = json.dumps({"intent": "RateBook", "object_name": "Dune", "rating": "4"})
    led = begun_with('{"intent": "RateBook", "rating":', answer)
    assert led == '{"intent": "RateBook", "rating": "4", "object_name": "Dune"}'
    assert begun_with('{"intent": "RateBook", "year":', answer) == answer
    assert begun_with("transfer", "transfer") == "transfer"


def test_a_value_that_should_be_copied_and_is_not_was_mangled() -> None:
    seeds = [Pair("rate dune 4", json.dumps({"intent": "RateBook", "name": "Dune", "rating": "4"}))]
    decided = decided_fields(seeds)
    assert decided == {"intent"}
    assert not mangles(json.dumps({"intent": "PlayMusic", "name": "Emma"}), "play emma", decided)
    assert mangles(json.dumps({"intent": "RateBook", "name": "Ema"}), "rate emma", decided)
    assert mangles(json.dumps({"mood": "happy"}), "play emma", decided), "no seed decides it"
    assert not mangles("transfer", "send money", decided), "no object"


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


def test_a_broken_object_is_a_whole_answer_and_no_beginning() -> None:
    assert is_whole('{"intent": "PlayMusic", "intent": "RateBook"}')
    assert is_whole("{broken")


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


def test_coverage_counts_an_object_for_each_of_its_fields_and_once_as_consistent() -> None:
    rate, dune = '{"intent": "Rate", "stars":', '{"intent": "Rate", "book":'
    answer = '{"intent": "Rate", "book": "dune", "stars": "4"}'
    known = coverage([_sample("dune gets 4", answer, rate)])
    assert (known[dune].samples, known[dune].asked, known[dune].consistent) == (1, 0, 0)
    assert (known[rate].samples, known[rate].asked, known[rate].consistent) == (1, 1, 1)
