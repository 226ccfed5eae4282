"""``kill -9`` in slices of a lent GPU, by the hundred: the adapter is the undisturbed one."""

import random
from collections.abc import Callable

import pytest

from tests.jobs.spaces_stand_in import Spaces
from tests.jobs.test_slices import (
    MakeRun,
    begun,
    kill_again_and_again,
    make_run,
    one_thread,
    smooth,
    space,
)
from tests.test_pipeline import assert_same_outcome
from workbench.runs.folder import Run

__all__ = ["make_run", "one_thread", "smooth", "space"]  # fixtures
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
KILLS = 100


def test_slices_that_are_killed_again_and_again(
    make_run: MakeRun, smooth: Run, space: Spaces, count: Callable[..., None]
) -> None:
    chance, kills = random.Random(1), 0
    while kills < KILLS:
        run = begun(make_run(f"killed-{kills}"))
        space.kills = 0
        kill_again_and_again(run, space, chance, most=KILLS - kills)
        assert_same_outcome(run, smooth)
        assert space.kills, "it was no test of kills"
        kills += space.kills
    count("kills in slices", kills)
