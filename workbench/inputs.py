"""What a run starts from, after intake has checked it: plain data and files of our own."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.adapter_settings import AdapterSettings
from workbench.errors import RunError
from workbench.limits import LIMITS
from workbench.samples import Example


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that intake accepted.

    Attributes:
        settings: its shape as we understood it; PEFT's own config file is never used.
        weights: a safetensors file with PEFT's key names, every header byte checked.
        sha256: of that file.
        base_hint: the base model that its config names; shown, never followed.
        parameters: number of values in it.
        notes: sentences about what was done on the way in.
    """

    settings: AdapterSettings
    weights: Path
    sha256: str
    base_hint: str = ""
    parameters: int = 0
    notes: tuple[str, ...] = ()

    def verified(self) -> Path:
        """The weights, read whole: still the file that was checked; RunError otherwise."""
        try:
            with self.weights.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            same = False
        if not same:
            raise RunError(changed(self.weights, "the adapter"))
        return self.weights


@dataclass(frozen=True)
class Memorised:
    """What a writer repeats: of ``distinct`` texts, ``copied`` are rows, ``near`` others nearly.

    Attributes:
        closest: (text, row, similarity in 0..100), the most similar first; copies among them.
    """

    distinct: int
    copied: int
    near: int
    closest: tuple[tuple[str, str, float], ...] = ()

    def sentence(self) -> str:
        """What the owner has to know."""
        return (
            f"Of {self.distinct} different texts that the writer wrote, {self.copied} are rows of "
            f"yours word for word and {self.near} more are nearly so."
        )


@dataclass(frozen=True)
class Inputs:
    """All files and rows of a run. Only the adapter is required, and seeds where a base writes."""

    adapter: AdapterFiles | None = None
    discriminator: AdapterFiles | None = None
    writer: AdapterFiles | None = None
    seeds: tuple[Example, ...] = ()
    evaluation: tuple[Example, ...] = ()
    unlabelled: tuple[Example, ...] = ()


def changed(path: Path, what: str) -> str:
    """The sentence about an input that is not what it was."""
    return (
        f"{path.parent.name}/{path.name} is missing or has changed since it was checked. Put the "
        f"file back, or make a new run and add {what} again."
    )


def choose_seeds(rows: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Random rows, every answer once before any answer twice."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    turns: dict[str | None, int] = {}
    ranked = []
    for position, row in enumerate(shuffled):
        turns[row.output] = turns.get(row.output, 0) + 1
        ranked.append((turns[row.output], position, row))
    return [row for _, _, row in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def seeds_and_rest(rows: Sequence[Example]) -> tuple[tuple[Example, ...], tuple[Example, ...], str]:
    """(seeds, unlabelled inputs, a note or ""): a file may hold more rows than there can be seeds.

    Every answer is a seed once before any is twice; the others are inputs for the teacher to
    answer. The same rows are always divided in the same way.
    """
    if len(rows) <= LIMITS.seeds:
        return tuple(rows), (), ""
    seeds = tuple(choose_seeds(rows, LIMITS.seeds, seed=0))
    taken = {row.input for row in seeds}
    rest = tuple(Example(row.input) for row in rows if row.input not in taken)
    note = (
        f"{len(seeds)} of {len(rows):,} rows became seeds, every answer once before any twice; "
        f"the other {len(rest):,} are inputs that the teacher answers."
    )
    return seeds, rest, note
