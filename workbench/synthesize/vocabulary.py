"""Words that a model's tokenizer knows: what an input could be about, without any data.

After the beginning of a seed they make a teacher give answers that no seed has, also those whose
names never stand in an input ("shots" is about *vaccines*).
"""

import random
import unicodedata
from collections.abc import Collection, Sequence

from transformers import PreTrainedTokenizerBase

from workbench.samples import normalise
from workbench.synthesize.mining import after_beginning

MOST_FREQUENT = 8000  # words of a vocabulary that are used when fewer are enough
FEWEST_LETTERS = 3
WORD_BEGINS = ("Ġ", "▁")  # marks of byte-level and of SentencePiece vocabularies


def frequent_words(
    tokenizer: PreTrainedTokenizerBase, like: Sequence[str], most: int = MOST_FREQUENT
) -> list[str]:
    """Lower-case words in the scripts of ``like``, frequent ones first, at most ``most``.

    Vocabularies are learnt frequent pieces first, so their order is taken. Empty for scripts
    without spaces or tokenizers that mark no beginnings of words.
    """
    scripts = {_script(char) for text in like for char in text if char.isalpha()}
    found = []
    for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
        if not token.startswith(WORD_BEGINS):
            continue
        word = tokenizer.convert_tokens_to_string([token]).strip()
        fits = len(word) >= FEWEST_LETTERS and word.isalpha() and word == word.lower()
        if fits and {_script(char) for char in word} <= scripts:
            found.append(word)
            if len(found) == most:
                break
    return found


def put_words(
    words: Sequence[str], inputs: Sequence[str], count: int, seed: int, known: Collection[str]
) -> list[str]:
    """At most ``count`` new texts: beginnings of inputs with one word after them.

    Args:
        words: each is used once before any is used twice.
        known: normalised inputs that are not made again.
    """
    if not words:
        return []
    draw = random.Random(f"{seed}:words")
    order: list[str] = []
    while len(order) < count:
        order += draw.sample(words, len(words))
    made: dict[str, str] = {}
    for word in order[:count]:
        text = after_beginning(draw.choice(inputs), word, draw)
        if normalise(text) not in known:
            made.setdefault(normalise(text), text)
    return list(made.values())


def _script(char: str) -> str:
    """First word of the character's Unicode name: LATIN, CYRILLIC, CJK."""
    return unicodedata.name(char, "").split(" ")[0]
