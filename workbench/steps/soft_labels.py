"""Step 3, before the training: what else the teacher would have answered where it is not sure."""

import hashlib
from collections.abc import Collection, Iterator, Sequence

from workbench import teach
from workbench.distill import SoftLabel
from workbench.events import Event, Progress
from workbench.models.pair import Pair as ModelPair
from workbench.runs.folder import Run
from workbench.samples import Sample
from workbench.stages import Stage
from workbench.steps.finding import closed_answers
from workbench.steps.labels import answered_seeds
from workbench.synthesize.answers import Pair, decided_fields, sample_kind
from workbench.synthesize.evidence import structured
from workbench.synthesize.selection import what_is_wrong

SURE = 0.95  # of an answer the teacher is sure enough: it is the whole label
SURE_OF_OBJECT = 0.985  # the same where answers are objects, most of whose tokens are copied
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

    Nothing unless the recipe asks for it and the answers form a closed set or are objects.
    Remembered with the run, so that a resumed training has the same rows.
    """
    recipe = run.recipe
    if not recipe.training.soft_labels or recipe.synthesis.method != "label":
        return
    kept = [sample for sample in run.samples.kept() if sample.answered_by == "teacher"]
    objects = structured([sample_kind(sample) for sample in kept])
    sure = SURE_OF_OBJECT if objects else SURE
    doubtful = [sample for sample in kept if (sample.confidence or 0) < sure]
    of = hashlib.sha256(repr([(s.id, s.version) for s in doubtful]).encode()).hexdigest()
    if run.recall(SOFT_LABELS, {}).get("of") == of:
        return
    answers = [] if objects else closed_answers(run, pair)
    decided = decided_fields([Pair(e.input, e.output or "") for e in answered_seeds(run, pair)])
    asked = [s for s in doubtful if objects or s.teacher_output in answers]
    found: dict[str, SoftLabel] = {}
    for start in range(0, len(asked), CHUNK):
        yield Progress(Stage.DISTIL, start, len(asked), "samples", note="asking what else fits")
        part = asked[start : start + CHUNK]
        inputs = [sample.input for sample in part]
        if objects:
            seed = recipe.seed * 1_000_003 + start
            tokens = recipe.evaluation.answer_tokens
            drawn = teach.drawn_answers(pair.source, pair.source_form, inputs, tokens, seed)
            choices = _choices(part, drawn, decided)
            labels = teach.weighed_answers(pair.source, pair.source_form, inputs, choices)
        else:
            labels = teach.soft_labels(pair.source, pair.source_form, inputs, answers)
        found |= zip(inputs, labels, strict=True)
    run.remember(SOFT_LABELS, {"of": of, "labels": found})


def _choices(
    samples: Sequence[Sample], drawn: Sequence[Sequence[str]], decided: Collection[str]
) -> list[list[str]]:
    """For each sample its answer, then those of the drawn ones that are worth learning."""
    return [
        list(
            dict.fromkeys(
                [sample.teacher_output or ""]
                + [reply for reply in replies if not what_is_wrong(reply, sample.input, decided)]
            )
        )
        for sample, replies in zip(samples, drawn, strict=True)
    ]
