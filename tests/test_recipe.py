"""Presets on recipes."""

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
