"""Training one adapter on prompts and answers: AdamW, linear schedule, loss on answers only.

A plain loop. The rows of an optimiser step are sorted by length and cut into micro-batches that
fit; the loss is the (weighted) mean over answer tokens of the whole step, so how a step is cut
does not change it. Everything random follows from the seed and the step, so a
resumed training lands on the losses of an uninterrupted one. It evaluates nothing and writes no
files: callers do that between steps.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import cross_entropy

from workbench.errors import StageError
from workbench.models.batches import is_out_of_memory, micro_batches, release_memory
from workbench.models.forward import logits_at, padded, shared_prefix
from workbench.models.resident import Resident
from workbench.recipe import TrainingSettings

KINDS = ("adapter", "exp_avg", "exp_avg_sq")  # of tensors in a state
NON_FINITE_STEPS = 3  # in a row, before training gives up
SMALLEST_SCALE = 2**-12


@dataclass(frozen=True)
class TrainingRow:
    """One example: the loss is on ``answer_ids``, which end with the end of turn.

    ``weight`` is its share in the loss: a soft label is several rows whose weights add up to 1.
    """

    prompt_ids: list[int]
    answer_ids: list[int]
    weight: float = 1.0


@dataclass(frozen=True)
class TrainingState:
    """Everything that resuming needs.

    Attributes:
        step: optimiser steps done.
        tensors: KIND/KEY for every kind in ``KINDS``, on the CPU, in fp32.
        meta: JSON-ready: seed, steps, batch_scale, non_finite (skipped steps in a row).
    """

    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


@dataclass(frozen=True)
class TrainingStep:
    """What one optimiser step did.

    Attributes:
        step: counted from 1.
        steps: in the whole training.
        loss: nats per answer token, mean over the step; not finite when the step was skipped.
        learning_rate: used in this step.
        tokens: of prompts and answers, without padding.
        supervised_tokens: of answers.
        micro_rows: rows of the largest micro-batch.
        skipped: the loss or a gradient was not finite; the adapter is as before.
        snapshot: copies the state after this step; call it before asking for the next one.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    supervised_tokens: int
    micro_rows: int
    skipped: bool = False
    snapshot: Callable[[], TrainingState] = field(repr=False, compare=False, kw_only=True)


def train(
    resident: Resident,
    adapter: str,
    rows: Sequence[TrainingRow],
    settings: TrainingSettings,
    *,
    seed: int,
    resume: TrainingState | None = None,
) -> Iterator[TrainingStep]:
    """Train a trainable adapter; yields after every optimiser step. Closing it stops.

    Raises:
        StageError: no rows, an empty prompt or answer, a state of another training, no memory
            for a single row, or a loss that stays non-finite.
    """
    if not rows or any(not row.prompt_ids or not row.answer_ids for row in rows):
        raise StageError("Training needs rows that have both a prompt and an answer.")
    parameters = resident.trainable(adapter)
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    steps_per_epoch = math.ceil(len(rows) / settings.batch_rows)
    steps = max(1, math.ceil(steps_per_epoch * settings.epochs))
    meta = {"seed": seed, "steps": steps, "batch_scale": 1.0, "non_finite": 0}
    done = 0
    if resume is not None:
        meta, done = _restore(resume, meta, parameters, optimizer), resume.step
    for step in range(done, steps):
        epoch, at = divmod(step, steps_per_epoch)
        order = _order(seed, epoch, len(rows))
        batch = [rows[i] for i in order[at * settings.batch_rows : (at + 1) * settings.batch_rows]]
        rate = learning_rate(step, steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with resident.using(adapter):
            resident.model.train()
            try:
                loss, micro_rows = _gradients(resident, batch, parameters, meta, step)
            finally:
                resident.model.eval()
        skipped = not _apply(optimizer, parameters, loss, settings.clip_norm)
        meta["non_finite"] = meta["non_finite"] + 1 if skipped else 0
        if meta["non_finite"] >= NON_FINITE_STEPS:
            raise StageError(
                f"The training loss was not a finite number {NON_FINITE_STEPS} steps in a row "
                f"(step {step + 1}). Lower the learning rate, or look for broken rows."
            )
        yield TrainingStep(
            step=step + 1,
            steps=steps,
            loss=float(loss),
            learning_rate=rate,
            tokens=sum(len(row.prompt_ids) + len(row.answer_ids) for row in batch),
            supervised_tokens=sum(len(row.answer_ids) for row in batch),
            micro_rows=micro_rows,
            skipped=skipped,
            snapshot=lambda done=step + 1: _snapshot(done, parameters, optimizer, meta),
        )


def learning_rate(step: int, steps: int, settings: TrainingSettings) -> float:
    """Rate of a step counted from 0: up in equal parts to the peak, then down to nearly 0."""
    warmup = math.floor(steps * settings.warmup_fraction)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    return settings.learning_rate * (steps - step) / (steps - warmup)


def answer_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum [] of cross-entropies in nats: logits [n, vocabulary], token ids [n], fp32."""
    return cross_entropy(logits.float(), targets, reduction="none") @ weights


def _gradients(
    resident: Resident,
    batch: Sequence[TrainingRow],
    parameters: dict[str, Parameter],
    meta: dict[str, Any],
    step: int,
) -> tuple[Tensor, int]:
    """Leave the step's gradients on the parameters; returns its loss (detached) and micro_rows.

    When memory runs out the bounds of a micro-batch are halved for good and the step starts
    over: its rows and its loss stay the same.
    """
    while True:
        for parameter in parameters.values():
            parameter.grad = None
        torch.manual_seed(_number(meta["seed"], "dropout", step))
        try:
            return _accumulate(resident, batch, meta["batch_scale"])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # Outside the except block: the traceback would keep the tensors alive.
        meta["batch_scale"] /= 2
        if meta["batch_scale"] < SMALLEST_SCALE:
            raise StageError(
                "There is not enough memory to train on a single row. Choose a smaller target "
                "base, a lower rank, or shorter rows."
            )
        release_memory()


def _accumulate(
    resident: Resident, batch: Sequence[TrainingRow], scale: float
) -> tuple[Tensor, int]:
    lengths = [len(row.prompt_ids) + len(row.answer_ids) - 1 for row in batch]
    asked = [len(row.answer_ids) for row in batch]
    device = resident.device
    everything = sum(row.weight * len(row.answer_ids) for row in batch)
    total = torch.zeros((), device=device)
    cuts = micro_batches(lengths, asked, resident.model.config.vocab_size, device, scale)
    for cut in cuts:
        part = [batch[i] for i in cut]
        shared, prefix = shared_prefix(resident, [row.prompt_ids for row in part])
        ids, _ = padded([(row.prompt_ids + row.answer_ids)[shared:-1] for row in part], device)
        keep = [
            at * ids.shape[1] + len(row.prompt_ids) - shared - 1 + token
            for at, row in enumerate(part)
            for token in range(len(row.answer_ids))
        ]
        targets = torch.tensor([token for row in part for token in row.answer_ids])
        logits = logits_at(resident, ids, torch.tensor(keep).to(device), prefix)
        weights = torch.tensor([row.weight for row in part for _ in row.answer_ids])
        loss = answer_loss(logits, targets.to(device), weights.to(device)) / everything
        loss.backward()
        total += loss.detach()
    return total, max(map(len, cuts))


def _apply(
    optimizer: torch.optim.Optimizer,
    parameters: dict[str, Parameter],
    loss: Tensor,
    clip_norm: float,
) -> bool:
    """One optimiser step, unless the loss or a gradient is not finite; says whether it was."""
    limit = clip_norm if clip_norm > 0 else math.inf
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), limit, foreach=True)
    if not bool(torch.isfinite(loss + norm)):  # the one wait for the device in a step
        return False
    optimizer.step()
    return True


def _order(seed: int, epoch: int, rows: int) -> list[int]:
    generator = torch.Generator().manual_seed(_number(seed, "order", epoch))
    return torch.randperm(rows, generator=generator).tolist()


def _number(seed: int, purpose: str, index: int) -> int:
    digest = hashlib.sha256(f"{seed}/{purpose}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def _snapshot(
    step: int,
    parameters: dict[str, Parameter],
    optimizer: torch.optim.Optimizer,
    meta: dict[str, Any],
) -> TrainingState:
    tensors = {}
    for key, parameter in parameters.items():
        moments = optimizer.state.get(parameter, {})
        tensors[f"adapter/{key}"] = parameter.detach().to("cpu", torch.float32, copy=True)
        for name in KINDS[1:]:
            moment = moments.get(name, torch.zeros_like(parameter))
            tensors[f"{name}/{key}"] = moment.detach().to("cpu", copy=True)
    updates = max((int(state["step"]) for state in optimizer.state.values()), default=0)
    return TrainingState(step, tensors, {**meta, "updates": updates})


def _restore(
    state: TrainingState,
    fresh: dict[str, Any],
    parameters: dict[str, Parameter],
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Put adapter and moments back; returns the training's meta."""
    same = all(state.meta.get(name) == fresh[name] for name in ("seed", "steps"))
    if not same or {f"adapter/{key}" for key in parameters} - set(state.tensors):
        raise StageError(
            "The checkpoint belongs to another training: its seed, number of steps or layers "
            "differ. Start the training again."
        )
    for key, parameter in parameters.items():
        parameter.data.copy_(state.tensors[f"adapter/{key}"])
        optimizer.state[parameter] = {
            "step": torch.tensor(float(state.meta["updates"]), device=parameter.device),
            **{
                name: state.tensors[f"{name}/{key}"].to(parameter.device, copy=True)
                for name in KINDS[1:]
            },
        }
    return {name: state.meta[name] for name in fresh}
