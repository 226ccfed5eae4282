"""Cutting rows of different length into batches that fit.

A batch is bounded twice: by padded tokens in the model, and by logits (rows times vocabulary),
which for a vocabulary of 262,144 outgrow everything else.
"""

from collections.abc import Sequence

import torch

# Padded tokens of one batch. On a CPU larger batches only leave the caches; a GPU wants more.
TOKENS = {"cpu": 1024, "cuda": 16384}
LOGITS = {"cpu": 2**26, "cuda": 2**29}  # logits of one batch; they are fp32 for a moment


def micro_batches(
    lengths: Sequence[int],
    asked: Sequence[int],
    vocabulary: int,
    device: torch.device,
    scale: float = 1.0,
) -> list[list[int]]:
    """Indices of rows, shortest first, in batches under both bounds; a batch has a row at least.

    Args:
        lengths: tokens of each row.
        asked: positions of each row that the LM head runs on.
        vocabulary: its width.
        device: decides the bounds.
        scale: 0.5 halves both bounds.
    """
    tokens = TOKENS.get(device.type, TOKENS["cuda"]) * scale
    positions = LOGITS.get(device.type, LOGITS["cuda"]) * scale / vocabulary
    batches: list[list[int]] = []
    total = 0
    for row in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        total += asked[row]
        if batches and lengths[row] * (len(batches[-1]) + 1) <= tokens and total <= positions:
            batches[-1].append(row)
        else:
            batches.append([row])
            total = asked[row]
    return batches
