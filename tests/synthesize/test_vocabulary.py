"""Words of a vocabulary."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from workbench.synthesize.vocabulary import frequent_words

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
