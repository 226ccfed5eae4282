"""Who writes the inputs of a run, and why: decided once, remembered with the run."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from workbench.errors import RunError
from workbench.models.decoding import Sampling
from workbench.models.formats import BoundFormat, bind
from workbench.models.pair import Pair
from workbench.recipe import MODEL, PromptFormat
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.stages import WRITERS
from workbench.steps.rounds import input_tokens
from workbench.synthesize.adapter_writer import input_gain, input_lead, write_inputs
from workbench.teach import TEACHER

CHOICE = "writer"  # where the run remembers it
# Nats per token that an adapter gains on inputs, from which it has learned to write them. Of the
# adapters in docs/method.md answer-only ones stay below half of it, others above four times of it.
LEAST_GAIN = 0.4
FEWEST_SEEDS = 3  # where a base writes
GATE_TEXTS = 64  # inputs that the gate looks at
FORMAT_TEXTS = 16  # inputs that an adapter writes under each prompt format to tell them apart


@dataclass(frozen=True)
class Choice:
    """A writer and one sentence that says why.

    Attributes:
        writer: "kit", "own", "label" or "list".
        gain: nats per token (``input_gain``) where it was measured.
    """

    writer: str
    why: str
    gain: float | None = None


def choose_writer(run: Run, pair: Pair) -> Choice:
    """The writer of this run.

    Raises:
        RunError: nothing here can write inputs of the task.
    """
    if remembered := run.recall(CHOICE):
        return Choice(**remembered)
    choice = _choose(run, pair)
    run.remember(CHOICE, asdict(choice))
    return choice


def _choose(run: Run, pair: Pair) -> Choice:
    asked = run.recipe.synthesis.writer
    if asked == "kit" and run.inputs.writer is None:
        raise RunError(
            "The recipe asks for the kit's writer and this run has none. "
            'Set synthesis.writer to "auto".'
        )
    if asked in ("kit", "own"):
        return Choice(asked, f"{WRITERS[asked]}, as the recipe asks.")
    if asked == "auto" and run.inputs.writer is not None:
        return Choice("kit", f"{WRITERS['kit']}: an adapter that its owner trained on whole rows.")
    gain = None
    if asked == "auto" and run.recipe.teacher == MODEL:
        return Choice("label", f"{WRITERS['label']}: the source model is the teacher by itself.")
    if asked == "auto":
        gain = learned_inputs(run, pair)
        if gain >= LEAST_GAIN:
            return Choice(
                "own",
                f"{WRITERS['own']}: it has learned its inputs ({gain:.1f} nats per token better "
                "than its base).",
                gain,
            )
    if len(examples_of(run)) < FEWEST_SEEDS:
        told = "" if gain is None else f" {gain_words(gain)}"
        raise RunError(
            f"The run has {len(examples_of(run))} seeds and a base needs {FEWEST_SEEDS} to write "
            f"from.{told} Add at least {FEWEST_SEEDS} inputs of the task."
        )
    if asked != "auto":
        return Choice(asked, f"{WRITERS[asked]}, as the recipe asks.")
    return Choice(
        "label",
        f"{WRITERS['label']}: the adapter has learned its answers only ({gain:.1f} nats per token "
        "on inputs).",
        gain,
    )


def gain_words(gain: float) -> str:
    """What ``learned_inputs`` says of an adapter, in a sentence or two."""
    measured = f"{gain:.2f} nats per token against its base"
    if gain >= LEAST_GAIN:
        return (
            "This adapter has learned its inputs: it can write them itself, seeds are optional "
            f"({measured})."
        )
    return f"This adapter has learned its answers only: it cannot write inputs ({measured})."


def examples_of(run: Run) -> list[Example]:
    """Real inputs of the task: the seeds, else the user's own unlabelled inputs."""
    return list(run.inputs.seeds or run.inputs.unlabelled[:GATE_TEXTS])


def learned_inputs(run: Run, pair: Pair) -> float:
    """``input_gain`` on the seeds, or without any on what the adapter itself writes.

    What it writes may be its answers, on which it gains as much: not more than its lead as inputs
    counts then, which is below 0 for answers.
    """
    texts = [example.input for example in examples_of(run)][:GATE_TEXTS]
    if texts:
        return input_gain(pair.source, TEACHER, pair.source_form, texts)
    return _learned_by_writing(pair, pair.source_form, GATE_TEXTS, run.recipe.seed)[0]


def formats_by_writing(
    pair: Pair, formats: Iterable[PromptFormat], seed: int
) -> list[tuple[PromptFormat, float, list[str]]]:
    """Prompt formats by how well the adapter has learned what it writes under them, best first.

    For an adapter that was trained on whole sequences, where no example is there. Under another
    format it goes on as its base does, or never ends an input.

    Args:
        formats: chat formats are left out where the base has no chat template.

    Returns:
        (format, nats per token as ``learned_inputs`` counts them, what was written).
    """
    tokenizer = pair.source.tokenizer
    known = [f for f in dict.fromkeys(formats) if f.kind != "chat" or tokenizer.chat_template]
    tried = [(f, *_learned_by_writing(pair, bind(f, tokenizer), FORMAT_TEXTS, seed)) for f in known]
    return sorted(tried, key=lambda entry: -entry[1])


def _learned_by_writing(
    pair: Pair, form: BoundFormat, count: int, seed: int
) -> tuple[float, list[str]]:
    """(gain on what the adapter writes, but not more than its lead as inputs; what it wrote)."""
    asked = pair.source, TEACHER, form
    room = input_tokens(pair.source, [])
    written = write_inputs(*asked, count, new_tokens=room, sampling=Sampling(), seed=seed)
    texts = [text for text in written if text]
    # What does not end inputs has not learned them.
    if len(texts) < count / 2:
        return 0.0, texts
    return min(input_gain(*asked, texts), input_lead(*asked, texts)), texts
