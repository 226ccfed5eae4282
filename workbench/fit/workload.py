"""How much work a transfer is: rows, tokens, and the operations of each step."""

import statistics
from contextlib import suppress

from workbench import machine
from workbench.errors import ModelError
from workbench.inputs import Inputs
from workbench.models import references
from workbench.recipe import MODEL, PromptFormat, TransferRecipe
from workbench.stages import Stage
from workbench.synthesis_plan import expected_samples, expected_writer, mixes

_HELD_OUT = 0.1  # of the samples, where there are no evaluation rows
# Of what is written; the rest is rejected or a duplicate. An adapter writes inputs as they were.
_KEPT_SHARE = {"kit": 0.95, "own": 0.95, "label": 0.5, "list": 0.35}
_CHARACTERS_PER_TOKEN = 4.0
PROMPT_TOKENS = 16  # of template and turn marks
_PADDED = 1.4  # of training's rows: all of a batch are as long as its longest
_ANSWER_TOKENS = 6
_MATRIX_SHARE = 0.5  # of a small model's parameters; the rest are embeddings, which are looked up
# Useful share of the machine's matrix speed, by kind of work.
_DECODING, _SCORING, _TRAINING = 0.25, 0.5, 0.6
_LOADING = 1000  # rows for which a parameter is multiplied in the time that it takes to load


def operations(recipe: TransferRecipe, inputs: Inputs) -> dict[Stage, float]:
    """What each step takes, in operations of a large matrix product that would take as long."""
    sizes = {
        "source": parameters(recipe.source_base) or 1_000_000_000,
        "target": parameters(recipe.target_base) or 1_000_000_000,
    }
    source, target = sizes["source"], sizes["target"]
    who = expected_writer(recipe, inputs)
    writer = source if who in ("kit", "own") else sizes[recipe.synthesis.generator]
    item, row, answer = lengths(inputs)
    reading, writing = row / _SCORING, answer / _DECODING  # of a row, its answer
    own, count = len(inputs.unlabelled), _samples(recipe, inputs)
    written = max(0, count - own) / _KEPT_SHARE[who]
    rows = trained_rows(recipe, inputs)
    # Everything new is answered, and scored where something scores it.
    replies = written + own + (rows - max(count, own))
    training = _PADDED * trained_row(recipe.target_format, inputs) / _TRAINING
    unanswered = sum(seed.output is None for seed in inputs.seeds)
    alone, bare = recipe.teacher == MODEL, recipe.evaluation.base_arms
    asked = len(inputs.evaluation[: recipe.evaluation.max_rows or None])
    if any(example.answers for example in inputs.evaluation):
        # Both adapters; the bases without them, of which one reads examples too.
        adapters = source + target
        bases = (0 if alone else source) + (2 if inputs.seeds else 1) * target
    else:  # the source's own answers and two samples of them; it reads both sides' texts twice
        asked = asked or max(1, round(_HELD_OUT * rows))
        adapters, bases = (3 + 4 * _DECODING) * source + target, target
    some = bare * min(asked, recipe.evaluation.base_rows or asked)
    amounts = {
        Stage.SYNTHESIZE: _LOADING * source
        + writer * written * item / _DECODING
        + source * replies * (2 * reading + writing),
        Stage.LABEL: source * unanswered * (reading + writing),
        # Forward, and backward through frozen weights: two products each.
        Stage.DISTIL: _LOADING * target + 2 * target * rows * recipe.training.epochs * training,
        Stage.EVALUATE: (adapters * asked + bases * some) * (reading + writing),
    }
    # Two for each parameter that is multiplied.
    return {stage: 2 * _MATRIX_SHARE * amount for stage, amount in amounts.items()}


def _characters(inputs: Inputs) -> tuple[float, float]:
    """Mean length of an input, 80 where none is known, and of an answer, 0 where none is."""
    seeds = inputs.seeds or inputs.evaluation[:50]
    given = [len(seed.input) for seed in seeds]
    answered = [len(seed.output) for seed in seeds if seed.output]
    return statistics.fmean(given or [80]), statistics.fmean(answered or [0])


def lengths(inputs: Inputs) -> tuple[float, float, float]:
    """Tokens of an input as it is written, of a row of prompt and answer, and of the answer."""
    given, answered = _characters(inputs)
    item = given / _CHARACTERS_PER_TOKEN + 4
    answer = max(_ANSWER_TOKENS, answered / _CHARACTERS_PER_TOKEN + 1)
    return item, item + PROMPT_TOKENS + answer, answer


def trained_row(form: PromptFormat, inputs: Inputs) -> float:
    """Tokens of an input in its prompt with its answer, by the seeds."""
    given, answered = _characters(inputs)
    given += len(form.template) - len("{input}") + len(form.system or "")
    prompt = given / _CHARACTERS_PER_TOKEN + (PROMPT_TOKENS if form.kind == "chat" else 1)
    return prompt + (answered / _CHARACTERS_PER_TOKEN + 1 if answered else _ANSWER_TOKENS)


def _samples(recipe: TransferRecipe, inputs: Inputs) -> int:
    """Samples that are written, people's own inputs among them."""
    return expected_samples(recipe, inputs, on_gpu=machine.first_gpu() is not None).count


def trained_rows(recipe: TransferRecipe, inputs: Inputs) -> int:
    """Samples and what is mixed from them."""
    count = max(_samples(recipe, inputs), len(inputs.unlabelled))
    return round(count * (1 + recipe.synthesis.mixed if mixes(recipe, inputs) else 1))


def parameters(reference: str) -> int | None:
    """How many values a base has: from the catalogue, else from its weights on disk."""
    entry = catalogue_entry(reference)
    if entry is not None:
        return entry.parameters
    folder = None
    with suppress(ModelError):  # it is gone
        folder = references.ready(reference)
    files = folder.glob("*.safetensors") if folder else ()
    return sum(path.stat().st_size for path in files) // 2 or None


def catalogue_entry(reference: str) -> references.CatalogueEntry | None:
    """What the catalogue says of a base; None where it has none."""
    return next((row for row in references.CATALOGUE if row.reference == reference), None)
