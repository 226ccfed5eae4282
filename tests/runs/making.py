"""Runs and samples for the tests of this room and of jobs."""

from pathlib import Path

from workbench.events import RoundFinished
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run, create
from workbench.samples import KEPT, Sample, sample_id


def a_run(root: Path, **settings: object) -> Run:
    """A draft under ``root``."""
    return create(root, TransferRecipe(**settings), "a run")  # type: ignore[arg-type]


def a_sample(text: str, **fields: object) -> Sample:
    """A kept sample of the target with this input."""
    return Sample(sample_id(text), text, "target", 0, **({"status": KEPT} | fields))  # type: ignore[arg-type]


def a_round(number: int, made: int = 0) -> RoundFinished:
    """The event of a round."""
    return RoundFinished(number, made=made, kept=made, rejected=0, duplicates=0, copied=0, empty=0)


def with_samples(root: Path, *samples: Sample) -> Run:
    """A run whose first round brought these samples."""
    run = a_run(root)
    run.samples.commit_round(0, samples, a_round(0, len(samples)))
    return run
