"""Runs that go on from others: an adapter that is moved again, samples that serve another target.

A chain asks every answer anew, of the adapter that is moved. What was written for the first
transfer goes along as inputs without answers. Another target of the same adapter takes samples and
answers as they are.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.errors import RunError
from workbench.evaluate.kinds import SEED_ANSWERS
from workbench.evaluate.lineage import FIRST_SOURCE, LINEAGE, first_source, hop, lineage
from workbench.events import RoundFinished, StageFinished
from workbench.export.bundle import CONFIG, WEIGHTS, find_bundle
from workbench.export.consent import INHERITED, inherits, may_repeat
from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.recipe import MODEL, TransferRecipe
from workbench.runs.folder import Run, find_run
from workbench.runs.listing import list_runs
from workbench.runs.recipe_rules import ANSWER_FIELDS, differing
from workbench.runs.state import INDEPENDENT_ARMS
from workbench.samples import Example, normalise
from workbench.stages import Stage
from workbench.synthesis_plan import CHOICE, PROBES


def run_named(root: Path, name: str) -> Run:
    """A run by the name of its folder, or by what people call it.

    Raises:
        RunError: there is none, or several are called so.
    """
    if (root / name / "run.db").is_file():
        return find_run(root, name)
    found = [line for line in list_runs(root) if line.name == name and not line.problem]
    if not found:
        raise RunError(f'There is no run "{name}" under {root}. See: python -m workbench runs')
    if len(found) > 1:
        ids = ", ".join(line.id for line in found[:5])
        raise RunError(f'Several runs are called "{name}": {ids}. Name one of these folders.')
    return find_run(root, found[0].id)


def chained(run: Run, workspace: Path) -> tuple[Inputs, Callable[[TransferRecipe], TransferRecipe]]:
    """Inputs for moving a finished run's adapter again, and what the recipe takes from that run.

    Raises:
        RunError: the run has no packed adapter.
    """
    bundle = find_bundle(run.exports)
    if bundle is None:
        raise RunError(
            f'The run "{run.name}" has no new adapter yet. Finish it first, then go on from it.'
        )
    given = run.inputs
    known = {normalise(row.input) for row in (*given.seeds, *given.evaluation, *given.unlabelled)}
    written = tuple(
        Example(sample.input)
        for sample in run.samples.kept()
        if normalise(sample.input) not in known
    )
    inputs = Inputs(
        adapter=read_adapter([bundle.folder / WEIGHTS, bundle.folder / CONFIG], workspace),
        seeds=given.seeds,
        evaluation=given.evaluation,
        unlabelled=(*given.unlabelled, *written),
    )
    former = run.recipe

    def recipe(start: TransferRecipe) -> TransferRecipe:
        # As many inputs as there are: nothing needs to be written, and none is filtered again.
        samples = max(1, len(inputs.unlabelled))
        return replace(
            start,
            task_name=former.task_name,
            source_base=former.target_base,
            source_format=former.target_format,
            evaluation=former.evaluation,
            synthesis=replace(start.synthesis, samples=samples, filter="none"),
        )

    return inputs, recipe


def chain_facts(run: Run) -> dict[str, Any]:
    """What a run that goes on from this one remembers of where it comes from."""
    facts: dict[str, Any] = {LINEAGE: [*lineage(run), hop(run)]}
    if (first := first_source(run)) is not None:
        facts[FIRST_SOURCE] = first
    if may_repeat(run.samples.kept(), inherits(run)):
        facts[INHERITED] = True
    return facts


def take_samples(new: Run, old: Run) -> None:
    """Give a run the samples and answers of another with the same source, once.

    The source's answers to evaluation rows come along where they would be the same.

    Raises:
        RunError: the other run has not answered its samples yet, or moves another adapter.
    """
    if new.stage_done(Stage.LABEL):
        return
    if _teacher(old) != _teacher(new):
        raise RunError(f'The run "{old.name}" moves another adapter: its answers do not fit.')
    if not old.stage_done(Stage.LABEL):
        raise RunError(f'The samples of "{old.name}" are not all answered yet. Finish that first.')
    new.answers.put(SEED_ANSWERS, old.answers.get(SEED_ANSWERS))
    for fact in (CHOICE, PROBES):
        if (remembered := old.recall(fact)) is not None:
            new.remember(fact, remembered)
    changed = set(differing(old.recipe, new.recipe))
    if old.inputs.evaluation == new.inputs.evaluation and not changed & {
        *(field for field in ANSWER_FIELDS if not field.startswith(("target", "quantize"))),
        "evaluation.answer_tokens",
        "source_format",
    }:
        for arm in INDEPENDENT_ARMS:
            if arm.startswith("source"):
                new.answers.put(arm, old.answers.get(arm))
    samples = old.samples.all()
    kept = len(old.samples.kept())
    round_ = RoundFinished(round=0, made=len(samples), kept=kept, rejected=len(samples) - kept)
    new.samples.commit_round(0, [replace(sample, version=0) for sample in samples], round_)
    for stage in (Stage.SYNTHESIZE, Stage.LABEL):
        new.finish_stage(stage, StageFinished(stage, 0.0, {}))


def _teacher(run: Run) -> str:
    """What answers in a run: its adapter by hash, or the source base that was named."""
    if run.recipe.teacher == MODEL:
        return run.recipe.source_base
    return run.inputs.adapter.sha256 if run.inputs.adapter else ""
