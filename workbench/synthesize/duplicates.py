"""Refuse inputs that were written before: the same, nearly the same, or a copied seed."""

import re
from collections.abc import Iterable, Sequence

from rapidfuzz import fuzz, process

from workbench.samples import normalise, with_words_apart

_NUMBERS = re.compile(r"\d+")
SEARCH_BATCH = 64  # new texts at a time: four bytes for each of them with each that there is


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

    def add_new(self, texts: Sequence[str]) -> list[str]:
        """The verdict on each of these, in order; those that are new are remembered.

        The same as ``verdict`` and ``add`` one by one, but what was there before is searched for
        all of them together, on all cores.
        """
        folded = [normalise(text) for text in texts]
        near_seed = self._any_similar(folded, self._seeds)
        near_known = self._any_similar(folded, self._texts)
        verdicts: list[str] = []
        fresh: list[str] = []
        for text, copied, duplicate in zip(folded, near_seed, near_known, strict=True):
            if text in self._seeds or copied:
                verdicts.append("copied")
            elif text in self._known or duplicate or self._similar(text, fresh):
                verdicts.append("duplicate")
            else:
                verdicts.append("")
                fresh.append(text)
                self._known.add(text)
        self._texts += fresh
        return verdicts

    def add(self, text: str) -> None:
        """Remember a text that was accepted."""
        folded = normalise(text)
        self._texts.append(folded)
        self._known.add(folded)

    def _any_similar(self, folded: list[str], others: list[str]) -> list[bool]:
        if self._cutoff >= 100 or not others:
            return [False] * len(folded)
        found = []
        for start in range(0, len(folded), SEARCH_BATCH):
            part = folded[start : start + SEARCH_BATCH]
            scores = process.cdist(
                part,
                others,
                scorer=fuzz.ratio,
                score_cutoff=self._cutoff,
                workers=-1,
            )
            for text, row in zip(part, scores, strict=True):
                numbers = _NUMBERS.findall(text)
                found.append(
                    any(_NUMBERS.findall(others[at]) == numbers for at in row.nonzero()[0])
                )
        return found

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
        with_words_apart(normalise(text)),
        [with_words_apart(normalise(seed)) for seed in seeds],
        scorer=fuzz.token_set_ratio,
    )
    return match[2] if match else None
