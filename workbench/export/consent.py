"""Whether samples may leave this machine: some can be private rows, word for word.

An adapter that has learned its inputs (the source adapter, or a kit's writer) now and then writes
a row that it was trained on. A data set with its samples is handed out only when a person says
so; the new adapter goes without it.
"""

from collections.abc import Sequence

from workbench.errors import StageError
from workbench.runs.folder import Run
from workbench.runs.sample_queries import SampleFilter
from workbench.samples import REPEATING, Sample

# Whether inputs that a run was given were written so for an earlier run (a run's fact).
INHERITED = "inputs_may_repeat"


def may_repeat(samples: Sequence[Sample], inherited: bool = False) -> int:
    """How many of the samples may be rows that an adapter was trained on.

    Args:
        inherited: inputs that the run was given count as well.
    """
    return sum(sample.origin in _origins(inherited) for sample in samples)


def warning(run: Run) -> str:
    """What a person has to know before a run's samples leave; "" where there is nothing."""
    origins = _origins(inherits(run))
    return sentence(sum(run.samples.count(SampleFilter(origin=origin)) for origin in origins))


def sentence(count: int) -> str:
    """The same for so many samples that may be private rows."""
    if not count:
        return ""
    samples = "1 sample was" if count == 1 else f"{count:,} samples were"
    return (
        f"{samples} written by an adapter that has learned its inputs, and may be rows that it "
        "was trained on, word for word."
    )


def require(samples: Sequence[Sample], consent: bool, how: str, inherited: bool = False) -> None:
    """Raise StageError where samples may be private rows and nobody said that they may leave.

    Args:
        how: how to say so, a whole sentence.
    """
    if not consent and (said := sentence(may_repeat(samples, inherited))):
        raise StageError(f"{said} {how} The adapter itself goes without them.")


def inherits(run: Run) -> bool:
    """Whether the inputs that the run was given were written by such an adapter."""
    return bool(run.recall(INHERITED, False))


def _origins(inherited: bool) -> frozenset[str]:
    return REPEATING | {"user"} if inherited else REPEATING
