"""Who writes the inputs of a run, and why: decided once, remembered with the run."""

from dataclasses import asdict, dataclass

from workbench.errors import RunError
from workbench.models.decoding import Sampling
from workbench.models.formats import BoundFormat
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.recipe import MODEL
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.stages import WRITERS
from workbench.steps.rounds import input_tokens
from workbench.synthesis_plan import CHOICE
from workbench.synthesize.adapter_writer import input_gain, write_inputs
from workbench.teach import TEACHER

# Nats per token that an adapter gains on inputs, from which it has learned to write them. Of the
# adapters in docs/method.md answer-only ones stay below half of it, others above four times of it.
LEAST_GAIN = 0.4
# The same where no real input is known, on what the adapter itself writes: an answer-only adapter
# writes labels, queries or chat there and gains up to 2.6; whole-sequence ones gained 1.8 to 3.8.
# So between the two lines nothing is decided, and examples are asked for.
LEAST_GAIN_UNSEEDED = 2.7
FEWEST_SEEDS = 3  # where a base writes
GATE_TEXTS = 64  # inputs that the gate looks at


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
        if gain >= least_gain(run):
            return Choice(
                "own",
                f"{WRITERS['own']}: it has learned its inputs ({gain:.1f} nats per token better "
                "than its base).",
                gain,
            )
    if len(examples_of(run)) < FEWEST_SEEDS:
        told = "" if gain is None else f" {gain_words(run, gain)}"
        raise RunError(
            f"The run has {len(examples_of(run))} seeds and a base needs {FEWEST_SEEDS} to write "
            f"from.{told} Add at least {FEWEST_SEEDS} inputs of the task. If the adapter may have "
            "been trained with another prompt, look for that first (Find the prompt on the page, "
            "inspect --format find in a terminal)."
        )
    if asked != "auto":
        return Choice(asked, f"{WRITERS[asked]}, as the recipe asks.")
    return Choice(
        "label",
        f"{WRITERS['label']}: the adapter has learned its answers only ({gain:.1f} nats per token "
        "on inputs).",
        gain,
    )


def least_gain(run: Run) -> float:
    """Nats per token from which the adapter of this run has learned its inputs."""
    return LEAST_GAIN if examples_of(run) else LEAST_GAIN_UNSEEDED


def gain_words(run: Run, gain: float) -> str:
    """What ``learned_inputs`` says of an adapter, in a sentence or two."""
    measured = f"{gain:.2f} nats per token against its base"
    if gain >= least_gain(run):
        return (
            "This adapter has learned its inputs: it can write them itself, seeds are optional "
            f"({measured})."
        )
    if gain >= LEAST_GAIN:
        return (
            "Without examples it is not clear whether this adapter has learned its inputs "
            f"({measured}). If it was trained on whole sequences, set synthesis.writer to own."
        )
    return f"This adapter has learned its answers only: it cannot write inputs ({measured})."


def examples_of(run: Run) -> list[Example]:
    """Real inputs of the task: the seeds, else the user's own unlabelled inputs."""
    return list(run.inputs.seeds or run.inputs.unlabelled[:GATE_TEXTS])


def learned_inputs(run: Run, pair: Pair) -> float:
    """``input_gain`` on the seeds; without any on what the adapter itself writes, 0 if nothing."""
    texts = [example.input for example in examples_of(run)][:GATE_TEXTS]
    asked = pair.source, TEACHER, pair.source_form
    texts = texts or _written(*asked, GATE_TEXTS, run.recipe.seed)
    return input_gain(*asked, texts) if texts else 0.0


def _written(source: Resident, adapter: str, form: BoundFormat, count: int, seed: int) -> list[str]:
    """Inputs that the adapter writes; none where it ends less than half of them."""
    room = input_tokens(source, [])
    written = write_inputs(
        source, adapter, form, count, new_tokens=room, sampling=Sampling(), seed=seed
    )
    texts = [text for text in written if text]
    # What does not end inputs has not learned them.
    return texts if len(texts) >= count / 2 else []
