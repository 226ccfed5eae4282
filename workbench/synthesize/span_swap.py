"""Span-swap augmentation: a span of one input in the place of a span of another.

Most are nonsense, and nonsense with the teacher's answer still teaches where the teacher draws
its lines: model extraction with random text works nearly as well as with real text (Krishna et
al. 2020, arXiv 1910.12366). They cost no writing and keep the words and the manner of the seeds.
"""

import random
from collections.abc import Collection, Mapping, Sequence

from workbench.samples import Example, normalise

FROM_SEEDS = 0.5  # of the inputs that are mixed, where a seed has the answer
TRIES = 20  # per text, before fewer are made


def swap_spans(
    seeds: Sequence[Example],
    written: Sequence[Example],
    count: int,
    seed: int,
    known: Collection[str],
) -> list[str]:
    """At most ``count`` new texts, none twice; a function of its arguments.

    A seed stands only for an input of the same answer: otherwise the few answers that seeds have
    get half of all texts.

    Args:
        seeds: inputs that are certainly real, with answers.
        written: other inputs of the task, about as many of every answer; may be empty.
        known: normalised inputs that are not made again.
    """
    draw = random.Random(f"{seed}:swaps")
    pool = [*seeds, *written]
    real: dict[str, list[str]] = {}
    for example in seeds:
        real.setdefault(example.output or "", []).append(example.input)
    made: dict[str, str] = {}
    for _ in range(TRIES * count):
        if len(made) == count:
            break
        host = _draw_input(draw, pool, real).split()
        if len(host) < 2:
            continue
        cut = draw.randint(1, len(host) // 2)
        at = draw.randint(0, len(host) - cut)
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
    draw: random.Random, pool: Sequence[Example], real: Mapping[str, Sequence[str]]
) -> str:
    """An input of the pool, half of the time a real one of the same answer where there is one."""
    example = draw.choice(pool)
    own = real.get(example.output or "")
    return draw.choice(own) if own and draw.random() < FROM_SEEDS else example.input
