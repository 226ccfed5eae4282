"""Seeds with answers: a person's own, else the teacher's."""

from workbench import teach
from workbench.evaluate.kinds import SEED_ANSWERS
from workbench.models.pair import Pair
from workbench.runs.folder import Run
from workbench.runs.results import Answer
from workbench.samples import Example


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
