"""Free text for people to look at: rows by what was lost, differences word by word, coverage.

Plain data only: a difference is a list of segments with a mark, so that no text of a model has to
pass for markup.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Indel

from workbench.evaluate.metrics import UNSPACED, words

SAME, REMOVED, ADDED = "same", "removed", "added"
OPENING_WORDS = 2  # of an answer, by which answers are grouped
OPENINGS = 12  # of them shown
BINS = 10  # of a distribution of scores
# A word, a run of white space or a single sign; what is not spaced goes by characters.
_TOKEN = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})\w)+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Segment:
    """A stretch of text that both have (SAME), only the first (REMOVED) or the second (ADDED)."""

    text: str
    mark: str


@dataclass(frozen=True)
class ScoredRow:
    """An evaluation row with both answers and their scores in 0..1."""

    index: int
    input: str
    expected: str
    source_answer: str
    target_answer: str
    source_score: float
    target_score: float


@dataclass(frozen=True)
class TextCoverage:
    """What free-text answers look like as a whole.

    Attributes:
        answers: how many there are, empty ones left out.
        distinct: how many of them differ.
        words: shortest, lower quartile, median, upper quartile and longest, in words.
        openings: (first words, number of answers), commonest first.
    """

    answers: int
    distinct: int
    words: tuple[int, int, int, int, int]
    openings: tuple[tuple[str, int], ...]


def word_difference(first: str, second: str) -> list[Segment]:
    """The way from one text to another, word by word; both texts can be read off it whole."""
    left, right = _TOKEN.findall(first), _TOKEN.findall(second)
    segments: list[Segment] = []
    marks = {"equal": SAME, "delete": REMOVED, "insert": ADDED}
    for step in Indel.opcodes(left, right):
        inserted = step.tag == "insert"
        tokens = (
            right[step.dest_start : step.dest_end]
            if inserted
            else left[step.src_start : step.src_end]
        )
        segments.append(Segment("".join(tokens), marks[step.tag]))
    return segments


def worst_first(rows: Sequence[ScoredRow]) -> list[ScoredRow]:
    """Rows on which the target is farthest behind the source, then those that both miss."""
    return sorted(rows, key=lambda row: (row.target_score - row.source_score, row.target_score))


def distribution(scores: Sequence[float]) -> list[int]:
    """How many scores fall into each tenth of 0..1; 1 itself into the last."""
    counts, _ = np.histogram(np.array(scores, dtype=float), bins=BINS, range=(0.0, 1.0))
    return [int(count) for count in counts]


def text_coverage(answers: Sequence[str]) -> TextCoverage:
    """Lengths and opening words of answers that are free text."""
    split = [found for answer in answers if (found := words(answer))]
    if not split:
        return TextCoverage(0, 0, (0, 0, 0, 0, 0), ())
    lengths = np.quantile([len(row) for row in split], (0, 0.25, 0.5, 0.75, 1), method="nearest")
    openings = Counter(" ".join(row[:OPENING_WORDS]) for row in split)
    shortest, lower, median, upper, longest = (int(length) for length in lengths)
    return TextCoverage(
        answers=len(split),
        distinct=len({tuple(row) for row in split}),
        words=(shortest, lower, median, upper, longest),
        openings=tuple(openings.most_common(OPENINGS)),
    )
