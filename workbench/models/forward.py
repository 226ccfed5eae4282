"""Forward passes over batches of token ids: how decoding, scoring and training call a model.

Two roads lead to the same numbers: our own attention for the families it is tested with,
transformers' attention and cache for every other model. Nothing here chooses tokens, and nothing
is kept between batches.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from workbench.models.attached import Prefix
from workbench.models.attention import FAMILIES, NOWHERE, KeyValues, own_attention
from workbench.models.batches import for_device
from workbench.models.recorded import Recorded
from workbench.models.resident import Resident
from workbench.models.unpadded import needed, one_row, pays

# Tokens saved for which a forward pass of the prefix alone pays: kernel launches, above all.
WORTHWHILE = {"cpu": 64, "cuda": 4096}
# Columns of keys come in multiples of this: products of odd widths take a GPU twice as long.
ALIGNED = {"cpu": 1, "cuda": 16}
ROOM = 128  # columns that a batch on a GPU reserves at once, at most
FLASH_HEAD = 256  # the widest head that flash attention takes


def has_own_attention(resident: Resident) -> bool:
    """Whether our attention is tested for this model's family, and the adapter keeps it."""
    if resident.in_use is not None and not resident.in_use.keeps_attention:
        return False
    return resident.text_config.model_type in FAMILIES


def mixed_precision(resident: Resident) -> AbstractContextManager[object]:
    """bf16 products where a bf16 model uses an adapter, whose weights are fp32."""
    if resident.active is not None and resident.model.dtype == torch.bfloat16:
        return torch.autocast(resident.device.type, torch.bfloat16)
    return nullcontext()


def padded(rows: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids on the left, zeros on the right: ids [rows, longest] and lengths [rows]."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids.to(device), lengths.to(device)


def log_totals(logits: Tensor) -> Tensor:
    """logsumexp of logits [n, vocabulary] in fp32: [n].

    On a CPU in pieces that stay in its caches: half the time for 32 rows of 262,144.
    """
    size = max(1, 2**18 // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    return torch.cat([part.float().logsumexp(dim=-1) for part in logits.split(max(1, size))])


def shared_prefix(resident: Resident, rows: Sequence[list[int]]) -> tuple[int, Prefix]:
    """How much of the rows' common beginning is worth computing once, and what precedes the rest.

    With gradients if they are enabled. At least one token of every row stays outside. The keys
    and values are those of the adapter in use, if it has any, then those of the beginning.
    """
    given = resident.key_values()
    length = prefix_pays(resident, rows)
    if not length:
        return 0, given
    ids = torch.tensor([rows[0][:length]], device=resident.device)
    start = prefix_length(given)
    places = torch.arange(start, start + length, device=resident.device)[None]
    state = KeyValues(positions=places[:, :0], prefix=given)
    state.begin(places)
    text_model = resident.text_model
    with own_attention(text_model), mixed_precision(resident):
        text_model(input_ids=ids, position_ids=places, use_cache=False, key_values=state)
    read = [(keys[0], values[0]) for keys, values in state.own]
    if not given:
        return length, read
    return length, [
        (torch.cat([before[0], after[0]], dim=1), torch.cat([before[1], after[1]], dim=1))
        for before, after in zip(given, read, strict=True)
    ]


def prefix_pays(resident: Resident, rows: Sequence[list[int]]) -> int:
    """Tokens of the rows' common beginning if reading it once is worth its pass, else 0."""
    if len(rows) < 2 or not has_own_attention(resident):
        return 0
    length = common_prefix(rows)
    length -= length % for_device(ALIGNED, resident.device)
    pays = length * (len(rows) - 1) >= for_device(WORTHWHILE, resident.device)
    return length if pays else 0


def common_prefix(rows: Sequence[list[int]]) -> int:
    """Length of what all rows begin with, at least one token short of the shortest."""
    first, last = min(rows), max(rows)
    limit = min(map(len, rows)) - 1
    return next((at for at in range(limit) if first[at] != last[at]), max(0, limit))


def frozen_head(resident: Resident) -> Tensor | None:
    """The LM head's weight where logits are its product with the states and nothing else."""
    head = resident.model.get_output_embeddings()
    if not has_own_attention(resident) or type(head) is not nn.Linear or head.bias is not None:
        return None
    scales = ("final_logit_softcapping", "logits_scaling", "logit_scale")
    scaled = any(getattr(resident.text_config, name, None) is not None for name in scales)
    return None if scaled or head.weight.requires_grad else head.weight


def logits_at(
    resident: Resident,
    ids: Tensor,
    keep: Tensor,
    prefix: Prefix | None = None,
    *,
    states: bool = False,
) -> Tensor:
    """Logits [kept, vocabulary] at the places keep [kept] of ``ids.flatten()``.

    ids [rows, length] follow the prefix and are padded on the right, where nothing is kept: no
    token sees what comes after it, so no mask is needed (and no row is fully masked, which
    padding on the left can bring about and which ends in NaN losses). With gradients if they
    are enabled.

    Args:
        states: return what the LM head would see, [kept, width]; for models with a
            ``frozen_head``.
    """
    start = prefix_length(prefix)
    if has_own_attention(resident):
        places = torch.arange(start, start + ids.shape[1], device=ids.device).expand_as(ids)
        return tree_logits_at(resident, ids, keep, places, None, prefix, states=states)
    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if prefix:
        inputs["past_key_values"] = _filled_cache(resident, prefix, len(ids))
        inputs["use_cache"] = True
        inputs["attention_mask"] = ids.new_ones(len(ids), start + ids.shape[1])
    with mixed_precision(resident):
        return _logits(resident, keep, **inputs)


def can_pack(resident: Resident) -> bool:
    """Whether attention over rows that stand one behind the other is fast here.

    It is flash attention's: on GPUs of compute capability 8 and up, without soft caps.
    """
    config = resident.text_config
    return (
        resident.device.type == "cuda"
        and torch.cuda.get_device_capability(resident.device) >= (8, 0)
        and resident.model.dtype == torch.bfloat16
        and has_own_attention(resident)
        and not resident.key_values()
        and getattr(config, "attn_logit_softcapping", None) is None
        and (getattr(config, "head_dim", None) or 0) <= FLASH_HEAD
    )


def packed_logits_at(
    resident: Resident, ids: Tensor, places: Tensor, segments: Tensor, longest: int, keep: Tensor
) -> Tensor:
    """``logits_at`` of rows one behind the other, without padding; none sees another.

    On a CPU, where it is of no use, by a mask.

    Args:
        ids, places: [1, tokens] of all rows; a token's place in its own.
        segments: [rows + 1] where rows begin, and the end, int32.
        longest: at least the tokens of the longest row.
        keep: as in ``logits_at``.
    """
    state = KeyValues(positions=places[:, :0])
    if ids.is_cuda:
        state.segments, state.longest = segments, longest
        state.begin(places)
    else:
        at = torch.arange(ids.shape[1], dtype=segments.dtype)
        number = torch.searchsorted(segments, at, right=True)
        state.begin(places, (number[:, None] == number)[None])
    return _call(resident, ids, places, state, keep)


def tree_logits_at(
    resident: Resident,
    ids: Tensor,
    keep: Tensor,
    positions: Tensor,
    allowed: Tensor | None,
    prefix: Prefix | None = None,
    *,
    states: bool = False,
) -> Tensor:
    """``logits_at`` with positions [rows, length] of one's own, for rows that branch.

    A token sees the prefix, what stands at or before its position and, with allowed
    [rows, length, length], is not forbidden. The positions of padding come after all others.
    """
    if ids.device.type == "cpu" and len(ids) > 1:
        lengths = needed(ids, keep)
        if pays(resident, len(ids), ids.shape[1], int(lengths.sum())):
            ids, keep, positions, allowed = one_row(lengths, ids, keep, positions, allowed)
    state = KeyValues(positions=positions[:, :0], prefix=prefix or [])
    state.begin(positions, allowed)
    return _call(resident, ids, positions, state, keep, states=states)


def _call(
    resident: Resident,
    ids: Tensor,
    positions: Tensor,
    state: KeyValues,
    keep: Tensor,
    *,
    states: bool = False,
) -> Tensor:
    ask = _states if states else _logits
    with own_attention(resident.text_model), mixed_precision(resident):
        found = ask(
            resident, keep, input_ids=ids, position_ids=positions, use_cache=False, key_values=state
        )
    state.end()
    return found


def _states(resident: Resident, keep: Tensor, **inputs: Any) -> Tensor:
    """What the LM head sees [kept, width] at the places keep of the flattened input."""
    return resident.text_model(**inputs).last_hidden_state.flatten(0, 1).index_select(0, keep)


def _logits(resident: Resident, keep: Tensor, **inputs: Any) -> Tensor:
    """Logits [kept, vocabulary] at the places keep of the flattened input.

    A model that also sees is asked for its text model only: some want to be told, in training,
    which tokens are an image's.
    """
    if not resident.sees:
        with _head_at(resident, keep):
            return resident.model(**inputs).logits
    head: Any = resident.model.get_output_embeddings()
    logits = head(_states(resident, keep, **inputs))
    cap = getattr(resident.text_config, "final_logit_softcapping", None)
    return logits if cap is None else (logits / cap).tanh() * cap


@contextmanager
def _head_at(resident: Resident, keep: Tensor) -> Iterator[None]:
    """Let the LM head see the hidden states [kept, width] at these places and no others.

    ``logits_to_keep`` would make the host wait for a GPU when rows keep different counts.
    """
    head = resident.model.get_output_embeddings()
    assert head is not None

    def select(_: object, arguments: tuple[Tensor]) -> tuple[Tensor]:
        return (arguments[0].flatten(0, 1).index_select(0, keep),)

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


class GroupedBatch:
    """A batch that is being continued, on our own attention; rows may share a prefix.

    On a GPU a step is recorded once and replayed: a model's own code starts its kernels too
    slowly, one by one.

    Args:
        room: columns that are reserved at once on a GPU.
    """

    def __init__(self, resident: Resident, prefix: Prefix, room: int) -> None:
        self.resident, self.prefix, self.room = resident, prefix, room
        self.recorded = Recorded() if resident.device.type == "cuda" else None

    @torch.inference_mode()
    def read(self, rows: Sequence[list[int]]) -> Tensor:
        """Read what each row has after the prefix; returns logits [rows, vocabulary]."""
        ids, lengths = padded(rows, self.resident.device)
        start = prefix_length(self.prefix)
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        self.state = KeyValues(positions=places[:, :0], prefix=self.prefix)
        self.state.begin((places + start).masked_fill(places >= lengths[:, None], NOWHERE))
        self.next = lengths[:, None] + start
        last = torch.arange(len(rows), device=ids.device) * ids.shape[1] + lengths - 1
        return _call(self.resident, ids, places + start, self.state, last)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Append one token [rows] to every row; returns the next logits [rows, vocabulary].

        They are valid until the next step.
        """
        if self.recorded is None:
            return self._step(tokens)
        used = self.state.used
        if self.state.column is None:
            self.state.column = torch.full((1,), used, device=tokens.device)
        if used == self.state.positions.shape[1]:
            self.recorded.forget()
            size = for_device(ALIGNED, tokens.device)
            self.state.reserve(-(-(used + self.room) // size) * size)
        logits = self.recorded(self._step, tokens)
        self.state.used = used + 1  # a replay does not count
        return logits

    def _step(self, tokens: Tensor) -> Tensor:
        self.state.begin(self.next)
        every = torch.arange(len(tokens), device=tokens.device)
        logits = _call(self.resident, tokens[:, None], self.next, self.state, every)
        self.next += 1
        if self.state.column is not None:
            self.state.column += 1
        return logits

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these (indices)."""
        if self.recorded is not None:
            self.recorded.forget()
        self.state.keep(rows)
        self.next = self.next[rows]


class PlainBatch:
    """The same on transformers' attention and cache, for any decoder; padding on the left."""

    def __init__(self, resident: Resident, prefix: Prefix, room: int) -> None:
        self.resident, self.prefix = resident, prefix

    @torch.inference_mode()
    def read(self, rows: Sequence[list[int]]) -> Tensor:
        """See ``GroupedBatch.read``."""
        longest, start = max(map(len, rows)), prefix_length(self.prefix)
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor(
            [[1] * start + [0] * (longest - len(row)) + [1] * len(row) for row in rows]
        )
        self.mask = mask.to(self.resident.device)
        self.cache = _filled_cache(self.resident, self.prefix, len(rows))
        places = (self.mask.cumsum(dim=1) - 1).clamp(min=0)[:, start:]
        return self._forward(ids.to(self.resident.device), places)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """See ``GroupedBatch.step``."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        return self._forward(tokens[:, None], self.mask.sum(dim=1, keepdim=True) - 1)

    @torch.inference_mode()
    def keep(self, rows: Tensor) -> None:
        """See ``GroupedBatch.keep``."""
        self.mask = self.mask[rows]
        self.cache.reorder_cache(rows)  # type: ignore[arg-type]  # unlike the select, in all caches

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        last = torch.arange(1, len(ids) + 1, device=ids.device) * ids.shape[1] - 1
        with mixed_precision(self.resident):
            return _logits(
                self.resident,
                last,
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
            )


Batch = GroupedBatch | PlainBatch


def start_batch(resident: Resident, prefix: Prefix, new_tokens: int) -> Batch:
    """A batch on the road that fits the model, to be continued by so many tokens at most."""
    kind = GroupedBatch if has_own_attention(resident) else PlainBatch
    return kind(resident, prefix, min(new_tokens, ROOM))


def prefix_length(prefix: Prefix | None) -> int:
    """Number of columns in front of what is read next."""
    return prefix[0][0].shape[1] if prefix else 0


def _filled_cache(resident: Resident, prefix: Prefix, rows: int) -> DynamicCache:
    """transformers' cache of so many rows, each behind the prefix."""
    cache = DynamicCache(config=resident.text_config)
    for layer, (keys, values) in enumerate(prefix):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
    return cache
