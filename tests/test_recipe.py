"""Presets on recipes."""

from dataclasses import replace

import pytest

from workbench.recipe import PRESETS, TransferRecipe, override, recommended, with_preset


def test_a_preset_takes_the_place_of_the_former_one() -> None:
    """After "best" became the start, "balanced" left its method and its rates behind."""
    plain = TransferRecipe()
    best = recommended()
    assert (best.preset, best.synthesis.method) == ("best", "label")
    assert with_preset(best, "balanced") == plain
    for preset in PRESETS:
        assert with_preset(best, preset) == with_preset(plain, preset)


def test_what_no_preset_chose_stays() -> None:
    own = {"seed": 7, "synthesis.temperature": 1.2}
    chosen = with_preset(override(recommended(), own), "paper")
    assert chosen == override(with_preset(TransferRecipe(), "paper"), own)


def test_automatic_batches_grow_and_with_hard_labels_the_rate_with_their_root() -> None:
    best = with_preset(TransferRecipe(), "best").training
    few = best.settled(9600)
    assert few.batch_rows == 16
    more = best.settled(9601)
    assert more.batch_rows == 32
    assert more.learning_rate == pytest.approx(best.learning_rate * 2**0.5)
    assert best.settled(28_000).batch_rows == 64
    assert best.settled(10**7).batch_rows == 128
    assert best.settled(10**7, soft=True) == replace(best, batch_rows=128)
    assert few.settled(10**7) == few, "what was chosen stays"
