"""Which labels belong to the task?"""

from collections import Counter
from collections.abc import Iterable

from workbench.samples import Example, Sample
from workbench.synthesis_plan import SEEN_TWICE

LEAST_CONFIDENCE = 0.5  # teacher's mean token probability below which an answer teaches noise
PROBED = 3  # probes (``per_label.probe_labels``) that named it


def task_labels(
    seeds: Iterable[Example], samples: Iterable[Sample], probes: Iterable[Example] = ()
) -> list[str]:
    """Labels of the task, those of the seeds first.

    Outside its task a teacher makes answers up, each of them rarely or without confidence.
    """
    given = Counter(
        sample.teacher_output
        for sample in samples
        if sample.teacher_output and (sample.confidence or 0) >= LEAST_CONFIDENCE
    )
    probed = Counter(probe.output for probe in probes)
    found = [seed.output for seed in seeds]
    found += [label for label, count in given.most_common() if count >= SEEN_TWICE]
    found += [label for label, count in probed.most_common() if count >= PROBED]
    return [label for label in dict.fromkeys(found) if label]
