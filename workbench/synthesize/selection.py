"""Choose which samples are kept where they were written label by label: every label alike."""

import hashlib
from collections.abc import Collection, Sequence

from workbench.samples import Sample
from workbench.synthesize.labels import LEAST_CONFIDENCE

FOREIGN = "its answer is not one of the task's"
UNSURE = "the teacher is not sure of its answer"
ENOUGH = "there are enough samples with this answer"


def select(samples: Sequence[Sample], count: int, labels: Collection[str] | None) -> dict[str, str]:
    """Reasons for rejection by sample id; "" for what is kept.

    Args:
        samples: labelled, decided by the filter.
        count: how many to keep at most.
        labels: of the task; None when answers do not recur.
    """
    reasons = {}
    shelves: dict[str, list[Sample]] = {}
    for sample in samples:
        answer = sample.teacher_output or ""
        if labels is not None and answer not in labels:
            reasons[sample.id] = FOREIGN
        elif labels is not None and (sample.confidence or 0.0) < LEAST_CONFIDENCE:
            reasons[sample.id] = UNSURE
        else:
            shelves.setdefault("" if labels is None else answer, []).append(sample)
    # In turn one of each label. The order within a label depends on the text only, so that it is
    # the same after an interruption.
    ranked = [
        (turn, by_hash(sample), sample.id)
        for shelf in shelves.values()
        for turn, sample in enumerate(sorted(shelf, key=by_hash))
    ]
    for at, (_, _, id) in enumerate(sorted(ranked)):
        reasons[id] = "" if at < count else ENOUGH
    return reasons


def by_hash(sample: Sample) -> str:
    """A random order that is the same everywhere."""
    return hashlib.sha256(sample.id.encode()).hexdigest()
