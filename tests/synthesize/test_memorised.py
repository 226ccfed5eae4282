"""How many written texts are rows that the writer was trained on."""

from workbench.synthesize.memorised import memorised

ROWS = ["Play some jazz", "what is the weather in oslo tomorrow", "book a table for two"]


def test_copies_near_copies_and_others_are_told_apart() -> None:
    texts = [
        "play some  JAZZ",
        "what is the weather in oslo tomorrows",
        "",
        "call my mother",
        "PLAY SOME JAZZ",
    ]
    found = memorised(texts, ROWS)
    assert (found.distinct, found.copied, found.near) == (3, 1, 1)
    assert found.closest[0] == ("PLAY SOME JAZZ", "Play some jazz", 100.0)
    assert "Of 3 different texts" in found.sentence()
    assert "1 are rows" in found.sentence()


def test_nothing_written_repeats_nothing() -> None:
    assert memorised(["", ""], ROWS).distinct == 0
