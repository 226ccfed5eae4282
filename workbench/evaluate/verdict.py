"""One sentence that says whether the transfer worked, and how sure that is.

Computed from the paired interval against a margin that the person chose; refuses to call
"no difference found" a success when the rows are too few to have found one.
"""

from dataclasses import dataclass

from workbench.evaluate.intervals import Difference, Interval, rows_needed

INSIDE = "inside"
WORSE = "worse"
BETTER = "better"
CANNOT_TELL = "cannot tell"
ACCURACY = "accuracy"
SIMILARITY = "similarity to the teacher"  # where there are no right answers

_LIKE_THE_TEACHER = (
    " There are no right answers to compare with: this says that the new adapter writes what the "
    "source would have written, not that either of them is right."
)
# Share of rows answered differently, assumed before a single row was answered.
_ASSUMED_DISCORDANT = 0.1


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    kind: INSIDE, WORSE, BETTER or CANNOT_TELL.
    sentence: the same with its numbers, for people.
    """

    kind: str
    sentence: str


def verdict(
    source: Interval,
    transferred: Interval,
    difference: Difference,
    margin_points: float,
    measure: str = ACCURACY,
) -> Verdict:
    """Judge transferred against source.

    BETTER: the whole interval of the difference is above 0. INSIDE: a loss of more than the
    margin is excluded. WORSE: a loss is certain and one beyond the margin is not excluded.
    CANNOT_TELL: everything else, no rows at all, and arms of which neither gives a right answer:
    they are equal in what was not measured.

    Args:
        source, transferred: accuracies or mean scores on the same rows, 0..1.
        difference: transferred minus source, from ``paired_difference(source, transferred)`` or
            ``paired_score_difference``.
        margin_points: accepted loss, percentage points (of a score, hundredths).
        measure: ACCURACY, or the name of the score, e.g. "chrF".
    """
    margin = f"{margin_points:g}"
    if difference.n == 0:
        about = _about(rows_needed(margin_points, _ASSUMED_DISCORDANT))
        return Verdict(
            CANNOT_TELL,
            "Cannot tell: there are no evaluation rows with answers. "
            f"Add some; about {about} are needed for a margin of {margin}.",
        )
    if source.mean == 0 and transferred.mean == 0:
        return Verdict(
            CANNOT_TELL,
            f"Cannot tell: no model gives a right answer on {_rows(difference.n)}; "
            "is the format or the output column right?",
        )
    kind, conclusion = _conclude(difference, margin_points)
    if measure == SIMILARITY and kind == BETTER:
        kind, conclusion = INSIDE, "as like the teacher as the teacher is like itself"
    show = _percent if measure == ACCURACY else _hundredths
    caution = _LIKE_THE_TEACHER if measure == SIMILARITY else ""
    named = "" if measure == ACCURACY else f"{measure} "
    facts = (
        f"{named}{show(transferred.mean)} against {show(source.mean)} on {_rows(difference.n)}; "
        f"difference {_points(difference.mean)} points, 95 % interval "
        f"{_points(difference.low)} to {_points(difference.high)}"
    )
    kept = _kept(source, transferred)
    if kind == CANNOT_TELL:
        told = f"{kept} so far, but not for certain" if kept else "Cannot tell"
        return Verdict(kind, f"{told}: {facts}. {conclusion}.{caution}")
    return Verdict(kind, f"{kept}{': ' if kept else ''}{facts}: {conclusion}.{caution}")


def _conclude(difference: Difference, margin_points: float) -> tuple[str, str]:
    low, high, margin = difference.low * 100, difference.high * 100, f"{margin_points:g}"
    if low > 0:
        return BETTER, "better than the source"
    if low >= -margin_points:
        return INSIDE, f"inside your margin of {margin}"
    if high < -margin_points:
        return WORSE, f"worse than the source by more than your margin of {margin}"
    if high < 0:
        return WORSE, f"worse than the source, perhaps by more than your margin of {margin}"
    # One disagreement more than seen, so that a handful of rows does not promise too much.
    rate = (difference.spread * difference.n + 1) / (difference.n + 2)
    needed = rows_needed(margin_points, rate)
    if needed > difference.n:
        rows = "row is" if difference.n == 1 else "rows are"
        return CANNOT_TELL, (
            f"{difference.n} {rows} too few for a margin of {margin}, "
            f"about {_about(needed)} are needed"
        )
    return CANNOT_TELL, (
        f"The interval reaches beyond your margin of {margin}; more rows would narrow it"
    )


def _kept(source: Interval, transferred: Interval) -> str:
    """How much of the source is kept; a loss is never rounded to 100 %."""
    if not source.mean:
        return ""
    if transferred.mean > source.mean:
        return "Keeps all of the source"
    kept = 100 * transferred.mean / source.mean
    exact = f"{kept:.0f}" != "100" or kept == 100
    return f"Keeps {kept:.0f} % of the source" if exact else f"Keeps {kept:.1f} % of the source"


def _hundredths(score: float) -> str:
    return f"{score * 100:.1f}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _points(share: float) -> str:
    """Signed points with one decimal and a real minus sign; zero has no sign."""
    rounded = round(share * 100, 1)
    if rounded == 0:
        return "0.0"
    return f"{rounded:+.1f}".replace("-", "−")


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"


def _about(rows: int) -> int:
    """Rounded up to two digits: 873 rows are promised as about 880."""
    step = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // step) * step
