"""Pages, counts and distributions; and that they stay fast at 100,000 samples."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.making import a_run, a_sample, with_samples
from workbench.errors import RunError
from workbench.runs.folder import Run
from workbench.runs.sample_queries import SORTS, SampleFilter
from workbench.runs.summary import summary
from workbench.samples import KEPT, PENDING, REJECTED

MANY = 100_000
STORAGE_SECONDS = 0.05  # of this process's own time: the machine may be busy with other things


@pytest.fixture
def small(tmp_path: Path) -> Run:
    samples = [
        a_sample("Where is my CARD?", teacher_output="card", discriminator_score=0.9, excess=2.0),
        a_sample("Straße gesperrt", teacher_output="road", discriminator_score=0.2),
        a_sample("100 % sure", status=REJECTED, reason="score", discriminator_score=0.1),
        a_sample("no score yet", status=PENDING),
        replace(a_sample("by hand", teacher_output="card"), origin="hand", edited=True),
    ]
    return with_samples(tmp_path, *samples)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (SampleFilter(), 5),
        (SampleFilter(status=KEPT), 3),
        (SampleFilter(status=PENDING), 1),
        (SampleFilter(search="card"), 2),
        (SampleFilter(search="STRASSE"), 1),
        (SampleFilter(search="100 %"), 1),
        (SampleFilter(search="%"), 1),
        (SampleFilter(search="_"), 0),
        (SampleFilter(search="  "), 5),
        (SampleFilter(label="card"), 2),
        (SampleFilter(label=""), 0),
        (SampleFilter(origin="hand"), 1),
        (SampleFilter(min_score=0.2), 2),
        (SampleFilter(max_score=0.2), 2),
        (SampleFilter(min_score=0.15, max_score=0.5), 1),
        (SampleFilter(min_score=0.0, score="excess"), 1),
        (SampleFilter(edited=True), 1),
        (SampleFilter(edited=False), 4),
        (SampleFilter(decided_by="person"), 0),
        (SampleFilter(status=KEPT, search="card", label="card", edited=True), 1),
    ],
)
def test_a_filter_counts_what_it_shows(small: Run, chosen: SampleFilter, expected: int) -> None:
    assert small.samples.count(chosen) == expected
    for sort in SORTS:
        assert len(small.samples.page(chosen, sort)) == expected
        assert len(small.samples.page(chosen, f"-{sort}")) == expected


def test_sorting(small: Run) -> None:
    def inputs(sort: str) -> list[str]:
        return [sample.input.split()[0] for sample in small.samples.page(sort=sort)]

    assert inputs("made") == ["Where", "Straße", "100", "no", "by"]
    assert inputs("-made") == ["by", "no", "100", "Straße", "Where"]
    assert inputs("-score") == ["Where", "Straße", "100", "by", "no"]
    assert inputs("answer")[2:] == ["Where", "by", "Straße"]


def test_pages_cover_everything_once(tmp_path: Path) -> None:
    samples = [a_sample(f"text {n}", discriminator_score=(n % 3) / 3) for n in range(101)]
    run = with_samples(tmp_path, *samples)
    for sort in SORTS:
        pages = [run.samples.page(sort=sort, offset=at, limit=20) for at in range(0, 120, 20)]
        seen = [sample.id for page in pages for sample in page]
        assert len(seen) == 101 and set(seen) == {sample.id for sample in samples}


@pytest.mark.parametrize("bad", ["id; DROP TABLE samples", "", "-"])
def test_names_of_columns_are_ours(small: Run, bad: str) -> None:
    with pytest.raises(RunError):
        small.samples.page(sort=bad)
    with pytest.raises(RunError):
        small.samples.count(SampleFilter(score=bad, min_score=0.0))
    with pytest.raises(RunError):
        small.samples.histogram(bad)


def test_distributions(small: Run) -> None:
    assert small.samples.label_counts() == {"card": 2, "road": 1}
    assert small.samples.reason_counts() == {"score": 1}
    assert sorted(small.samples.score_array()) == [0.1, 0.2, 0.9]
    assert small.samples.score_array("excess", KEPT) == [2.0]
    assert small.samples.score_range("excess") == (2.0, 2.0)
    assert small.samples.score_range("confidence") is None
    # Values on and beyond the edges go to the first and the last bin.
    assert small.samples.histogram(bins=4, low=0.2, high=0.9) == {
        KEPT: [1, 0, 0, 1],
        REJECTED: [1, 0, 0, 0],
    }


# Made by SQL: through ``commit_round`` it takes three times as long.
_MAKE_MANY = """
WITH RECURSIVE
    numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :many),
    drawn AS (
        SELECT
            n, random() & 1023 AS a, random() & 1023 AS b, random() & 1023 AS c,
            ' is the exchange rate of ' || n || ' for my card account in the bank today?' AS text
        FROM numbers
    )
INSERT INTO samples (
    id, input, folded, origin, status, teacher_output, discriminator_score, excess, confidence,
    round, reason, decided_by, answered_by, edited, version, owed
)
SELECT
    printf('%016x', n),
    'What' || text, 'what' || text,
    'target', iif(b % 3, 'kept', 'rejected'), 'label ' || (c % 30), a / 1024.0, b / 512.0 - 1,
    c / 1024.0, 0, iif(b % 3, '', 'score'), 'filter', 'teacher', 0, 0, 0
FROM drawn
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """100,000 samples with texts of the usual length."""
    run = a_run(tmp_path_factory.mktemp("large"))
    with run.database.write() as connection:
        connection.execute(_MAKE_MANY, {"many": MANY})
    assert run.samples.count() == MANY
    return run


def _seconds(action: Callable[[], object]) -> float:
    """Time of this process, the best of three: the first may find cold caches."""
    times = []
    for _ in range(3):
        before = time.thread_time()
        action()
        times.append(time.thread_time() - before)
    return min(times)


@pytest.mark.parametrize("sort", ["-made", "-score", "answer"])
@pytest.mark.parametrize(
    "chosen",
    [
        SampleFilter(),
        SampleFilter(status=KEPT),
        SampleFilter(status=REJECTED, label="label 7"),
        SampleFilter(min_score=0.5),
        SampleFilter(search="exchange"),
        SampleFilter(search="nowhere to be found"),
        SampleFilter(edited=True),
    ],
    ids=str,
)
def test_a_page_turn_at_100_000_samples(large: Run, chosen: SampleFilter, sort: str) -> None:
    total = large.samples.count(chosen)
    reading = _seconds(lambda: large.samples.count(SampleFilter(search="in no text")))
    for offset in {0, max(0, total // 2)}:
        spent = _seconds(
            lambda at=offset: (large.samples.count(chosen), large.samples.page(chosen, sort, at))
        )
        # A search reads all texts twice and, sorted, orders all finds.
        allowed = 12 * reading if chosen.search else STORAGE_SECONDS
        assert spent < allowed, f"{spent * 1000:.0f} ms at offset {offset}"


def test_what_a_tick_reads_at_100_000_samples(large: Run) -> None:
    assert _seconds(lambda: summary(large)) < 0.002
    assert _seconds(large.samples.status_counts) < 0.002
    assert _seconds(large.samples.label_counts) < STORAGE_SECONDS
    assert _seconds(large.samples.reason_counts) < STORAGE_SECONDS
    assert _seconds(large.samples.histogram) < 3 * STORAGE_SECONDS


def test_consistency_counts_answers_as_asked(tmp_path: Path) -> None:
    begun = '{"intent": "pay", "to":'
    rows = [("card", "card lost"), ("card", "card"), (begun, begun + ' "Ann"}'), (None, "card")]
    run = with_samples(
        tmp_path,
        *(
            a_sample(f"text {n}", written_for=asked, teacher_output=given)
            for n, (asked, given) in enumerate(rows)
        ),
        a_sample("no answer yet", written_for="card"),
    )
    assert run.samples.consistency() == {begun: (1, 0), "card": (2, 1)}
