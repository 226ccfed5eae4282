"""Words that a model's tokenizer knows: what an input could be about, without any data.

After the beginning of a seed they make a teacher give answers that no seed has, also those whose
names never stand in an input ("shots" is about *vaccines*).
"""

import random
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from workbench.samples import Sample, normalise
from workbench.synthesize.answers import Pair
from workbench.synthesize.answers import words as words_of
from workbench.synthesize.mining import after_beginning

T = TypeVar("T")
MOST_FREQUENT = 8000  # words of a vocabulary that are used when fewer are enough
FEWEST_LETTERS = 3
LEAST_SURE = 0.5  # teacher's confidence in an answer from which a word tells it
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


def telling_words(
    asked: Iterable[Sample], known: Collection[str], pairs: Iterable[Pair]
) -> dict[str, list[Sample]]:
    """By answer, samples about words that tell it and that no input with it has, surest first.

    A writer does not use all the words that a teacher goes by: "shots" alone made one certain of
    *vaccines*, and none of 2,400 texts had it.

    Args:
        asked: samples that end with a word (``put_words``), with the teacher's answers.
        known: answers of the task.
        pairs: inputs with the teacher's answers that there are already.
    """
    used = {(pair.answer, word) for pair in pairs for word in words_of(pair.input)}
    telling: dict[str, list[Sample]] = {}
    for sample in sorted(asked, key=lambda sample: (-(sample.confidence or 0.0), sample.id)):
        answer = sample.teacher_output or ""
        is_sure = answer in known and (sample.confidence or 0.0) >= LEAST_SURE
        if is_sure and (answer, last_word(sample)) not in used:
            telling.setdefault(answer, []).append(sample)
    return telling


def last_word(sample: Sample) -> str:
    """The word that a sample of ``put_words`` asks about."""
    return sample.input.split()[-1]


def in_turns(shelves: Iterable[Sequence[T]]) -> list[T]:
    """The first of each shelf, then the second of each, and so on."""
    return [entry for turn in zip_longest(*shelves) for entry in turn if entry is not None]


def _script(char: str) -> str:
    """First word of the character's Unicode name: LATIN, CYRILLIC, CJK."""
    return unicodedata.name(char, "").split(" ")[0]
