"""Step 3: train the new adapter on the target base, with checkpoints that survive a kill."""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import torch

from workbench import distill
from workbench.errors import StageError
from workbench.evaluate.arms import answer_rows
from workbench.events import CheckpointWritten, Event, Metric, Probe, Progress, Warned
from workbench.memory import peak_memory_bytes
from workbench.models.first_words import begin_with
from workbench.models.pair import Pair
from workbench.models.training import TrainingStep, train
from workbench.models.training_state import TrainingState
from workbench.runs import checkpoints
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.stages import Stage
from workbench.steps.seed_answers import answered_seeds
from workbench.steps.soft_labels import ask_softly, soft_labels
from workbench.students import notes
from workbench.teach import TEACHER, answer

KEEP = "keep"  # stop request: finish with what is learnt so far
ANSWERS_NAMED = 30  # among the words that virtual tokens begin with
PROBES = 3  # held-out inputs answered while it learns
FEWEST_SAMPLES = 8  # below this no training is worth its time
HELD_OUT_FRACTION = 0.1  # of the samples, when there are no evaluation rows


def split_examples(run: Run, pair: Pair) -> tuple[list[Example], list[Example]]:
    """(distilled, held out). Samples are held out only when a run has no evaluation rows."""
    seeds = answered_seeds(run, pair) if run.recipe.synthesis.train_on_seeds else []
    examples = distill.training_examples(run.samples.kept(), seeds)
    if run.inputs.evaluation:
        return examples, list(run.inputs.evaluation)
    return distill.hold_out(examples, HELD_OUT_FRACTION)


def distil(run: Run, pair: Pair, stop_reason: Callable[[], str]) -> Iterator[Event]:
    """Train to the end, from the newest checkpoint that is whole; write the last state too."""
    recipe = run.recipe
    examples, held_out = split_examples(run, pair)
    if len(examples) < FEWEST_SAMPLES:
        raise StageError(
            f"Only {len(examples)} samples are kept; at least {FEWEST_SAMPLES} are needed to "
            "train. Keep more samples in Review, or let more be written."
        )
    yield Progress(Stage.DISTIL, 0, 0, "steps", note="loading the target base")
    for note in notes(recipe.student.method):
        yield Warned(Stage.DISTIL, note)
    pair.target.attach_new(distill.STUDENT, recipe.student, recipe.seed)
    begin_with(pair.target, distill.STUDENT, task_words(recipe.task_name, examples))
    yield from ask_softly(run, pair)
    rows = distill.training_rows(pair.target_form, examples, soft_labels(run))
    resume = newest_state(run)
    probes = [example.input for example in held_out[:PROBES]]
    replies = _teacher_replies(run, pair, probes)
    started, tokens = time.monotonic(), 0
    step: TrainingStep | None = None
    for step in train(
        pair.target, distill.STUDENT, rows, recipe.training, seed=recipe.seed, resume=resume
    ):
        tokens += step.tokens
        rate = tokens / max(1e-9, time.monotonic() - started)
        yield Metric(
            Stage.DISTIL, step.step, step.steps, step.loss, step.learning_rate, rate,
            peak_memory_bytes(),
        )  # fmt: skip
        yield Progress(Stage.DISTIL, step.step, step.steps, "steps")
        every = recipe.training.checkpoint_steps
        if stop_reason() or (every and step.step % every == 0) or step.step == step.steps:
            yield write_checkpoint(run, step)
            yield from _probe(pair, run, probes, replies, step.step)
        if reason := stop_reason():
            if reason == KEEP:
                yield Warned(
                    Stage.DISTIL, f"Stopped by request after {step.step} of {step.steps} steps."
                )
                break
            return


def task_words(task: str, examples: list[Example]) -> str:
    """What the task is called, its commonest answers, and an input: where virtual tokens begin."""
    common = Counter(example.output or "" for example in examples).most_common(ANSWERS_NAMED)
    answers = ", ".join(answer for answer, _ in common)
    return f"{task}: {answers}. {examples[0].input}"


def _teacher_replies(run: Run, pair: Pair, inputs: list[str]) -> list[str]:
    tokens = pair.source_answer_tokens
    return [
        reply.text
        for _, reply in sorted(
            answer(pair.source, TEACHER, pair.source_form, inputs, tokens), key=lambda item: item[0]
        )
    ]


def _probe(
    pair: Pair, run: Run, inputs: list[str], replies: list[str], step: int
) -> Iterator[Event]:
    for index, text in answer_rows(
        pair.target,
        distill.STUDENT,
        run.recipe.target_format,
        inputs,
        pair.target_answer_tokens,
    ):
        yield Probe(step, inputs[index], text, replies[index])


def write_checkpoint(run: Run, step: TrainingStep) -> CheckpointWritten:
    """Adapter, optimiser moments and position, manifest last."""
    state = step.snapshot()
    folder = checkpoints.write(
        run.checkpoints,
        state.step,
        {name: tensor.cpu().numpy() for name, tensor in state.tensors.items()},
        state.meta,
    )
    return CheckpointWritten(state.step, folder.name)


def newest_state(run: Run) -> TrainingState | None:
    """The newest checkpoint whose manifest verifies, as a training state."""
    found = checkpoints.newest(run.checkpoints)
    if found is None:
        return None
    tensors = {name: torch.from_numpy(array) for name, array in found.tensors.items()}
    return TrainingState(found.step, tensors, found.meta)
