"""What a transfer will need (download, disk, memory, time) before anything is started.

Rough by nature and said to be: memory from parameter counts, time from a quarter-second matrix
product on this machine and factors measured on the example. Loads no model, asks no network.
"""

import functools
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

_PROCESS_BYTES = 700_000_000  # interpreter, torch, tokenizers
_ACTIVATION_BYTES_PER_PARAMETER = 3.0  # one micro-batch of training, measured on the example pair
_FOUR_BIT_BYTES = 0.56  # NF4 with double quantisation, per weight of a linear layer
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
    stages = _stages(recipe, inputs, source or 1_000_000_000, target or 1_000_000_000)
    memory = max(stage[1] for stage in stages)
    checks = [_memory_check(memory), *_download_checks(recipe)]
    for reference, known in ((recipe.source_base, source), (recipe.target_base, target)):
        if known is None:
            checks.append((UNSURE, f"The size of {reference} is not known yet: 1 B is assumed"))
    return Estimate(tuple(stages), tuple(checks))


def _stages(
    recipe: TransferRecipe, inputs: Inputs, source: int, target: int
) -> list[tuple[str, int, float]]:
    speed = matrix_speed() / _MATRIX_SHARE  # as if all parameters were multiplied
    both = _PROCESS_BYTES + 2 * source + _target_bytes(recipe, target)
    writer = target if recipe.synthesis.generator == "target" else source
    item, row = _lengths(inputs)
    written = recipe.synthesis.samples / _KEPT_SHARE
    writing = 2 * writer * written * item / (speed * _DECODING)
    writing += 2 * 2 * source * written * row / (speed * _SCORING)
    labelling = 2 * source * recipe.synthesis.samples * row / (speed * _SCORING)
    # Forward, and backward through frozen weights: two products each.
    training = 4 * target * recipe.synthesis.samples * recipe.training.epochs * row
    training /= speed * _TRAINING
    activations = int(_ACTIVATION_BYTES_PER_PARAMETER * target)
    rows = len(inputs.evaluation[: recipe.evaluation.max_rows or None])
    arms = 2 * (2 * source + 3 * target) * rows
    answers = arms * (row / _SCORING + _ANSWER_TOKENS / _DECODING)
    load = (source + target) * 2 / 400e6  # reading weights, at 400 MB a second
    return [
        ("Write and score samples", both, writing + load),
        ("Ask the teacher", both, labelling),
        ("Train the new adapter", both + activations, training),
        ("Compare", both, answers / speed),
    ]


def _lengths(inputs: Inputs) -> tuple[float, float]:
    """Tokens of an input as it is written, and of a row of prompt and answer."""
    seeds = inputs.seeds or inputs.evaluation[:50]
    characters = sum(len(seed.input) for seed in seeds) / len(seeds) if seeds else 80
    item = characters / _CHARACTERS_PER_TOKEN + 4
    return item, item + _PROMPT_TOKENS + _ANSWER_TOKENS


def _target_bytes(recipe: TransferRecipe, target: int) -> int:
    if not recipe.quantize_target:
        return 2 * target
    # Embeddings stay in 16 bits; small models are mostly embeddings.
    embeddings = min(0.62 * target, 300_000_000)
    return int(2 * embeddings + _FOUR_BIT_BYTES * (target - embeddings))


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
