"""Step 5: write the adapter bundle and result.json."""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import torch

from workbench import __version__, distill
from workbench.events import Event, Progress, StageFinished, StageStarted, Stopped
from workbench.export.bundle import write_bundle
from workbench.export.consent import inherits
from workbench.memory import peak_memory_bytes
from workbench.models import references
from workbench.models.pair import Pair
from workbench.runs.folder import Run
from workbench.samples import MIXED, REJECTED
from workbench.stages import Stage
from workbench.steps.comparison import load_student, summarise
from workbench.steps.distillation import newest_state
from workbench.steps.synthesis import filter_of
from workbench.synthesis_plan import CHOICE

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
_SETTLED = ("batch_rows", "learning_rate")  # by the number of rows, where the recipe leaves it open


def pack(run: Run, pair: Pair) -> Iterator[Event]:
    """result.json first, then folder and zip of the adapter under exports/."""
    yield Progress(Stage.EXPORT, 0, 1, "bundles")
    result = build_result(run) | {
        "answer_tokens": pair.target_answer_tokens,
        "answering": pair.target_form.for_people(),
    }
    run.write_result(result)
    load_student(run, pair)
    staging = run.exports / "adapter.part"
    shutil.rmtree(staging, ignore_errors=True)
    base = references.hub_id(run.recipe.target_base) or run.recipe.target_base
    pair.target.save_adapter(distill.STUDENT, staging, base)
    write_bundle(
        run.exports,
        adapter_folder=staging,
        recipe=run.recipe,
        result=result,
        samples=run.samples.kept(),
        inherited=inherits(run),
    )
    shutil.rmtree(staging)
    yield Progress(Stage.EXPORT, 1, 1, "bundles")


def build_result(run: Run) -> dict[str, Any]:
    """Everything that was measured, for people and programs; the shape is part of the interface."""
    finished = list(run.journal.all_of(StageFinished))
    samples = run.samples.all()
    kept = run.samples.kept()
    state = newest_state(run)
    return {
        "schema": 1,
        "run": run.id,
        "task_name": run.recipe.task_name,
        "preset": run.recipe.preset,
        "writer": run.recall(CHOICE),
        "filter": filter_of(run, run.recall(CHOICE, {}).get("writer", "list")),
        **summarise(run),
        "seconds": seconds_by_stage(run),
        "peak_memory_bytes": max(
            [peak_memory_bytes(), *(event.counts.get("peak_memory_bytes", 0) for event in finished)]
        ),
        "counts": {
            "seeds": len(run.inputs.seeds),
            "samples": len(samples),
            "mixed": sum(sample.origin in MIXED for sample in samples),
            "kept": len(kept),
            "rejected": sum(sample.status == REJECTED for sample in samples),
            "rounds": len(run.samples.rounds()),
            "edited": sum(sample.edited for sample in samples),
            "labels": len({sample.teacher_output for sample in kept}),
            "evaluation_rows": len(run.inputs.evaluation),
            "training_steps": state.step if state else 0,
        },
        "training": {name: state.meta.get(name) for name in _SETTLED} if state else {},
        "recipe_hash": run.recipe_hash(),
        "source": run.recipe.teacher,
        "adapter_sha256": run.inputs.adapter.sha256 if run.inputs.adapter else None,
        "versions": versions(),
        "seed": run.recipe.seed,
        "device": device(),
    }


def seconds_by_stage(run: Run) -> dict[str, float]:
    """Time worked on each stage, over all sessions, killed ones included: from the journal."""
    seconds: dict[str, float] = {}
    stage, previous, cursor = "", 0.0, 0
    while entries := run.journal.log(cursor):
        for entry in entries:
            cursor = entry.cursor
            if isinstance(entry.event, StageStarted):
                stage = entry.event.stage
            elif stage:  # nobody worked between the last event of a session and the next start
                seconds[stage] = seconds.get(stage, 0.0) + entry.at - previous
            previous = entry.at
            if isinstance(entry.event, StageFinished | Stopped):
                stage = ""
    return seconds


def device() -> dict[str, Any]:
    """What the numbers were reckoned on, and whether its kernels were held to one order."""
    gpu = torch.cuda.is_available()
    return {
        "name": torch.cuda.get_device_name() if gpu else "cpu",
        "cuda": torch.version.cuda if gpu else None,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    """Of this program, Python, the machine's kind and the packages that decide numbers."""
    return {
        "workbench": __version__,
        "python": sys.version.split()[0],
        "machine": platform.machine(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
