"""What a transfer will need (download, disk, memory, time) before anything is started.

Memory comes from the shapes of the bases, with factors measured on the example on a processor;
rather too much than too little. Time comes from a quarter-second matrix product on this machine,
and is set right by what each step of earlier runs has taken here (``calibration``). On a GPU it is
told only after a run has been measured. Loads no model, asks no network.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from workbench import machine
from workbench.errors import ModelError
from workbench.fit.memory_need import GPU, memory_by_stage, processor
from workbench.fit.workload import catalogue_entry, operations, parameters
from workbench.inputs import Inputs
from workbench.machine import Gpu
from workbench.models import references
from workbench.recipe import TransferRecipe, override
from workbench.runs import calibration
from workbench.stages import Stage
from workbench.synthesis_plan import expected_writer

GOOD, BAD, UNSURE = "good", "bad", "unsure"

_BESIDE_GPU_BYTES = 3_000_000_000  # of ordinary memory where a GPU works: CUDA's libraries as well


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
    least, needs = memory_by_stage(recipe, inputs, source, target, GPU if taken else processor())
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
    work = operations(recipe, inputs)
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
    work = operations(with_samples(recipe, kept), inputs)
    if work.get(stage):
        place, who = machine.device_name(), expected_writer(recipe, inputs)
        calibration.remember(root, place, stage, who, seconds / work[stage])


def with_samples(recipe: TransferRecipe, kept: int) -> TransferRecipe:
    """The recipe, asking for as many samples as a run has kept of what was not mixed."""
    return override(recipe, {"synthesis.samples": max(kept, 1)})


def processor_seconds(recipe: TransferRecipe, inputs: Inputs) -> float:
    """All steps together on this machine's processor: a bound for a GPU of unknown speed."""
    return sum(operations(recipe, inputs).values()) / machine.matrix_speed()


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
        entry = catalogue_entry(reference)
        total += entry.download_bytes if entry else 0
        amount = f"{entry.download_bytes / 1e6:,.0f} MB" if entry else "an unknown amount"
        checks.append((UNSURE, f"{reference}: {amount} will be downloaded first"))
    free = shutil.disk_usage(Path.home()).free
    words = f"Disk: {free / 1e9:.0f} GB free"
    needed = 3 * total + 2_000_000_000
    checks.append((GOOD, words) if needed < free else (BAD, f"{words}, {needed / 1e9:.0f} needed"))
    return checks
