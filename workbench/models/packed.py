"""Training passes over rows that stand one behind the other, without padding.

Small passes are recorded and replayed: a GPU works off a pass over few tokens in less time than a
model's own code needs to start its kernels. So that passes are alike, their numbers of tokens and
rows are then rounded up, with tokens that no row sees and whose loss has no weight.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from workbench.models.forward import packed_logits_at
from workbench.models.recorded import Recorded
from workbench.models.resident import Resident

# Tokens of a pass times weights of linear layers, at most. On an H200 starting its kernels took as
# long as 4,000 tokens through 8 billion weights, and recording it as long again.
RECORDED_WORK = 2**42
ROUNDED = {"tokens": 512, "rows": 16, "longest": 128, "answers": 256}  # up to multiples of these

# (logits [n, vocabulary], targets [n], weights [n]) -> []
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


class Row(NamedTuple):
    """What is read, where answers are predicted in it, and their tokens with their weights."""

    sequence: list[int]
    places: list[int]
    targets: list[int]
    weights: list[float]


class Passes:
    """Forward and backward passes of one training, whose adapter and base stay where they are."""

    def __init__(self, resident: Resident, loss: Loss) -> None:
        self._resident, self._loss = resident, loss
        self.forget()

    def forget(self) -> None:
        """Give memory back."""
        self._recorded: dict[tuple[int, ...], Recorded] = {}
        self._pool: Any = None

    def run(self, rows: Sequence[Row]) -> Tensor:
        """Add to the gradients; returns the loss [], valid until the next call."""
        device = self._resident.device
        if not self.are_recorded(sum(len(row.sequence) for row in rows)):
            longest, given = one_behind_the_other(rows, dict.fromkeys(ROUNDED, 1))
            return self._work(longest, *(tensor.to(device) for tensor in given))
        longest, given = one_behind_the_other(rows, ROUNDED)
        kind = (longest, *(tensor.numel() for tensor in given))
        if kind not in self._recorded:
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            self._recorded[kind] = Recorded(self._pool)
        work = partial(self._work, longest)
        return self._recorded[kind](work, *(tensor.to(device) for tensor in given))

    def are_recorded(self, tokens: int) -> bool:
        """Whether a pass over so many tokens would be recorded."""
        return (
            self._resident.device.type == "cuda"
            and tokens * self._resident.text_weights <= RECORDED_WORK
            and not any(
                isinstance(module, nn.Dropout) and module.p > 0
                for module in self._resident.model.modules()
            )
        )

    def _work(
        self,
        longest: int,
        ids: Tensor,
        places: Tensor,
        segments: Tensor,
        keep: Tensor,
        targets: Tensor,
        weights: Tensor,
    ) -> Tensor:
        logits = packed_logits_at(self._resident, ids, places, segments, longest, keep)
        loss = self._loss(logits, targets, weights)
        loss.backward()
        return loss.detach()


def one_behind_the_other(
    rows: Sequence[Row], multiples: dict[str, int]
) -> tuple[int, tuple[Tensor, ...]]:
    """The longest row's tokens, and what ``Passes._work`` takes besides.

    What is filled up with is a row of its own, and rows without tokens.
    """
    lengths = [len(row.sequence) for row in rows]
    total = sum(lengths)
    filler = -total % multiples["tokens"]
    if filler:
        lengths.append(filler)
    starts = torch.tensor([0, *lengths]).cumsum(0)
    places = torch.cat([torch.arange(length) for length in lengths])
    ids = [token for row in rows for token in row.sequence] + [0] * filler
    keep = [
        at + start for row, start in zip(rows, starts.tolist(), strict=False) for at in row.places
    ]
    more = -len(keep) % multiples["answers"]
    targets = [token for row in rows for token in row.targets] + [0] * more
    weights = [weight for row in rows for weight in row.weights] + [0.0] * more
    empty = starts[-1:].expand(-len(lengths) % multiples["rows"])
    longest = max(lengths)
    return longest + -longest % multiples["longest"], (
        torch.tensor([ids]),
        places[None],
        torch.cat([starts, empty]).to(torch.int32),
        torch.tensor(keep + [0] * more),
        torch.tensor(targets),
        torch.tensor(weights),
    )
