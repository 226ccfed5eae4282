"""One cell of the quality benchmark: one arm, on one task, with one seed, with real models.

What arms share (source adapter and discriminator of a task and seed) is made once and kept in the
workspace. Arms that are a way to make inputs are runs of the pipeline itself; the others train on
given rows with the same recipe.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench import recipe as recipes
from workbench.bench import results as arms
from workbench.bench.results import CellResult
from workbench.bench.tasks import Split, Task, row_ids, seen_in_test
from workbench.distill import STUDENT, SoftLabel, training_rows
from workbench.errors import StageError
from workbench.evaluate.arms import answer_rows, few_shot_format
from workbench.evaluate.coverage import effective_labels, mmd
from workbench.evaluate.metrics import is_correct, is_graded, score
from workbench.inputs import AdapterFiles, Inputs
from workbench.intake.adapter import read_adapter
from workbench.models.embedding import embed
from workbench.models.pair import Pair
from workbench.models.training import TrainingRow, train
from workbench.pipeline import advance
from workbench.prepare import train_discriminator, train_source, train_whole, write_negatives
from workbench.recipe import PromptFormat, TransferRecipe, recipe_hash
from workbench.runs.folder import Run, create, find_run
from workbench.samples import Example
from workbench.stages import Stage
from workbench.steps.packing import versions
from workbench.steps.soft_labels import ask_softly, soft_labels
from workbench.teach import TEACHER, answer

SAMPLES = 1000  # inputs that every arm but the paper's own 250 trains on
NEGATIVES = 600
WITH_DISCRIMINATOR = (arms.PAPER,)
# Arms that are the pipeline with these changes.
SYNTHETIC: dict[str, dict[str, Any]] = {
    arms.UNFILTERED: {"synthesis.writer": "list", "synthesis.filter": "none"},
    arms.SELF_LABELS: {"synthesis.writer": "list", "synthesis.filter": "none"},
    arms.EXCESS: {"synthesis.writer": "list", "synthesis.filter": "excess"},
    arms.PAPER: {"synthesis.writer": "list", "synthesis.filter": "discriminator"},
    arms.BEST: {"synthesis.writer": "label"},
    arms.OWN: {"synthesis.writer": "own"},
    arms.KIT: {"synthesis.writer": "kit"},
}
# The arms with real rows are trained like "best": what they differ in is where inputs come from.
PRESET = {
    arms.PAPER: "paper",
    arms.BEST: "best",
    arms.OWN: "best",
    arms.KIT: "best",
    arms.ORACLE: "best",
    arms.REAL_INPUTS: "best",
}


@dataclass(frozen=True)
class Bases:
    """The pair that is benchmarked, and how the target is held."""

    source: str = "package:smollm2-135m-instruct"
    target: str = "package:gemma-3-270m"
    quantize: bool = True
    samples: int = SAMPLES
    prompts: int = 0  # of a round of writing; 0 as the recipe has it
    whole_source: bool = False  # the source adapter is trained on whole rows, inputs included


def arm_recipe(task: Task, arm: str, seed: int, bases: Bases) -> TransferRecipe:
    """The recipe of an arm; its hash is part of the cell's key."""
    plain = replace(
        TransferRecipe(),
        task_name=task.description,
        source_base=bases.source,
        target_base=bases.target,
        quantize_target=bases.quantize,
        seed=seed,
        source_format=PromptFormat(kind="chat"),
    )
    chosen = recipes.with_preset(plain, PRESET.get(arm, "balanced"))
    changes: dict[str, Any] = {
        "evaluation.metric": task.metric,
        "evaluation.answer_tokens": task.answer_tokens,
        "training.checkpoint_steps": 0,
        "synthesis.prompts_per_round": bases.prompts,
        **SYNTHETIC.get(arm, {}),
    }
    if arm != arms.PAPER:
        changes["synthesis.samples"] = bases.samples
    return recipes.override(chosen, changes)


def run_cell(
    task: Task,
    arm: str,
    seed: int,
    split: Split,
    recipe_hash: str,
    workspace: Path,
    bases: Bases,
) -> CellResult:
    """Measure one arm on the test rows of a split.

    Raises:
        StageError: the arm is unknown or cannot be trained.
    """
    recipe = arm_recipe(task, arm, seed, bases)
    shared = workspace / f"{task.name}-{seed}{'-whole' if bases.whole_source else ''}"
    shared.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    inputs = _source_side(recipe, split, shared, arm, bases.whole_source)
    prepared = time.monotonic()
    pair = Pair(recipe, inputs)
    examples, counts, soft = _training_examples(arm, recipe, split, inputs, pair, shared)
    made = time.monotonic()
    rows = training_rows(pair.target_form, examples, soft)
    correct, scores = _measure(arm, recipe, split, pair, rows)
    return CellResult(
        task=task.name,
        arm=arm,
        seed=seed,
        recipe_hash=recipe_hash,
        rows=row_ids(split.test),
        correct="".join("1" if right else "0" for right in correct),
        scores=scores,
        counts=counts,
        effective_labels=effective_labels([e.output or "" for e in examples]) if examples else None,
        mmd=_distance(pair, split, examples),
        seconds={
            "source side": prepared - started,
            "inputs": made - prepared,
            "training and test": time.monotonic() - made,
        },
        about={"versions": versions(), "device": str(pair.source.device)},
    )


def _source_side(
    recipe: TransferRecipe, split: Split, shared: Path, arm: str, whole: bool
) -> Inputs:
    """Source adapter (and discriminator, or writer) of this task and seed, trained once."""
    pair = Pair(recipe, Inputs())
    made = recipes.for_preparing()
    owner = replace(recipe, student=made.student, training=made.training, synthesis=made.synthesis)
    if kept_adapter(shared, "adapter") is None:
        if whole:
            train_whole(pair, recipe, split.train, shared, "adapter", _silent)
        else:
            train_source(pair, owner, split.train, shared, _silent)
    if arm in WITH_DISCRIMINATOR and kept_adapter(shared, "discriminator") is None:
        negatives = write_negatives(pair, owner, split.seeds, NEGATIVES, _silent)
        train_discriminator(pair, owner, split.train, negatives, shared, _silent)
    if arm == arms.KIT and kept_adapter(shared, "writer") is None:
        train_writer(recipe, split, shared)
    return Inputs(
        kept_adapter(shared, "adapter"),
        kept_adapter(shared, "discriminator") if arm in WITH_DISCRIMINATOR else None,
        kept_adapter(shared, "writer") if arm == arms.KIT else None,
        () if arm == arms.OWN else split.seeds,
        evaluation=split.test,
    )


def train_writer(recipe: TransferRecipe, split: Split, shared: Path) -> None:
    """A kit's writer (``kept_adapter`` of that name): trained on whole rows, inputs included."""
    train_whole(Pair(recipe, Inputs()), recipe, split.train, shared, "writer", _silent)


def kept_adapter(shared: Path, name: str) -> AdapterFiles | None:
    """An adapter that was made for this task and seed before, if it was."""
    folder = shared / name
    if not (folder / "adapter_model.safetensors").exists():
        return None
    return read_adapter(folder, shared)


def _silent(phase: str, done: int, total: int) -> None:
    """The benchmark reports by cell."""


def _training_examples(
    arm: str, recipe: TransferRecipe, split: Split, inputs: Inputs, pair: Pair, shared: Path
) -> tuple[list[Example], dict[str, int], dict[str, SoftLabel]]:
    """What the new adapter is trained on, counts, soft labels; nothing for the reference arms."""
    real = list(split.train[: recipe.synthesis.samples or None])
    if arm in arms.REFERENCES:
        return [], {}, {}
    if arm == arms.ORACLE:
        return real, {"kept": len(real)}, {}
    if arm == arms.SEEDS_ONLY:
        return list(split.seeds), {"kept": len(split.seeds)}, {}
    if arm == arms.REAL_INPUTS:
        return _labelled(pair, recipe, [row.input for row in real]), {"kept": len(real)}, {}
    if arm in SYNTHETIC:
        return _synthesized(arm, recipe, inputs, pair, split, shared)
    raise StageError(f'The benchmark has no arm "{arm}".')


def _labelled(pair: Pair, recipe: TransferRecipe, texts: Sequence[str]) -> list[Example]:
    tokens = recipe.evaluation.answer_tokens
    replies = answer(pair.source, TEACHER, pair.source_form, texts, tokens)
    return [Example(texts[index], reply.text) for index, reply in sorted(replies, key=_first)]


def _first(entry: tuple[int, Any]) -> int:
    return entry[0]


def _synthesized(
    arm: str, recipe: TransferRecipe, inputs: Inputs, pair: Pair, split: Split, shared: Path
) -> tuple[list[Example], dict[str, int], dict[str, SoftLabel]]:
    """Inputs written by the pipeline; the control answers them with the target itself."""
    run = _run_of(arm, recipe, inputs, shared)
    for _ in advance(run, Stage.LABEL):
        pass
    samples = run.samples.kept()
    texts = [sample.input for sample in samples]
    counts = {
        "made": len(run.samples.all()),
        "kept": len(samples),
        "test rows met": seen_in_test(texts, split.test),
    }
    examples = [Example(sample.input, sample.teacher_output) for sample in samples]
    if arm == arms.SELF_LABELS:
        form = few_shot_format(recipe.target_format, split.seeds)
        tokens = recipe.evaluation.answer_tokens
        replies = sorted(answer_rows(pair.target, None, form, texts, tokens), key=_first)
        examples = [Example(texts[index], text) for index, text in replies if text]
    if recipe.synthesis.train_on_seeds:
        examples += list(split.seeds)
    for _ in ask_softly(run, pair):
        pass
    return examples, counts, soft_labels(run)


def _run_of(arm: str, recipe: TransferRecipe, inputs: Inputs, shared: Path) -> Run:
    root, name = shared / "runs", f"{arm}-{recipe_hash(recipe)}"
    if (root / name).exists():
        return find_run(root, name)
    wanted = replace(inputs, evaluation=(), unlabelled=())
    return create(root, recipe, id=name, inputs=wanted)


def _measure(
    arm: str, recipe: TransferRecipe, split: Split, pair: Pair, rows: list[TrainingRow]
) -> tuple[list[bool], tuple[float, ...]]:
    """Which test rows are right, and their scores where the metric has degrees."""
    resident, adapter, form = pair.target, None, recipe.target_format
    if arm == arms.SOURCE:
        resident, adapter, form = pair.source, TEACHER, recipe.source_format
    elif arm == arms.FEW_SHOT:
        form = few_shot_format(form, split.seeds)
    elif arm != arms.ZERO_SHOT:
        pair.target.attach_new(STUDENT, recipe.student, recipe.seed)
        for _ in train(pair.target, STUDENT, rows, recipe.training, seed=recipe.seed):
            pass
        adapter = STUDENT
    texts = [row.input for row in split.test]
    answers = [""] * len(texts)
    for index, text in answer_rows(resident, adapter, form, texts, recipe.evaluation.answer_tokens):
        answers[index] = text
    metric, pairs = recipe.evaluation.metric, list(zip(answers, split.test, strict=True))
    correct = [is_correct(metric, text, row.output or "") for text, row in pairs]
    if not is_graded(metric):
        return correct, ()
    return correct, tuple(score(metric, text, row.answers) for text, row in pairs)


def _distance(pair: Pair, split: Split, examples: Sequence[Example]) -> float | None:
    """MMD of training inputs and real inputs, embedded by the source base."""
    if len(examples) < 2:
        return None
    real = embed(pair.source, [row.input for row in split.validation])
    # From all over them: they stand in the order in which they were made, words first.
    some = examples[:: max(1, len(examples) // SAMPLES)][:SAMPLES]
    return mmd(real, embed(pair.source, [example.input for example in some]))
