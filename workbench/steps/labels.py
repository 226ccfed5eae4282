"""Step 2: the teacher answers whatever is kept and still unanswered, and seeds without outputs."""

from collections.abc import Iterator
from dataclasses import replace

from workbench import teach
from workbench.events import Event, Progress
from workbench.models.pair import Pair
from workbench.runs.folder import Run
from workbench.samples import KEPT, PENDING, Example
from workbench.stages import Stage
from workbench.steps.synthesis import judge, used_filter

CHUNK = 64  # samples per commit; the same chunks after an interruption
SEED_ANSWERS = "seeds"  # where the teacher's answers to seeds are stored among the answers


def answer_owed(run: Run, pair: Pair) -> Iterator[Event]:
    """Label edited, imported and hand-written samples; score them where there is a filter."""
    _answer_seeds(run, pair)
    kind = used_filter(run.recipe.synthesis, run.inputs.discriminator is not None)
    owed = [
        sample
        for sample in run.samples.all()
        if sample.status == PENDING or (sample.status == KEPT and not sample.teacher_output)
    ]
    yield Progress(Stage.LABEL, 0, len(owed), "samples")
    for start in range(0, len(owed), CHUNK):
        # A pending sample gets its chance as kept; the filter may still reject it.
        chunk = [replace(sample, status=KEPT) for sample in owed[start : start + CHUNK]]
        run.samples.update_many(judge(pair, run.recipe, chunk, kind))
        yield Progress(Stage.LABEL, min(start + CHUNK, len(owed)), len(owed), "samples")


def _answer_seeds(run: Run, pair: Pair) -> None:
    missing = [seed for seed in run.inputs.seeds if seed.output is None]
    if not missing or len(run.answers.get(SEED_ANSWERS)) == len(run.inputs.seeds):
        return
    inputs = [seed.input for seed in run.inputs.seeds]
    answers = teach.answer(
        pair.source, teach.TEACHER, pair.source_form, inputs, run.recipe.evaluation.answer_tokens
    )
    run.answers.put(SEED_ANSWERS, [(index, reply.text, True) for index, reply in answers])


def answered_seeds(run: Run) -> list[Example]:
    """The seeds with outputs: the person's own, else the teacher's."""
    by_teacher = {row.index: row.prediction for row in run.answers.get(SEED_ANSWERS)}
    return [
        seed if seed.output is not None else Example(seed.input, by_teacher.get(index))
        for index, seed in enumerate(run.inputs.seeds)
    ]
