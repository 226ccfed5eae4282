"""Whether the synthetic inputs contain the test: word n-grams shared with evaluation rows.

A transfer that is measured on rows which the generator wrote again measures memory. Equal and
nearly equal texts are found; a paraphrase in other words is not.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.samples import Example, Sample, normalise, with_words_apart

_STRIPPED = ".,;:!?\"'()[]{}"
# Words that many rows share are the task's form ("Answer the question:"), not a row's content.
_SHARED_ROWS, _SHARED_FRACTION = 20, 0.05


@dataclass(frozen=True)
class Overlap:
    """One synthetic input that shares words with one evaluation row.

    Attributes:
        sample: index into the samples.
        row: index into the evaluation rows; the one with the most in common.
        shared: part of the evaluation row's n-grams that the sample has, 0..1; 1 for equal texts.
    """

    sample: int
    row: int
    shared: float


def overlap(samples: Sequence[Sample], rows: Sequence[Example], n: int = 8) -> list[Overlap]:
    """Samples that are an evaluation row again, or share a run of ``n`` words with one, in order.

    Rows and samples shorter than ``n`` words only count when all their words are equal, for short
    requests share most of their words by nature.
    """
    every: dict[tuple[str, ...], list[int]] = defaultdict(list)
    equal = {normalise(row.input): index for index, row in reversed(list(enumerate(rows)))}
    for index, row in enumerate(rows):
        for gram in _grams(row.input, n):
            every[gram].append(index)
    most = max(2, min(_SHARED_ROWS, int(_SHARED_FRACTION * len(rows))))
    owners = {gram: found for gram, found in every.items() if len(found) <= most}
    sizes = Counter(row for found in owners.values() for row in found)
    overlaps = []
    for index, sample in enumerate(samples):
        row = equal.get(normalise(sample.input))
        if row is not None:
            overlaps.append(Overlap(index, row, 1.0))
            continue
        hits = Counter(row for gram in _grams(sample.input, n) for row in owners.get(gram, ()))
        if hits:
            row = max(hits, key=lambda candidate: (hits[candidate] / sizes[candidate], -candidate))
            overlaps.append(Overlap(index, row, hits[row] / sizes[row]))
    return overlaps


def _grams(text: str, n: int) -> set[tuple[str, ...]]:
    """All runs of n words; the whole text when it is shorter. A character is a word in scripts
    that are written without spaces."""
    words = [word.strip(_STRIPPED) for word in with_words_apart(normalise(text)).split()]
    words = [word for word in words if word]
    if not words:
        return set()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}
