"""The example in slices of 60 seconds, with the real pair: the adapter is the one without slices.

Some fifteen minutes of two cores: ``pytest -m journey -s tests/real/test_slices.py`` prints how
many slices it took.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.spaces_stand_in import Spaces, a_space, without_emulation
from tests.jobs.test_slices import begun, work_off
from tests.reliability.dying import in_child
from tests.test_pipeline import assert_same_outcome
from workbench import jobs
from workbench import recipe as recipes
from workbench.intake.kit import read_kit
from workbench.jobs import slices
from workbench.pipeline import advance
from workbench.runs.folder import Run, create, open_run

pytestmark = [pytest.mark.real, pytest.mark.journey, pytest.mark.timeout(7200)]

KIT = Path(__file__).resolve().parents[2] / "assets" / "example-kit.zip"
# Every step is long enough to be cut by the end of a slice.
SMALLER = {"synthesis.samples": 300, "training.epochs": 2, "training.checkpoint_steps": 10}


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spaces]:
    monkeypatch.setattr(slices, "_lender", None)
    with a_space(most=60.0) as space:
        slices.use(space.GPU)
        yield space


def test_slices_of_a_minute_end_with_the_same_adapter(tmp_path: Path, space: Spaces) -> None:
    kit = read_kit(KIT, tmp_path / "kit")
    recipe = recipes.with_preset(kit.recipe_from(recipes.recommended()), "best")
    recipe = recipes.override(recipe, SMALLER)
    sliced, smooth = (
        create(tmp_path / "runs", recipe, id=name, inputs=kit.inputs)
        for name in ("sliced", "smooth")
    )
    assert in_child(lambda: _at_one_go(smooth)) == 0
    count = work_off(begun(sliced))
    state = jobs.state(sliced)
    assert state.state == "finished", state.message
    print(f"{count} slices of at most 60 seconds, {space.kills} of them cut off")
    assert count >= 3, "it was no test of slices"
    assert_same_outcome(sliced, smooth)


def _at_one_go(run: Run) -> None:
    """In a process of its own, as slices are."""
    without_emulation()
    for _ in advance(open_run(run.folder)):
        pass
