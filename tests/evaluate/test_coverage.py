import numpy as np
import pytest

from workbench.evaluate.coverage import (
    agreement,
    effective_labels,
    label_coverage,
    mmd,
    per_label_accuracy,
)


def test_label_coverage_counts_folds_and_finds_the_thin() -> None:
    answers = ["Balance"] * 5 + ["balance."] + ["transfer"] * 5 + ["pin_change"] + [""]
    rows = label_coverage(answers, known=["Transfer", "freeze_account"])
    assert [(row.label, row.count, row.thin) for row in rows] == [
        ("Balance", 6, False),
        ("transfer", 5, False),
        ("pin_change", 1, True),
        ("freeze_account", 0, True),
    ]


def test_label_coverage_of_nothing() -> None:
    assert label_coverage([]) == ()
    (missing,) = label_coverage([], known=["a"])
    assert (missing.count, missing.thin) == (0, True)


def test_effective_labels() -> None:
    assert effective_labels(["a", "b", "c", "d"]) == pytest.approx(4)
    assert effective_labels(["a"] * 9) == pytest.approx(1)
    assert 1 < effective_labels(["a"] * 9 + ["b"]) < 2
    assert effective_labels([]) == 0


def test_per_label_accuracy_puts_the_largest_loss_first() -> None:
    expected = ["x", "x", "X.", "y", "y"]
    rows = per_label_accuracy(
        expected, [True, True, True, False, True], [True, False, False, True, True]
    )
    assert [(row.label, row.n) for row in rows] == [("x", 3), ("y", 2)]
    assert rows[0].source.mean == 1 and rows[0].target.mean == pytest.approx(1 / 3)
    assert rows[1].source.mean == 0.5 and rows[1].target.mean == 1


def test_agreement_uses_the_metric() -> None:
    assert agreement("number", ["5", "6", "7"], ["5.0", "six", "it is 7"]).mean == pytest.approx(
        2 / 3
    )
    assert agreement("exact", [], []).n == 0


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_mmd_orders_sets_by_distance(kernel: str) -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(300, 8))
    same = random.normal(size=(200, 8))
    near = random.normal(size=(200, 8)) + 0.5
    far = random.normal(size=(200, 8)) + 2
    distances = [mmd(real, other, kernel) for other in (same, near, far)]
    assert distances == sorted(distances)
    assert distances[0] < 0.2 * distances[1]


def test_mmd_linear_is_the_distance_of_means() -> None:
    real = np.zeros((50, 2))
    shifted = np.tile([3.0, 4.0], (70, 1))
    assert mmd(real, shifted, "linear") == pytest.approx(5.0)


def test_mmd_equals_the_sum_over_pairs() -> None:
    """A plain twin: the unbiased estimate written with loops."""
    random = np.random.default_rng(2)
    x, y = random.normal(size=(5, 3)), random.normal(size=(7, 3)) + 1

    def kernel(left: np.ndarray, right: np.ndarray) -> float:
        return float(np.exp(-((left - right) ** 2).sum() / (2 * 1.5**2)))

    within_x = sum(kernel(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    within_y = sum(kernel(y[i], y[j]) for i in range(7) for j in range(7) if i != j) / 42
    between = sum(kernel(a, b) for a in x for b in y) / 35
    expected = np.sqrt(within_x + within_y - 2 * between)
    assert mmd(x, y, bandwidth=1.5) == pytest.approx(expected)


def test_mmd_does_not_depend_on_the_size_of_the_set() -> None:
    """With the biased estimate a small sample of the same inputs looked farther away."""
    random = np.random.default_rng(1)
    real = random.normal(size=(400, 4))
    squared = [
        np.mean([mmd(real, random.normal(size=(n, 4)) + 1) ** 2 for _ in range(20)])
        for n in (10, 200)
    ]
    assert squared[0] == pytest.approx(squared[1], rel=0.15)


def test_mmd_with_identical_real_rows_is_finite() -> None:
    assert np.isfinite(mmd(np.ones((3, 2)), np.zeros((3, 2))))


def test_mmd_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        mmd(np.ones((1, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match='not "cosine"'):
        mmd(np.ones((2, 2)), np.ones((3, 2)), "cosine")
