"""Step 2: the teacher answers whatever is kept and still unanswered, and seeds without outputs."""

from collections.abc import Iterator
from dataclasses import replace

from workbench import teach
from workbench.evaluate.kinds import SEED_ANSWERS
from workbench.events import Event, Progress
from workbench.models.pair import Pair
from workbench.runs.folder import Run
from workbench.runs.results import Answer
from workbench.samples import KEPT, Example
from workbench.stages import Stage
from workbench.steps.rounds import CHUNK
from workbench.steps.synthesis import judge, used_filter


def answer_owed(run: Run, pair: Pair) -> Iterator[Event]:
    """Label edited, imported and hand-written samples; score them where there is a filter."""
    answered_seeds(run, pair)
    kind = used_filter(run.recipe.synthesis, run.inputs.discriminator is not None)
    owed = {sample.id: sample for sample in run.samples.owed_scores() + run.samples.unlabelled()}
    owed = list(owed.values())
    yield Progress(Stage.LABEL, 0, len(owed), "samples")
    for start in range(0, len(owed), CHUNK):
        # A pending sample gets its chance as kept; the filter may still reject it.
        chunk = [replace(sample, status=KEPT) for sample in owed[start : start + CHUNK]]
        run.samples.update_many(judge(pair, run.recipe, chunk, kind))
        yield Progress(Stage.LABEL, min(start + CHUNK, len(owed)), len(owed), "samples")


def answered_seeds(run: Run, pair: Pair) -> list[Example]:
    """The seeds with outputs: the person's own, else the teacher's, which is asked once."""
    seeds = run.inputs.seeds
    missing = [index for index, seed in enumerate(seeds) if seed.output is None]
    stored = {row.index: row.prediction for row in run.answers.get(SEED_ANSWERS)}
    if not stored.keys() >= set(missing):
        replies = teach.answer(
            pair.source,
            teach.TEACHER,
            pair.source_form,
            [seeds[index].input for index in missing],
            pair.source_answer_tokens,
        )
        # An answer that was cut is none: such a seed only shows what inputs look like.
        stored = {
            missing[position]: reply.text if reply.finished else "" for position, reply in replies
        }
        run.answers.put(SEED_ANSWERS, [Answer(index, text, True) for index, text in stored.items()])
    return [
        seed if seed.output is not None else Example(seed.input, stored[index])
        for index, seed in enumerate(seeds)
    ]
