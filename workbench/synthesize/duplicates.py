"""Refuse inputs that were written before: the same, nearly the same, or a copied seed."""

import re
from collections.abc import Iterable, Sequence

from rapidfuzz import fuzz, process

from workbench.samples import normalise

_NUMBERS = re.compile(r"\d+")


class Written:
    """What exists already, searchable by similarity (rapidfuzz's normalised Indel ratio).

    Two texts with different numbers in them are different however similar they are: in tasks
    about numbers the digits are all that varies.
    """

    def __init__(self, seeds: Sequence[str], samples: Iterable[str], similarity: float) -> None:
        """``similarity`` in 0.5..1 from which two texts count as the same; 1 is equality."""
        self._seeds = [normalise(text) for text in seeds]
        self._texts = [normalise(text) for text in samples]
        self._known = set(self._texts)
        self._cutoff = similarity * 100

    def verdict(self, text: str) -> str:
        """ "copied" (a seed), "duplicate" (another sample) or "" for a new text."""
        folded = normalise(text)
        if folded in self._seeds or self._similar(folded, self._seeds):
            return "copied"
        if folded in self._known or self._similar(folded, self._texts):
            return "duplicate"
        return ""

    def add(self, text: str) -> None:
        """Remember a text that was accepted."""
        folded = normalise(text)
        self._texts.append(folded)
        self._known.add(folded)

    def _similar(self, folded: str, others: list[str]) -> bool:
        if self._cutoff >= 100:
            return False
        numbers = _NUMBERS.findall(folded)
        matches = process.extract(
            folded, others, scorer=fuzz.ratio, score_cutoff=self._cutoff, limit=3
        )
        return any(_NUMBERS.findall(match) == numbers for match, _, _ in matches)


def nearest(text: str, seeds: Sequence[str]) -> int | None:
    """Index of the most similar seed; None without seeds."""
    if not seeds:
        return None
    match = process.extractOne(
        normalise(text), [normalise(seed) for seed in seeds], scorer=fuzz.token_set_ratio
    )
    return match[2] if match else None
