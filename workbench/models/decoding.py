"""Writing text with a model: batches of prompts in, token ids and log-probabilities out.

A loop of our own instead of ``generate``: a prefix that all prompts share is computed once,
prompts of similar length go together, finished rows leave the batch, and nothing is sorted that
need not be (sorting a vocabulary of 262,144 at every step costs more than the model): with top_k
only those k are, without it only where top_p cuts. A prompt's random numbers depend on the seed
and its own index, not on its neighbours. It refuses prompts without tokens.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench import activity
from workbench.errors import ModelError
from workbench.models.batches import NO_MEMORY, for_device, is_out_of_memory, release_memory
from workbench.models.dense import dense
from workbench.models.forward import Batch, log_totals, shared_prefix, start_batch
from workbench.models.resident import Resident

# Prompts decoded together. On a GPU a step takes the same time for many rows as for few.
ROWS = {"cpu": 32, "cuda": 1024}
# A batch is compacted when no more than this share of its rows is unfinished. On a GPU the step is
# then recorded anew, which takes as long as several.
KEEP_WHILE = {"cpu": 0.75, "cuda": 0.5}


@dataclass(frozen=True)
class Sampling:
    """How to draw a token: the top k of the row, at a temperature, cut where p is reached.

    top_k comes first, then temperature, then top_p over those k: transformers' order but for
    the tail beyond k. top_k 0 and top_p 1 are off: then the whole distribution is drawn from.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True)
class Decoded:
    """What a prompt was continued with.

    Attributes:
        ids: without the stop token.
        log_probs: of each id under the model at temperature 1, in nats.
        finished: a stop token (or the stop text) ended it, not the length limit.
    """

    ids: list[int]
    log_probs: list[float]
    finished: bool


@dataclass
class _Row:
    index: int
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    finished: bool = False


def decode(
    resident: Resident,
    prompts: Sequence[list[int]],
    *,
    new_tokens: int,
    stop_ids: Sequence[int],
    sampling: Sampling | None,
    seed: int = 0,
    rows: int | None = None,
    stop_text: str | None = None,
) -> Iterator[tuple[int, Decoded]]:
    """Continue every prompt; yields (index into prompts, result) as rows end.

    Args:
        prompts: token ids, each at least one.
        new_tokens: at most so many tokens per prompt.
        stop_ids: tokens that end a row.
        sampling: None takes the likeliest token.
        rows: prompts decoded together; None for ``ROWS``; fewer when memory runs out.
        stop_text: a row may end once it has written this.

    Raises:
        ModelError: a prompt has no tokens, or memory runs out with a single row.
    """
    if any(not prompt for prompt in prompts):
        raise ModelError("A prompt came out empty. Write some text around {input}.")
    longest, positions = max(map(len, prompts), default=0), resident.positions
    if positions is not None and longest >= positions:
        number = next(i for i, prompt in enumerate(prompts) if len(prompt) == longest) + 1
        raise ModelError(
            f"Prompt {number} has {longest:,} tokens, and this base reads {positions:,} at most, "
            "answer included. Shorten the input, or choose another base."
        )
    if positions is not None:
        new_tokens = min(new_tokens, positions - longest)
    if not prompts or new_tokens < 1:
        yield from ((i, Decoded([], [], False)) for i in range(len(prompts)))
        return
    resident.model.eval()
    stop = _Stop(resident, frozenset(stop_ids), stop_text)
    prompts = [resident.with_virtual_tokens(prompt) for prompt in prompts]
    with dense(resident), activity.counting(len(prompts), "written") as count:
        rows = rows or for_device(ROWS, resident.device)
        yield from _decode(resident, prompts, new_tokens, stop, sampling, seed, rows, count)


def _decode(
    resident: Resident,
    prompts: Sequence[list[int]],
    new_tokens: int,
    stop: "_Stop",
    sampling: Sampling | None,
    seed: int,
    rows: int,
    count: activity.Count,
) -> Iterator[tuple[int, Decoded]]:
    """Batch by batch, shortest prompts first; a batch that does not fit is started over halved."""
    with torch.inference_mode():
        shared, prefix = shared_prefix(resident, prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while order:
        members = [_Row(index) for index in order[:rows]]
        ended: set[int] = set()
        try:
            batch = start_batch(resident, prefix, new_tokens)
            logits = batch.read([prompts[row.index][shared:] for row in members])
            for row in _continue(batch, members, logits, new_tokens, stop, sampling, seed, count):
                ended.add(row.index)
                count.done += 1
                yield row.index, Decoded(row.ids, row.log_probs, row.finished)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if rows == 1:
                raise ModelError(NO_MEMORY) from error
            # Rows that have not ended start over in smaller batches, with the same numbers.
            rows = max(1, min(rows, len(members)) // 2)
            batch = logits = None
            release_memory()
        order = [row.index for row in members if row.index not in ended] + order[len(members) :]


def _continue(
    batch: Batch,
    members: list[_Row],
    logits: Tensor,
    new_tokens: int,
    stop: "_Stop",
    sampling: Sampling | None,
    seed: int,
    count: activity.Count,
) -> Iterator[_Row]:
    """Decode one batch; yields rows as they end. logits [rows, vocabulary] follow the prompts."""
    numbers = None
    keep_while = for_device(KEEP_WHILE, logits.device)
    if sampling is not None:
        numbers = _numbers(seed, [row.index for row in members], new_tokens).to(logits.device)
    for step in range(new_tokens):
        tokens, log_probs = _choose(logits, sampling, None if numbers is None else numbers[:, step])
        drawn = zip(members, tokens.tolist(), log_probs.tolist(), strict=True)
        live, count.tokens = [], count.tokens + len(members)
        for at, (row, token, log_prob) in enumerate(drawn):
            if row.finished:
                continue
            stop.take(row, token, log_prob)
            if row.finished or step + 1 == new_tokens:
                yield row
            else:
                live.append(at)
        if not live:
            return
        if len(live) <= keep_while * len(members):
            members = [members[at] for at in live]
            numbers = None if numbers is None else numbers[live]
            chosen = torch.tensor(live, device=tokens.device)
            batch.keep(chosen)
            tokens = tokens[chosen]
        logits = batch.step(tokens)


class _Stop:
    """Knows when a row has ended."""

    def __init__(self, resident: Resident, ids: frozenset[int], text: str | None) -> None:
        self.tokenizer, self.ids, self.text = resident.tokenizer, ids, text

    def take(self, row: _Row, token: int, log_prob: float) -> None:
        """Add a token to the row, or end the row."""
        if token in self.ids:
            row.finished = True
            return
        row.ids.append(token)
        row.log_probs.append(log_prob)
        if self.text is not None:
            # A token holds at least one byte, so the text lies within so many last tokens.
            tail = row.ids[-len(self.text.encode()) - 1 :]
            row.finished = self.text in self.tokenizer.decode(tail)


def _choose(
    logits: Tensor, sampling: Sampling | None, drawn: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One token per row of logits [rows, vocabulary] and its log-probability at temperature 1.

    drawn: [rows] uniform numbers in [0, 1) for the inverse of the cumulative distribution.
    """
    if sampling is None:
        log_prob, ids = logits.max(dim=-1)
        return ids, log_prob.float() - log_totals(logits)
    assert drawn is not None
    if sampling.top_k:
        top, order = logits.topk(min(sampling.top_k, logits.shape[-1]), dim=-1)
    elif sampling.top_p < 1:
        top, order = logits.sort(dim=-1, descending=True)
    else:
        top, order = logits, None
    total = (top.float() / sampling.temperature).softmax(dim=-1).cumsum(dim=-1)
    last = total.shape[-1] - 1
    if sampling.top_p < 1:
        # A token stays when those before it do not reach p yet; the first always stays.
        last = (total < sampling.top_p).sum(dim=-1, keepdim=True).clamp(max=last)
    else:
        last = torch.full_like(drawn, last, dtype=torch.long)[:, None]
    threshold = drawn[:, None] * total.gather(1, last)
    pick = torch.searchsorted(total, threshold, right=True).minimum(last)
    log_probs = top.gather(1, pick)[:, 0].float() - log_totals(logits)
    ids = pick if order is None else order.gather(1, pick)
    return ids[:, 0], log_probs


def _numbers(seed: int, indices: Sequence[int], steps: int) -> Tensor:
    """[rows, steps] uniform numbers, each row from (seed, prompt index) only."""
    streams = []
    for index in indices:
        digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        streams.append(torch.rand(steps, generator=generator))
    return torch.stack(streams)
