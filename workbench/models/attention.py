"""Attention for batches that share a prefix, with keys and values kept in place.

transformers' own decoding copies the whole cache at every step, repeats keys for grouped heads
and reads a prefix that all rows share once per row. Here keys and values are written into
reserved columns, heads stay grouped, and the shared prefix is one matrix product for the whole
batch (the split of Hydragen, arXiv 2402.05099). It plugs into transformers' attention interface.

What a token may see is decided by positions alone: everything at or before its own position,
within the layer's sliding window. Padding has no position, so it may lie anywhere.

It refuses nothing but is only right for the families in ``FAMILIES``: no attention sinks, no
bidirectional spans, no keys shared between layers. Other models take ``decoding``'s plain road.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

NAME = "workbench"
NOWHERE = 2**30  # the position of a padding column: later than every query
COLUMNS = 64  # columns are reserved in multiples of this
SCORES = 2**25  # attention scores of one layer that may be held at once on a CPU

# config.model_type of the families that the tests compare with transformers' own attention.
FAMILIES = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "smollm3"}
    | {"olmo2", "granite"}
)


@dataclass
class KeyValues:
    """Keys and values of a batch, and where each column stands.

    Columns are reserved ahead and read whole, the unused ones masked: a product over a slice of
    them would first copy the slice, which costs several times the product on a CPU.

    Attributes:
        positions: [rows, reserved] position of each column, ``NOWHERE`` for padding and unused.
        prefix: per layer, keys and values [kv_heads, prefix, head] that all rows share.
        own: per layer, keys and values [rows, kv_heads, reserved, head].
        used: columns written so far.
        allowed: [rows, queries, reserved] extra restriction of one forward pass, or None.
        column: [1] the next column, on the device: a recorded step finds it there. None: ``used``.
        segments: where rows that stand one behind the other in one row begin, and the end
            [rows + 1], int32: on a GPU, without a prefix, for one pass of which nothing is kept.
        longest: tokens of the longest such row.
    """

    positions: Tensor
    prefix: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    own: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    used: int = 0
    allowed: Tensor | None = None
    column: Tensor | None = None
    segments: Tensor | None = None
    longest: int = 0
    _queries: Tensor | None = None
    _bias: dict[int | None, Tensor] = field(default_factory=dict)

    @property
    def prefix_length(self) -> int:
        """Number of tokens in the shared prefix."""
        return self.prefix[0][0].shape[1] if self.prefix else 0

    def begin(self, positions: Tensor, allowed: Tensor | None = None) -> None:
        """Announce the columns of the next forward pass.

        Args:
            positions: [rows, queries] of the new tokens.
            allowed: [rows, queries, queries] False where a query must not look; only for the
                first pass.
        """
        end = self.used + positions.shape[1]
        missing = end - self.positions.shape[1]
        if missing > 0:
            # The first pass takes what it needs, for most batches there is no second.
            more = missing if not self.used else _reserved(end) - self.positions.shape[1]
            self.reserve(self.positions.shape[1] + more)
        if self.column is None:
            self.positions[:, self.used : end] = positions
        else:
            self.positions.index_copy_(1, self.column, positions)
        self._queries = positions
        self.allowed = allowed
        self._bias.clear()

    def reserve(self, columns: int) -> None:
        """Have room for so many columns from now on."""
        more = columns - self.positions.shape[1]
        self.positions = nn.functional.pad(self.positions, (0, more), value=NOWHERE)

    def end(self) -> None:
        """The forward pass is over: its columns count as used."""
        assert self._queries is not None
        self.used += self._queries.shape[1]

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values [rows, kv_heads, queries, head]; return all of this layer."""
        if layer == len(self.own):
            self.own.append((key, value))
            return key, value
        keys, values = self.own[layer]
        reserved = self.positions.shape[1]
        if keys.shape[2] < reserved:
            keys, values = _grown(keys, reserved), _grown(values, reserved)
            self.own[layer] = keys, values
        if self.column is not None:
            keys.index_copy_(2, self.column, key)
            values.index_copy_(2, self.column, value)
            return keys, values
        end = self.used + key.shape[2]
        keys[:, :, self.used : end] = key
        values[:, :, self.used : end] = value
        return keys, values

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (indices)."""
        self.positions = self.positions[rows]
        self.own = [(keys[rows], values[rows]) for keys, values in self.own]

    def is_causal(self, window: int | None) -> bool:
        """Whether this pass is a plain lower triangle (padding on the right changes nothing)."""
        first = self.used == 0 and not self.prefix and self.allowed is None
        return first and (window is None or self.positions.shape[1] <= window)

    def bias(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """What to add to scores: [rows, 1, queries, prefix + reserved]."""
        if window not in self._bias:
            seen = self._seen(window)
            bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
            # Finite, so that a padding row that sees nothing gets an even mixture and no NaN.
            self._bias[window] = bias.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
        return self._bias[window]

    def _seen(self, window: int | None) -> Tensor:
        """[rows, queries, prefix + reserved]: which columns each query looks at."""
        assert self._queries is not None
        queries = self._queries[:, :, None]
        columns = self.positions[:, None, :]
        if self.prefix:
            shared = torch.arange(self.prefix_length, device=columns.device)
            columns = torch.cat([shared.expand(columns.shape[0], 1, -1), columns], dim=2)
        seen = columns <= queries
        if window is not None:
            seen &= queries - columns < window
        if self.allowed is not None:
            seen[:, :, self.prefix_length :] &= self.allowed
        return seen


def _reserved(columns: int) -> int:
    return -(-columns // COLUMNS) * COLUMNS


def _grown(columns: Tensor, reserved: int) -> Tensor:
    """A copy [rows, kv_heads, reserved, head] with zeros behind (unused columns must be finite)."""
    grown = columns.new_zeros((*columns.shape[:2], reserved, columns.shape[3]))
    grown[:, :, : columns.shape[2]] = columns
    return grown


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    key_values: KeyValues | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Grouped attention over a shared prefix and own columns (transformers' interface).

    Args:
        query: [rows, heads, queries, head]; key, value: [rows, kv_heads, queries, head].
        attention_mask: ignored; ``key_values`` knows what is seen.

    Returns:
        [rows, queries, heads, head] and None.
    """
    assert key_values is not None
    rows, heads, length, head = query.shape
    kv_heads = key.shape[1]
    scale = head**-0.5 if scaling is None else scaling
    if key_values.segments is not None:
        return _segmented(query, key, value, key_values, scale, sliding_window), None
    keys, values = key_values.write(module.layer_idx, key, value)  # type: ignore[arg-type]
    columns = key_values.prefix_length + keys.shape[2]
    large = rows * heads * length * columns > SCORES
    if length > 1 and softcap is None and (large or query.is_cuda):
        return _fused(module, query, keys, values, key_values, scale, sliding_window), None
    grouped = (query * scale).reshape(rows, kv_heads, -1, head)  # heads of a group side by side
    scores = grouped @ keys.transpose(-1, -2)
    shared = key_values.prefix[module.layer_idx] if key_values.prefix else None  # type: ignore[index]
    if shared is not None:
        scores = torch.cat([_times_shared(grouped, shared[0].transpose(-1, -2)), scores], dim=-1)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    bias = key_values.bias(sliding_window, scores.dtype)
    scores = (scores.view(rows, -1, length, scores.shape[-1]) + bias).view(scores.shape)
    weights = scores.softmax(dim=-1).to(value.dtype)  # computed in fp32 inside
    if shared is None:
        mixed = weights @ values
    else:
        ahead, own = weights.split([key_values.prefix_length, values.shape[2]], dim=-1)
        mixed = own @ values + _times_shared(ahead, shared[1])
    return mixed.view(rows, heads, length, head).transpose(1, 2).contiguous(), None


def _segmented(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_values: KeyValues,
    scale: float,
    window: int | None,
) -> Tensor:
    """Every row of a single row [1, heads, tokens, head] by itself: PyTorch's flash attention."""
    # It knows 16 bits only, and some adapters (IA3 on a 4-bit base) lift what they touch to 32.
    half = torch.bfloat16 if query.dtype == torch.float32 else query.dtype
    packed = [part[0].transpose(0, 1).to(half) for part in (query, key, value)]
    mixed = torch.ops.aten._flash_attention_forward(
        *packed,
        key_values.segments,
        key_values.segments,
        key_values.longest,
        key_values.longest,
        0.0,  # dropout
        True,  # causal
        False,
        scale=scale,
        window_size_left=None if window is None else window - 1,
    )[0]
    return mixed[None].to(query.dtype)


def _fused(
    module: nn.Module,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    key_values: KeyValues,
    scale: float,
    window: int | None,
) -> Tensor:
    """The same in one kernel that never holds all scores, for reading many tokens at once."""
    if key_values.is_causal(window):
        if query.is_cuda:
            grouped = nn.functional.scaled_dot_product_attention(
                query, keys, values, is_causal=True, scale=scale, enable_gqa=True
            )
            return grouped.transpose(1, 2).contiguous()
        bias = None
    else:
        bias = key_values.bias(window, query.dtype)
        if key_values.prefix:
            shared = key_values.prefix[module.layer_idx]  # type: ignore[index]
            keys = torch.cat([shared[0].expand(len(keys), -1, -1, -1), keys], dim=2)
            values = torch.cat([shared[1].expand(len(values), -1, -1, -1), values], dim=2)
    repeats = query.shape[1] // keys.shape[1]
    mixed = nn.functional.scaled_dot_product_attention(
        query,
        keys.repeat_interleave(repeats, dim=1),
        values.repeat_interleave(repeats, dim=1),
        attn_mask=bias,
        is_causal=bias is None,
        scale=scale,
    )
    return mixed.transpose(1, 2).contiguous()


def _times_shared(left: Tensor, right: Tensor) -> Tensor:
    """[rows, kv_heads, n, a] times one [kv_heads, a, b] for all rows: one product per head."""
    rows, kv_heads, count, inner = left.shape
    flat = left.transpose(0, 1).reshape(kv_heads, rows * count, inner) @ right
    return flat.view(kv_heads, rows, count, -1).transpose(0, 1)


AttentionInterface.register(NAME, attend)


@contextmanager
def own_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let this model's forward use ``attend``; restores the previous choice."""
    previous = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = previous
