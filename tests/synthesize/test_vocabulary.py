"""Words of a vocabulary in the place of half a seed."""

from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from workbench.synthesize.answers import Pair

from workbench.samples import KEPT, WORD, Sample, normalise, sample_id
from workbench.synthesize.vocabulary import (
    frequent_words,
    in_turns,
    last_word,
    put_words,
    telling_words,
)

SEEDS = ["add this song to my list", "rain"]


def _byte_level(*pieces: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows these pieces, in this order, written as byte-level BPE does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: at for at, piece in enumerate([*alphabet, *pieces])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_words_are_whole_lower_case_and_of_the_seeds_script() -> None:
    tokenizer = _byte_level("Ġthe", "ing", "ĠParis", "Ġof", "Ġrain", "Ġw2x", "ĠÐ´Ð¾Ð¼", "ĠcafÃ©")
    assert frequent_words(tokenizer, SEEDS) == ["the", "rain", "café"]
    assert frequent_words(tokenizer, ["наш дом"]) == ["дом"]
    assert frequent_words(tokenizer, ["你好"]) == []


def test_a_real_vocabulary_has_words(tiny_source: Path) -> None:
    words = frequent_words(AutoTokenizer.from_pretrained(tiny_source), SEEDS)
    assert words == list(dict.fromkeys(words))
    assert all(word.isalpha() and len(word) >= 3 for word in words)


def test_each_word_stands_once_after_the_beginning_of_a_seed() -> None:
    words = ["cat", "dog", "sun"]
    made = put_words(words, SEEDS, 3, 1, set())
    assert made == put_words(words, SEEDS, 3, 1, set())
    assert sorted(w for text in made for w in text.split() if w in words) == words
    beginnings = {" ".join(seed.split()[:-1][:most]) for seed in SEEDS for most in (1, 2)}
    assert {" ".join(text.split()[:-1]) for text in made} <= beginnings
    again = put_words(words, SEEDS, 30, 1, {normalise(text) for text in made})
    assert len(again) > 3
    assert not {normalise(text) for text in made} & {normalise(text) for text in again}
    assert put_words([], SEEDS, 5, 1, set()) == []


def _asked(text: str, answer: str, confidence: float) -> Sample:
    sample = Sample(sample_id(text), text, WORD, round=1, status=KEPT)
    return replace(sample, teacher_output=answer, confidence=confidence)


def test_words_tell_an_answer_where_no_text_with_it_has_them() -> None:
    asked = [
        _asked("what shots", "vaccines", 0.9),
        _asked("do shot", "vaccines", 1.0),
        _asked("do vaccine", "vaccines", 1.0),  # a text with this answer has it
        _asked("what travel", "vaccines", 0.9),  # one with another answer has it
        _asked("what jab", "vaccines", 0.4),  # hardly told
        _asked("my zone", "zone", 1.0),  # no answer of the task
        _asked("i stop", "freeze", 0.8),
    ]
    pairs = [Pair("Which vaccine, please", "vaccines"), Pair("travel now", "alert")]
    told = telling_words(asked, {"vaccines", "freeze", "alert"}, pairs)
    words = {answer: [last_word(sample) for sample in of] for answer, of in told.items()}
    assert set(words) == {"vaccines", "freeze"}
    assert words["vaccines"][0] == "shot"
    assert set(words["vaccines"][1:]) == {"shots", "travel"}
    assert words["freeze"] == ["stop"]


def test_shelves_give_in_turns() -> None:
    assert in_turns([["a", "b", "c"], [], ["d"]]) == ["a", "d", "b", "c"]
