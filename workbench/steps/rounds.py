"""What every writer's rounds share: room for texts, sorting them out, labels and scores."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from workbench import discriminate, teach
from workbench.events import Event, Progress
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED, Example, Sample
from workbench.stages import Stage
from workbench.synthesize.duplicates import Written

# A text longer than this many times the longest seed is rambling, not an input.
LONGEST_TIMES = 4
UNKNOWN_ROOM = 512  # tokens of an input where no real one is known
CHUNK = 64  # samples per commit where there are no rounds; the same after an interruption


def room_for_items(generator: Resident, seeds: Sequence[Example], items: float) -> int:
    """Tokens for so many items of about the seeds' length, number and line break included."""
    lengths = [len(generator.tokenizer(seed.input)["input_ids"]) for seed in seeds]
    return min(2048, max(32, round(items * (statistics.mean(lengths) * 1.25 + 4))))


def input_tokens(resident: Resident, examples: Sequence[Example]) -> int:
    """Tokens that one input may have: some times the longest real one's, or ``UNKNOWN_ROOM``."""
    if not examples:
        return UNKNOWN_ROOM
    longest = max(len(resident.tokenizer(example.input)["input_ids"]) for example in examples)
    return min(2048, max(64, LONGEST_TIMES * longest))


@dataclass
class Sorting:
    """What became of the texts of a round."""

    new: list[str]
    duplicates: int = 0
    copied: int = 0
    empty: int = 0


def sort_out(texts: Sequence[str], written: Written, longest: int | None) -> Sorting:
    """New texts in order; how many were empty (or over ``longest`` characters, if given), known."""
    usable = [text for text in texts if text and (longest is None or len(text) <= longest)]
    verdicts = written.add_new(usable)
    return Sorting(
        new=[text for text, verdict in zip(usable, verdicts, strict=True) if not verdict],
        duplicates=verdicts.count("duplicate"),
        copied=verdicts.count("copied"),
        empty=len(texts) - len(usable),
    )


def label(pair: Pair, recipe: TransferRecipe, samples: Sequence[Sample]) -> list[Sample]:
    """The teacher's answer and confidence for every kept sample that has none (step 7).

    Raises:
        StageError: most of the teacher's answers do not end.
    """
    labelled = list(samples)
    owed = [
        index
        for index, sample in enumerate(labelled)
        if sample.status == KEPT and sample.teacher_output is None
    ]
    inputs = [labelled[index].input for index in owed]
    for position, reply in teach.answer(
        pair.source, teach.TEACHER, pair.source_form, inputs, pair.source_answer_tokens
    ):
        index = owed[position]
        labelled[index] = _with_answer(labelled[index], reply)
        pair.endings.take(reply.text, reply.finished)
    pair.endings.require(pair.source_answer_tokens)
    return labelled


def _with_answer(sample: Sample, reply: teach.Answer) -> Sample:
    """An answer that is empty teaches nothing; one that was cut would teach never to end."""
    if not reply.finished:
        reason = "the teacher's answer did not end within the limit"
        return replace(sample, status=REJECTED, reason=reason)
    return replace(
        sample,
        teacher_output=reply.text,
        confidence=reply.confidence,
        status=KEPT if reply.text else REJECTED,
        reason="" if reply.text else "the teacher's answer is empty",
    )


def score(pair: Pair, recipe: TransferRecipe, samples: Sequence[Sample]) -> list[Sample]:
    """The discriminator's score of every sample that has none (paper, step 6)."""
    scored = list(samples)
    owed = [at for at, sample in enumerate(scored) if sample.discriminator_score is None]
    values = discriminate.score(
        pair.source, recipe.task_name, recipe.source_format.kind, [scored[at].input for at in owed]
    )
    for at, value in zip(owed, values, strict=True):
        scored[at] = replace(scored[at], discriminator_score=value)
    return scored


def score_seeds(run: Run, pair: Pair) -> None:
    """Remember how real the discriminator finds the seeds: what samples are compared with."""
    if run.inputs.discriminator is None or run.recall("seed_scores") is not None:
        return
    recipe, texts = run.recipe, [seed.input for seed in run.inputs.seeds]
    kind = recipe.source_format.kind
    run.remember("seed_scores", discriminate.score(pair.source, recipe.task_name, kind, texts))


def take_own_inputs(run: Run, pair: Pair) -> Iterator[Event]:
    """The user's own unlabelled inputs come first: real inputs beat synthetic ones."""
    run.samples.add(run.inputs.unlabelled, origin="user")
    owed = run.samples.unlabelled()
    for start in range(0, len(owed), CHUNK):
        yield Progress(Stage.SYNTHESIZE, start, len(owed), "own inputs")
        run.samples.update_many(label(pair, run.recipe, owed[start : start + CHUNK]))
