"""Crossing known inputs."""

from pathlib import Path

import pytest
from workbench.synthesize.answers import Pair
from workbench.synthesize.grafts import cross, swap, write_values

from workbench.models.resident import load
from workbench.samples import normalise
from workbench.synthesize import by_label

TEXTS = ["add this song to my list", "is it going to rain tomorrow", "rate this book five stars"]
SEEDS = [Pair(text, text.split()[0]) for text in TEXTS]
PLAY = Pair("play something by queen", "play")


def test_grafts_are_new_repeatable_and_made_of_known_words() -> None:
    made = cross(SEEDS, [PLAY], 40, 3, {"add this book five to my list"})
    assert made == cross(SEEDS, [PLAY], 40, 3, set()) or len(made) == 40
    assert len({normalise(text) for text in made}) == len(made) == 40
    words = {word for text in [*TEXTS, PLAY.input] for word in text.split()}
    assert all(set(text.split()) <= words for text in made)
    assert cross(SEEDS, [], 40, 3, set()) != cross(SEEDS, [], 40, 4, set())


def test_what_is_known_is_not_made_again() -> None:
    first = cross(SEEDS, [], 20, 1, set())
    again = cross(SEEDS, [], 20, 1, {normalise(text) for text in first})
    assert not {normalise(t) for t in first} & {normalise(t) for t in again}


def test_too_little_to_cross_gives_few_or_none() -> None:
    assert cross([Pair("one", "1"), Pair("two", "2")], [], 5, 1, set()) == []
    assert len(cross([Pair("a b", "c")], [], 50, 1, set())) < 50


def test_seeds_stand_for_inputs_of_their_own_answer_only() -> None:
    seeds = [Pair("real one of a", "a")]
    written = [Pair(f"w{i} x{i} y{i} z{i}", "ab"[i % 2]) for i in range(100)]
    made = cross(seeds, written, 400, 1, set())
    of_seed = sum(bool({"real", "one", "of"} & set(text.split())) for text in made) / len(made)
    assert 0.25 < of_seed < 0.5, "host or donor: a quarter of the draws each, part of the words"
    never = cross([Pair("real one of a", "c")], written, 400, 1, set())
    assert sum("real" in text.split() for text in never) < 12, "one of 101 draws"


def test_words_that_tell_an_answer_stand_in_half_of_the_texts() -> None:
    made = cross(SEEDS, [PLAY], 200, 3, set(), [["shots", "jab"], ["freeze"]])
    counts = [sum(word in text.split() for text in made) for word in ("shots", "jab", "freeze")]
    assert 60 < sum(counts) < 140
    assert counts[2] > max(counts[:2]), "answers in turn, then their words"


def test_values_of_one_field_change_places() -> None:
    seeds = [Pair("play Lithium by Nirvana", '{"do": "start", "artist": "Nirvana"}')]
    written = [Pair("add Queen to it", '{"do": "list", "artist": "Queen"}'), Pair("hello", "hi")]
    known = {normalise(pair.input) for pair in seeds + written}
    made = swap(seeds, written, 10, 1, known, {})
    assert sorted(made) == ["add Nirvana to it", "play Lithium by Queen"]
    assert swap([Pair("hello", "hi")], [], 5, 1, set(), {}) == []


def test_new_values_take_the_place_of_those_of_their_field_only() -> None:
    seeds = [Pair("play Lithium by Nirvana", '{"artist": "Nirvana", "song": "Lithium"}')]
    made = swap(seeds, [], 50, 1, set(), {"artist": ["Queen", "Abba"], "city": ["Bonn"]})
    assert {"play Lithium by Queen", "play Lithium by Abba"} <= set(made)
    assert not any("Bonn" in text for text in made)


def test_values_are_asked_for_by_the_name_of_their_field(
    tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[str] = []
    real = by_label._prompt
    monkeypatch.setattr(
        by_label, "_prompt", lambda *given: prompts.append(real(*given)) or prompts[-1]
    )
    generator = load(tiny_target, device="cpu")
    songs = [
        Pair("play Lithium by Nirvana", '{"do": "start", "song": "Lithium", "artist": "Nirvana"}'),
        Pair("what is the time", "time"),
    ]
    values = write_values(generator, songs, 40, 12, 3)
    assert values == write_values(generator, songs, 40, 12, 3)
    assert sorted(values) == ["artist", "song"], "not what is decided, nor answers that are none"
    assert len(prompts) == 80
    assert {prompt.splitlines()[-1] for prompt in prompts} == {"### artist", "### song"}
    assert all("### song\nLithium\n" in p for p in prompts if p.endswith("### song\n"))
    assert any(values.values()), "random weights write something now and then"
    assert all(len(set(texts)) == len(texts) for texts in values.values())
    assert write_values(generator, songs[1:], 40, 12, 3) == {}
