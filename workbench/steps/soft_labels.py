"""Step 3, before the training: what else the teacher would have answered where it is not sure."""

import hashlib
from collections.abc import Iterator, Sequence

from workbench import teach
from workbench.distill import SoftLabel
from workbench.events import Event, Progress
from workbench.models.pair import Pair as ModelPair
from workbench.runs.folder import Run
from workbench.samples import MIXED, Sample
from workbench.stages import Stage
from workbench.steps.label_balance import asked_probes, named_labels
from workbench.steps.seed_answers import answered_seeds
from workbench.synthesis_plan import recur
from workbench.synthesize.labels import HARD_LABEL_CONFIDENCE, task_labels

CHUNK = 512  # samples that are asked about together
SOFT_LABELS = "soft labels"  # where the run remembers them, and what they were made of


def soft_labels(run: Run) -> dict[str, SoftLabel]:
    """By input, what ``ask_softly`` found; nothing unless the recipe wants it."""
    if not run.recipe.training.soft_labels:
        return {}
    labels = run.recall(SOFT_LABELS, {}).get("labels", {})
    return {text: [(answer, p) for answer, p in label] for text, label in labels.items()}


def ask_softly(run: Run, pair: ModelPair) -> Iterator[Event]:
    """Find the teacher's probabilities for kept samples of which it is not sure.

    Nothing unless the recipe asks for it and the answers form a closed set. Remembered with the
    run, so that a resumed training has the same rows.
    """
    recipe = run.recipe
    if not recipe.training.soft_labels:
        return
    kept = [sample for sample in run.samples.kept() if sample.answered_by == "teacher"]
    unsure = [sample for sample in kept if (sample.confidence or 0) < HARD_LABEL_CONFIDENCE]
    of = hashlib.sha256(repr([(s.id, s.version) for s in unsure]).encode()).hexdigest()
    if run.recall(SOFT_LABELS, {}).get("of") == of:
        return
    answers = []
    if recur([sample.teacher_output or "" for sample in kept]):
        answers = _known_labels(run, pair, kept)
    asked = [sample.input for sample in unsure if sample.teacher_output in answers]
    found: dict[str, SoftLabel] = {}
    for start in range(0, len(asked), CHUNK):
        yield Progress(Stage.DISTIL, start, len(asked), "samples", note="computing soft labels")
        inputs = asked[start : start + CHUNK]
        labels = teach.soft_labels(pair.source, pair.source_form, inputs, answers)
        found |= zip(inputs, labels, strict=True)
    run.remember(SOFT_LABELS, {"of": of, "labels": found})


def _known_labels(run: Run, pair: ModelPair, kept: Sequence[Sample]) -> list[str]:
    """Labels of the task that a seed or a sample has: a probe alone shows none of its inputs."""
    seeds = answered_seeds(run, pair)
    others = [sample for sample in run.samples.all() if sample.origin not in MIXED]
    seen = {seed.output for seed in seeds} | {sample.teacher_output for sample in kept}
    labels = task_labels(seeds, others, asked_probes(run), named_labels(run))
    return [label for label in labels if label in seen]
