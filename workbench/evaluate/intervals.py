"""Uncertainty of accuracies, of mean scores and of their paired differences, at 95 %.

Refuses to shrink to a point: a run without a single disagreement still gets the width that its
number of rows earns. Nothing here knows about models or files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.stats import binomtest, norm

CONFIDENCE = 0.95
POWER = 0.80
RESAMPLES = 2000  # of a bootstrap
LEAST_UNSEEN = 0.1  # the smallest difference that a row not seen yet is thought able to make
_Z = float(norm.ppf(0.5 + CONFIDENCE / 2))
_Z_POWER = float(norm.ppf(POWER))
_TAILS = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)


@dataclass(frozen=True)
class Interval:
    """A share of rows, or a mean score, with its 95 % interval, all in 0..1.

    n = 0: mean 0, from 0 to 1.
    """

    mean: float
    low: float
    high: float
    n: int = 0


@dataclass(frozen=True)
class Difference:
    """Accuracy (or mean score) of b minus that of a on the same rows, in -1..1, at 95 %.

    Attributes:
        only_a: rows that a has right and b has wrong (where a scores higher).
        only_b: rows that b has right and a has wrong (where b scores higher).
        p_value: two-sided test of "no difference": McNemar's exact one, or by the bootstrap.
        spread: mean of the squared differences: of flags, the share of rows that differ.
    """

    mean: float
    low: float
    high: float
    n: int
    only_a: int
    only_b: int
    p_value: float
    spread: float


def wilson(successes: int, n: int) -> Interval:
    """Wilson's (1927) score interval, as scipy computes it.

    Args:
        successes: right answers, 0..n.
        n: rows; 0 gives the interval 0..1 that says that nothing is known.
    """
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0)
    limits = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / n, float(limits.low), float(limits.high), n)


def accuracy(correct: Sequence[bool]) -> Interval:
    """Share of right answers with Wilson's interval; one flag per row."""
    return wilson(sum(map(bool, correct)), len(correct))


def paired_difference(a: Sequence[bool], b: Sequence[bool]) -> Difference:
    """Accuracy of b minus a on the same rows: ``paired_difference(source, transferred)``.

    The interval is Tango's, see ``score_interval``; the p-value is McNemar's exact test.

    Args:
        a: one flag per row, whether the first (the source) was right.
        b: the same rows in the same order for the second (the transferred).

    Raises:
        ValueError: the two are not over the same rows.
    """
    if len(a) != len(b):
        raise ValueError(f"paired rows differ in number: {len(a)} and {len(b)}")
    only_a = sum(bool(left) and not right for left, right in zip(a, b, strict=True))
    only_b = sum(bool(right) and not left for left, right in zip(a, b, strict=True))
    low, high = score_interval(only_a, only_b, len(a))
    discordant = only_a + only_b
    p_value = float(binomtest(only_b, discordant).pvalue) if discordant else 1.0
    mean = (only_b - only_a) / len(a) if a else 0.0
    spread = discordant / len(a) if a else 0.0
    return Difference(mean, low, high, len(a), only_a, only_b, p_value, spread)


def mean_score(scores: Sequence[float]) -> Interval:
    """Mean of scores in 0..1, one per row, with a bootstrap interval.

    Two rows nobody has seen, the best and the worst possible, are resampled too: without them
    equal scores would claim to leave no doubt.
    """
    if not scores:
        return Interval(0.0, 0.0, 1.0, 0)
    values = np.array(scores, dtype=float)
    low, high = np.quantile(_resampled(np.append(values, [0.0, 1.0]), len(values)), _TAILS)
    mean = float(values.mean())
    return Interval(mean, min(mean, float(low)), max(mean, float(high)), len(values))


def paired_score_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Mean of b minus a over the same rows, by a paired bootstrap.

    Two rows nobody has seen are resampled too, one as much for a as the largest difference seen
    and one as much for b, at least ``LEAST_UNSEEN``.

    Args:
        a, b: scores of one kind, at most 1 apart, row by row.

    Raises:
        ValueError: the two are not over the same rows.
    """
    if len(a) != len(b):
        raise ValueError(f"paired rows differ in number: {len(a)} and {len(b)}")
    if not len(a):
        return Difference(0.0, -1.0, 1.0, 0, 0, 0, 1.0, 0.0)
    differences = np.array(b, dtype=float) - np.array(a, dtype=float)
    unseen = max(LEAST_UNSEEN, float(np.abs(differences).max()))
    means = _resampled(np.append(differences, [-unseen, unseen]), len(differences))
    low, high = np.quantile(means, _TAILS)
    mean = float(differences.mean())
    beyond = min(float((means <= 0).mean()), float((means >= 0).mean()))
    return Difference(
        mean,
        min(mean, float(low)),
        max(mean, float(high)),
        len(differences),
        int((differences < 0).sum()),
        int((differences > 0).sum()),
        min(1.0, 2 * beyond),
        float((differences**2).mean()),
    )


def _resampled(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Means of ``RESAMPLES`` draws of ``size`` values with replacement; the same every time."""
    generator = np.random.default_rng(0)
    picked = (values[generator.integers(0, len(values), size)] for _ in range(RESAMPLES))
    return np.array([draw.mean() for draw in picked])


def score_interval(only_a: float, only_b: float, n: int) -> tuple[float, float]:
    """Tango's (1998) asymptotic score interval for b minus a, from the discordant pairs.

    Chosen over Newcombe's square-and-add (1998, method 10): it needs nothing but the discordant
    pairs, its coverage stays above 93 % where Newcombe's falls to 89 % (disagreements all to one
    side), and without any disagreement it is still ``3.84 / (n + 3.84)`` to either side, where
    Newcombe's shrinks with the correlation to half of that. The tests compute both.

    Args:
        only_a, only_b: discordant pairs; fractions when several trials share a row.
        n: all pairs; 0 gives (-1, 1).
    """
    if n == 0:
        return -1.0, 1.0
    mean = (only_b - only_a) / n

    def score(delta: float) -> float:
        return _score(only_a, only_b, n, delta)

    low = -1.0 if only_a == n else _root(lambda delta: score(delta) - _Z, -1.0, mean)
    high = 1.0 if only_b == n else _root(lambda delta: score(delta) + _Z, mean, 1.0)
    return low, high


def noninferiority_p(difference: Difference, margin_points: float, *, flags: bool) -> float:
    """One-sided p-value of "b loses as much as the margin, or more", from what the interval is.

    For right and wrong answers Tango's score at minus the margin, so that p <= 0.025 where the
    95 % interval ends inside the margin; for scores the same from the width of the interval,
    taken as a normal one.

    Args:
        difference: b minus a, as ``paired_difference`` or ``paired_score_difference`` gave it.
        margin_points: accepted loss in percentage points, above 0.
        flags: the rows are right or wrong, not scores.
    """
    if difference.n == 0:
        return 1.0
    margin = margin_points / 100
    if flags:
        distance = _score(difference.only_a, difference.only_b, difference.n, -margin)
    else:
        deviation = (difference.high - difference.low) / (2 * _Z)
        distance = (difference.mean + margin) / deviation
    return float(norm.sf(distance))


def _score(only_a: float, only_b: float, n: int, delta: float) -> float:
    """Standardised distance of the observed difference from ``delta``; falls with it."""
    # Maximum likelihood of P(only a) under the hypothesis "b - a = delta" (Tango, eq. 3).
    linear = -only_a - only_b + (2 * n - only_b + only_a) * delta
    constant = -only_a * delta * (1 - delta)
    root = math.sqrt(max(linear**2 - 8 * n * constant, 0.0))
    share_only_a = (root - linear) / (4 * n)
    variance = n * (2 * share_only_a + delta * (1 - delta))
    distance = only_b - only_a - n * delta
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def rows_needed(margin_points: float, discordant_rate: float) -> int:
    """Evaluation rows that show "not worse by more than the margin" four times out of five.

    For a 95 % interval and 80 % power when the two are in truth equally good: n = (z.975 +
    z.80)² · rate / margin² (Lachenbruch 1992 with no true difference). Never below what an
    interval without any disagreement needs to fit inside the margin.

    Args:
        margin_points: accepted loss in percentage points, above 0.
        discordant_rate: share of rows on which exactly one of the two is right, 0..1; of scores,
            the mean of their squared differences.
    """
    margin = margin_points / 100
    by_power = (_Z + _Z_POWER) ** 2 * discordant_rate / margin**2
    by_width = _Z**2 * (1 - margin) / margin
    return math.ceil(max(by_power, by_width))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero; the end itself when it does not within."""
    inset = 1e-12
    low, high = low + inset, high - inset
    if function(low) <= 0:
        return low - inset
    if function(high) >= 0:
        return high + inset
    return float(root_scalar(function, bracket=(low, high), method="brentq", xtol=1e-10).root)
