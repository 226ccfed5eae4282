"""What a transfer will need (download, disk, memory, time) before anything is started.

Rough by nature and said to be: memory from the shapes of the bases, time from a quarter-second
matrix product on this machine, both with factors measured on the example. Memory is that of a
processor, and rather too much than too little. Loads no model, asks no network.
"""

import functools
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.inputs import Inputs
from workbench.models import references
from workbench.recipe import TransferRecipe

GOOD, BAD, UNSURE = "good", "bad", "unsure"
WRITE, ASK = "Write and score samples", "Ask the teacher"
TRAIN, COMPARE = "Train the new adapter", "Compare"

# Memory, measured part by part on the example pair.
_PROCESS_BYTES = 1_000_000_000  # interpreter, torch and libraries 480 MB, two tokenizers, the rest
_FOUR_BIT_BYTES = 0.56  # NF4 with double quantisation, per weight of a linear layer
_DENSE_BYTES = 2**30  # see models.resident: what copies of 4-bit weights for decoding may take
_MAPPED_BYTES = 5_000_000_000  # of a 4-bit base's file: it stays mapped beside what is made of it
_VALUE_BYTES = 4.5  # that training keeps per token, for each value into or out of a linear layer
_LOGIT_BYTES = 14  # in bf16, in fp32, their softmax and gradients
_READ_LOGIT_BYTES = 10  # in bf16, in fp32 and their softmax, without gradients
_ROWS_SCORED = 64  # together
_ADAPTER_BYTES = 16  # weight, gradient and two moments
_BATCH_TOKENS, _BATCH_LOGITS = 1024, 2**26  # see models.batches
_LONGEST = 1.8  # the longest row of a batch, by the mean: all are padded to it
_FREED_SHARE = 0.3  # of freed memory, lost between allocations of other sizes
_VOCABULARY = 262_144  # of a base that is not on this machine yet: Gemma's, the largest
_SIZES = (
    *("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads"),
    "vocab_size",
)
# Time.
_KEPT_SHARE = 0.35  # of what is written; the rest is rejected or a duplicate
_CHARACTERS_PER_TOKEN = 4.0
_PROMPT_TOKENS = 16  # of template and turn marks
_ANSWER_TOKENS = 6
_MATRIX_SHARE = 0.5  # of a small model's parameters; the rest are embeddings, which are looked up
# Useful share of the machine's matrix speed, by kind of work.
_DECODING, _SCORING, _TRAINING = 0.25, 0.5, 0.6


@dataclass(frozen=True)
class Estimate:
    """Attributes:
    stages: (name, memory in bytes, seconds) in order.
    checks: (GOOD | BAD | UNSURE, sentence).
    """

    stages: tuple[tuple[str, int, float], ...]
    checks: tuple[tuple[str, str], ...]

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(stage[2] for stage in self.stages)

    @property
    def memory(self) -> int:
        """The largest need of any stage."""
        return max(stage[1] for stage in self.stages)


def estimate(recipe: TransferRecipe, inputs: Inputs) -> Estimate:
    """What this recipe needs on this machine."""
    source, target = parameters(recipe.source_base), parameters(recipe.target_base)
    times = _seconds(recipe, inputs, source or 1_000_000_000, target or 1_000_000_000)
    needs = _memory(recipe, inputs, source or 1_000_000_000, target or 1_000_000_000)
    stages = [(name, needs[name], seconds) for name, seconds in times.items()]
    memory = max(stage[1] for stage in stages)
    checks = [_memory_check(memory), *_download_checks(recipe)]
    for reference, known in ((recipe.source_base, source), (recipe.target_base, target)):
        if known is None:
            checks.append((UNSURE, f"The size of {reference} is not known yet: 1 B is assumed"))
    return Estimate(tuple(stages), tuple(checks))


def _seconds(recipe: TransferRecipe, inputs: Inputs, source: int, target: int) -> dict[str, float]:
    speed = matrix_speed() / _MATRIX_SHARE  # as if all parameters were multiplied
    writer = target if recipe.synthesis.generator == "target" else source
    item, row = _lengths(inputs)
    written = recipe.synthesis.samples / _KEPT_SHARE
    writing = 2 * writer * written * item / (speed * _DECODING)
    writing += 2 * 2 * source * written * row / (speed * _SCORING)
    labelling = 2 * source * recipe.synthesis.samples * row / (speed * _SCORING)
    # Forward, and backward through frozen weights: two products each.
    training = 4 * target * recipe.synthesis.samples * recipe.training.epochs * row
    training /= speed * _TRAINING
    rows = len(inputs.evaluation[: recipe.evaluation.max_rows or None])
    arms = 2 * (2 * source + 3 * target) * rows
    answers = arms * (row / _SCORING + _ANSWER_TOKENS / _DECODING)
    load = (source + target) * 2 / 400e6  # reading weights, at 400 MB a second
    return {WRITE: writing + load, ASK: labelling, TRAIN: training, COMPARE: answers / speed}


def _memory(recipe: TransferRecipe, inputs: Inputs, source: int, target: int) -> dict[str, int]:
    """Both bases stay loaded from the first stage to the last, and little is ever given back."""
    shapes = {"target": _shape(recipe.target_base, target)}
    shapes["source"] = _shape(recipe.source_base, source)
    both = _PROCESS_BYTES + 2 * source + _target_bytes(recipe, target, shapes["target"])
    item, row = _lengths(inputs)
    # Prompts of a round are read together; answers are scored in batches.
    synthesis, writer = recipe.synthesis, shapes[recipe.synthesis.generator]
    prompt = synthesis.seeds_per_prompt * item + _PROMPT_TOKENS
    reading = prompt * 2 * writer.widest + (2 * prompt) * 2 * writer.cached
    reading += _READ_LOGIT_BYTES * writer.vocabulary
    asked = _ROWS_SCORED * _ANSWER_TOKENS * shapes["source"].vocabulary
    scored = _BATCH_LOGITS if synthesis.method == "label" else min(_BATCH_LOGITS, asked)
    scoring = _READ_LOGIT_BYTES * scored
    writing = synthesis.prompts_per_round * reading + scoring
    # Each micro-batch of a training step is kept until its gradients are there.
    rows, shape = recipe.training.batch_rows, shapes["target"]
    kept = _VALUE_BYTES * shape.ends * min(_BATCH_TOKENS, rows * _LONGEST * row)
    kept += _LOGIT_BYTES * min(_BATCH_LOGITS, rows * _ANSWER_TOKENS * shape.vocabulary)
    adapter = _ADAPTER_BYTES * recipe.lora.rank * shape.ends
    return {
        WRITE: int(both + writing),
        ASK: int(both + scoring),
        TRAIN: int(both + max(writing, kept * (1 + _FREED_SHARE) + adapter)),
        COMPARE: int(both + scoring + kept * _FREED_SHARE + adapter),
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
    folder = references.ready(reference)
    try:
        text = (folder / "config.json").read_text(encoding="utf-8") if folder else "{}"
        config = json.loads(text)
        width, layers, inner, heads, vocabulary = (int(config[name]) for name in _SIZES)
        head = int(config.get("head_dim") or width / heads)
        pair = head * int(config.get("num_key_value_heads") or heads)
    except (OSError, ValueError, KeyError, TypeError):
        embeddings = int(min(0.62 * count, 300_000_000))
        # Width and depth grow together: 240,000 at 0.1 B, 2.5 million at 6.5 B.
        ends = 240e3 * ((count - embeddings) / 1e8) ** 0.57
        return _Shape(_VOCABULARY, embeddings, ends, ends / 18, ends / 10)
    # Queries, keys, values and output; gate, up and down.
    widest = 4 * width + 2 * head * heads + 2 * pair + 3 * width + 3 * inner
    return _Shape(vocabulary, vocabulary * width, layers * widest, widest, layers * 2 * pair)


def _lengths(inputs: Inputs) -> tuple[float, float]:
    """Tokens of an input as it is written, and of a row of prompt and answer."""
    seeds = inputs.seeds or inputs.evaluation[:50]
    characters = sum(len(seed.input) for seed in seeds) / len(seeds) if seeds else 80
    item = characters / _CHARACTERS_PER_TOKEN + 4
    return item, item + _PROMPT_TOKENS + _ANSWER_TOKENS


def _target_bytes(recipe: TransferRecipe, target: int, shape: _Shape) -> int:
    if not recipe.quantize_target:
        return 2 * target
    linear = max(0, target - shape.embeddings)
    dense = 2 * linear if 2 * linear <= _DENSE_BYTES else 0
    mapped = max(2 * shape.embeddings, min(2 * target, _MAPPED_BYTES))
    return int(mapped + _FOUR_BIT_BYTES * linear + dense)


def _memory_check(memory: int) -> tuple[str, str]:
    free = memory_free()
    needed = f"Memory: about {memory / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free"
    return (GOOD, needed) if memory < 0.9 * free else (BAD, f"{needed}. Close something first")


def _download_checks(recipe: TransferRecipe) -> list[tuple[str, str]]:
    checks = []
    total = 0
    for reference in dict.fromkeys((recipe.source_base, recipe.target_base)):
        if references.ready(reference) is not None:
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
    folder = references.ready(reference)
    if folder is None:
        return None
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) // 2 or None


def _catalogue(reference: str) -> references.CatalogueEntry | None:
    return next((row for row in references.CATALOGUE if row.reference == reference), None)


@functools.cache
def matrix_speed() -> float:
    """Floating-point operations per second of a large matrix product, by all cores together.

    Processor time is measured, not the clock's: another job on the machine does not make it slow.
    """
    size = 1024
    left = np.ones((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(4):
        begun = time.process_time()
        _ = left @ left
        best = min(best, time.process_time() - begun)
    return 2 * size**3 / best * (os.cpu_count() or 1)


def memory_free() -> int:
    """Bytes of memory that a new process could use on this machine."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
