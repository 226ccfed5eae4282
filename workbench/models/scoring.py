"""Log-probabilities of text that is already there: no sampling, no gradients.

Rows are sorted by length, padded on the right and cut into batches; the LM head runs on the
positions that are asked for and on no other. All results are fp32 on the CPU, in nats, in the
order of the question.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.batches import micro_batches
from workbench.models.forward import logits_at, padded
from workbench.models.resident import Resident


@torch.no_grad()
def answer_log_probs(
    resident: Resident, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[Tensor]:
    """Log-probability of every answer token after its prompt.

    Args:
        pairs: (prompt ids, answer ids), both not empty.

    Returns:
        One [answer tokens] tensor per pair.

    Raises:
        ModelError: a prompt or an answer has no tokens.
    """
    _refuse_empty(ids for pair in pairs for ids in pair)
    model = resident.model.eval()
    results: list[Tensor] = [torch.empty(0)] * len(pairs)
    lengths = [len(prompt) + len(answer) - 1 for prompt, answer in pairs]
    asked = [len(answer) for _, answer in pairs]
    for batch in micro_batches(lengths, asked, model.config.vocab_size, resident.device):
        ids, _ = padded([(pairs[i][0] + pairs[i][1])[:-1] for i in batch], 0, resident.device)
        keep = torch.zeros(ids.shape, dtype=torch.bool)
        for row, i in enumerate(batch):
            keep[row, len(pairs[i][0]) - 1 : lengths[i]] = True
        logits = logits_at(resident, ids, keep.to(resident.device))
        targets = torch.tensor([token for i in batch for token in pairs[i][1]])
        found = _log_probs(logits, targets.to(resident.device)).cpu()
        for i, part in zip(batch, found.split([asked[i] for i in batch]), strict=True):
            results[i] = part
    return results


@torch.no_grad()
def next_token_log_probs(
    resident: Resident, prompts: Sequence[list[int]], token_ids: Sequence[int]
) -> Tensor:
    """Log-probability of each of these tokens as the next one: [prompts, token_ids]."""
    _refuse_empty(prompts)
    model = resident.model.eval()
    result = torch.empty(len(prompts), len(token_ids))
    wanted = torch.tensor(token_ids, device=resident.device)
    lengths = [len(prompt) for prompt in prompts]
    vocabulary = model.config.vocab_size
    for batch in micro_batches(lengths, [1] * len(prompts), vocabulary, resident.device):
        ids, ends = padded([prompts[i] for i in batch], 0, resident.device)
        keep = torch.arange(ids.shape[1], device=resident.device) == ends[:, None] - 1
        logits = logits_at(resident, ids, keep).float()
        found = logits[:, wanted] - logits.logsumexp(dim=-1, keepdim=True)
        result[batch] = found.cpu()
    return result


def choice_log_probs(
    resident: Resident, prompts: Sequence[list[int]], answers: Sequence[list[int]]
) -> Tensor:
    """Summed log-probability of every answer after every prompt: [prompts, answers].

    For closed sets of answers.
    """
    pairs = [(prompt, answer) for prompt in prompts for answer in answers]
    sums = [log_probs.sum() for log_probs in answer_log_probs(resident, pairs)]
    return torch.stack(sums).view(len(prompts), len(answers))


def _log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """log_softmax(logits [n, vocabulary]) at targets [n], in fp32."""
    wide = logits.float()
    return wide.gather(1, targets[:, None])[:, 0] - wide.logsumexp(dim=-1)


def _refuse_empty(rows: object) -> None:
    if any(not ids for ids in rows):  # type: ignore[attr-defined]
        raise ModelError("A prompt or an answer came out empty: there is nothing to score.")
