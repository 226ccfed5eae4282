"""What a transfer will need: says more for more, and says when it does not fit."""

import json
from pathlib import Path

import pytest

from workbench import fit
from workbench.inputs import Inputs
from workbench.intake.kit import read_kit
from workbench.models import references
from workbench.recipe import TransferRecipe, override
from workbench.samples import Example

KIT = Path(__file__).resolve().parents[1] / "assets" / "example-kit.zip"
INPUTS = Inputs(seeds=(Example("how much is left", "balance"),))


def test_more_work_takes_longer() -> None:
    little = fit.estimate(TransferRecipe(), INPUTS)
    changes = {"synthesis.samples": 3000, "training.epochs": 9}
    much = fit.estimate(override(TransferRecipe(), changes), INPUTS)
    assert much.seconds > 5 * little.seconds
    assert [name for name, _, _ in much.stages] == [name for name, _, _ in little.stages]


# Of the two bases' config.json: what decides their need.
CONFIGS = {
    "package:smollm2-135m-instruct": {
        "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "head_dim": 64,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
    },
    "package:gemma-3-270m": {
        "hidden_size": 640, "num_hidden_layers": 18, "intermediate_size": 2048, "head_dim": 256,
        "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 262144,
    },
}  # fmt: skip
BEST = {"synthesis.method": "label", "synthesis.samples": 600, "synthesis.prompts_per_round": 96}


@pytest.mark.parametrize(
    ("changes", "writing", "training"),
    [
        ({"synthesis.samples": 40}, 2_206_928_896, 3_462_184_960),
        (BEST, 3_425_972_224, 3_922_505_728),
    ],
    ids=["balanced", "best"],
)
def test_memory_is_what_the_example_used_or_a_little_more(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    changes: dict[str, object],
    writing: int,
    training: int,
) -> None:
    """Peaks of real runs of the example on a processor. It said 2.2 GB where 4.0 GB were used."""
    for reference, config in CONFIGS.items():
        folder = tmp_path / reference
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(references, "ready", lambda reference: tmp_path / reference)
    kit = read_kit(KIT, tmp_path)
    told = fit.estimate(override(TransferRecipe(), changes), kit.inputs)
    needs = {name: memory for name, memory, _ in told.stages}
    assert 1.0 <= needs[fit.WRITE] / writing <= 1.25
    assert 1.0 <= needs[fit.TRAIN] / training <= 1.25


def test_memory_of_a_base_that_is_not_here_yet_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "ready", lambda reference: None)
    told = fit.estimate(TransferRecipe(), INPUTS)
    assert 3.2e9 < told.memory < 5e9


def test_large_bases_need_less_memory_in_four_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one does not on a processor: its file stays mapped beside what is made of it."""
    monkeypatch.setattr(fit, "parameters", lambda reference: 7_000_000_000)
    monkeypatch.setattr(references, "ready", lambda reference: None)
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
