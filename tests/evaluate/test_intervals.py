import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from workbench.evaluate.intervals import (
    accuracy,
    mean_score,
    paired_difference,
    paired_score_difference,
    rows_needed,
    score_interval,
    wilson,
)


def flags(both: int, only_a: int, only_b: int, none: int) -> tuple[list[bool], list[bool]]:
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * none
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * none
    return a, b


def test_wilson_known_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    assert (wilson(81, 263).low, wilson(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (wilson(0, 20).low, wilson(0, 20).high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(15, 148).mean == 15 / 148


def test_wilson_without_rows_knows_nothing() -> None:
    nothing = wilson(0, 0)
    assert (nothing.mean, nothing.low, nothing.high, nothing.n) == (0.0, 0.0, 1.0, 0)
    assert accuracy([]) == nothing


def test_accuracy_counts() -> None:
    assert accuracy([True, False, True, True]) == wilson(3, 4)


def test_tango_published_example() -> None:
    # Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al.
    # 2009), as in Fagerland, Lydersen & Laake (2014): Tango's interval is -0.517 to -0.026.
    a, b = flags(both=1, only_a=1, only_b=7, none=12)
    difference = paired_difference(b, a)
    assert difference.mean == pytest.approx(-6 / 21)
    assert (difference.low, difference.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert difference.p_value == pytest.approx(2 * binom.cdf(1, 8, 0.5))


def test_direction_is_second_minus_first() -> None:
    source, transferred = flags(both=80, only_a=10, only_b=2, none=8)
    difference = paired_difference(source, transferred)
    assert difference.mean == pytest.approx(-0.08)
    assert (difference.only_a, difference.only_b, difference.n) == (10, 2, 100)
    assert difference.low < -0.08 < difference.high < 0


def test_swapping_the_sides_mirrors_the_interval() -> None:
    low, high = score_interval(9, 4, 120)
    assert score_interval(4, 9, 120) == pytest.approx((-high, -low))


@pytest.mark.parametrize("n", [1, 20, 300, 4500])
def test_no_disagreement_does_not_collapse_to_a_point(n: int) -> None:
    low, high = score_interval(0, 0, n)
    assert high == pytest.approx(1.959964**2 / (n + 1.959964**2), rel=1e-5)
    assert low == pytest.approx(-high)
    a, b = flags(n, 0, 0, 0)
    assert paired_difference(a, b).p_value == 1.0


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(5, 0, 5), (0, 5, 5), (1, 0, 1), (3, 2, 5)])
def test_extremes_stay_within_bounds(only_a: int, only_b: int, n: int) -> None:
    low, high = score_interval(only_a, only_b, n)
    assert -1 <= low <= (only_b - only_a) / n <= high <= 1
    assert high - low > 0.1


def test_without_rows_everything_is_possible() -> None:
    difference = paired_difference([], [])
    assert (difference.mean, difference.low, difference.high, difference.n) == (0.0, -1.0, 1.0, 0)


def test_rows_must_be_paired() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        paired_difference([True] * 3, [True] * 2)


@cache
def tango(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    return score_interval(only_a, only_b, n)


def newcombe(both: int, only_a: int, only_b: int, none: int) -> tuple[float, float]:
    """Newcombe (1998), method 10: the rival, so that the choice rests on numbers."""
    n = both + only_a + only_b + none
    a, b = wilson(both + only_a, n), wilson(both + only_b, n)
    product = (both + only_a) * (only_b + none) * (both + only_b) * (only_a + none)
    covariance = both * none - only_a * only_b
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    phi = covariance / math.sqrt(product) if product else 0.0
    down, up = (b.mean - b.low, a.high - a.mean), (a.mean - a.low, b.high - b.mean)
    width = [math.sqrt(x * x - 2 * phi * x * y + y * y) for x, y in (down, up)]
    return b.mean - a.mean - width[0], b.mean - a.mean + width[1]


@pytest.mark.parametrize("n", [30, 100, 300])
@pytest.mark.parametrize(
    ("only_a", "only_b"), [(0.005, 0.005), (0.02, 0.01), (0.05, 0.05), (0.1, 0.05), (0.0, 0.02)]
)
def test_coverage_of_the_paired_interval(n: int, only_a: float, only_b: float) -> None:
    """2,000 experiments each: the true difference is inside in at least 93 of 100."""
    random = np.random.default_rng(n)
    draws = random.multinomial(n, [only_a, only_b, 1 - only_a - only_b], size=2000).tolist()
    hits = 0
    for count_a, count_b, _ in draws:
        low, high = tango(count_a, count_b, n)
        hits += low <= only_b - only_a <= high
    assert hits / 2000 >= 0.925


def test_newcombe_covers_less_where_disagreements_are_one_sided() -> None:
    """Why Tango's interval was chosen: accuracy near a half, 2 % more right, none lost."""
    n, both, only_b = 100, 0.5, 0.02
    random = np.random.default_rng(0)
    draws = random.multinomial(n, [both, 0, only_b, 1 - both - only_b], size=2000).tolist()
    ours = theirs = 0
    for row in draws:
        low, high = tango(row[1], row[2], n)
        ours += low <= only_b <= high
        low, high = newcombe(*row)
        theirs += low <= only_b <= high
    assert ours / 2000 > 0.95 > 0.91 > theirs / 2000
    # Same accuracy, no disagreement at all: half as wide as ours.
    assert newcombe(150, 0, 0, 150)[1] < 0.6 * score_interval(0, 0, 300)[1]


def test_rows_needed_gives_four_in_five() -> None:
    margin_points, rate = 3, 0.1
    n = rows_needed(margin_points, rate)
    assert n == 873
    random = np.random.default_rng(1)
    draws = random.multinomial(n, [rate / 2, rate / 2, 1 - rate], size=1500).tolist()
    shown = sum(tango(a, b, n)[0] >= -margin_points / 100 for a, b, _ in draws)
    assert 0.76 < shown / 1500 < 0.84


def test_rows_needed_without_disagreements_still_fits_the_interval() -> None:
    n = rows_needed(3, 0.0)
    assert score_interval(0, 0, n)[0] >= -0.03 > score_interval(0, 0, n - 1)[0]


def test_scores_have_bootstrap_intervals_that_cover() -> None:
    """Of 200 samples of a known mean about 95 % cover it; far fewer would be a broken interval."""
    draw = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        scores = draw.beta(4, 2, size=60)  # mean 2/3
        interval = mean_score(list(scores))
        covered += interval.low <= 2 / 3 <= interval.high
    assert covered >= 184


def test_paired_scores_see_what_unpaired_ones_cannot() -> None:
    draw = np.random.default_rng(3)
    source = draw.beta(4, 2, size=200)
    target = np.clip(source - 0.02 + draw.normal(0, 0.02, size=200), 0, 1)
    difference = paired_score_difference(list(source), list(target))
    assert difference.high < 0
    assert difference.low > -0.05
    assert difference.p_value < 0.05
    one, other = mean_score(list(source)), mean_score(list(target))
    assert one.low < other.mean < one.high


def test_equal_scores_still_leave_doubt_that_shrinks_with_rows() -> None:
    few = paired_score_difference([0.5] * 10, [0.5] * 10)
    many = paired_score_difference([0.5] * 1000, [0.5] * 1000)
    assert few.mean == many.mean == 0
    assert few.low < many.low < 0 < many.high < few.high
    assert few.p_value == 1
    alike = mean_score([1.0] * 20)
    assert alike.low < 1 == alike.high


def test_no_scores_and_unequal_rows() -> None:
    assert (mean_score([]).low, mean_score([]).high) == (0, 1)
    nothing = paired_score_difference([], [])
    assert (nothing.n, nothing.low, nothing.high) == (0, -1, 1)
    with pytest.raises(ValueError, match="3 and 2"):
        paired_score_difference([1.0] * 3, [1.0] * 2)


def test_the_same_scores_give_the_same_interval() -> None:
    scores = [0.1, 0.9, 0.4, 0.7]
    assert mean_score(scores) == mean_score(scores)
