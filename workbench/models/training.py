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
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import cross_entropy

from workbench.errors import StageError
from workbench.models.batches import is_out_of_memory, micro_batches, release_memory
from workbench.models.first_words import rate_unit
from workbench.models.forward import (
    can_pack,
    frozen_head,
    has_own_attention,
    logits_at,
    padded,
    prefix_length,
    prefix_pays,
    shared_prefix,
    tree_logits_at,
)
from workbench.models.fused import one_product
from workbench.models.head_loss import head_loss
from workbench.models.packed import Passes, Row
from workbench.models.resident import Resident
from workbench.models.training_state import TrainingState, restore_state, snapshot_state
from workbench.recipe import TrainingSettings

NON_FINITE_STEPS = 3  # in a row, before training gives up
SMALLEST_SCALE = 2**-12


@dataclass(frozen=True)
class TrainingRow:
    """One example: the loss is on the answers, which end with the end of turn.

    Attributes:
        answer_ids: the likeliest answer, or the only one.
        weight: its share in the loss.
        alternatives: of a soft label, the other answers with their shares, which add up to 1
            with ``weight``. The prompt is read once for all of them.
    """

    prompt_ids: list[int]
    answer_ids: list[int]
    weight: float = 1.0
    alternatives: tuple[tuple[list[int], float], ...] = ()

    @property
    def answers(self) -> list[tuple[list[int], float]]:
        """Every answer with its share."""
        return [(self.answer_ids, self.weight), *self.alternatives]

    def branches(self) -> list["TrainingRow"]:
        """The same as rows of one answer each, for models whose rows cannot branch."""
        return [TrainingRow(self.prompt_ids, ids, share) for ids, share in self.answers]


@dataclass(frozen=True)
class TrainingStep:
    """What one optimiser step did.

    Attributes:
        step: counted from 1.
        steps: in the whole training.
        loss: nats per answer token, mean over the step; not finite when the step was skipped.
        learning_rate: used in this step.
        tokens: of prompts and answers, without padding.
        micro_rows: rows of the largest micro-batch.
        skipped: the loss or a gradient was not finite; the adapter is as before.
        snapshot: copies the state after this step; call it before asking for the next one.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
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
    if not rows or any(
        not row.prompt_ids or any(not ids for ids, _ in row.answers) for row in rows
    ):
        raise StageError("Training needs rows that have both a prompt and an answer.")
    settings = settings.settled(len(rows), soft=any(row.alternatives for row in rows))
    parameters = resident.trainable(adapter)
    unit = rate_unit(resident, adapter)
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    steps_per_epoch = math.ceil(len(rows) / settings.batch_rows)
    steps = max(1, math.ceil(steps_per_epoch * settings.epochs))
    meta = {
        "seed": seed,
        "steps": steps,
        "batch_rows": settings.batch_rows,
        "learning_rate": settings.learning_rate,
        "batch_scale": 1.0,
        "non_finite": 0,
    }
    done = 0
    if resume is not None:
        meta, done = restore_state(resume, meta, parameters, optimizer), resume.step
    passes = Passes(resident, answer_loss)
    for step in range(done, steps):
        epoch, at = divmod(step, steps_per_epoch)
        order = _order(seed, epoch, len(rows))
        batch = [rows[i] for i in order[at * settings.batch_rows : (at + 1) * settings.batch_rows]]
        rate = learning_rate(step, steps, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate * unit
        with resident.using(adapter), _fewer_passes(resident):
            resident.model.train()
            try:
                loss, micro_rows = _gradients(resident, batch, parameters, meta, step, passes)
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
            tokens=sum(len(row.prompt_ids) for row in batch) + _answer_tokens(batch),
            micro_rows=micro_rows,
            skipped=skipped,
            snapshot=lambda done=step + 1: snapshot_state(done, parameters, optimizer, meta),
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
    passes: Passes,
) -> tuple[Tensor, int]:
    """Leave the step's gradients on the parameters; returns its loss (detached) and micro_rows.

    When memory runs out the bounds of a micro-batch are halved for good and the step starts
    over: its rows and its loss stay the same.
    """
    while True:
        _forget_gradients(resident, parameters)
        torch.manual_seed(_number(meta["seed"], "dropout", step))
        try:
            return _accumulate(resident, batch, meta["batch_scale"], passes)
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
        passes.forget()
        release_memory()


def _forget_gradients(resident: Resident, parameters: dict[str, Parameter]) -> None:
    """On a GPU they stay where they are, for passes that are replayed."""
    gradients = [part.grad for part in parameters.values() if part.grad is not None]
    if resident.device.type == "cuda" and gradients:
        torch._foreach_zero_(gradients)  # type: ignore[attr-defined]  # not in its stubs
        return
    for part in parameters.values():
        part.grad = None


def _accumulate(
    resident: Resident, batch: Sequence[TrainingRow], scale: float, passes: Passes
) -> tuple[Tensor, int]:
    batch = [replace(row, prompt_ids=resident.with_virtual_tokens(row.prompt_ids)) for row in batch]
    branches = [branch for row in batch for branch in row.branches()]
    if not has_own_attention(resident) or _pays_to_repeat(resident, branches, passes):
        batch = branches
    asked = [_answer_tokens([row]) for row in batch]
    lengths = [
        len(row.prompt_ids) + count - len(row.answers)
        for row, count in zip(batch, asked, strict=True)
    ]
    device = resident.device
    everything = sum(share * len(ids) for row in batch for ids, share in row.answers)
    total = torch.zeros((), device=device)
    packed = _are_packed(resident, batch)
    head = frozen_head(resident) if device.type == "cpu" else None  # a GPU gains nothing by it
    cuts = micro_batches(
        lengths, asked, resident.text_config.vocab_size, device, scale, packed=packed
    )
    for cut in cuts:
        part = [batch[i] for i in cut]
        if packed:
            total += passes.run([_packed_row(row, everything) for row in part])
            continue
        answers = [answer for row in part for answer in row.answers]
        targets = torch.tensor([token for tokens, _ in answers for token in tokens]).to(device)
        weights = torch.tensor([share for tokens, share in answers for _ in tokens]).to(device)
        if head is None:
            loss = answer_loss(_at_answers(resident, part), targets, weights) / everything
        else:
            states = _at_answers(resident, part, states=True)
            loss = head_loss(states, head, targets, weights) / everything
        loss.backward()
        total += loss.detach()
    return total, max(map(len, cuts))


def _fewer_passes(resident: Resident) -> AbstractContextManager[None]:
    mixed = resident.model.dtype == torch.bfloat16
    return one_product(resident.model) if mixed else nullcontext()


def _pays_to_repeat(resident: Resident, branches: Sequence[TrainingRow], passes: Passes) -> bool:
    """Whether reading a prompt once for each of its answers is faster, as rows are then packed."""
    tokens = sum(len(_sequence(branch)) for branch in branches)
    return can_pack(resident) and passes.are_recorded(tokens)


def _are_packed(resident: Resident, batch: Sequence[TrainingRow]) -> bool:
    """Whether rows stand one behind the other: none of them branches, nor share they much."""
    return (
        can_pack(resident)
        and not any(row.alternatives for row in batch)
        and not prefix_pays(resident, [row.prompt_ids for row in batch])
    )


def _packed_row(row: TrainingRow, everything: float) -> Row:
    weights = [row.weight / everything] * len(row.answer_ids)
    return Row(_sequence(row), _answer_places(row), row.answer_ids, weights)


def _at_answers(resident: Resident, part: Sequence[TrainingRow], *, states: bool = False) -> Tensor:
    """Logits (or states) before every answer token of rows side by side.

    They stand behind a prefix that is read once if that pays.
    """
    device = resident.device
    shared, prefix = shared_prefix(resident, [row.prompt_ids for row in part])
    ids, _ = padded([_sequence(row)[shared:] for row in part], device)
    keep = [
        at * ids.shape[1] + place - shared
        for at, row in enumerate(part)
        for place in _answer_places(row)
    ]
    kept = torch.tensor(keep).to(device)
    if not any(row.alternatives for row in part):
        return logits_at(resident, ids, kept, prefix, states=states)
    places, allowed = _branching(part, shared, ids.shape[1])
    places += prefix_length(prefix) - shared
    places, allowed = places.to(device), allowed.to(device)
    return tree_logits_at(resident, ids, kept, places, allowed, prefix, states=states)


def _answer_tokens(rows: Sequence[TrainingRow]) -> int:
    return sum(len(ids) for row in rows for ids, _ in row.answers)


def _sequence(row: TrainingRow) -> list[int]:
    """What the model reads: the prompt, then each answer without its last token."""
    return row.prompt_ids + [token for ids, _ in row.answers for token in ids[:-1]]


def _answer_places(row: TrainingRow) -> list[int]:
    """For each token of each answer, where in the sequence it is predicted."""
    places, start = [], len(row.prompt_ids)
    for ids, _ in row.answers:
        places += [len(row.prompt_ids) - 1, *range(start, start + len(ids) - 1)]
        start += len(ids) - 1
    return places


def _branching(rows: Sequence[TrainingRow], shared: int, length: int) -> tuple[Tensor, Tensor]:
    """Positions [rows, length] and who may see whom [rows, length, length].

    Every answer follows the prompt directly and sees none of the others.
    """
    places = torch.arange(shared, shared + length).repeat(len(rows), 1)
    allowed = torch.ones(len(rows), length, length, dtype=torch.bool)
    for at, row in enumerate(rows):
        prompt = start = len(row.prompt_ids) - shared
        for ids, _ in row.answers:
            end = start + len(ids) - 1
            places[at, start:end] = torch.arange(len(ids) - 1) + len(row.prompt_ids)
            allowed[at, start:end, prompt:] = False
            allowed[at, start:end, start:end] = True
            start = end
    return places, allowed


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
