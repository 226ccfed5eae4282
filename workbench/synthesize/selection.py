"""Choose which samples are kept: every kind of answer alike, the surest signs first.

Signs, strongest first: the teacher gave the answer that the sample was written for; it is sure;
it says something that the samples kept before it do not.
Nothing is decided about samples that a person has decided about.
"""

import hashlib
from collections.abc import Collection, Sequence

import numpy as np
from rapidfuzz import fuzz, process

from workbench.samples import Sample, normalise
from workbench.synthesize.answers import consistent, sample_kind

MOST_SPREAD = 2000  # samples of one answer that are compared with each other
_TAKEN = 1000  # above any similarity, which is 0 to 100
UNSURE = 0.5  # mean token probability below which an answer teaches noise

FOREIGN = "its answer is not one of the task's"
DOUBTFUL = "the teacher is not sure of its answer"
ENOUGH = "there are enough samples with this answer"


def select(samples: Sequence[Sample], count: int, kinds: Collection[str] | None) -> dict[str, str]:
    """Reasons for rejection by sample id; "" for what is kept.

    Args:
        samples: labelled, decided by the filter.
        count: how many to keep at most.
        kinds: of answers that belong to the task; None when answers do not recur, then the
            surest samples are kept whatever they are.
    """
    reasons = {}
    shelves: dict[str, list[Sample]] = {}
    for sample in samples:
        kind = "" if kinds is None else sample_kind(sample)
        if kinds is not None and kind not in kinds:
            reasons[sample.id] = FOREIGN
        elif (sample.confidence or 0.0) < UNSURE:
            reasons[sample.id] = DOUBTFUL
        else:
            shelves.setdefault(kind, []).append(sample)
    for shelf in shelves.values():
        shelf.sort(key=_rank)
        sure = sum(map(consistent, shelf))
        if kinds is not None:
            shelf[:sure] = spread(shelf[:sure])
    kept = _level(shelves, count)
    for shelf in shelves.values():
        for sample in shelf:
            reasons[sample.id] = "" if sample.id in kept else ENOUGH
    return reasons


def _rank(sample: Sample) -> tuple[bool, str]:
    """Consistent ones first; among equals an order that depends on the text only.

    Not by confidence: the surest samples are the most ordinary ones, and a student that has seen
    nothing else fails at the borders.
    """
    return not consistent(sample), hashlib.sha256(sample.id.encode()).hexdigest()


def spread(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples, each next one the least like those before it (farthest-first order).

    Of many texts for one answer most vary a few examples; the first ones of this order do not.
    Beyond ``MOST_SPREAD`` samples the rest follows as it came: all pairs are compared.
    """
    compared, rest = list(samples[:MOST_SPREAD]), samples[MOST_SPREAD:]
    if len(compared) < 2:
        return [*compared, *rest]
    texts = [normalise(sample.input) for sample in compared]
    alike = process.cdist(texts, texts, scorer=fuzz.token_sort_ratio, dtype=np.uint8).astype(int)
    order = [0]
    nearest = alike[0].copy()
    while len(order) < len(compared):
        nearest[order] = _TAKEN
        order.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, alike[order[-1]])
    return [*(compared[at] for at in order), *rest]


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
