"""Which labels belong to the task?"""

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from workbench.samples import Example, Sample
from workbench.synthesis_plan import SEEN_TWICE

LEAST_CONFIDENCE = 0.5  # teacher's mean token probability below which an answer teaches noise
HARD_LABEL_CONFIDENCE = 0.95  # of an answer the teacher is sure enough: it is the whole label
# Times a label of the seeds is said on average: below this part of it an answer is made up.
RARE = 1 / 20


def task_labels(
    seeds: Iterable[Example],
    samples: Sequence[Sample],
    probes: Sequence[Example] = (),
    named: Sequence[str] = (),
) -> list[str]:
    """Labels of the task, those of the seeds first.

    Outside its task a teacher makes answers up, and comes back with them as often as somebody
    writes for them. So it counts what it says unasked: to probes, and to texts that were written
    for no label. An answer is a label when it comes at least ``RARE`` times as often as those of
    the seeds do on average, and not once only. Labels that random words seldom bring are told by
    its being sure: an answer of which it was sure twice is one too, whatever was asked for. What it
    makes up it is seldom sure of (of seven adapters with 7 to 45 labels: 0 to 13 such answers).

    Args:
        samples: that a model wrote, with the teacher's answers.
        probes: ``per_label.probe_labels``.
        named: labels that somebody has told; they are the teacher's where it has said them once.
    """
    unasked = Counter(probe.output or "" for probe in probes)
    unasked += Counter(
        sample.teacher_output
        for sample in samples
        if sample.teacher_output
        and sample.written_for is None
        and (sample.confidence or 0) >= LEAST_CONFIDENCE
    )
    given = list(dict.fromkeys(seed.output for seed in seeds if seed.output))
    usual = statistics.mean(unasked[label] for label in given) if given else 0
    least = max(SEEN_TWICE, RARE * usual)
    others = [label for label, count in unasked.most_common() if label and count >= least]
    others += [label for label, count in _surely(samples).most_common() if count >= SEEN_TWICE]
    said = {probe.output for probe in probes} | {sample.teacher_output for sample in samples}
    others += [label for label in named if label in said]
    return list(dict.fromkeys([*given, *others]))


def perhaps_labels(
    samples: Sequence[Sample], labels: Collection[str], named: Sequence[str] = ()
) -> list[str]:
    """What texts of its own will tell of whether it is a label of the teacher.

    That is what somebody has named and the teacher has not said yet, and what it was sure of once.
    """
    return [label for label in dict.fromkeys([*named, *_surely(samples)]) if label not in labels]


def _surely(samples: Sequence[Sample]) -> Counter[str]:
    """How often the teacher was sure of an answer."""
    return Counter(
        sample.teacher_output
        for sample in samples
        if sample.teacher_output and (sample.confidence or 0) >= HARD_LABEL_CONFIDENCE
    )
