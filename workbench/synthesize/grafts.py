"""Grafts: a span of one known input in the place of a span of another.

Most are nonsense, and nonsense with the teacher's answer still teaches where the teacher draws
its lines: model extraction with random text works nearly as well as with real text (Krishna et
al. 2020, arXiv 1910.12366). They cost no writing and keep the words and the manner of the seeds.

Where answers are objects with values from the input, values of the same field change places too,
and new values are written for each field by its name: a few tokens instead of a whole input.
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence

from workbench.models.resident import Resident
from workbench.samples import normalise
from workbench.synthesize.answers import Pair, copied_values
from workbench.synthesize.by_label import write

FROM_SEEDS = 0.5  # of the inputs that are crossed, where a seed has the answer
FROM_WORDS = 0.5  # of the texts, where there are words that tell an answer
SWAPPED = 0.75  # of the values in an input that others take the place of
TRIES = 20  # per graft, before fewer are made


def cross(
    seeds: Sequence[Pair],
    written: Sequence[Pair],
    count: int,
    seed: int,
    known: Collection[str],
    words: Sequence[Sequence[str]] = (),
) -> list[str]:
    """At most ``count`` new texts, none twice; a function of its arguments.

    A seed is crossed in the place of a written input of the same answer only. Otherwise a few seeds
    give half of all grafts their answers: with 150 answers and 15 seeds each answer of a seed had
    850 of 26,000 grafts, each other one 98.

    Args:
        seeds: inputs that are certainly real.
        written: other inputs of the task, about as many of every answer; may be empty.
        known: normalised inputs that are not made again.
        words: that tell an answer, by answer; each shelf has some. They take the place of a span
            in half of the texts.
    """
    draw = random.Random(f"{seed}:grafts")
    pool = [*seeds, *written]
    real: dict[str, list[str]] = {}
    for pair in seeds:
        real.setdefault(pair.answer, []).append(pair.input)
    made: dict[str, str] = {}
    for _ in range(TRIES * count):
        if len(made) == count:
            break
        host = _draw_input(draw, pool, real).split()
        if len(host) < 2:
            continue
        cut = draw.randint(1, len(host) // 2)
        at = draw.randint(0, len(host) - cut)
        if words and draw.random() < FROM_WORDS:
            span = [draw.choice(draw.choice(words))]
        else:
            span = _span(draw, _draw_input(draw, pool, real).split(), cut + 2)
        text = " ".join([*host[:at], *span, *host[at + cut :]])
        if normalise(text) not in known:
            made.setdefault(normalise(text), text)
    return list(made.values())


def _span(draw: random.Random, donor: Sequence[str], most: int) -> Sequence[str]:
    """At most so many neighbouring words of an input, and little more than half of it."""
    length = draw.randint(1, min(len(donor) // 2 + 1, most))
    start = draw.randint(0, len(donor) - length)
    return donor[start : start + length]


def _draw_input(
    draw: random.Random, pool: Sequence[Pair], real: Mapping[str, Sequence[str]]
) -> str:
    """An input of the pool, half of the time a real one of the same answer where there is one."""
    pair = draw.choice(pool)
    own = real.get(pair.answer)
    return draw.choice(own) if own and draw.random() < FROM_SEEDS else pair.input


def write_values(
    generator: Resident, pairs: Sequence[Pair], count: int, new_tokens: int, seed: int
) -> dict[str, list[str]]:
    """About ``count`` values for the fields that the answers copy, none twice per field.

    Args:
        generator: a plain language model, no adapter in use. It is shown values with the names of
            their fields and asked for another one of each name.
        pairs: with answers that are JSON objects; nothing is written without one.

    Returns:
        Values by name of field. Many do not fit; the teacher is asked about what is made of them.
    """
    known = [
        Pair(value, name)
        for pair in pairs
        for name, value in copied_values(pair.answer, pair.input).items()
    ]
    names = sorted({pair.answer for pair in known})
    if not names:
        return {}
    targets = names * math.ceil(count / len(names))
    values: dict[str, dict[str, None]] = {name: {} for name in names}
    for text in write(generator, known, [], targets, new_tokens, seed):
        if text.text and text.written_for:
            values[text.written_for][text.text] = None
    return {name: list(texts) for name, texts in values.items()}


def swap(
    seeds: Sequence[Pair],
    written: Sequence[Pair],
    count: int,
    seed: int,
    known: Collection[str],
    more_values: Mapping[str, Sequence[str]],
) -> list[str]:
    """At most ``count`` new texts: known inputs with other values of the same fields.

    Args:
        seeds, written: with answers that are JSON objects; others are passed over.
        known: normalised inputs that are not made again, theirs among them.
        more_values: by name of field, besides those of the other answers (``write_values``).
    """
    draw = random.Random(f"{seed}:swaps")
    hosts = [[(p.input, copied_values(p.answer, p.input)) for p in s] for s in (seeds, written)]
    hosts = [[host for host in some if host[1]] for some in hosts]
    of_seeds, of_written = hosts
    values = {name: list(texts) for name, texts in more_values.items()}
    for _, copied in of_seeds + of_written:
        for name, value in copied.items():
            values.setdefault(name, []).append(value)
    made: dict[str, str] = {}
    for _ in range(TRIES * count if values else 0):
        if len(made) == count:
            break
        from_seeds = of_seeds and (not of_written or draw.random() < FROM_SEEDS)
        text, copied = draw.choice(of_seeds if from_seeds else of_written)
        for name, value in copied.items():
            at = text.lower().find(value.lower())
            if at >= 0 and draw.random() < SWAPPED:
                text = text[:at] + draw.choice(values[name]) + text[at + len(value) :]
        if normalise(text) not in known:
            made.setdefault(normalise(text), text)
    return list(made.values())
