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
from workbench.synthesize.answers import first_field, is_object, sample_kind

UNSURE = 0.5  # mean token probability below which an answer teaches noise

FOREIGN = "its answer is not one of the task's"
DOUBTFUL = "the teacher is not sure of its answer"
ENOUGH = "there are enough samples with this answer"
MALFORMED = "its answer is not an object, or has a field twice"


def select(
    samples: Sequence[Sample],
    count: int,
    kinds: Collection[str] | None,
    structured: bool = False,
) -> dict[str, str]:
    """Reasons for rejection by sample id; "" for what is kept.

    Args:
        samples: labelled, decided by the filter.
        count: how many to keep at most.
        kinds: of answers that belong to the task; None when answers do not recur.
        structured: answers are JSON objects: an equal share of every first field, surest first.
    """
    reasons = {}
    shelves: dict[str, list[Sample]] = {}
    for sample in samples:
        kind = sample_kind(sample) if kinds is not None or structured else ""
        if kinds is not None and kind not in kinds:
            reasons[sample.id] = FOREIGN
        elif structured and not is_object(sample.teacher_output or ""):
            reasons[sample.id] = MALFORMED
        elif (sample.confidence or 0.0) < UNSURE:
            reasons[sample.id] = DOUBTFUL
        else:
            shelves.setdefault(first_field(kind) if structured else kind, []).append(sample)
    for shelf in shelves.values():
        shelf.sort(key=_by_chance)
        if structured:
            shelf.sort(key=lambda sample: -(sample.confidence or 0.0))
    kept = _level(shelves, count)
    for shelf in shelves.values():
        for sample in shelf:
            reasons[sample.id] = "" if sample.id in kept else ENOUGH
    return reasons


def _by_chance(sample: Sample) -> str:
    """An order that depends on the text only, so that it is the same after an interruption."""
    return hashlib.sha256(sample.id.encode()).hexdigest()


def _level(shelves: dict[str, list[Sample]], count: int) -> set[str]:
    """Ids of ``count`` samples, taken one from each shelf in turn until all are empty."""
    kept: set[str] = set()
    depth = 0
    while len(kept) < count and any(len(shelf) > depth for shelf in shelves.values()):
        for kind in sorted(shelves):
            if len(shelves[kind]) > depth and len(kept) < count:
                kept.add(shelves[kind][depth].id)
        depth += 1
    return kept
