"""Rows of a CPU's batch one behind the other, where their padding costs more than looking across.

Padding is read as any token is: of a training step of short rows nearly half. A GPU has a kernel
for rows that stand one behind the other (``packed``); here they become one row in which a mask
keeps them apart, so that attention computes scores between rows too and throws them away.
"""

import torch
from torch import Tensor

from workbench.models.resident import Resident

# What a score costs, in products of its head's width: two products, and a softmax about as dear.
SCORE = 4


def pays(resident: Resident, rows: int, columns: int, tokens: int) -> bool:
    """Whether one row of so many tokens is read faster than rows of so many columns."""
    config = resident.text_config
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    scores = heads * config.num_hidden_layers * (tokens**2 - rows * columns**2)
    saved = resident.text_weights * (rows * columns - tokens)
    return resident.device.type == "cpu" and saved > SCORE * width * scores


def one_row(
    lengths: Tensor, ids: Tensor, keep: Tensor, positions: Tensor, allowed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The first tokens of each row in a single one; who may see whom in it.

    Args:
        lengths: [rows] how many tokens of each row are taken.
        ids, positions: [rows, length].
        keep: [kept] places in ``ids.flatten()``, all among what is taken.
        allowed: [rows, length, length] or None.

    Returns:
        ids, keep, positions and allowed ([1, tokens, tokens]) of the single row.
    """
    taken = torch.arange(ids.shape[1]) < lengths[:, None]
    row = taken.nonzero()[:, 0]
    apart = row[:, None] == row
    if allowed is not None:
        column = taken.nonzero()[:, 1]
        apart &= allowed[row[:, None], column[:, None], column]
    place = taken.flatten().cumsum(0) - 1
    return ids[taken][None], place[keep], positions[taken][None], apart[None]


def needed(ids: Tensor, keep: Tensor) -> Tensor:
    """How many tokens [rows] of each row there are up to the last that is kept, at least one.

    No token sees what comes after it, so what comes after that is not needed.
    """
    columns = ids.shape[1]
    lengths = torch.ones(len(ids), dtype=torch.long)
    return lengths.scatter_reduce(0, keep // columns, keep % columns + 1, "amax")
