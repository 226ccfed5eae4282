"""Log-probabilities of text that is already there: no sampling, no gradients.

Rows are sorted by length, padded on the right and cut into batches; the LM head runs on the
positions that are asked for and on no other. All results are fp32 on the CPU, in nats, in the
order of the question.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.batches import each, micro_batches
from workbench.models.dense import dense
from workbench.models.forward import (
    has_own_attention,
    log_totals,
    logits_at,
    padded,
    prefix_length,
    shared_prefix,
    tree_logits_at,
)
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
        ModelError: a prompt or an answer has no tokens, or a single row does not fit in memory.
    """
    _refuse_empty(ids for pair in pairs for ids in pair)
    resident.model.eval()
    pairs = [(resident.with_virtual_tokens(prompt), answer) for prompt, answer in pairs]
    results: list[Tensor] = [torch.empty(0)] * len(pairs)
    shared, prefix = shared_prefix(resident, [prompt for prompt, _ in pairs])
    lengths = [len(prompt) + len(answer) - 1 - shared for prompt, answer in pairs]
    asked = [len(answer) for _, answer in pairs]

    def work(batch: list[int]) -> tuple[Tensor, ...]:
        ids, _ = padded([(pairs[i][0] + pairs[i][1])[shared:-1] for i in batch], resident.device)
        keep = [
            row * ids.shape[1] + at
            for row, i in enumerate(batch)
            for at in range(lengths[i] - asked[i], lengths[i])
        ]
        logits = logits_at(resident, ids, torch.tensor(keep).to(resident.device), prefix)
        targets = torch.tensor([token for i in batch for token in pairs[i][1]])
        found = _log_probs(logits, targets.to(resident.device)).cpu()
        return found.split([asked[i] for i in batch])

    cuts = micro_batches(lengths, asked, resident.text_config.vocab_size, resident.device)
    with dense(resident):
        for batch, parts in each(cuts, work):
            for i, part in zip(batch, parts, strict=True):
                results[i] = part
    return results


@torch.no_grad()
def next_token_log_probs(
    resident: Resident, prompts: Sequence[list[int]], token_ids: Sequence[int]
) -> Tensor:
    """Log-probability of each of these tokens as the next one: [prompts, token_ids]."""
    result = torch.empty(len(prompts), len(token_ids))
    wanted = torch.tensor(token_ids, device=resident.device)
    _refuse_empty(prompts)
    resident.model.eval()
    prompts = [resident.with_virtual_tokens(prompt) for prompt in prompts]
    shared, prefix = shared_prefix(resident, prompts)
    lengths = [len(prompt) - shared for prompt in prompts]

    def work(batch: list[int]) -> Tensor:
        ids, ends = padded([prompts[i][shared:] for i in batch], resident.device)
        keep = torch.arange(len(batch), device=resident.device) * ids.shape[1] + ends - 1
        logits = logits_at(resident, ids, keep, prefix)
        return (logits[:, wanted].float() - log_totals(logits)[:, None]).cpu()

    asked = [1] * len(prompts)
    cuts = micro_batches(lengths, asked, resident.text_config.vocab_size, resident.device)
    with dense(resident):
        for batch, found in each(cuts, work):
            result[batch] = found
    return result


@torch.no_grad()
def choice_log_probs(
    resident: Resident, prompts: Sequence[list[int]], answers: Sequence[list[int]]
) -> Tensor:
    """Summed log-probability of every answer after every prompt: [prompts, answers].

    For closed sets of answers. A prompt is read once: the answers follow it as a tree of their
    common beginnings, in which a token sees the prompt and its own ancestors only.
    """
    _refuse_empty([*prompts, *answers])
    if not has_own_attention(resident):
        pairs = [(prompt, answer) for prompt in prompts for answer in answers]
        sums = [log_probs.sum() for log_probs in answer_log_probs(resident, pairs)]
        return torch.stack(sums).view(len(prompts), len(answers))
    tree = _Tree.of(answers)
    resident.model.eval()
    device = resident.device
    prompts = [resident.with_virtual_tokens(prompt) for prompt in prompts]
    result = torch.empty(len(prompts), len(answers))
    size = len(tree.tokens)
    shared, prefix = shared_prefix(resident, prompts)
    lengths = [len(prompt) + size - shared for prompt in prompts]
    asked = [1 + size] * len(prompts)

    def work(batch: list[int]) -> Tensor:
        ids, _ = padded([prompts[i][shared:] + tree.tokens for i in batch], device)
        starts = torch.tensor([len(prompts[i]) - shared for i in batch])
        layout = tree.layout(starts, ids.shape[1])
        keep, positions, allowed = (part.to(device) for part in layout)
        positions += prefix_length(prefix)
        logits = tree_logits_at(resident, ids, keep, positions, allowed, prefix)
        nodes = logits.view(len(batch), 1 + size, -1)  # the prompt's last token, then the tree
        totals = log_totals(logits).view(len(batch), 1 + size)
        edges = nodes[:, tree.parents, tree.children].float() - totals[:, tree.parents]
        return edges.cpu() @ tree.paths.T

    cuts = micro_batches(lengths, asked, resident.text_config.vocab_size, device)
    with dense(resident):
        for batch, sums in each(cuts, work):
            result[batch] = sums
    return result


@dataclass(frozen=True)
class _Tree:
    """Answers as a tree of their common beginnings.

    Attributes:
        tokens: of the nodes that something follows, parents first.
        depths: [nodes] 0 for what follows the prompt directly.
        ancestors: [nodes, nodes] True where the column is the row itself or above it.
        parents, children: of every edge, the node it leaves (0 is the prompt, else 1 + index
            into tokens) and the token it leads to.
        paths: [answers, edges] 1.0 for the edges of an answer.
    """

    tokens: list[int]
    depths: Tensor
    ancestors: Tensor
    parents: list[int]
    children: list[int]
    paths: Tensor

    @staticmethod
    def of(answers: Sequence[list[int]]) -> "_Tree":
        beginnings = sorted({tuple(a[:n]) for a in answers for n in range(1, len(a))}, key=len)
        number = {(): 0} | {beginning: at + 1 for at, beginning in enumerate(beginnings)}
        edges = sorted({tuple(a[: n + 1]) for a in answers for n in range(len(a))})
        at = {edge: i for i, edge in enumerate(edges)}
        paths = torch.zeros(len(answers), len(edges))
        for row, answer in enumerate(answers):
            paths[row, [at[tuple(answer[: n + 1])] for n in range(len(answer))]] = 1
        ancestors = torch.zeros(len(beginnings), len(beginnings), dtype=torch.bool)
        for row, beginning in enumerate(beginnings):
            ancestors[row, [number[beginning[:n]] - 1 for n in range(1, len(beginning) + 1)]] = True
        return _Tree(
            tokens=[beginning[-1] for beginning in beginnings],
            depths=torch.tensor([len(beginning) - 1 for beginning in beginnings]),
            ancestors=ancestors,
            parents=[number[edge[:-1]] for edge in edges],
            children=[edge[-1] for edge in edges],
            paths=paths,
        )

    def layout(self, starts: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where things stand when the tree follows prompts that end at starts [rows].

        Returns:
            The prompts' last tokens and their trees [rows * (1 + nodes)] in the flattened rows,
            every token's position [rows, length], who may see whom [rows, length, length].
        """
        rows, size = len(starts), len(self.tokens)
        places = torch.arange(length).repeat(rows, 1)
        keep = torch.arange(rows)[:, None] * length + starts[:, None] + torch.arange(-1, size)
        allowed = torch.ones(rows, length, length, dtype=torch.bool)
        for row, start in enumerate(starts.tolist()):
            places[row, start : start + size] = start + self.depths
            allowed[row, start : start + size, start : start + size] = self.ancestors
        return keep.flatten(), places, allowed


def _log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """log_softmax(logits [n, vocabulary]) at targets [n], in fp32."""
    return logits.gather(1, targets[:, None])[:, 0].float() - log_totals(logits)


def _refuse_empty(rows: Iterable[list[int]]) -> None:
    if any(not ids for ids in rows):
        raise ModelError("A prompt or an answer came out empty: there is nothing to score.")
