"""Tokens per second of our own loops beside what one would write with transformers and TRL.

    python -m scripts.bench_speed [--repeats 3] [--only generation labelling scoring training]
    python -m scripts.bench_speed --shape 8b [--only JOB ...]

Four jobs of a real transfer, on the demo pair and the example kit: writing samples, the teacher's
answers, scoring answers, training the adapter. Both sides get the same token ids, weights,
adapter, numeric type and batch size, and take turns (A B A B) in this one process; the median
counts. Rates are emitted tokens (writing, answers) or real tokens without padding (scoring,
training), per second on the clock and per second of processor time, which bears company better.
The last line is one JSON object. It judges nothing and is no test; other load spoils it, so the
load average is part of the result. ``--shape`` is another table, see bench_shape.py.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers

from scripts import bench_shape
from workbench.intake.kit import Kit, read_kit
from workbench.models.decoding import Sampling, decode
from workbench.models.formats import BoundFormat, bind
from workbench.models.references import fetch
from workbench.models.resident import Resident, load
from workbench.models.scoring import answer_log_probs
from workbench.models.training import TrainingRow, train
from workbench.recipe import LoraSettings, PromptFormat, TrainingSettings
from workbench.synthesize.numbered_list import write_prompt

KIT = Path(__file__).parent.parent / "assets" / "example-kit.zip"
TARGET = "package:gemma-3-270m"
TARGET_FORMAT = PromptFormat(kind="text", template="{input}\n\nAnswer:")
ROWS = 32  # prompts decoded or scored together, on both sides
NEW_TOKENS = 24
TRAINING = TrainingSettings(epochs=1, batch_rows=16, warmup_fraction=0.0)
LORA = LoraSettings(rank=16, alpha=32)
Pair = tuple[list[int], list[int]]  # prompt ids, answer ids
Job = Callable[[], tuple[int, object]]  # does the work; returns tokens and what to compare


@dataclass(frozen=True)
class Rate:
    """Median tokens per second of several runs."""

    tokens_per_second: float
    tokens_per_processor_second: float


def main() -> None:
    """Run the jobs that were asked for and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    parser.add_argument("--shape", choices=bench_shape.SHAPES, help="a base of random weights")
    parser.add_argument("--only", nargs="+", metavar="JOB", help="some of the jobs")
    choice = parser.parse_args()
    jobs = bench_shape.JOBS if choice.shape else JOBS
    if unknown := set(choice.only or ()) - set(jobs):
        parser.error(f"no such job: {', '.join(sorted(unknown))}; there are {', '.join(jobs)}")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if choice.shape:
        bench_shape.run(choice.shape, choice.only)
        return
    import datasets  # noqa: PLC0415 (with TRL: requirements-bench.txt)
    import trl  # noqa: PLC0415

    datasets.disable_progress_bars()
    result: dict[str, object] = {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    result |= {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "trl": trl.__version__,
    }
    result |= {lib.__name__: lib.__version__ for lib in (torch, transformers, trl)}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kit = read_kit(KIT, Path(folder))
        for name in choice.only or JOBS:
            result[name] = JOBS[name](kit, choice.repeats)
    result["seconds"] = round(time.monotonic() - started, 1)
    result["load_after"] = os.getloadavg()[0]
    print(json.dumps(result))


def compare(name: str, rival: str, ours: Job, theirs: Job, repeats: int) -> dict[str, object]:
    """Let both sides take turns; returns rates, ratios and what each side made last."""
    sides = {"ours": ours, rival: theirs}
    runs: dict[str, list[Rate]] = {side: [] for side in sides}
    made: dict[str, object] = {}
    for _ in range(repeats):
        for side, job in sides.items():
            wall, processor = time.perf_counter(), time.process_time()
            tokens, made[side] = job()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            runs[side].append(Rate(tokens / wall, tokens / processor))
    rates = {side: median(found) for side, found in runs.items()}
    mine, other = rates["ours"], rates[rival]
    ratio = mine.tokens_per_second / other.tokens_per_second
    cpu = mine.tokens_per_processor_second / other.tokens_per_processor_second
    print(
        f"{name:<11} ours {mine.tokens_per_second:7.1f} tok/s, {rival} "
        f"{other.tokens_per_second:7.1f} tok/s: {ratio:.2f} times on the clock, "
        f"{cpu:.2f} times in processor time",
        flush=True,
    )
    summary: dict[str, object] = {side: asdict(rate) for side, rate in rates.items()}
    return summary | {"ratio": ratio, "processor_ratio": cpu, "made": made}


def median(runs: list[Rate]) -> Rate:
    """Each figure's median by itself."""
    return Rate(
        statistics.median(run.tokens_per_second for run in runs),
        statistics.median(run.tokens_per_processor_second for run in runs),
    )


def generation(kit: Kit, repeats: int) -> dict[str, object]:
    """One round of writing samples: 32 prompts with the kit's 15 seeds, sampled, fixed length."""
    target = load(fetch(TARGET), quantize=True)
    form = bind(PromptFormat(kind="text"), target.tokenizer)
    prompts = [form.prompt_ids(write_prompt(kit.task_name, kit.inputs.seeds))] * ROWS
    sampling = Sampling(temperature=0.9, top_k=64, top_p=0.95)

    def ours() -> tuple[int, object]:
        options = {"new_tokens": NEW_TOKENS, "stop_ids": [], "rows": ROWS}
        results = list(decode(target, prompts, sampling=sampling, **options))
        return sum(len(decoded.ids) for _, decoded in results), None

    def theirs() -> tuple[int, object]:
        options = {"do_sample": True, "temperature": 0.9, "top_k": 64, "top_p": 0.95}
        made = generate(target, prompts, NEW_TOKENS, min_new_tokens=NEW_TOKENS, **options)
        return sum(map(len, made)), None

    summary = compare("generation", "transformers", ours, theirs, repeats)
    del summary["made"]
    return summary | {"prompt_tokens": len(prompts[0]), "new_tokens": NEW_TOKENS, "rows": ROWS}


def labelling(kit: Kit, repeats: int) -> dict[str, object]:
    """The teacher's greedy answers to 64 requests, each up to its own end."""
    source, form = load_teacher(kit)
    prompts = [form.prompt_ids(row.input) for row in kit.inputs.evaluation[: 2 * ROWS]]

    def ours() -> tuple[int, object]:
        with source.using("task"):
            options = {"new_tokens": NEW_TOKENS, "stop_ids": form.stop_ids, "rows": ROWS}
            found = dict(decode(source, prompts, sampling=None, **options))
        answers = [found[i].ids for i in range(len(prompts))]
        return sum(len(ids) + 1 for ids in answers), answers

    def theirs() -> tuple[int, object]:
        with source.using("task"):
            made = generate(
                source, prompts, NEW_TOKENS, do_sample=False, eos_token_id=list(form.stop_ids)
            )
        answers = [cut(ids, form.stop_ids) for ids in made]
        return sum(len(ids) + 1 for ids in answers), answers

    summary = compare("labelling", "transformers", ours, theirs, repeats)
    mine, other = summary.pop("made").values()  # type: ignore[union-attr]
    same = sum(a == b for a, b in zip(mine, other, strict=True)) / len(mine)
    return summary | {"prompts": len(prompts), "same_answers": same}


def scoring(kit: Kit, repeats: int) -> dict[str, object]:
    """Log-probabilities of 96 answers under the teacher."""
    source, form = load_teacher(kit)
    pairs = [
        (form.prompt_ids(row.input), form.answer_ids(row.output or ""))
        for row in kit.inputs.evaluation[: 3 * ROWS]
    ]
    count = sum(len(prompt) + len(answer) for prompt, answer in pairs)

    def ours() -> tuple[int, object]:
        with source.using("task"):
            return count, [float(found.sum()) for found in answer_log_probs(source, pairs)]

    def theirs() -> tuple[int, object]:
        with source.using("task"):
            return count, score(source, pairs)

    summary = compare("scoring", "transformers", ours, theirs, repeats)
    mine, other = summary.pop("made").values()  # type: ignore[union-attr]
    apart = statistics.median(abs(a - b) for a, b in zip(mine, other, strict=True))
    return summary | {"rows": len(pairs), "median_difference_nats": apart}


def training(kit: Kit, repeats: int) -> dict[str, object]:
    """One epoch on 48 rows: NF4 target, rank 16 on all linear layers, loss on answers."""
    target = load(fetch(TARGET), quantize=True)
    form = bind(TARGET_FORMAT, target.tokenizer)
    rows = [
        TrainingRow(form.prompt_ids(row.input), form.answer_ids(row.output or ""))
        for row in kit.inputs.evaluation[:48]
    ]
    count = sum(len(row.prompt_ids) + len(row.answer_ids) for row in rows)

    def ours() -> tuple[int, object]:
        target.attach_new("student", LORA, seed=0)
        losses = [step.loss for step in train(target, "student", rows, TRAINING, seed=0)]
        target.detach("student")
        return count, statistics.mean(losses)

    with tempfile.TemporaryDirectory() as folder:
        summary = compare(
            "training", "TRL", ours, lambda: (count, sft(target, rows, folder)), repeats
        )
    return summary | {"rows": len(rows), "tokens": count, "mean_loss": summary.pop("made")}


def load_teacher(kit: Kit) -> tuple[Resident, BoundFormat]:
    """The kit's source base in bf16 with its adapter attached as "task"."""
    assert kit.inputs.adapter is not None
    source = load(fetch(kit.source_base))
    source.attach("task", kit.inputs.adapter.settings, kit.inputs.adapter.weights)
    return source, bind(kit.source_format, source.tokenizer)


def generate(
    resident: Resident, prompts: list[list[int]], new_tokens: int, **options: object
) -> list[list[int]]:
    """``generate`` over left-padded batches, the loop of the transformers documentation."""
    made: list[list[int]] = []
    filler = resident.tokenizer.pad_token_id or 0
    for start in range(0, len(prompts), ROWS):
        batch = prompts[start : start + ROWS]
        longest = max(map(len, batch))
        ids = torch.tensor([[filler] * (longest - len(row)) + row for row in batch])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch])
        out = resident.model.generate(
            input_ids=ids.to(resident.device),
            attention_mask=mask.to(resident.device),
            max_new_tokens=new_tokens,
            pad_token_id=filler,
            **options,
        )
        made += out[:, longest:].tolist()
    return made


def cut(ids: list[int], stops: tuple[int, ...]) -> list[int]:
    """What stands before the first stop token."""
    return ids[: next((at for at, token in enumerate(ids) if token in stops), len(ids))]


@torch.no_grad()
def score(resident: Resident, pairs: list[Pair]) -> list[float]:
    """Padded batches in the given order, all logits, log_softmax: the usual evaluation loop."""
    sums: list[float] = []
    for start in range(0, len(pairs), ROWS):
        batch = pairs[start : start + ROWS]
        rows = [prompt + answer for prompt, answer in batch]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        logits = resident.model(
            input_ids=ids.to(resident.device), attention_mask=mask.to(resident.device)
        ).logits
        every = logits[:, :-1].float().log_softmax(dim=-1)
        chosen = every.gather(2, ids[:, 1:, None].to(resident.device))[..., 0]
        for found, (prompt, answer) in zip(chosen, batch, strict=True):
            first = len(prompt) - 1
            sums.append(float(found[first : first + len(answer)].sum()))
    return sums


def sft(target: Resident, rows: list[TrainingRow], folder: str) -> float:
    """The same training by TRL's SFTTrainer, without checkpointing on either side."""
    trainer = bench_shape.trl_trainer(target, rows, TRAINING, LORA, folder)
    loss = trainer.train().training_loss
    trainer.model.unload()
    return loss


JOBS = {
    "generation": generation,
    "labelling": labelling,
    "scoring": scoring,
    "training": training,
}

if __name__ == "__main__":
    main()
