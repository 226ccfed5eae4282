from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import RecipeError
from workbench.evaluate.metrics import (
    chrf,
    is_correct,
    is_graded,
    last_number,
    normalise_answer,
    rouge_l,
    score,
)
from workbench.recipe import METRICS


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  PlayMusic.\n", "playmusic"),
        ('"Play  Music"', "play music"),
        ("(A)", "a"),
        ("**(A).**", "a"),
        ("“Straße”", "strasse"),
        ("ＰＬＡＹ　Ｍｕｓｉｃ", "play music"),
        ("ﬁnd", "find"),
        ("play\u200bmusic\ufeff", "playmusic"),
        ("don't", "don't"),
        ("-5", "-5"),
        ("C++", "c++"),
        ("50%", "50%"),
        ("] ]", "] ]"),
        ("...", "..."),
        ("", ""),
        (" \n\t", ""),
    ],
)
def test_normalise_answer(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise_answer(text)
    assert normalise_answer(once) == once


@pytest.mark.parametrize(
    ("prediction", "expected", "right"),
    [
        ("AddToPlaylist.", "AddToPlaylist", True),
        ("addtoplaylist", "AddToPlaylist", True),
        ("A", "(A)", True),
        ("(B)", "(A)", False),
        # The expected answer inside a longer one is not an answer.
        ("The answer is not (A), it is (B)", "(A)", False),
        ("RateBook or PlayMusic", "PlayMusic", False),
        ("", "PlayMusic", False),
        ("...", "PlayMusic", False),
        ("-50", "50", False),
        ("] ] >", "] ]", False),
        ("] ]", "] ]", True),
        ("е", "e", False),  # Cyrillic е looks alike and is another letter
        ("", "", True),
    ],
)
def test_exact(prediction: str, expected: str, right: bool) -> None:
    assert is_correct("exact", prediction, expected) is right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("the answer is not 5, it is 6", "6"),
        ("= 24", "24"),
        ("1,234.50", "1234.5"),
        ("1,234,567", "1234567"),
        ("1\u202f234 rows", "1234"),
        ("1'234", "1234"),
        ("5, 6", "6"),
        ("12,34", "12.34"),
        ("-3,5 °C", "-3.5"),
        ("1.234,50 €", "1234.5"),
        ("1\u202f234,5", "1234.5"),
        ("12345,678", "12345.678"),
        ("1,234.", "1234"),
        ("1,2,3", "3"),
        ("1,234,5", "5"),
        ("-50", "-50"),
        ("−50", "-50"),
        ("-$1,200", "-1200"),
        ("$-5", "-5"),
        ("x = -5.", "-5"),
        ("5-3", "3"),
        ("covid-19", "19"),
        ("- 5 apples", "5"),
        ("50 %", "50"),
        ("12.5%", "12.5"),
        (".5", "0.5"),
        ("3e5", "300000"),
        ("1e999999999999", "999999999999"),
        ("10²", "10"),
        ("１２", "12"),
        ("٤٢", "42"),
        ("**42**", "42"),
    ],
)
def test_last_number(text: str, number: str) -> None:
    assert last_number(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "six", "NaN", "Infinity", "½", "-", ".", ","])
def test_no_number(text: str) -> None:
    assert last_number(text) is None


@given(st.text(alphabet="0123456789.,-−eE%$ '()x", max_size=60))
def test_any_text_has_a_number_or_none(text: str) -> None:
    number = last_number(text)
    assert (number is None) == (not any(c.isdigit() for c in text))


@pytest.mark.parametrize(
    ("prediction", "expected", "right"),
    [
        ("24.0", "24", True),
        ("The total is 1,000.", "1000", True),
        ("50%", "50", True),
        ("50%", "0.5", False),
        ("-24", "24", False),
        ("5 or 6", "5", False),
        ("4,5", "3,5", False),
        ("3,5 kg", "3.5", True),
        ("", "0", False),
        ("none", "0", False),
        ("Unknown.", "unknown", True),
        ("7", "unknown", False),
        ("0.1", "0.10000000000000000001", False),
    ],
)
def test_number(prediction: str, expected: str, right: bool) -> None:
    assert is_correct("number", prediction, expected) is right


WEATHER = '{"intent": "GetWeather", "city": "Köln", "days": 3, "rain": true}'


@pytest.mark.parametrize(
    ("prediction", "right"),
    [
        ('{"rain":true,"days":3.0,"city":" köln.","intent":"getweather"}', True),
        ("\n" + WEATHER + "\n", True),
        (WEATHER[:-1], False),  # cut off
        (WEATHER + " I hope this helps", False),
        ("```json\n" + WEATHER + "\n```", False),
        (WEATHER.replace("3", '"3"'), False),
        (WEATHER.replace("true", "1"), False),
        (WEATHER.replace("rain", "Rain"), False),
        (WEATHER.replace('"days": 3, ', ""), False),
        (WEATHER.replace('"days": 3', '"days": 4, "days": 3'), False),
        (WEATHER.replace("3", "NaN"), False),
        (f"[{WEATHER}]", False),
        ("", False),
        ("[" * 100_000, False),
    ],
)
def test_json(prediction: str, right: bool) -> None:
    assert is_correct("json", prediction, WEATHER) is right


def test_json_lists_are_ordered_and_numbers_are_not_rounded() -> None:
    assert is_correct("json", "[1, 2]", "[1,2]")
    assert not is_correct("json", "[2, 1]", "[1, 2]")
    assert not is_correct("json", "0.1", "0.10000000000000000001")
    assert not is_correct("json", "1", "true")


def test_json_with_plain_expected_answer_is_compared_exactly() -> None:
    assert is_correct("json", "None of these.", "none of these")


def test_unknown_metric_says_which_exist() -> None:
    with pytest.raises(RecipeError, match='exact, number, json, chrf, rouge, checker, not "bleu"'):
        is_correct("bleu", "a", "a")


@pytest.mark.parametrize(
    ("prediction", "reference", "low", "high"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 1, 1),
        ("The cat sat on the mat.", "the cat sat on the mat", 1, 1),  # equal as "exact" has it
        ("the cat sat on a mat", "the cat sat on the mat", 0.6, 0.99),
        ("", "the cat sat on the mat", 0, 0),
        ("zzz", "the cat sat on the mat", 0, 0.05),
    ],
)
@pytest.mark.parametrize("metric", ["chrf", "rouge"])
def test_free_text_is_graded(
    metric: str, prediction: str, reference: str, low: float, high: float
) -> None:
    assert low <= score(metric, prediction, [reference]) <= high


def test_rouge_is_the_longest_common_subsequence_of_words() -> None:
    # 2 · 3 common words / (4 + 5 words)
    assert rouge_l("police kill the gunman", "police killed the gunman today") == pytest.approx(
        6 / 9
    )
    assert rouge_l("股市下跌", "股市大跌") == pytest.approx(6 / 8)  # a character is a word


def test_chrf_is_sacrebleus() -> None:
    from sacrebleu import sentence_chrf  # noqa: PLC0415

    pair = ("there are 72 cheap televisions", "72 televisions are cheap")
    assert chrf(*pair) == pytest.approx(sentence_chrf(pair[0], [pair[1]]).score / 100)


@pytest.mark.parametrize("metric", METRICS)
def test_the_nearest_reference_counts(metric: str) -> None:
    assert score(metric, "8", ["7", "8"]) == 1
    assert score(metric, "it rains", ["zzz", "it rained"]) < 1


def test_right_and_wrong_have_no_degrees() -> None:
    assert score("exact", "the cat sat", ["the cat sat down"]) == 0
    assert not is_graded("exact")
    assert is_graded("chrf")
