import pytest

from workbench.evaluate.intervals import (
    mean_score,
    paired_difference,
    paired_score_difference,
    wilson,
)
from workbench.evaluate.verdict import (
    BETTER,
    CANNOT_TELL,
    INSIDE,
    SIMILARITY,
    WORSE,
    Verdict,
    verdict,
)


def judge(both: int, only_a: int, only_b: int, none: int, margin: float = 3) -> Verdict:
    """Verdict on counts: right in both, only in the source, only in the transferred, in none."""
    source = [True] * (both + only_a) + [False] * (only_b + none)
    transferred = [True] * both + [False] * only_a + [True] * only_b + [False] * none
    n = len(source)
    return verdict(
        wilson(sum(source), n),
        wilson(sum(transferred), n),
        paired_difference(source, transferred),
        margin,
    )


def test_inside_names_every_number() -> None:
    result = judge(both=275, only_a=5, only_b=4, none=16)
    assert result.kind == INSIDE
    assert result.sentence == (
        "Keeps 99.6 % of the source: 93.0 % against 93.3 % on 300 rows; difference −0.3 points, "
        "95 % interval −2.7 to +1.9: inside your margin of 3."
    )


def test_too_few_rows_says_how_many() -> None:
    result = judge(both=54, only_a=1, only_b=1, none=4)
    assert result.kind == CANNOT_TELL
    assert result.sentence == (
        "Keeps 100 % of the source so far, but not for certain: 91.7 % against 91.7 % on 60 rows; "
        "difference 0.0 points, 95 % interval −7.4 to +7.4. "
        "60 rows are too few for a margin of 3, about 430 are needed."
    )


def test_worse_beyond_the_margin() -> None:
    result = judge(both=200, only_a=60, only_b=5, none=35)
    assert result.kind == WORSE
    assert "by more than your margin of 3." in result.sentence
    assert "perhaps" not in result.sentence


def test_worse_and_perhaps_beyond_the_margin() -> None:
    result = judge(both=270, only_a=15, only_b=3, none=12)
    assert result.kind == WORSE
    assert "perhaps by more than your margin of 3." in result.sentence


def test_a_certain_but_small_loss_is_inside() -> None:
    result = judge(both=4000, only_a=60, only_b=20, none=420)
    assert result.kind == INSIDE
    assert "difference −0.9 points" in result.sentence


def test_better() -> None:
    result = judge(both=200, only_a=5, only_b=40, none=55)
    assert result.kind == BETTER
    assert "+11.7 points" in result.sentence
    assert result.sentence.endswith("better than the source.")


def test_enough_rows_and_still_open_asks_for_more_without_a_number() -> None:
    result = judge(both=920, only_a=29, only_b=16, none=35, margin=2.5)
    assert result.kind == CANNOT_TELL
    assert result.sentence.endswith(
        ". The interval reaches beyond your margin of 2.5; more rows would narrow it."
    )


def test_no_rows() -> None:
    result = judge(0, 0, 0, 0)
    assert result.kind == CANNOT_TELL
    assert result.sentence == (
        "Cannot tell: there are no evaluation rows with answers. "
        "Add some; about 880 are needed for a margin of 3."
    )


@pytest.mark.parametrize(("n", "kind"), [(20, CANNOT_TELL), (300, INSIDE)])
def test_identical_answers_are_judged_by_their_number(n: int, kind: str) -> None:
    """Twenty rows without a difference looked like proof; they exclude nothing."""
    result = judge(n, 0, 0, 0)
    assert result.kind == kind
    assert "difference 0.0 points" in result.sentence


@pytest.mark.parametrize("n", [1, 30, 3000])
def test_arms_without_a_right_answer_are_not_alike(n: int) -> None:
    """0.0 % against 0.0 % was "inside your margin": a wrong column or format, most likely."""
    result = judge(0, 0, 0, n)
    assert result.kind == CANNOT_TELL
    assert result.sentence.startswith("Cannot tell: no model gives a right answer on")
    assert result.sentence.endswith("is the format or the output column right?")
    assert judge(0, 0, 1, n).sentence != result.sentence


def test_one_row_is_grammatical() -> None:
    result = judge(1, 0, 0, 0)
    assert "on 1 row;" in result.sentence
    assert "1 row is too few" in result.sentence


def judge_scores(loss: float, n: int = 200, measure: str = "chrF") -> Verdict:
    source = [0.5 + 0.4 * (i % 7) / 7 for i in range(n)]
    new = [score - loss + 0.02 * (i % 3 - 1) for i, score in enumerate(source)]
    return verdict(
        mean_score(source), mean_score(new), paired_score_difference(source, new), 3, measure
    )


def test_scores_are_named_and_have_no_percent_signs() -> None:
    found = judge_scores(0.01)
    assert found.kind == INSIDE
    assert found.sentence.startswith("Keeps 98 % of the source: chrF 66.0 against 67.0 on 200")
    assert found.sentence.count("%") == 2  # what is kept, and the interval's confidence


def test_scores_can_be_worse_better_and_undecided() -> None:
    assert judge_scores(0.1).kind == WORSE
    assert judge_scores(-0.1).kind == BETTER
    few = judge_scores(0.02, n=4)
    assert few.kind == CANNOT_TELL
    assert "4 rows are too few" in few.sentence


def test_nothing_is_more_like_the_teacher_than_the_teacher() -> None:
    found = judge_scores(-0.1, measure=SIMILARITY)
    assert found.kind == INSIDE
    assert "as like the teacher as the teacher is like itself" in found.sentence
    assert "not that either of them is right" in found.sentence
