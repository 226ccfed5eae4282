"""What a transfer will need (download, disk, memory, time) before anything is started.

Memory comes from the shapes of the bases, with factors measured on the example on a processor;
rather too much than too little. Time comes from a quarter-second matrix product on this machine,
and is set right by what each step of earlier runs has taken here (``calibration``). On a GPU it is
told only after a run has been measured. Loads no model, asks no network.
"""

import shutil
import statistics
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workbench import machine
from workbench.errors import ModelError
from workbench.inputs import Inputs
from workbench.machine import Gpu
from workbench.models import references
from workbench.recipe import MODEL, PromptFormat, TransferRecipe, override
from workbench.runs import calibration
from workbench.stages import Stage
from workbench.synthesis_plan import expected_samples, expected_writer, mixes

GOOD, BAD, UNSURE = "good", "bad", "unsure"

# Memory, measured part by part on the example pair.
_PROCESS_BYTES = 1_000_000_000  # interpreter, torch and libraries 480 MB, two tokenizers, the rest
_FOUR_BIT_BYTES = 0.56  # NF4 with double quantisation, per weight of a linear layer
_VALUES_KEPT = 2.25  # that training keeps per token, for each into or out of a linear layer
_LOGIT_BYTES = 14  # in bf16, in fp32, their softmax and gradients
_READ_LOGIT_BYTES = 10  # in bf16, in fp32 and their softmax, without gradients
_ROWS_SCORED = 64  # together
_PROMPTS = 96  # of a round, where the recipe leaves it open
_ADAPTER_BYTES = 16  # weight, gradient and two moments
_LONGEST = 1.8  # the longest row of a batch, by the mean: all are padded to it
_FREED_SHARE = 0.3  # of freed memory, lost between allocations of other sizes
_VOCABULARY = 262_144  # of a base that is not on this machine yet: Gemma's, the largest
_SIZES = (
    *("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads"),
    "vocab_size",
)
_BESIDE_GPU_BYTES = 3_000_000_000  # of ordinary memory where a GPU works: CUDA's libraries as well


@dataclass(frozen=True)
class _Place:
    """Where the models are.

    Attributes:
        process_bytes: taken before there is a model.
        number_bytes: of a weight that is not in 4-bit; see models.resident.
        dense_bytes: what copies of 4-bit weights for decoding may take; see models.resident.
        mapped_bytes: of a 4-bit base's file: it stays mapped beside what is made of it.
        batch_tokens, batch_logits: see models.batches.
    """

    process_bytes: int
    number_bytes: int
    dense_bytes: int
    mapped_bytes: int
    batch_tokens: int
    batch_logits: int


# Context, kernels and their workspaces: some 600 MB.
_GPU = _Place(600_000_000, 2, 0, 0, 16384, 2**29)

# Time.
_HELD_OUT = 0.1  # of the samples, where there are no evaluation rows
# Of what is written; the rest is rejected or a duplicate. An adapter writes inputs as they were.
_KEPT_SHARE = {"kit": 0.95, "own": 0.95, "label": 0.5, "list": 0.35}
_CHARACTERS_PER_TOKEN = 4.0
_PROMPT_TOKENS = 16  # of template and turn marks
_PADDED = 1.4  # of training's rows: all of a batch are as long as its longest
_ANSWER_TOKENS = 6
_MATRIX_SHARE = 0.5  # of a small model's parameters; the rest are embeddings, which are looked up
# Useful share of the machine's matrix speed, by kind of work.
_DECODING, _SCORING, _TRAINING = 0.25, 0.5, 0.6
_LOADING = 1000  # rows for which a parameter is multiplied in the time that it takes to load


@dataclass(frozen=True)
class Need:
    """What one stage takes.

    Attributes:
        memory: bytes of the machine's memory.
        gpu_memory: bytes of the GPU's; 0 without one.
        seconds: None on a GPU: not known.
    """

    stage: Stage
    memory: int
    gpu_memory: int
    seconds: float | None


@dataclass(frozen=True)
class Estimate:
    """Attributes:
    stages: in order.
    checks: (GOOD | BAD | UNSURE, sentence).
    gpu: the one that a worker would take; None where it works on the processor.
    calibrated: the times rest on what steps have taken on this machine.
    """

    stages: tuple[Need, ...]
    checks: tuple[tuple[str, str], ...]
    gpu: Gpu | None = None
    calibrated: bool = False

    @property
    def seconds_by_stage(self) -> dict[Stage, float]:
        """Seconds of each step; {} where they are not known."""
        known = {n.stage: n.seconds for n in self.stages if n.seconds is not None}
        return known if len(known) == len(self.stages) else {}

    @property
    def memory(self) -> int:
        """The largest need of any stage, in bytes of the machine's memory."""
        return max(stage.memory for stage in self.stages)


def estimate(recipe: TransferRecipe, inputs: Inputs, root: Path | None = None) -> Estimate:
    """What this recipe needs on this machine.

    Args:
        root: folder of runs, which keeps what steps have taken here; None knows of none.
    """
    sizes = parameters(recipe.source_base), parameters(recipe.target_base)
    source, target = (size or 1_000_000_000 for size in sizes)
    taken = machine.first_gpu()
    times, measured = _times(recipe, inputs, root, taken)
    least, needs = _memory(recipe, inputs, source, target, _GPU if taken else _processor())
    stages = [
        Need(stage, _BESIDE_GPU_BYTES, need, times.get(stage))
        if taken
        else Need(stage, need, 0, times.get(stage))
        for stage, need in needs.items()
    ]
    checks = [_memory_check(max(stage.memory for stage in stages))]
    if taken:
        checks.append(_gpu_check(taken, least, max(needs.values())))
    checks += _download_checks(recipe)
    for reference, known in zip((recipe.source_base, recipe.target_base), sizes, strict=True):
        if known is None:
            checks.append((UNSURE, f"The size of {reference} is not known yet: 1 B is assumed"))
    if not times:
        checks.append((UNSURE, "Time on this GPU is known after a first run"))
    return Estimate(tuple(stages), tuple(checks), taken, measured)


def _times(
    recipe: TransferRecipe, inputs: Inputs, root: Path | None, taken: Gpu | None
) -> tuple[dict[Stage, float], bool]:
    """Seconds of each step, and whether they were measured here; {} on an unmeasured GPU."""
    place, who = machine.device_name(), expected_writer(recipe, inputs)
    work = _work(recipe, inputs)
    paces = {stage: calibration.pace(root, place, stage, who) if root else None for stage in work}
    measured = all(paces[stage] for stage, amount in work.items() if amount)
    if taken is not None and not measured:
        return {}, False
    guess = 0.0 if measured else 1 / machine.matrix_speed()
    return {stage: amount * (paces[stage] or guess) for stage, amount in work.items()}, measured


def remember(
    root: Path, recipe: TransferRecipe, inputs: Inputs, stage: Stage, seconds: float, kept: int
) -> None:
    """Keep what a whole step has taken, for later estimates.

    Args:
        kept: samples that there are, which may be others than were expected.
    """
    work = _work(with_samples(recipe, kept), inputs)
    if work.get(stage):
        place, who = machine.device_name(), expected_writer(recipe, inputs)
        calibration.remember(root, place, stage, who, seconds / work[stage])


def with_samples(recipe: TransferRecipe, kept: int) -> TransferRecipe:
    """The recipe, asking for as many samples as a run has kept of what was not mixed."""
    return override(recipe, {"synthesis.samples": max(kept, 1)})


def processor_seconds(recipe: TransferRecipe, inputs: Inputs) -> float:
    """All steps together on this machine's processor: a bound for a GPU of unknown speed."""
    return sum(_work(recipe, inputs).values()) / machine.matrix_speed()


def _work(recipe: TransferRecipe, inputs: Inputs) -> dict[Stage, float]:
    """What each step takes, in operations of a large matrix product that would take as long."""
    sizes = {
        "source": parameters(recipe.source_base) or 1_000_000_000,
        "target": parameters(recipe.target_base) or 1_000_000_000,
    }
    source, target = sizes["source"], sizes["target"]
    who = expected_writer(recipe, inputs)
    writer = source if who in ("kit", "own") else sizes[recipe.synthesis.generator]
    item, row, answer = _lengths(inputs)
    reading, writing = row / _SCORING, answer / _DECODING  # of a row, its answer
    own, count = len(inputs.unlabelled), _samples(recipe, inputs)
    written = max(0, count - own) / _KEPT_SHARE[who]
    rows = _trained_rows(recipe, inputs)
    # Everything new is answered, and scored where something scores it.
    replies = written + own + (rows - max(count, own))
    training = _PADDED * _trained_row(recipe.target_format, inputs) / _TRAINING
    unanswered = sum(seed.output is None for seed in inputs.seeds)
    alone, bare = recipe.teacher == MODEL, recipe.evaluation.base_arms
    asked = len(inputs.evaluation[: recipe.evaluation.max_rows or None])
    if any(example.answers for example in inputs.evaluation):
        # Both adapters; the bases without them, of which one reads examples too.
        models = source + target
        models += bare * ((0 if alone else source) + (2 if inputs.seeds else 1) * target)
    else:  # the source's own answers and two samples of them; it reads both sides' texts twice
        asked = asked or max(1, round(_HELD_OUT * rows))
        models = (3 + 4 * _DECODING) * source + (1 + bare) * target
    operations = {
        Stage.SYNTHESIZE: _LOADING * source
        + writer * written * item / _DECODING
        + source * replies * (2 * reading + writing),
        Stage.LABEL: source * unanswered * (reading + writing),
        # Forward, and backward through frozen weights: two products each.
        Stage.DISTIL: _LOADING * target + 2 * target * rows * recipe.training.epochs * training,
        Stage.EVALUATE: models * asked * (reading + writing),
    }
    # Two for each parameter that is multiplied.
    return {stage: 2 * _MATRIX_SHARE * amount for stage, amount in operations.items()}


def _memory(
    recipe: TransferRecipe, inputs: Inputs, source: int, target: int, place: _Place
) -> tuple[int, dict[Stage, int]]:
    """Bytes that cannot be done without (batches may shrink, models not), and by stage.

    Both bases stay loaded from the first stage to the last, and little is ever given back.
    """
    shapes = {"target": _shape(recipe.target_base, target)}
    shapes["source"] = _shape(recipe.source_base, source)
    number = place.number_bytes
    both = place.process_bytes + number * source
    both += _target_bytes(recipe, target, shapes["target"], place)
    item, row, answer = _lengths(inputs)
    # Prompts of a round are read together; answers are scored in batches.
    synthesis, writer = recipe.synthesis, shapes[recipe.synthesis.generator]
    prompt = synthesis.seeds_per_prompt * item + _PROMPT_TOKENS
    reading = prompt * number * writer.widest + (2 * prompt) * number * writer.cached
    reading += _READ_LOGIT_BYTES * writer.vocabulary
    asked = _ROWS_SCORED * answer * shapes["source"].vocabulary
    most = place.batch_logits
    scoring = _READ_LOGIT_BYTES * (
        most if expected_writer(recipe, inputs) == "label" else min(most, asked)
    )
    writing = (synthesis.prompts_per_round or _PROMPTS) * reading + scoring
    # Each micro-batch of a training step is kept until its gradients are there.
    rows = recipe.training.settled(_trained_rows(recipe, inputs)).batch_rows
    shape = shapes["target"]
    kept = _VALUES_KEPT * number * shape.ends * min(place.batch_tokens, rows * _LONGEST * row)
    kept += _LOGIT_BYTES * min(most, rows * answer * shape.vocabulary)
    adapter = _ADAPTER_BYTES * recipe.student.rank * shape.ends
    return int(both + adapter), {
        Stage.SYNTHESIZE: int(both + writing),
        Stage.LABEL: int(both + scoring),
        Stage.DISTIL: int(both + max(writing, kept * (1 + _FREED_SHARE) + adapter)),
        Stage.EVALUATE: int(both + scoring + kept * _FREED_SHARE + adapter),
    }


@dataclass(frozen=True)
class _Shape:
    """Attributes:
    vocabulary: tokens.
    embeddings: parameters that are no linear layer's.
    ends: values that go into and come out of all linear layers, per token.
    widest: the same of one layer of the model.
    cached: keys and values per token.
    """

    vocabulary: int
    embeddings: int
    ends: float
    widest: float
    cached: float


def _shape(reference: str, count: int) -> _Shape:
    """From the base's config.json where it is on this machine, else as bases of its size have."""
    config = references.text_config(reference)
    try:
        width, layers, inner, heads, vocabulary = (int(config[name]) for name in _SIZES)
        head = int(config.get("head_dim") or width / heads)
        pair = head * int(config.get("num_key_value_heads") or heads)
    except (ValueError, KeyError, TypeError):
        embeddings = int(min(0.62 * count, 300_000_000))
        # Width and depth grow together: 240,000 at 0.1 B, 2.5 million at 6.5 B.
        ends = 240e3 * ((count - embeddings) / 1e8) ** 0.57
        return _Shape(_VOCABULARY, embeddings, ends, ends / 18, ends / 10)
    # Queries, keys, values and output; gate, up and down.
    widest = 4 * width + 2 * head * heads + 2 * pair + 3 * width + 3 * inner
    return _Shape(vocabulary, vocabulary * width, layers * widest, widest, layers * 2 * pair)


def _characters(inputs: Inputs) -> tuple[float, float]:
    """Mean length of an input, 80 where none is known, and of an answer, 0 where none is."""
    seeds = inputs.seeds or inputs.evaluation[:50]
    given = [len(seed.input) for seed in seeds]
    answered = [len(seed.output) for seed in seeds if seed.output]
    return statistics.fmean(given or [80]), statistics.fmean(answered or [0])


def _lengths(inputs: Inputs) -> tuple[float, float, float]:
    """Tokens of an input as it is written, of a row of prompt and answer, and of the answer."""
    given, answered = _characters(inputs)
    item = given / _CHARACTERS_PER_TOKEN + 4
    answer = max(_ANSWER_TOKENS, answered / _CHARACTERS_PER_TOKEN + 1)
    return item, item + _PROMPT_TOKENS + answer, answer


def _trained_row(form: PromptFormat, inputs: Inputs) -> float:
    """Tokens of an input in its prompt with its answer, by the seeds."""
    given, answered = _characters(inputs)
    given += len(form.template) - len("{input}") + len(form.system or "")
    prompt = given / _CHARACTERS_PER_TOKEN + (_PROMPT_TOKENS if form.kind == "chat" else 1)
    return prompt + (answered / _CHARACTERS_PER_TOKEN + 1 if answered else _ANSWER_TOKENS)


def _samples(recipe: TransferRecipe, inputs: Inputs) -> int:
    """Samples that are written, people's own inputs among them."""
    return expected_samples(recipe, inputs, on_gpu=machine.first_gpu() is not None).count


def _trained_rows(recipe: TransferRecipe, inputs: Inputs) -> int:
    """Samples and what is mixed from them."""
    count = max(_samples(recipe, inputs), len(inputs.unlabelled))
    return round(count * (1 + recipe.synthesis.mixed if mixes(recipe, inputs) else 1))


def _processor() -> _Place:
    return _Place(_PROCESS_BYTES, machine.number_bytes(), 2**30, 5_000_000_000, 1024, 2**26)


def _target_bytes(recipe: TransferRecipe, target: int, shape: _Shape, place: _Place) -> int:
    number = place.number_bytes
    if not recipe.quantize_target:
        return number * target
    linear = max(0, target - shape.embeddings)
    dense = number * linear if number * linear <= place.dense_bytes else 0
    mapped = max(number * shape.embeddings, min(2 * target, place.mapped_bytes))
    return int(mapped + _FOUR_BIT_BYTES * linear + dense)


def _memory_check(memory: int) -> tuple[str, str]:
    free = machine.memory_free()
    needed = f"Memory: about {memory / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
    return (GOOD, needed) if memory < 0.9 * free else (BAD, f"{needed}. Close something first")


def _gpu_check(taken: Gpu, least: int, most: int) -> tuple[str, str]:
    words = (
        f"GPU memory: about {most / 1e9:.1f} GB needed, {taken.free_bytes / 1e9:.1f} of "
        f"{taken.total_bytes / 1e9:.1f} GB free ({taken.name})"
    )
    if most < 0.9 * taken.free_bytes:
        return GOOD, words
    if least < 0.9 * taken.free_bytes:
        return UNSURE, f"{words}. Batches will be made smaller where they do not fit"
    return BAD, f"{words}. The bases alone take {least / 1e9:.1f} GB: choose smaller ones"


def _download_checks(recipe: TransferRecipe) -> list[tuple[str, str]]:
    checks = []
    total = 0
    for reference in dict.fromkeys((recipe.source_base, recipe.target_base)):
        try:
            there = references.ready(reference) is not None
        except ModelError as error:
            checks.append((BAD, error.message))
            continue
        if there:
            checks.append((GOOD, f"{reference}: weights are on this machine"))
            continue
        entry = _catalogue(reference)
        total += entry.download_bytes if entry else 0
        amount = f"{entry.download_bytes / 1e6:,.0f} MB" if entry else "an unknown amount"
        checks.append((UNSURE, f"{reference}: {amount} will be downloaded first"))
    free = shutil.disk_usage(Path.home()).free
    words = f"Disk: {free / 1e9:.0f} GB free"
    needed = 3 * total + 2_000_000_000
    checks.append((GOOD, words) if needed < free else (BAD, f"{words}, {needed / 1e9:.0f} needed"))
    return checks


def parameters(reference: str) -> int | None:
    """How many values a base has: from the catalogue, else from its weights on disk."""
    entry = _catalogue(reference)
    if entry is not None:
        return entry.parameters
    folder = None
    with suppress(ModelError):  # it is gone
        folder = references.ready(reference)
    files = folder.glob("*.safetensors") if folder else ()
    return sum(path.stat().st_size for path in files) // 2 or None


def _catalogue(reference: str) -> references.CatalogueEntry | None:
    return next((row for row in references.CATALOGUE if row.reference == reference), None)
