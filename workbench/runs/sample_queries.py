"""Reading samples: pages, counts and distributions, all of it done by SQL with indices.

Measured at 100,000 samples by ``tests/runs/test_sample_queries.py``; the page's budget for a page
turn is 300 ms, of which the storage may use 50.
"""

from dataclasses import dataclass
from typing import Any

from workbench.errors import RunError
from workbench.runs.database import Database
from workbench.runs.sample_rows import SELECT, to_sample
from workbench.samples import KEPT, MIXED, PENDING, REJECTED, Sample

SCORES = ("discriminator_score", "excess", "confidence")
# What a person can sort by; a leading "-" turns the order round. "made" is the order of creation.
SORTS = {
    "made": "seq",
    "score": "discriminator_score",
    "excess": "excess",
    "confidence": "confidence",
    "answer": "teacher_output",
    "status": "status",
}
_STATUSES = (KEPT, REJECTED, PENDING)
_SORTED_BY_INDEX = (*SCORES, "teacher_output")


@dataclass(frozen=True)
class SampleFilter:
    """Which samples; every field narrows, None or "" does not.

    Attributes:
        status: "kept", "rejected" or "pending".
        search: text somewhere in input or answer, upper and lower case alike.
        label: exactly this answer of the teacher.
        origin: who wrote it.
        min_score, max_score: inclusive bounds of ``score``; samples without a value are left out.
        score: the column that the bounds are for: one of ``SCORES``.
        edited: True for those that a person changed, False for the others.
        decided_by: "filter" or "person".
        written: True for those that somebody wrote, none that the teacher was only asked about.
    """

    status: str = ""
    search: str = ""
    label: str | None = None
    origin: str = ""
    min_score: float | None = None
    max_score: float | None = None
    score: str = "discriminator_score"
    edited: bool | None = None
    decided_by: str = ""
    written: bool = False


ALL = SampleFilter()


def below_line(score: str, line: float) -> SampleFilter:
    """What a line through a score rejects."""
    return SampleFilter(KEPT, score=score, max_score=line - 1e-9, decided_by="filter")


def above_line(score: str, line: float) -> SampleFilter:
    """What it brings back: nothing that the teacher was only asked about, which is plenty."""
    return SampleFilter(REJECTED, score=score, min_score=line, decided_by="filter", written=True)


def where(chosen: SampleFilter, sorted_by: str = "seq") -> tuple[str, list[Any]]:
    """SQL condition ("" for all, else " WHERE …") and its values."""
    if chosen.score not in SCORES:
        raise RunError(f'Samples have no score "{chosen.score}". Choose one of {SCORES}.')
    # "+" hides a column from SQLite's choice of an index. A search reads every row anyway, best in
    # the order of the file; and in a sorted page the index of the order decides the rest as well.
    plain = "+" if chosen.search.strip() or sorted_by in _SORTED_BY_INDEX else ""
    parts: list[tuple[str, list[Any]]] = []
    if chosen.status:
        parts.append((f"{plain}status = ?", [chosen.status]))
    if chosen.label is not None:
        parts.append(("teacher_output = ?", [chosen.label]))
    bounded = chosen.score if chosen.score == sorted_by else plain + chosen.score
    if chosen.min_score is not None:
        parts.append((f"{bounded} >= ?", [chosen.min_score]))
    if chosen.max_score is not None:
        parts.append((f"{bounded} <= ?", [chosen.max_score]))
    if chosen.origin:
        parts.append(("origin = ?", [chosen.origin]))
    if chosen.written:
        parts.append((f"origin NOT IN ({', '.join('?' * len(MIXED))})", sorted(MIXED)))
    if chosen.edited is not None:
        parts.append(("edited" if chosen.edited else "NOT edited", []))
    if chosen.decided_by == "person":  # literal, so that the partial index is used
        parts.append(("decided_by = 'person'", []))
    elif chosen.decided_by:
        parts.append(("decided_by = ?", [chosen.decided_by]))
    if chosen.search.strip():
        parts.append(("instr(folded, ?) > 0", [chosen.search.strip().casefold()]))
    if not parts:
        return "", []
    values = [value for _, given in parts for value in given]
    return " WHERE " + " AND ".join(part for part, _ in parts), values


def page(
    database: Database, chosen: SampleFilter, sort: str, offset: int, limit: int
) -> list[Sample]:
    """``limit`` samples from ``offset`` on, in a stable order."""
    column = SORTS.get(sort.removeprefix("-"))
    if column is None:
        raise RunError(f'Samples cannot be sorted by "{sort}". Choose one of {tuple(SORTS)}.')
    direction = " DESC" if sort.startswith("-") else ""
    narrow = bool(chosen.search.strip() or chosen.edited or chosen.decided_by == "person")
    order = "" if column == "seq" else f"{'+' if narrow else ''}{column}{direction}, "
    order = f"{order}seq{direction}"
    condition, values = where(chosen, column)
    # The inner query sorts and skips by index alone; only the rows of the page are read in full.
    rows = database.read(
        f"{SELECT} WHERE seq IN (SELECT seq FROM samples{condition} ORDER BY {order} "
        f"LIMIT ? OFFSET ?) ORDER BY {order}",
        [*values, limit, offset],
    )
    return [to_sample(row) for row in rows]


def count(database: Database, chosen: SampleFilter) -> int:
    """How many samples the filter lets through."""
    if chosen == ALL:
        return sum(status_counts(database).values())
    if chosen == SampleFilter(status=chosen.status):
        return status_counts(database).get(chosen.status, 0)
    condition, values = where(chosen)
    return database.one(f"SELECT count(*) FROM samples{condition}", values)


def status_counts(database: Database) -> dict[str, int]:
    """By status; kept by triggers, so this is one tiny read however many samples there are."""
    counts = {row[0]: row[1] for row in database.read("SELECT status, n FROM tallies")}
    if not all(isinstance(n, int) for n in counts.values()):
        raise database.damaged("the counts of its samples are no numbers")
    return counts


def select(database: Database, condition: str, values: Any = ()) -> list[Sample]:
    """Samples by a condition of ours, in the order they were made."""
    rows = database.read(f"{SELECT} WHERE {condition} ORDER BY seq", values)
    return [to_sample(row) for row in rows]


def label_counts(database: Database, status: str) -> dict[str, int]:
    """How often each answer of the teacher occurs among samples of a status, most first."""
    rows = database.read(
        "SELECT teacher_output, count(*) AS n FROM samples "
        "WHERE +status = ? AND teacher_output IS NOT NULL GROUP BY teacher_output "
        "ORDER BY n DESC, teacher_output",
        (status,),
    )
    return {row[0]: row[1] for row in rows}


def consistency(database: Database) -> dict[str, tuple[int, int]]:
    """(asked, given) by the label that samples were written for, the least consistent first."""
    rows = database.read(
        "SELECT written_for, count(*) AS asked, sum(teacher_output = written_for) AS given "
        "FROM samples WHERE written_for IS NOT NULL AND teacher_output IS NOT NULL "
        "GROUP BY written_for ORDER BY 1.0 * given / asked, asked DESC, written_for"
    )
    return {row["written_for"]: (row["asked"], row["given"]) for row in rows}


def reason_counts(database: Database) -> dict[str, int]:
    """Why samples were rejected, most frequent first."""
    # Left to itself, SQLite takes the index of the status, and reads and sorts every row.
    rows = database.read(
        "SELECT reason, count(*) AS n FROM samples INDEXED BY samples_by_reason "
        "WHERE status = 'rejected' GROUP BY reason ORDER BY n DESC, reason"
    )
    return {row[0]: row[1] for row in rows}


def score_array(database: Database, score: str, status: str = "") -> list[float]:
    """All values of one score, of one status or of all; unordered."""
    chosen = SampleFilter(status=status, score=score)
    condition, values = where(chosen)
    joined = " AND" if condition else " WHERE"
    rows = database.read(
        f"SELECT {score} FROM samples{condition}{joined} {score} IS NOT NULL", values
    )
    return [row[0] for row in rows if isinstance(row[0], float)]


def histogram(
    database: Database, score: str, low: float, high: float, bins: int
) -> dict[str, list[int]]:
    """By status, counts in ``bins`` equal bins from low to high; values outside go to the ends."""
    where(SampleFilter(score=score))
    sums = ", ".join(f"sum(status = '{status}') AS {status}" for status in _STATUSES)
    counts: dict[str, list[int]] = {status: [] for status in _STATUSES}
    edges = [low + (high - low) * number / bins for number in range(1, bins)]
    # One walk along a piece of the index for each bin: grouping by a computed bin would sort all.
    for left, right in zip([None, *edges], [*edges, None], strict=True):
        row = database.read(
            f"SELECT {sums} FROM samples WHERE {score} IS NOT NULL "
            f"{'' if left is None else f'AND {score} >= :left'} "
            f"{'' if right is None else f'AND {score} < :right'}",
            {"left": left, "right": right},
        )[0]
        for status in _STATUSES:
            counts[status].append(row[status] or 0)
    return {status: line for status, line in counts.items() if any(line)}


def score_range(database: Database, score: str) -> tuple[float, float] | None:
    """Smallest and largest value of a score, or None when there is none."""
    where(SampleFilter(score=score))
    low = database.one(f"SELECT min({score}) FROM samples")
    high = database.one(f"SELECT max({score}) FROM samples")
    return (low, high) if isinstance(low, float) and isinstance(high, float) else None
