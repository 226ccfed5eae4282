"""Free text for people to look at: rows by what was lost, differences word by word, coverage.

Plain data only: a difference is a list of segments with a mark, so that no text of a model has to
pass for markup.
"""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Indel
from scipy.cluster.vq import kmeans2

from workbench.evaluate.metrics import words
from workbench.samples import UNSPACED

SAME, REMOVED, ADDED = "same", "removed", "added"
OPENING_WORDS = 2  # of an answer, by which answers are grouped
OPENINGS = 12  # of them shown
GROUPS, FEWEST_IN_GROUP = 8, 10  # of alike answers, at most; answers for each of them, on average
LEAST_SHARE = 0.05  # of the answers have a word that may tell groups
GROUPED, WEIGHED, GROUP_WORDS = 2000, 400, 4  # answers, and words, that are looked at; words shown
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
        groups: (words that tell it, share of the answers), largest first; () for few answers.
    """

    answers: int
    distinct: int
    words: tuple[int, int, int, int, int]
    openings: tuple[tuple[str, int], ...]
    groups: tuple[tuple[str, float], ...] = ()


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
    """Lengths, opening words and groups of answers that are free text."""
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
        groups=_groups(split),
    )


def _groups(texts: Sequence[Sequence[str]]) -> tuple[tuple[str, float], ...]:
    """Texts that share words: the words that tell each group from all, and its share of them.

    k-means (scipy) over words weighted by how few texts have them, at most ``GROUPED`` texts.
    """
    some = texts[:: -(-len(texts) // GROUPED) or 1]
    having = Counter(word for text in some for word in set(text))
    least = max(2, LEAST_SHARE * len(some))
    known = [word for word, n in having.most_common(WEIGHED) if least <= n < len(some)]
    count = min(GROUPS, len(some) // FEWEST_IN_GROUP, len(known))
    if count < 2:
        return ()
    place = {word: at for at, word in enumerate(known)}
    weights = np.zeros((len(some), len(known)), dtype=np.float32)
    for row, text in enumerate(some):
        for word in set(text) & place.keys():
            weights[row, place[word]] = np.log(len(some) / having[word])
    weights /= np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a group may end empty: it is left out
        _, labels = kmeans2(weights, count, minit="++", rng=0)
    found = []
    for group in range(count):
        inside = labels == group
        if inside.any():
            more = weights[inside].mean(axis=0) - weights.mean(axis=0)
            telling = [known[at] for at in np.argsort(-more)[:GROUP_WORDS] if more[at] > 0]
            found.append((", ".join(telling) or "other words", float(inside.mean())))
    return tuple(sorted(found, key=lambda group: -group[1]))
