"""Who writes the inputs, where the gate is clear and where it is not."""

import pytest

from tests.test_pipeline import SEEDS, MakeRun, make_run  # noqa: F401  a fixture
from workbench.errors import RunError
from workbench.models.pair import Pair
from workbench.steps import writer_choice
from workbench.steps.writer_choice import choose_writer, gain_words


def choose(run, gain: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_choice, "learned_inputs", lambda run, pair: gain)
    return choose_writer(run, Pair(run.recipe, run.inputs))


@pytest.mark.parametrize(
    ("seeds", "gain", "writer"),
    [(6, 0.5, "own"), (6, 0.2, "label"), (6, 2.6, "own"), (0, 3.0, "own")],
)
def test_a_clear_gain_chooses(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    seeds: int,
    gain: float,
    writer: str,
) -> None:
    run = make_run(seeds=SEEDS[:seeds], synthesis__writer="auto")
    assert choose(run, gain, monkeypatch).writer == writer


def test_without_examples_an_unclear_gain_asks_for_three(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answer-only adapters gain up to 2.6 on the labels and queries that they write as inputs."""
    run = make_run(seeds=[], synthesis__writer="auto")
    with pytest.raises(RunError, match=r"not clear.*synthesis\.writer to own.*Add at least 3"):
        choose(run, 2.6, monkeypatch)
    with pytest.raises(RunError, match=r"answers only.*Add at least 3"):
        choose(run, 0.1, monkeypatch)
    assert "not clear" in gain_words(run, 2.6) and "seeds are optional" in gain_words(run, 3.0)
    run.put_examples("seeds", SEEDS[:2])  # two real inputs are enough to tell
    assert choose(run, 2.6, monkeypatch).writer == "own"


def test_a_person_who_knows_the_adapter_is_not_asked(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(seeds=[], synthesis__writer="own")
    assert choose(run, -5.0, monkeypatch).writer == "own"
