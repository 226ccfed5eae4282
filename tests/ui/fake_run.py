"""A run that looks as if the pipeline had worked on it, without any model.

Everything goes through ``workbench.runs`` and the export, so that pages, charts and downloads see
what they would see of a real run. ``python -m tests.ui.fake_run ROOT`` fills a folder for a look.
"""

import json
import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from workbench.evaluate.intervals import accuracy, paired_difference
from workbench.evaluate.verdict import verdict
from workbench.events import (
    ArmFinished,
    CheckpointWritten,
    Metric,
    Probe,
    Progress,
    RoundFinished,
    StageFinished,
    StageStarted,
    Warned,
)
from workbench.export.bundle import write_bundle
from workbench.intake.adapter import read_adapter
from workbench.recipe import TransferRecipe, override, recipe_hash, with_preset
from workbench.runs.folder import Run, create
from workbench.runs.results import Answer
from workbench.samples import KEPT, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage

LABELS = {
    "card lost": [
        "I lost my {x} card",
        "my {x} card is gone, what now",
        "someone took my {x} card",
    ],
    "balance": ["how much is on my {x} account", "tell me the balance of the {x} account"],
    "transfer": ["send {x} dollars to my sister", "move {x} dollars to savings please"],
    "exchange rate": ["what is the rate from dollars to {x}", "how many {x} do I get for 20 euros"],
    "report fraud": ["there is a charge from {x} that I did not make", "fraud: {x} took my money"],
    "pay bill": ["pay my {x} bill today", "I want to pay the {x} bill"],
    "interest rate": ["what interest does the {x} account give", "interest on {x} savings?"],
    "order checks": ["order {x} new checkbooks", "I need {x} more checks"],
    "spending history": ["what did I spend on {x} last month", "show my {x} expenses"],
    "freeze account": ["freeze my {x} account now", "block the {x} account"],
    "credit limit": ["raise the limit of my {x} card", "what is the limit on {x}"],
    "routing": ["routing number of {x}", "what is the routing number for {x} bank"],
}
_FILLERS = (
    *("visa", "gold", "blue", "student", "travel", "family", "business", "main", "second", "old"),
    *("new", "joint", "rent", "phone", "water", "gas", "power", "yen", "peso", "franc", "krone"),
    *("forty", "ninety", "hundred", "amazon", "uber", "steam", "chase", "wells", "capital"),
)


def make_inputs(label: str, number: int, draw: random.Random) -> str:
    """One made-up request of a label; the number keeps them apart."""
    text = draw.choice(LABELS[label]).replace("{x}", draw.choice(_FILLERS))
    return text if number == 0 else f"{text} ({number})"


def write_adapter(folder: Path, rank: int = 8, zero: bool = False) -> Path:
    """The two files of a small valid LoRA; ``zero`` leaves B at 0, which intake refuses."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    tensors = {}
    for layer in range(4):
        for module, out in (("q_proj", 576), ("v_proj", 192)):
            stem = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{stem}.lora_A.weight"] = rng.normal(size=(rank, 576)).astype(np.float32)
            b = np.zeros((out, rank)) if zero else rng.normal(size=(out, rank))
            tensors[f"{stem}.lora_B.weight"] = b.astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "r": rank,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def draft(root: Path, name: str = "Banking requests", *, discriminator: bool = True) -> Run:
    """A run with inputs and nothing started."""
    draw = random.Random(7)
    recipe = override(with_preset(TransferRecipe(), "balanced"), {"task_name": name})
    run = create(root, recipe)
    scratch = root / ".scratch"
    scratch.mkdir(exist_ok=True)
    adapter = read_adapter(write_adapter(scratch / "adapter"), scratch)
    run.put_adapter(adapter)
    if discriminator:
        run.put_adapter(adapter, "discriminator")
    labels = list(LABELS)
    seeds = [Example(make_inputs(label, 0, draw), label) for label in labels]
    rows = [Example(make_inputs(labels[i % 12], i, draw), labels[i % 12]) for i in range(240)]
    run.put_examples("seeds", seeds)
    run.put_examples("evaluation", rows)
    return run


def synthesize(
    run: Run,
    rounds: int = 12,
    per_round: int = 40,
    *,
    finish: bool = True,
    for_labels: bool = False,
    origin: str = "target",
) -> Run:
    """Rounds of scored and answered samples; a few labels stay thin.

    Args:
        for_labels: as the preset "best" does it: written for answers, no score but the teacher's
            confidence.
        origin: of the samples.
    """
    if for_labels:
        run.change_recipe({"preset": "best", "synthesis.writer": "label"})
    draw = random.Random(3)
    run.journal.append(StageStarted(Stage.SYNTHESIZE))
    weights = [12, 11, 9, 9, 8, 8, 7, 6, 6, 4, 2, 1]
    for number in range(rounds):
        samples = []
        for index in range(per_round):
            label = draw.choices(list(LABELS), weights)[0]
            text = make_inputs(label, number * per_round + index + 1, draw)
            score = min(0.999, max(0.001, draw.betavariate(2.6, 1.6)))
            kept = score > 0.5
            asked = label if draw.random() < 0.8 else draw.choice(list(LABELS))
            samples.append(
                Sample(
                    id=sample_id(text),
                    input=text,
                    origin=origin,
                    round=number,
                    status=KEPT if kept else REJECTED,
                    reason="" if kept else "P(real) is not above 0.5",
                    written_for=asked if for_labels else None,
                    teacher_output=label if kept or for_labels else None,
                    discriminator_score=None if for_labels else score,
                    excess=None if for_labels else draw.gauss(1.2, 0.8),
                    confidence=draw.betavariate(6, 1.3) if kept or for_labels else None,
                    nearest_seed=draw.randrange(12),
                )
            )
        kept_count = sum(sample.status == KEPT for sample in samples)
        event = RoundFinished(number, per_round + 9, kept_count, per_round - kept_count, 7, 2, 0)
        run.samples.commit_round(number, samples, event)
        done = run.samples.count()
        run.journal.append(Progress(Stage.SYNTHESIZE, done, rounds * per_round, "samples", 4.0))
    if finish:
        run.finish_stage(Stage.SYNTHESIZE, StageFinished(Stage.SYNTHESIZE, 96.0))
        run.journal.append(StageStarted(Stage.LABEL))
        run.finish_stage(Stage.LABEL, StageFinished(Stage.LABEL, 12.0))
    return run


def distil(run: Run, steps: int = 120, upto: int | None = None) -> Run:
    """A falling loss with probes and checkpoints."""
    draw = random.Random(5)
    run.journal.append(StageStarted(Stage.DISTIL))
    inputs = [row.input for row in run.inputs.evaluation[:3]]
    answers = [row.output or "" for row in run.inputs.evaluation[:3]]
    for step in range(1, (upto or steps) + 1):
        loss = 2.4 * math.exp(-step / 22) + 0.08 + abs(draw.gauss(0, 0.05))
        rate = 2e-4 * (1 - step / steps)
        run.journal.append(
            Metric(Stage.DISTIL, step, steps, loss, rate, 610.0, 2_410_000_000),
            Progress(Stage.DISTIL, step, steps, "steps", 1.2),
        )
        if step % 40 == 0:
            run.journal.append(CheckpointWritten(step, f"step-{step:06d}"))
            for text, answer in zip(inputs, answers, strict=True):
                student = answer if step > 40 else "I do not know"
                run.journal.append(Probe(step, text, student, answer))
    if upto is None:
        counts = {"peak_memory_bytes": 2_900_000_000}
        run.finish_stage(Stage.DISTIL, StageFinished(Stage.DISTIL, 104.0, counts))
    return run


def compare(
    run: Run, accuracies: dict[str, float] | None = None, labels: Sequence[str] = tuple(LABELS)
) -> Run:
    """All arms answered with given accuracies, and ``result.json``."""
    draw = random.Random(11)
    wanted = accuracies or {
        "source_base": 0.08, "source_adapter": 0.93, "target_base": 0.11,
        "target_few_shot": 0.42, "transferred": 0.925,
    }  # fmt: skip
    rows = run.inputs.evaluation
    run.journal.append(StageStarted(Stage.EVALUATE))
    right: dict[str, list[bool]] = {}
    for arm, share in wanted.items():
        answers = []
        for index, row in enumerate(rows):
            # Source and target mostly fail on the same rows, as real ones do.
            hard = random.Random(index).random()
            correct = (0.85 * hard + 0.15 * draw.random()) < share
            wrong = labels[(labels.index(row.output or "") + 3) % len(labels)]
            answers.append(Answer(index, row.output or "" if correct else wrong, correct))
        run.answers.put(arm, answers)
        right[arm] = [answer.correct for answer in answers]
        mean = sum(right[arm]) / len(rows)
        run.journal.append(ArmFinished(arm, mean, len(rows)))
    run.finish_stage(Stage.EVALUATE, StageFinished(Stage.EVALUATE, 71.0))
    run.write_result(result(run, right))
    return run


def result(run: Run, right: dict[str, list[bool]]) -> dict:
    """The shape of ``result.json``."""
    intervals = {arm: accuracy(flags) for arm, flags in right.items()}
    difference = paired_difference(right["source_adapter"], right["transferred"])
    found = verdict(
        intervals["source_adapter"], intervals["transferred"], difference,
        run.recipe.evaluation.margin_points,
    )  # fmt: skip
    return {
        "schema": 1,
        "run": run.id,
        "task_name": run.recipe.task_name,
        "preset": run.recipe.preset,
        "filter": "discriminator",
        "arms": {
            arm: {"accuracy": i.mean, "n": len(right[arm]), "low": i.low, "high": i.high}
            for arm, i in intervals.items()
        },
        "difference": {
            "mean": difference.mean, "low": difference.low, "high": difference.high,
        },
        "verdict": {"kind": found.kind, "sentence": found.sentence},
        "seconds": {"synthesize": 96.0, "label": 12.0, "distil": 104.0, "evaluate": 71.0},
        "peak_memory_bytes": 2_900_000_000,
        "counts": {"seeds": 12, "samples": run.samples.count(), "kept": len(run.samples.kept())},
        "recipe_hash": recipe_hash(run.recipe),
        "versions": {"workbench": "0.1.0"},
    }  # fmt: skip


def export(run: Run) -> Run:
    """The bundle, with a small adapter in it."""
    run.journal.append(StageStarted(Stage.EXPORT))
    folder = write_adapter(run.folder.parent / ".scratch" / "new-adapter")
    write_bundle(
        run.exports,
        adapter_folder=folder,
        recipe=run.recipe,
        result=run.result() or {},
        samples=run.samples.kept(),
    )
    run.finish_stage(Stage.EXPORT, StageFinished(Stage.EXPORT, 3.0))
    return run


def finished(root: Path, name: str = "Banking requests", origin: str = "target") -> Run:
    """A run that went all the way."""
    run = synthesize(draft(root, name), origin=origin)
    run.journal.append(Warned(Stage.SYNTHESIZE, "Two labels are thin."))
    return export(compare(distil(run)))


def many_samples(root: Path, count: int) -> Run:
    """A run with ``count`` samples, committed in rounds of 2,000."""
    run = draft(root, f"{count} samples")
    synthesize(run, rounds=max(1, count // 2000), per_round=2000)
    return run


if __name__ == "__main__":
    where = Path(sys.argv[1])
    begun = time.monotonic()
    made = {
        "finished": finished(where).id,
        "review": synthesize(draft(where, "Ready for review")).id,
        "draft": draft(where, "Only a draft", discriminator=False).id,
        "half": distil(synthesize(draft(where, "Interrupted half way")), upto=70).id,
    }

    print(json.dumps(made), f"{time.monotonic() - begun:.1f} s")
