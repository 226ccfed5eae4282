"""An output folder of a fleet with transfers in every state, made without any model."""

from pathlib import Path

from tests.ui import fake_run
from workbench.fleet import standing
from workbench.fleet.place import Copier, Place
from workbench.fleet.standing import DONE, FAILED, RUNNING, WAITING, Attempt, Measured, Standing

BASES = ("hub:old/smollm2-135m", "hub:new/gemma-3-270m")
LOST = Attempt("worker lost", "It ended without a word: killed, or its machine was lost.", 60)
BAD = Attempt("model", "The adapter has no layer that this base knows.", 2)


def measured(verdict: str, difference: float, p_value: float) -> Measured:
    """Of 210 rows; the source has 95 %."""
    low, high, new = difference - 0.02, difference + 0.02, 0.95 + difference
    numbers = (210, 0.95, new, new / 0.95, difference, low, high)
    return Measured(verdict, "A sentence.", "accuracy", *numbers, 3.0, p_value)


STANDINGS = (
    Standing("intents", "1", *BASES, "intents", DONE, measured=measured("inside", -0.005, 0.001)),
    Standing("dates", "2", *BASES, "dates", DONE, measured=measured("worse", -0.08, 0.9)),
    Standing("moods", "3", *BASES, "moods", DONE, measured=measured("cannot tell", -0.02, 0.2)),
    Standing("prices", "4", *BASES, "prices", DONE, measured=measured("better", 0.03, 0.0001)),
    Standing("letters", "5", *BASES, "letters", FAILED, attempts=(BAD,)),
    Standing("places", "6", *BASES, "places", RUNNING, stages=("synthesize", "label")),
    Standing("names", "7", *BASES, "names", WAITING, attempts=(LOST,)),
    Standing("songs", "8", "hub:old/llama-1b", BASES[1], "songs"),
)


def fleet(folder: Path) -> Place:
    """Standings alone, without the runs that they are about."""
    place = Place(str(folder))
    for one in STANDINGS:
        standing.write(place, one)
    return place


def with_a_run(place: Place, runs: Path) -> Standing:
    """Add a finished transfer with its run."""
    run = fake_run.finished(runs)
    Copier(place, run).copy()
    found = Standing(run.id, "9", *BASES, "Tickets", DONE, measured=standing.measured(run))
    return standing.write(place, found)
