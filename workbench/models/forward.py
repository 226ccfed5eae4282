"""Forward passes over batches of token ids: how decoding, scoring and training call a model.

Two roads lead to the same numbers: our own attention for the families it is tested with,
transformers' attention and cache for every other model. Padding is always on the right: a fully
masked row, which padding on the left can produce, ends in NaN losses.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workbench.models.attention import FAMILIES, NOWHERE, KeyValues, own_attention
from workbench.models.resident import Resident


def has_own_attention(model: PreTrainedModel) -> bool:
    """Whether our attention is tested for this family."""
    return model.config.model_type in FAMILIES


def mixed_precision(resident: Resident) -> AbstractContextManager[object]:
    """bf16 products where a bf16 model uses an adapter, whose weights are fp32."""
    if resident.active is not None and resident.model.dtype == torch.bfloat16:
        return torch.autocast(resident.device.type, torch.bfloat16)
    return nullcontext()


def padded(rows: Sequence[list[int]], filler: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids on the left, filler on the right: ids [rows, longest] and lengths [rows]."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [filler] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids.to(device), lengths.to(device)


def logits_at(resident: Resident, ids: Tensor, keep: Tensor) -> Tensor:
    """Logits [kept, vocabulary] of the positions marked in keep [rows, length] (bool).

    ids [rows, length] are padded on the right, where nothing is kept: what comes before does
    not see it, so no mask is needed. With gradients if they are enabled.
    """
    model = resident.model
    with mixed_precision(resident):
        if not has_own_attention(model):
            return model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        state = KeyValues(positions=places[:, :0])
        state.begin(places)
        return _call(model, ids, places, state, keep)


def _call(
    model: PreTrainedModel, ids: Tensor, positions: Tensor, state: KeyValues, keep: int | Tensor
) -> Tensor:
    with own_attention(model):
        logits = model(
            input_ids=ids,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=keep,
            key_values=state,
        ).logits
    state.end()
    return logits


class Forward:
    """Calls one model for decoding, without gradients; a batch's state is in what it returns."""

    def __init__(self, resident: Resident) -> None:
        self.resident = resident
        self.model = resident.model
        self.device = resident.device
        self.model.eval()

    def prefix(self, ids: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of a prefix that several prompts share; [] for no prefix."""
        if not ids or not has_own_attention(self.model):
            return []
        state, _ = self.prefill([ids], [])
        return state.as_prefix()

    @torch.inference_mode()
    def prefill(
        self, rows: Sequence[list[int]], prefix: list[tuple[Tensor, Tensor]]
    ) -> tuple[KeyValues, Tensor]:
        """Read the prompts (after the prefix); returns the state and logits [rows, vocabulary]."""
        ids, lengths = padded(rows, 0, self.device)
        start = prefix[0][0].shape[1] if prefix else 0
        places = torch.arange(ids.shape[1], device=self.device).expand_as(ids)
        state = KeyValues(positions=places[:, :0], prefix=prefix)
        state.begin((places + start).masked_fill(places >= lengths[:, None], NOWHERE))
        with mixed_precision(self.resident):
            logits = _call(self.model, ids, places + start, state, lengths[:, None] - 1)
        return state, logits[:, -1]

    @torch.inference_mode()
    def step(self, state: KeyValues, tokens: Tensor) -> Tensor:
        """Append one token [rows] to every row; returns the next logits [rows, vocabulary]."""
        seen = (state.positions != NOWHERE).sum(dim=1, keepdim=True) + state.prefix_length
        state.begin(seen)
        with mixed_precision(self.resident):
            return _call(self.model, tokens[:, None], seen, state, 1)[:, -1]
