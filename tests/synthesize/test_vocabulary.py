"""Words of a vocabulary in the place of half a seed."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from workbench.samples import normalise
from workbench.synthesize.vocabulary import frequent_words, put_words

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
