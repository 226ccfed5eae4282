"""What a set of samples covers, where two models differ, and how far samples are from real inputs.

Counts and distances of plain data; embeddings are made elsewhere and arrive as arrays. Answers
are compared after ``normalise_answer`` and shown in their commonest spelling.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.evaluate.intervals import Interval, accuracy, wilson
from workbench.evaluate.metrics import is_correct, normalise_answer

THIN = 0.5  # below this part of an equal share a label is called thin


@dataclass(frozen=True)
class LabelCount:
    """How often one answer was given, and whether that is ``thin`` against equal shares."""

    label: str
    count: int
    thin: bool


@dataclass(frozen=True)
class LabelAccuracy:
    """Accuracy of source and target on the rows whose right answer is ``label``."""

    label: str
    n: int
    source: Interval
    target: Interval


def label_coverage(answers: Sequence[str], known: Sequence[str] = ()) -> tuple[LabelCount, ...]:
    """What the teacher answered and how often, commonest first.

    Args:
        answers: one answer per sample; empty ones are no label and not counted.
        known: labels that should be there, e.g. of the seeds; missing ones get a count of 0.
    """
    counts, spelling = _count(answers)
    for label in known:
        key = normalise_answer(label)
        if key and key not in counts:
            counts[key], spelling[key] = 0, label
    total = sum(counts.values())
    equal_share = total / len(counts) if counts else 0.0
    return tuple(
        LabelCount(
            label=spelling[key],
            count=count,
            thin=count == 0 or count < THIN * equal_share,
        )
        for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def effective_labels(answers: Sequence[str]) -> float:
    """Exponential of the answers' entropy: k labels of equal share give k, a lone one gives 1."""
    counts, _ = _count(answers)
    shares = np.array(list(counts.values()), dtype=float)
    if not len(shares):
        return 0.0
    shares /= shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def per_label_accuracy(
    expected: Sequence[str], source: Sequence[bool], target: Sequence[bool]
) -> tuple[LabelAccuracy, ...]:
    """Accuracy of both per right answer; the label that lost most comes first.

    Args:
        expected: right answer per row.
        source, target: one flag per row, whether it was answered right.
    """
    _, spelling = _count(expected)
    rows: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(expected):
        rows[normalise_answer(text)].append(index)
    labels = [
        LabelAccuracy(
            label=spelling.get(key, ""),
            n=len(indices),
            source=accuracy([source[index] for index in indices]),
            target=accuracy([target[index] for index in indices]),
        )
        for key, indices in rows.items()
    ]
    return tuple(sorted(labels, key=lambda row: (row.target.mean - row.source.mean, row.label)))


def agreement(metric: str, teacher: Sequence[str], student: Sequence[str]) -> Interval:
    """Share of inputs that both answer alike. It says nothing about being right.

    Args:
        metric: how two answers are compared, see ``is_correct``.
        teacher, student: answers to the same inputs in the same order.
    """
    same = sum(is_correct(metric, s, t) for t, s in zip(teacher, student, strict=True))
    return wilson(same, len(teacher))


def mmd(
    real: NDArray[np.floating],
    samples: NDArray[np.floating],
    kernel: str = "rbf",
    bandwidth: float | None = None,
) -> float:
    """Maximum mean discrepancy between two sets of embeddings; 0 is "cannot be told apart".

    The square root of the unbiased estimate of MMD² (Gretton et al. 2012, eq. 3), 0 where that
    is negative: sets of different sizes can be compared, which the biased estimate spoils. The
    paper (Trans-LoRA, section 4.4) prints MMD values without naming kernel or bandwidth, so ours
    are to be compared with each other only.

    Args:
        real: [n, d] embeddings of real inputs, n >= 2.
        samples: [m, d] embeddings of synthetic inputs, m >= 2.
        kernel: "rbf", exp(-|x - y|² / (2 bandwidth²)), or "linear", x · y.
        bandwidth: of "rbf"; None is the median distance among ``real``, so that several sets
            measured against the same real inputs are on one scale.

    Raises:
        ValueError: fewer than two rows, unequal widths, or an unknown kernel.
    """
    x, y = np.asarray(real, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"need two sets of at least 2 rows and one width: {x.shape}, {y.shape}")
    if kernel == "linear":
        sums = [(x @ x.T).sum(), (y @ y.T).sum(), (x @ y.T).sum()]
        diagonals = [(x**2).sum(), (y**2).sum()]
    elif kernel == "rbf":
        width = _median_distance(x) if bandwidth is None else bandwidth
        sums = [_rbf(x, x, width).sum(), _rbf(y, y, width).sum(), _rbf(x, y, width).sum()]
        diagonals = [float(len(x)), float(len(y))]
    else:
        raise ValueError(f'kernel is "rbf" or "linear", not "{kernel}"')
    n, m = len(x), len(y)
    within_x = (sums[0] - diagonals[0]) / (n * (n - 1))
    within_y = (sums[1] - diagonals[1]) / (m * (m - 1))
    return float(np.sqrt(max(within_x + within_y - 2 * sums[2] / (n * m), 0.0)))


def _squared_distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, m] squared Euclidean distances."""
    products = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * (x @ y.T)
    return np.maximum(products, 0.0)


def _rbf(x: NDArray[np.float64], y: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    return np.exp(-_squared_distances(x, y) / (2 * width**2))


def _median_distance(x: NDArray[np.float64]) -> float:
    """Median over distinct pairs; 1 when all rows are the same."""
    pairs = np.sqrt(_squared_distances(x, x)[np.triu_indices(len(x), 1)])
    return float(np.median(pairs)) or 1.0


def _count(answers: Sequence[str]) -> tuple[Counter[str], dict[str, str]]:
    """(count per normalised answer, its commonest spelling)."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    # Each spelling is normalised once: there are far fewer of them than answers.
    for answer, times in Counter(answers).items():
        key = normalise_answer(answer)
        if key:
            spellings[key][answer.strip()] += times
    counts = Counter({key: sum(forms.values()) for key, forms in spellings.items()})
    return counts, {key: forms.most_common(1)[0][0] for key, forms in spellings.items()}
