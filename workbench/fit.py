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
_SAMPLE_TOKENS = 24
_ROW_TOKENS = 64
_ANSWER_TOKENS = 8
# Useful share of the machine's matrix speed, by kind of work.
_DECODING, _SCORING, _TRAINING = 0.10, 0.45, 0.35


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
    speed = matrix_speed()
    both = _PROCESS_BYTES + 2 * source + _target_bytes(recipe, target)
    writer = target if recipe.synthesis.generator == "target" else source
    written = recipe.synthesis.samples / _KEPT_SHARE * _SAMPLE_TOKENS
    judged = recipe.synthesis.samples / _KEPT_SHARE * _ROW_TOKENS
    writing = 2 * writer * written / (speed * _DECODING)
    writing += 2 * 2 * source * judged / (speed * _SCORING)
    labelling = 2 * source * recipe.synthesis.samples * _ROW_TOKENS / (speed * _SCORING)
    steps_rows = recipe.synthesis.samples * recipe.training.epochs
    training = 6 * target * steps_rows * _ROW_TOKENS / (speed * _TRAINING)
    activations = int(_ACTIVATION_BYTES_PER_PARAMETER * target)
    rows = len(inputs.evaluation[: recipe.evaluation.max_rows or None])
    answers = 2 * (2 * source + 3 * target) * rows * (_ROW_TOKENS / _SCORING)
    answers += 2 * (2 * source + 3 * target) * rows * (_ANSWER_TOKENS / _DECODING)
    load = (source + target) * 2 / 400e6  # reading weights, at 400 MB a second
    return [
        ("Write and score samples", both, writing + load),
        ("Ask the teacher", both, labelling),
        ("Train the new adapter", both + activations, training),
        ("Compare", both, answers / speed),
    ]


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
    """Floating-point operations per second of a large matrix product; the best of a few tries."""
    size = 1024
    left = np.ones((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(4):
        begun = time.perf_counter()
        _ = left @ left
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best


def memory_free() -> int:
    """Bytes of memory that a new process could use on this machine."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
