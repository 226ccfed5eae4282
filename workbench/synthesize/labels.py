"""Which labels belong to the task?"""

import statistics
from collections import Counter
from collections.abc import Iterable

from workbench.samples import Example, Sample
from workbench.synthesis_plan import SEEN_TWICE

LEAST_CONFIDENCE = 0.5  # teacher's mean token probability below which an answer teaches noise
# Times a label of the seeds is said on average: below this part of it an answer is made up.
RARE = 1 / 20


def task_labels(
    seeds: Iterable[Example], samples: Iterable[Sample], probes: Iterable[Example] = ()
) -> list[str]:
    """Labels of the task, those of the seeds first.

    Outside its task a teacher makes answers up, and comes back with them as often as somebody
    writes for them. So only what it says unasked counts: to probes, and to texts that were written
    for no label. An answer is a label when it comes at least ``RARE`` times as often as those of
    the seeds do on average, and not once only.

    Args:
        probes: ``per_label.probe_labels``.
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
    return list(dict.fromkeys([*given, *others]))
