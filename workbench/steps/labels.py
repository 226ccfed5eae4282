"""Step 2: the teacher answers whatever is kept and still unanswered, and seeds without outputs."""

from collections.abc import Iterator
from dataclasses import replace

from workbench.events import Event, Progress
from workbench.models.pair import Pair
from workbench.runs.folder import Run
from workbench.samples import KEPT
from workbench.stages import Stage
from workbench.steps.rounds import CHUNK
from workbench.steps.seed_answers import answered_seeds
from workbench.steps.synthesis import filter_of, judge
from workbench.steps.writer_choice import choose_writer


def answer_owed(run: Run, pair: Pair) -> Iterator[Event]:
    """Label edited, imported and hand-written samples; score them where there is a filter."""
    answered_seeds(run, pair)
    kind = filter_of(run, choose_writer(run, pair).writer)
    owed = {sample.id: sample for sample in run.samples.owed_scores() + run.samples.unlabelled()}
    owed = list(owed.values())
    yield Progress(Stage.LABEL, 0, len(owed), "samples")
    for start in range(0, len(owed), CHUNK):
        # A pending sample gets its chance as kept; the filter may still reject it.
        chunk = [replace(sample, status=KEPT) for sample in owed[start : start + CHUNK]]
        run.samples.update_many(judge(run, pair, chunk, kind))
        yield Progress(Stage.LABEL, min(start + CHUNK, len(owed)), len(owed), "samples")
