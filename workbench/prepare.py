"""The data owner's side, run once while the data is still there (paper section 3, steps 1 to 4).

Trains the source adapter on the real rows, writes negatives with the source base, trains the
discriminator, measures both on held-out rows and packs a transfer kit. Of the data only the seeds
and, if the owner gives them, the evaluation rows are in the kit; and what a writer repeats of it,
if the owner agrees to have one.
"""

import hashlib
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from workbench import discriminate
from workbench.errors import StageError, WorkbenchError
from workbench.evaluate.arms import answer_rows
from workbench.evaluate.checkers import metric_checker, require_usable
from workbench.evaluate.intervals import Interval
from workbench.evaluate.kinds import metric_for
from workbench.evaluate.metrics import MEASURES
from workbench.evaluate.outcome import graded, mean_of
from workbench.inputs import AdapterFiles, Inputs, Memorised, choose_seeds
from workbench.intake.adapter import read_adapter
from workbench.intake.kit import write_kit
from workbench.limits import LIMITS
from workbench.models import references
from workbench.models.answer_room import answer_room
from workbench.models.decoding import Sampling
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.models.training import TrainingRow, train
from workbench.recipe import CHECKER, LoraSettings, TrainingSettings, TransferRecipe, to_json
from workbench.runs import atomic
from workbench.runs.results import Answer
from workbench.samples import Example
from workbench.steps.rounds import input_tokens
from workbench.steps.writing import write_list
from workbench.synthesize.adapter_writer import input_slot, whole_row, write_inputs
from workbench.synthesize.duplicates import Written
from workbench.synthesize.memorised import TEXTS, memorised
from workbench.teach import TEACHER, WRITER

HELD_OUT = 0.15  # of real and synthetic inputs, to measure the discriminator
MOST_NEGATIVES = 400  # synthetic inputs for the discriminator, and as many real ones
NEGATIVE_ROUNDS = 40
CHECKED_TOGETHER = 250  # texts of the writer, between two reports
FEWEST_ROWS = 20
# The discriminator's and the writer's own: the recipe is about the source adapter.
LORA = LoraSettings(rank=8, alpha=16)
# Inputs are more to learn than answers.
WRITER_TRAINING = TrainingSettings(learning_rate=1e-3, epochs=3, batch_rows=16)
# Of 7 intents .928 with half the rate and two epochs, .968 with two, .993 with four (area under the
# curve); of 150 intents .870 and .898 with two.
DISCRIMINATOR_TRAINING = TrainingSettings(learning_rate=1e-3, epochs=4, batch_rows=16)
Report = Callable[[str, int, int], None]  # phase in words, done, total
Consent = Callable[[Memorised], bool]  # the owner sees what a writer repeats, and decides


@dataclass(frozen=True)
class Prepared:
    """What was made and measured.

    Attributes:
        measure: what the mean of the source adapter is called: "accuracy", "chrF" and so on.
        source: its mean on the evaluation rows; None without such rows.
    """

    kit: Path
    measure: str
    source: Interval | None
    discriminator_auc: float
    training_rows: int
    negatives: int
    writer: Memorised | None = None
    writer_packed: bool = False


def prepare(
    recipe: TransferRecipe,
    rows: Sequence[Example],
    evaluation: Sequence[Example],
    kit: Path,
    *,
    seed_count: int,
    report: Report,
    attribution: str = "",
    consent: Consent | None = None,
) -> Prepared:
    """Make a transfer kit from real data.

    Args:
        recipe: as ``recipe.for_preparing`` begins it: task name, source base and format, metric
            and seed; ``student`` and ``training`` are those of the source adapter, ``synthesis``
            those of the negatives.
        rows: real training rows, all with outputs; never evaluation rows.
        evaluation: held-out rows that may travel in the kit; may be empty.
        kit: zip to write. What is finished is kept in a folder beside it until the kit is there,
            so that the same call goes on after a stop.
        seed_count: seeds in the kit, spread over the answers.
        attribution: licence and source of the data, kept in the kit.
        consent: asked whether a writer that repeats so much may leave the house; None trains no
            writer.

    Raises:
        StageError: too few rows to train on, or no place for the kit.
    """
    recipe = _checked(recipe, rows, kit, seed_count)
    references.fetch(recipe.source_base)
    seeds = choose_seeds(rows, seed_count, recipe.seed)
    pair = Pair(recipe, Inputs())
    workspace = _workspace(kit, recipe, rows)
    if _finished(workspace, "adapter"):
        adapter = read_adapter(workspace / "adapter", workspace)
    else:
        try:
            adapter = train_source(pair, recipe, rows, workspace, report)
        except WorkbenchError:
            shutil.rmtree(workspace)  # nothing in it is finished
            raise
        _finish(workspace, "adapter", True)
    pair.source.attach(TEACHER, adapter.settings, adapter.weights)
    measured = _measure_adapter(pair, recipe, evaluation, report)
    negatives = _finished(workspace, "negatives")
    if negatives is None:
        negatives = write_negatives(pair, recipe, seeds, min(MOST_NEGATIVES, len(rows)), report)
        _finish(workspace, "negatives", negatives)
    auc = _finished(workspace, "discriminator")
    if auc is None:
        discriminator, auc = train_discriminator(pair, recipe, rows, negatives, workspace, report)
        _finish(workspace, "discriminator", auc)
    else:
        discriminator = read_adapter(workspace / "discriminator", workspace)
    writer = repeats = None
    if consent is not None:
        if _finished(workspace, "writer"):
            writer = read_adapter(workspace / "writer", workspace)
        else:
            writer = train_whole(pair, recipe, rows, workspace, "writer", report)
            _finish(workspace, "writer", True)
        repeats = measure_repeats(pair, recipe, writer, rows, report)
        if not consent(repeats):
            writer = None
    write_kit(
        kit,
        Inputs(adapter, discriminator, writer, tuple(seeds), tuple(evaluation)),
        recipe,
        discriminator_auc=auc,
        attribution=attribution,
        memorised=repeats,
    )
    shutil.rmtree(workspace)
    measure = MEASURES[recipe.evaluation.metric]
    return Prepared(
        kit, measure, measured, auc, len(rows), len(negatives), repeats, writer is not None
    )


def _checked(
    recipe: TransferRecipe, rows: Sequence[Example], kit: Path, seed_count: int
) -> TransferRecipe:
    """The recipe with the metric that the rows need; StageError where no kit can come of this."""
    if not 1 <= seed_count <= LIMITS.seeds:
        raise StageError(
            f"A kit holds 1 to {LIMITS.seeds} seeds, not {seed_count}. Give --seeds within that."
        )
    if kit.is_dir():
        raise StageError(f"{kit} is a folder: say the name of the zip to write with --kit.")
    if len(rows) < FEWEST_ROWS:
        raise StageError(f"{len(rows)} training rows are too few; give at least {FEWEST_ROWS}.")
    metric = metric_for(recipe.evaluation.metric, [row.output or "" for row in rows])
    recipe = replace(recipe, evaluation=replace(recipe.evaluation, metric=metric))
    if metric == CHECKER:
        require_usable(recipe.evaluation)
    return recipe


def work_folder(kit: Path) -> Path:
    """Where what is finished is kept until the kit is there."""
    return kit.with_name(f"{kit.name}.work")


def _workspace(kit: Path, recipe: TransferRecipe, rows: Sequence[Example]) -> Path:
    """That folder, emptied when it was made from another recipe or other rows."""
    folder = work_folder(kit)
    made_from = hashlib.sha256(
        f"{to_json(recipe)}{[(row.input, row.output) for row in rows]}".encode()
    ).hexdigest()
    if _finished(folder, "made-from") != made_from:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _finish(folder, "made-from", made_from)
    return folder


def _finished(workspace: Path, part: str) -> Any:
    """What was kept of a finished part; None when it is still to be made."""
    return atomic.read_json(workspace / f"{part}.json")


def _finish(workspace: Path, part: str, made: Any) -> None:
    atomic.write_json(workspace / f"{part}.json", made)


def train_source(
    pair: Pair, recipe: TransferRecipe, rows: Sequence[Example], workspace: Path, report: Report
) -> AdapterFiles:
    """The source adapter, trained on real rows in the source format (paper, step 1)."""
    form = bind(recipe.source_format, pair.source.tokenizer)
    task_rows = [
        TrainingRow(form.prompt_ids(row.input), form.answer_ids(row.output or "")) for row in rows
    ]
    phase, folder = "training the source adapter", workspace / "adapter"
    return _train(pair, recipe, phase, task_rows, recipe.student, recipe.training, folder, report)


def train_whole(
    pair: Pair,
    recipe: TransferRecipe,
    rows: Sequence[Example],
    workspace: Path,
    name: str,
    report: Report,
) -> AdapterFiles:
    """An adapter over whole rows, input and answer: one that writes inputs of the task."""
    form = bind(recipe.source_format, pair.source.tokenizer)
    slot = input_slot(form)
    whole = [whole_row(form, slot, row.input, row.output or "") for row in rows]
    phase = f"training the {name}"
    return _train(pair, recipe, phase, whole, LORA, WRITER_TRAINING, workspace / name, report)


def measure_repeats(
    pair: Pair,
    recipe: TransferRecipe,
    writer: AdapterFiles,
    rows: Sequence[Example],
    report: Report,
) -> Memorised:
    """Let the writer write, and count what are rows that it was trained on."""
    form, inputs = bind(recipe.source_format, pair.source.tokenizer), [row.input for row in rows]
    pair.source.attach(WRITER, writer.settings, writer.weights)
    texts: list[str] = []
    while len(texts) < TEXTS:
        report("seeing what the writer repeats", len(texts), TEXTS)
        texts += write_inputs(
            pair.source, WRITER, form, min(CHECKED_TOGETHER, TEXTS - len(texts)),
            new_tokens=input_tokens(pair.source, rows), sampling=Sampling(),
            seed=recipe.seed * 1_000_003 + len(texts), held_texts=inputs,
        )  # fmt: skip
    pair.source.detach(WRITER)
    report("seeing what the writer repeats", TEXTS, TEXTS)
    return memorised(texts, inputs)


def write_negatives(
    pair: Pair, recipe: TransferRecipe, seeds: Sequence[Example], count: int, report: Report
) -> list[str]:
    """Synthetic inputs by the source base: the target is unknown at this time (paper, step 2)."""
    by_source = replace(recipe, synthesis=replace(recipe.synthesis, generator="source"))
    written = Written([seed.input for seed in seeds], [], recipe.synthesis.near_duplicate)
    negatives: list[str] = []
    for number in range(NEGATIVE_ROUNDS):
        if len(negatives) >= count:
            break
        for text in write_list(pair, by_source, seeds, number):
            if text and not written.verdict(text):
                written.add(text)
                negatives.append(text)
        report("writing negatives", min(len(negatives), count), count)
    if len(negatives) < FEWEST_ROWS:
        raise StageError(
            f"The source base wrote only {len(negatives)} usable negatives. Give more seeds or "
            "shorter inputs."
        )
    return negatives[:count]


def train_discriminator(
    pair: Pair,
    recipe: TransferRecipe,
    rows: Sequence[Example],
    negatives: Sequence[str],
    workspace: Path,
    report: Report,
) -> tuple[AdapterFiles, float]:
    """Train on most of both kinds, measure the area under the curve on the rest (step 3).

    As many real inputs as synthetic ones are learned from; of the rest as many are asked at most
    as there are synthetic ones, for 60 tell an area of .90 from .80 only now and then.
    """
    real = [row.input for row in rows]
    random.Random(recipe.seed + 1).shuffle(real)
    held = max(1, round(HELD_OUT * len(negatives)))
    trained = min(len(negatives), len(real)) - held
    rest = real[trained:][: len(negatives)]
    kind = recipe.source_format.kind
    question = discriminate.discriminator_format(kind, recipe.task_name)
    form = bind(question, pair.source.tokenizer)
    files = _train(
        pair, recipe, "training the discriminator",
        discriminate.training_rows(form, real[:trained], negatives[held:]), LORA,
        DISCRIMINATOR_TRAINING, workspace / "discriminator", report,
    )  # fmt: skip
    pair.source.attach(discriminate.DISCRIMINATOR, files.settings, files.weights)
    auc = discriminate.area_under_curve(
        discriminate.score(pair.source, recipe.task_name, kind, rest),
        discriminate.score(pair.source, recipe.task_name, kind, negatives[:held]),
    )
    return files, auc


def _train(
    pair: Pair,
    recipe: TransferRecipe,
    phase: str,
    rows: Sequence[TrainingRow],
    shape: LoraSettings,
    settings: TrainingSettings,
    folder: Path,
    report: Report,
) -> AdapterFiles:
    """Train one adapter on the source base and read it back as intake would."""
    name = "new"
    pair.source.attach_new(name, shape, recipe.seed)
    for step in train(pair.source, name, rows, settings, seed=recipe.seed):
        report(phase, step.step, step.steps)
    base = references.hub_id(recipe.source_base) or recipe.source_base
    pair.source.save_adapter(name, folder, base)
    pair.source.detach(name)
    weights = folder / "adapter_model.safetensors"
    # Half the bytes in the kit; everything that is measured is measured after this rounding.
    tensors = safetensors.torch.load_file(weights)
    safetensors.torch.save_file(
        {key: tensor.to(torch.bfloat16) for key, tensor in tensors.items()}, weights
    )
    return read_adapter(folder, folder.parent)


def _measure_adapter(
    pair: Pair, recipe: TransferRecipe, evaluation: Sequence[Example], report: Report
) -> Interval | None:
    if not evaluation:
        return None
    inputs = [row.input for row in evaluation]
    answers = [row.output or "" for row in evaluation]
    form = bind(recipe.source_format, pair.source.tokenizer)
    tokens = answer_room(recipe.evaluation.answer_tokens, answers, form)
    metric = recipe.evaluation.metric
    measured: list[Answer] = []
    with metric_checker(recipe.evaluation) as checker:
        for index, text in answer_rows(pair.source, TEACHER, recipe.source_format, inputs, tokens):
            expected = evaluation[index].answers or ("",)
            measured.append(graded(metric, index, text, expected, True, checker))
            report("measuring the source adapter", len(measured), len(evaluation))
    return mean_of(metric, measured)
