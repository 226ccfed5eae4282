"""What a transfer will need: says more for more, and says when it does not fit."""

import pytest

from workbench import fit
from workbench.inputs import Inputs
from workbench.recipe import TransferRecipe, override
from workbench.samples import Example

INPUTS = Inputs(seeds=(Example("how much is left", "balance"),))


def test_more_work_takes_longer() -> None:
    little = fit.estimate(TransferRecipe(), INPUTS)
    changes = {"synthesis.samples": 3000, "training.epochs": 9}
    much = fit.estimate(override(TransferRecipe(), changes), INPUTS)
    assert much.seconds > 5 * little.seconds
    assert [name for name, _, _ in much.stages] == [name for name, _, _ in little.stages]


def test_four_bit_needs_less_memory() -> None:
    packed = fit.estimate(TransferRecipe(), INPUTS)
    whole = fit.estimate(override(TransferRecipe(), {"quantize_target": False}), INPUTS)
    assert packed.memory < whole.memory


def test_what_cannot_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "memory_free", lambda: 10**9)
    checks = fit.estimate(TransferRecipe(), INPUTS).checks
    assert checks[0][0] == fit.BAD and "1.0 GB free" in checks[0][1]


def test_unknown_bases_are_said_to_be_unknown() -> None:
    recipe = override(TransferRecipe(), {"target_base": "hub:someone/something"})
    sentences = [words for _, words in fit.estimate(recipe, INPUTS).checks]
    assert any("something is not known yet" in words for words in sentences)


def test_catalogue_says_how_large_a_base_is() -> None:
    assert fit.parameters("package:smollm2-135m-instruct") == pytest.approx(135e6, rel=0.05)
