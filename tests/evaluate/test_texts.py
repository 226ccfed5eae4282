"""Free text for people: differences that lose nothing, rows in the order that matters."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from workbench.evaluate.texts import (
    ADDED,
    REMOVED,
    SAME,
    ScoredRow,
    distribution,
    text_coverage,
    word_difference,
    worst_first,
)

TEXT = some.text(alphabet="ab .,\n<>&é股市 ", max_size=40)


@given(TEXT, TEXT)
def test_both_texts_can_be_read_off_the_difference(first: str, second: str) -> None:
    segments = word_difference(first, second)
    assert "".join(s.text for s in segments if s.mark != ADDED) == first
    assert "".join(s.text for s in segments if s.mark != REMOVED) == second


def test_the_difference_goes_by_words() -> None:
    marked = [(s.text, s.mark) for s in word_difference("the cat sat down", "the dog sat down")]
    assert ("cat", REMOVED) in marked
    assert ("dog", ADDED) in marked
    assert marked[-1] == (" sat down", SAME)


def test_what_the_source_had_and_the_target_lost_comes_first() -> None:
    rows = [
        ScoredRow(0, "a", "", "", "", 0.9, 0.9),
        ScoredRow(1, "b", "", "", "", 0.9, 0.2),
        ScoredRow(2, "both miss", "", "", "", 0.1, 0.1),
        ScoredRow(3, "gained", "", "", "", 0.1, 0.8),
    ]
    assert [row.index for row in worst_first(rows)] == [1, 2, 0, 3]


def test_scores_fall_into_tenths() -> None:
    assert distribution([0, 0.05, 0.95, 1]) == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert sum(distribution([0.1] * 7)) == 7


def test_coverage_of_texts() -> None:
    found = text_coverage(["There are 3 rooms.", "there are two", "No idea", ""])
    assert (found.answers, found.distinct) == (3, 3)
    assert found.words[0] == 2
    assert found.words[-1] == 4
    assert found.openings[0] == ("there are", 2)


@pytest.mark.parametrize("answers", [[], ["", "…"]])
def test_no_texts(answers: list[str]) -> None:
    assert text_coverage(answers).answers == 0


def test_free_text_is_grouped_by_the_words_it_shares() -> None:
    """Coverage of free text told lengths and openings, and not what is written about."""
    hotels = [f"hotel {n} has rooms and breakfast" for n in range(60)]
    flights = [f"flight {n} leaves from gate b" for n in range(30)]
    groups = text_coverage(hotels + flights).groups
    assert sum(share for _, share in groups) == pytest.approx(1)
    of_hotels = [
        share for names, share in groups if set(names.split(", ")) <= set(hotels[0].split())
    ]
    assert sum(of_hotels) == pytest.approx(2 / 3), groups
    assert len(groups[0][0].split(", ")) == 4
    assert text_coverage(["one two", "two three"]).groups == ()
