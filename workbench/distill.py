"""The student: a new adapter on the target base, trained on the teacher's answers.

Cross-entropy on the answer's tokens only (paper section 3, step 8); the loop itself is
``workbench.models.training``, the same that trains source and discriminator adapters.
"""

import hashlib
from collections.abc import Mapping, Sequence

from workbench.models.formats import BoundFormat
from workbench.models.training import TrainingRow
from workbench.samples import Example, Sample, normalise

SoftLabel = list[tuple[str, float]]  # answers with their probabilities, which sum to 1
STUDENT = "student"  # name of the new adapter on the target base


def training_examples(samples: Sequence[Sample], seeds: Sequence[Example]) -> list[Example]:
    """What is distilled: every kept sample with the teacher's (or a person's) answer.

    Args:
        samples: kept and labelled.
        seeds: with outputs; empty when the recipe leaves seeds out.
    """
    examples = [seed for seed in seeds if seed.output]
    known = {normalise(seed.input) for seed in seeds}
    examples += [
        Example(sample.input, sample.teacher_output)
        for sample in samples
        if sample.teacher_output and normalise(sample.input) not in known
    ]
    return examples


def hold_out(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Split into (training, held out) by a hash of the input, so that resuming splits alike."""

    def position(example: Example) -> str:
        return hashlib.sha256(normalise(example.input).encode()).hexdigest()

    held = sorted(examples, key=position)[: round(len(examples) * fraction)]
    chosen = {example.input for example in held}
    return [example for example in examples if example.input not in chosen], held


def training_rows(
    form: BoundFormat, examples: Sequence[Example], soft: Mapping[str, SoftLabel] | None = None
) -> list[TrainingRow]:
    """Token rows in the target's format; the answer ends with its end-of-turn token.

    Args:
        soft: by input, answers that are trained on instead of the example's, each by its share.
    """
    rows = []
    for example in examples:
        labels = (soft or {}).get(example.input, [(example.output or "", 1.0)])
        (likeliest, share), *others = [(form.answer_ids(answer), p) for answer, p in labels]
        rows.append(TrainingRow(form.prompt_ids(example.input), likeliest, share, tuple(others)))
    return rows
