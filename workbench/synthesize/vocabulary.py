"""Words that a model's tokenizer knows: what an input could be about, without any data."""

import unicodedata
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

MOST_FREQUENT = 8000  # words of a vocabulary that are used
FEWEST_LETTERS = 3
_WORD_BEGINS = ("Ġ", "▁")  # marks of byte-level and of SentencePiece vocabularies


def frequent_words(tokenizer: PreTrainedTokenizerBase, like: Sequence[str]) -> list[str]:
    """Lower-case words in the scripts of ``like``, frequent ones first.

    Vocabularies are learnt frequent pieces first, so their order is taken. Empty for scripts
    without spaces or tokenizers that mark no beginnings of words.
    """
    scripts = {_script(char) for text in like for char in text if char.isalpha()}
    found = []
    for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
        if not token.startswith(_WORD_BEGINS):
            continue
        word = tokenizer.convert_tokens_to_string([token]).strip()
        fits = len(word) >= FEWEST_LETTERS and word.isalpha() and word == word.lower()
        if fits and {_script(char) for char in word} <= scripts:
            found.append(word)
            if len(found) == MOST_FREQUENT:
                break
    return found


def _script(char: str) -> str:
    """First word of the character's Unicode name: LATIN, CYRILLIC, CJK."""
    return unicodedata.name(char, "").split(" ")[0]
