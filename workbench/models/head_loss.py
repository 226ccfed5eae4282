"""Cross-entropy straight from the last hidden states, for frozen LM heads on a CPU.

torch holds the logits of a large vocabulary five times over, twice of them in fp32, and multiplies
the gradient of every token of the vocabulary with the head, though a trained model gives nearly
all of them nothing. Here logits are computed once, in pieces that stay in the caches, and of the
gradient only those tokens are multiplied that any row gives some probability (the gradient filter
of Cut Cross-Entropy, arXiv 2411.09009, section 4.3). What is left out is measured: where it is
more than the dtype can tell from 1, nothing is left out.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

PIECE = 2**14  # tokens of the vocabulary whose logits are computed together
LEAST = 2**-20  # a token that no row gives this probability has no share in the gradient


def head_loss(states: Tensor, weight: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """Weighted sum [] of cross-entropies in nats.

    Args:
        states: [n, width] before the head, in its dtype or, under autocast, another.
        weight: [vocabulary, width] of a head without bias that is not trained.
        targets: [n] token ids.
        shares: [n] weights in the sum, fp32.
    """
    return _HeadLoss.apply(states, weight, targets, shares)  # type: ignore[no-any-return]


class _HeadLoss(Function):
    """The gradient is made with the loss: the logits need not be kept."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, shares: Tensor
    ) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            inner = states.to(weight.dtype)
            pieces = weight.split(PIECE)
            logits, totals = [], []
            for piece in pieces:
                logits.append(inner @ piece.T)
                totals.append(logits[-1].float().logsumexp(dim=1))
            total = torch.stack(totals).logsumexp(dim=0)
            aimed = _at(logits, targets)
            gradient = None
            if weight.dtype == torch.bfloat16:
                gradient = _gradient(logits, pieces, total, shares, math.log(LEAST))
            if gradient is None:
                gradient = _gradient(logits, pieces, total, shares, -math.inf)
            assert gradient is not None
            gradient -= shares[:, None] * weight[targets].float()
        ctx.save_for_backward(gradient.to(states.dtype))
        return (total - aimed) @ shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return upstream.to(gradient.dtype) * gradient, None, None, None


def _at(logits: Sequence[Tensor], targets: Tensor) -> Tensor:
    """The logits [n] of the targets, from pieces of the vocabulary."""
    found = torch.zeros(len(targets))
    for number, piece in enumerate(logits):
        rows = (targets // PIECE == number).nonzero()[:, 0]
        found[rows] = piece[rows, targets[rows] % PIECE].float()
    return found


def _gradient(
    logits: Sequence[Tensor],
    pieces: Sequence[Tensor],
    total: Tensor,
    shares: Tensor,
    least: float,
) -> Tensor | None:
    """Of the log totals by the hidden states [n, width], in fp32.

    None where the tokens below the least log-probability are too many to leave them out.
    """
    left, gradient = torch.ones(len(total)), torch.zeros(len(total), pieces[0].shape[1])
    for piece, part in zip(pieces, logits, strict=True):
        nearly = part - total[:, None].to(part.dtype)  # near enough to choose by
        tokens = (nearly.amax(dim=0) >= least).nonzero()[:, 0]
        probabilities = (part[:, tokens].float() - total[:, None]).exp_()
        left -= probabilities.sum(dim=1)
        gradient += (probabilities * shares[:, None]).to(part.dtype) @ piece[tokens]
    if least > -math.inf and left.max() > torch.finfo(pieces[0].dtype).eps:
        return None
    return gradient
