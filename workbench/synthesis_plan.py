"""What a run will write: by whom, and how many samples; before it starts and while it writes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from workbench.inputs import Inputs
from workbench.recipe import TransferRecipe

# Where a run remembers who writes and why, and what the teacher answered to random words.
CHOICE, PROBES = "writer", "label probes"
# Where a run for which nobody named the source adapter's prompt format remembers what was measured.
MEASURED_FORMAT, OWED = "measured format", ""

NEW_SHARE = 1 / 3  # answers recur when the next one is new with at most this probability
LABEL_WORDS = 4  # in most labels at most
SEEN_TWICE = 2  # samples from which an answer counts as a label
# Samples for each label that is seen: with 77 labels 65, 156 and 312 gave .810, .840 and .833.
PER_LABEL = 100
# At least, and where answers are free text: a processor trains on a thousand rows in some minutes.
FEWEST = {False: 600, True: 3000}  # by "on a GPU"
FREE_TEXT = {False: 4000, True: 16_000}
MOST = 16_000
# Part of the answers of which the teacher is not sure, before it was asked: of seven intents that
# an adapter writes, and the middle of six tasks that a base writes label by label (.2 to .9).
USUALLY_UNSURE = {"adapter": 0.1, "label": 0.5}


@dataclass(frozen=True)
class SampleCount:
    """A number of samples and a few words on where it comes from."""

    count: int
    why: str


def recur(answers: Sequence[str]) -> bool:
    """Do the answers come from a limited set? Then they are labels.

    The share of answers met once estimates how likely the next one is new (Good and Turing).
    """
    once = sum(count == 1 for count in Counter(answers).values())
    return once <= max(2, NEW_SHARE * len(answers))


def samples_for(
    answers: Sequence[str],
    on_gpu: bool,
    labels: int | None = None,
    unsure: float = USUALLY_UNSURE["adapter"],
) -> SampleCount:
    """As many samples as a task with these answers needs, where the recipe leaves it open.

    Labels that are hard to tell apart need as many as free text: five ratings of films (the teacher
    sure of few) kept 86 to 95 % with 600 samples and all with 4,000.

    Args:
        labels: how many labels there are, where that is known better than by counting answers.
        unsure: part of the answers of which the teacher is not sure, 0..1.
    """
    fewest, free = FEWEST[on_gpu], FREE_TEXT[on_gpu]
    if not answers:
        return SampleCount(fewest, "to begin with")
    if not recur(answers):
        return SampleCount(free, "answers are free text")
    if labels is None:
        labels = sum(count >= SEEN_TWICE for count in Counter(answers).values())
    surely = max(fewest, PER_LABEL * labels)
    count = min(MOST, round(surely + unsure * max(0, free - surely)))
    why = f"{PER_LABEL} for each of {labels} labels, at least {fewest:,}"
    if count > surely:
        why += f", and more as the teacher is not sure of {100 * unsure:.0f} % of its answers"
    return SampleCount(count, why)


def expected_samples(recipe: TransferRecipe, inputs: Inputs, on_gpu: bool) -> SampleCount:
    """What a run will ask for, as far as its answers tell; while it writes it may become more."""
    if recipe.synthesis.samples:
        return SampleCount(recipe.synthesis.samples, "as the recipe asks")
    if not expects_labels(inputs):
        return SampleCount(FREE_TEXT[on_gpu], "answers are free text")
    seeds, held = _known(inputs)
    by_label = expected_writer(recipe, inputs) == "label"
    unsure = USUALLY_UNSURE["label" if by_label else "adapter"]
    known = held if len(held) > len(seeds) else seeds * SEEN_TWICE
    return samples_for(known, on_gpu, unsure=unsure)


def mixes(recipe: TransferRecipe, inputs: Inputs) -> bool:
    """Whether more inputs will be mixed from the samples, as far as that is known."""
    return expected_writer(recipe, inputs) == "label" and expects_labels(inputs)


def expects_labels(inputs: Inputs) -> bool:
    """Whether the answers come from a limited set, as far as they are known.

    A few examples have one of each, so their length tells it.
    """
    seeds, held = _known(inputs)
    if len(held) > len(seeds):
        return recur(held)
    return not seeds or median(len(text.split()) for text in seeds) <= LABEL_WORDS


def _known(inputs: Inputs) -> tuple[list[str], list[str]]:
    seeds, held = (
        [row.output for row in rows if row.output] for rows in (inputs.seeds, inputs.evaluation)
    )
    return seeds, held


def expected_writer(recipe: TransferRecipe, inputs: Inputs) -> str:
    """Who will write, as far as it is known before the adapter was asked what it has learned."""
    if recipe.synthesis.writer != "auto":
        return recipe.synthesis.writer
    if inputs.writer is not None:
        return "kit"
    return "label" if inputs.seeds else "own"
