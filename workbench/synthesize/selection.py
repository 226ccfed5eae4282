"""Choose which samples are kept: every kind of answer alike, whatever the teacher is sure of.

Nothing cleverer than chance among those: samples that got the answer they were written for, the
most different ones, those that a discriminator found most real were no better on average (the
table is in docs/method.md). Only where answers are JSON objects with values from the input, the
surest come first: outside its task a teacher invents fields, and is less sure of them. Nothing is
decided about samples that a person has decided about.
"""

import hashlib
from collections.abc import Collection, Sequence

from workbench.samples import Sample
from workbench.synthesize.answers import is_object, mangles, sample_kinds

UNSURE = 0.5  # mean token probability below which an answer teaches noise

FOREIGN = "its answer is not one of the task's"
DOUBTFUL = "the teacher is not sure of its answer"
ENOUGH = "there are enough samples with this answer"
MALFORMED = "its answer is not an object, or has a field twice"
MANGLED = "a value of its answer does not stand in the input"


def select(
    samples: Sequence[Sample],
    count: int,
    kinds: Collection[str] | None,
    decided: Collection[str] | None = None,
) -> dict[str, str]:
    """Reasons for rejection by sample id; "" for what is kept.

    Args:
        samples: labelled, decided by the filter.
        count: how many to keep at most.
        kinds: of answers that belong to the task; None when answers do not recur.
        decided: where answers are JSON objects, each of several kinds, the fields whose values
            need not stand in the input; the surest of every kind are kept. Else None.
    """
    reasons = {}
    shelves: dict[str, list[Sample]] = {}
    for sample in samples:
        of_sample = [""] if kinds is None else [k for k in sample_kinds(sample) if k in kinds]
        wrong = ""
        if decided is not None:
            wrong = what_is_wrong(sample.teacher_output or "", sample.input, decided)
        if wrong:
            reasons[sample.id] = wrong
        elif not of_sample:
            reasons[sample.id] = FOREIGN
        elif (sample.confidence or 0.0) < UNSURE:
            reasons[sample.id] = DOUBTFUL
        else:
            for kind in of_sample:
                shelves.setdefault(kind, []).append(sample)
    for shelf in shelves.values():
        shelf.sort(key=by_chance)
        if decided is not None:
            shelf.sort(key=lambda sample: -(sample.confidence or 0.0))
    kept = _level(shelves, count)
    for shelf in shelves.values():
        for sample in shelf:
            reasons[sample.id] = "" if sample.id in kept else ENOUGH
    return reasons


def what_is_wrong(answer: str, text: str, decided: Collection[str]) -> str:
    """Why nobody should learn this JSON object as the answer to ``text``; "" when it is fine."""
    if not is_object(answer):
        return MALFORMED
    return MANGLED if mangles(answer, text, decided) else ""


def by_chance(sample: Sample) -> str:
    """An order that depends on the text only, so that it is the same after an interruption."""
    return hashlib.sha256(sample.id.encode()).hexdigest()


def _level(shelves: dict[str, list[Sample]], count: int) -> set[str]:
    """Ids of ``count`` samples: ever again the first of the shelf that has given the fewest."""
    shelves_of: dict[str, list[str]] = {}
    for kind, shelf in shelves.items():
        for sample in shelf:
            shelves_of.setdefault(sample.id, []).append(kind)
    left = {kind: shelf[::-1] for kind, shelf in sorted(shelves.items())}
    given = dict.fromkeys(left, 0)
    kept: set[str] = set()
    while left and len(kept) < count:
        kind = min(left, key=given.__getitem__)
        sample = left[kind].pop()
        if not left[kind]:
            del left[kind]
        if sample.id not in kept:
            kept.add(sample.id)
            for each in shelves_of[sample.id]:
                given[each] += 1
    return kept
