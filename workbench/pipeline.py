"""The transfer as the paper has it, step by step, resumable at any point.

    1  write samples, drop what is not new, score them, keep what the filter keeps (5, 6)
    2  let the teacher, source base + source adapter, answer them             (paper: 7)
    3  train a new adapter on the target base with these answers              (paper: 8)
    4  compare all arms on held-out rows                                      (paper: section 4)
    5  pack the adapter with its recipe, scores and hashes

This is the only thing that writes a run. Every event is in the journal before anyone sees it, so
the page and the terminal are readers with a cursor.
"""

import time
from collections.abc import Callable, Iterator

from workbench import fit
from workbench.errors import RunError
from workbench.evaluate.checkers import require_usable
from workbench.events import Event, RoundFinished, StageFinished, StageStarted
from workbench.inputs import Inputs
from workbench.memory import peak_memory_bytes
from workbench.models import templates
from workbench.models.kept_bases import KeptBases
from workbench.models.pair import Pair
from workbench.recipe import CHECKER, MODEL, TransferRecipe
from workbench.runs.atomic import full_disk_told
from workbench.runs.damage import lost_stage
from workbench.runs.folder import Run
from workbench.samples import MIXED
from workbench.stages import ORDER, Stage
from workbench.steps.comparison import compare
from workbench.steps.distillation import distil
from workbench.steps.format_proposal import settle_format
from workbench.steps.labels import answer_owed
from workbench.steps.packing import pack
from workbench.steps.synthesis import synthesize
from workbench.steps.writer_choice import FEWEST_SEEDS

PAUSES = ("pause", "discard")  # reasons that end the work here; "keep" only ends a training


def never() -> str:
    """Nobody asks to stop."""
    return ""


def advance(
    run: Run,
    until: Stage = Stage.EXPORT,
    stop_reason: Callable[[], str] = never,
    bases: KeptBases | None = None,
) -> Iterator[Event]:
    """Work off what the run still owes, up to and including one stage.

    Args:
        until: the last stage to finish.
        stop_reason: "" to go on; "pause" stops as soon as what is done is safe; "keep" does the
            same, but a training ends with what is learnt so far and the later stages follow.
        bases: where the models of former runs are kept, and those of this one; None: for this run.

    Yields:
        Events, each already journalled. Fewer than all stages finish when a stop was asked for.

    Raises:
        WorkbenchError: with a sentence for people, when the run cannot go on.
    """
    templates.keep_in(run.folder)
    require_inputs(run.recipe, run.inputs)
    bases = bases or KeptBases()
    with full_disk_told(run.folder):
        for event in settle_format(run, Pair(run.recipe, run.inputs, bases)):
            run.journal.append(event)
            yield event
    pair = Pair(run.recipe, run.inputs, bases)
    steps: dict[Stage, Callable[[], Iterator[Event]]] = {
        Stage.SYNTHESIZE: lambda: synthesize(run, pair),
        Stage.LABEL: lambda: answer_owed(run, pair),
        Stage.DISTIL: lambda: distil(run, pair, stop_reason),
        Stage.EVALUATE: lambda: compare(run, pair),
        Stage.EXPORT: lambda: pack(run, pair),
    }
    if (lost := lost_stage(run)) is not None:
        run.reopen_from(lost, keep_checkpoints=True)
    for stage in ORDER[: ORDER.index(until) + 1]:
        if run.stage_done(stage):
            continue
        started, whole = time.monotonic(), run.stages()[stage].started_at is None
        for event in _journalled(run, stage, steps[stage]):
            yield event
            # Training writes a checkpoint before it stops, so it is left to stop by itself.
            if stage is not Stage.DISTIL and stop_reason() in PAUSES:
                return
        if stop_reason() in PAUSES:
            return
        finished = StageFinished(
            stage, time.monotonic() - started, {"peak_memory_bytes": peak_memory_bytes()}
        )
        run.finish_stage(stage, finished)
        if whole:
            kept = sum(sample.origin not in MIXED for sample in run.samples.kept())
            fit.remember(run.folder.parent, run.recipe, run.inputs, stage, finished.seconds, kept)
        yield finished


def _journalled(run: Run, stage: Stage, step: Callable[[], Iterator[Event]]) -> Iterator[Event]:
    with full_disk_told(run.folder):
        beginning = StageStarted(stage, resumed=run.stages()[stage].started_at is not None)
        run.journal.append(beginning)
        yield beginning
        for event in step():
            # A round is committed together with its samples, event included.
            if not isinstance(event, RoundFinished):
                run.journal.append(event)
            yield event


def require_inputs(recipe: TransferRecipe, inputs: Inputs) -> None:
    """Raise RunError with what is still missing before anything is loaded."""
    model = recipe.teacher == MODEL
    if inputs.adapter is None and not model:
        raise RunError("The run has no source adapter. Add one before starting.")
    if CHECKER in (recipe.evaluation.metric, recipe.synthesis.filter):
        require_usable(recipe.evaluation)
    if inputs.adapter is not None and model:
        raise RunError(
            "The run has a source adapter, and its recipe says that the source base is the teacher "
            'by itself. Remove the adapter, or set teacher to "adapter".'
        )
    if model and recipe.synthesis.filter == "excess":
        raise RunError(
            'The filter "excess" asks what an adapter changes, and there is none. Choose another.'
        )
    # What a whole model has learned beside its base is not known, so nothing tells that it writes.
    willing = ("own",) if model else ("auto", "own")
    writes_itself = inputs.writer is not None or recipe.synthesis.writer in willing
    if len(inputs.seeds) < FEWEST_SEEDS and not writes_itself:
        raise RunError(
            f"The run has {len(inputs.seeds)} seeds; add at least {FEWEST_SEEDS} inputs of "
            "the task."
        )
