"""Copies of weights, kept in the form that products take while many small steps are made.

For passes without gradients only, and their numbers are the same: what a layer's class computes
from what it stores is computed from a copy instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn.functional import linear

from workbench.models.attached import NAME
from workbench.models.batches import gpu_room
from workbench.models.fused import is_plain
from workbench.models.resident import Resident

DENSE_BYTES = 2**30  # unpacked copies of 4-bit weights that may be kept on a CPU
FREE_SHARE = 0.5  # of a GPU's free memory that they may take


@contextmanager
def dense(resident: Resident) -> Iterator[None]:
    """Keep copies of 4-bit weights and of the adapter in use until the block ends.

    Adapters: PEFT converts the weights at every call, some ten operations a layer where three do.
    64 JSON answers of SmolLM2-135M took 15.3 s on two cores and take 12.2. Layers whose adapter is
    no plain LoRA, passes with gradients and other adapters go PEFT's way.

    4-bit weights: a step on a CPU otherwise unpacks the same weights again: one row took 76 ms
    with Gemma-3-270M and takes about 62. Not where the unpacked copies would take over
    ``DENSE_BYTES`` on a CPU, or ``FREE_SHARE`` of what is free on a GPU.
    """
    model, dtype = resident.model, resident.model.dtype
    packed = [m for m in model.modules() if isinstance(m, Linear4bit)]
    copies = sum(dtype.itemsize * m.in_features * m.out_features for m in packed)
    unpacked = packed if copies <= _room(resident.device) else []
    adapted = [m for m in model.modules() if isinstance(m, LoraLayer) and is_plain(m)]
    chosen = [m for m in (*unpacked, *adapted) if "forward" not in vars(m)]
    for layer in chosen:
        if isinstance(layer, Linear4bit):
            stored: Any = layer.weight
            weight = dequantize_4bit(stored.data, stored.quant_state).to(dtype)
            layer.forward = partial(_unpacked, weight, layer.bias)
        else:
            halves: Any = layer.lora_A[NAME], layer.lora_B[NAME]
            down, up = (half.weight.detach().to(dtype) for half in halves)
            layer.forward = partial(_with_adapter, layer, down, up)
    try:
        yield
    finally:
        for layer in chosen:
            vars(layer).pop("forward", None)  # the class's own is in force again


def _room(device: torch.device) -> float:
    """Bytes that copies may take."""
    if device.type != "cuda":
        return DENSE_BYTES
    return FREE_SHARE * gpu_room(device)


def _unpacked(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    inner = x.to(weight.dtype)
    return linear(inner, weight, None if bias is None else bias.to(inner.dtype)).to(x.dtype)


def _with_adapter(layer: Any, down: Tensor, up: Tensor, x: Tensor) -> Tensor:
    """PEFT's LoRA as autocast computes it, with A and B [out, in] in the dtype of the products."""
    as_converted = torch.is_autocast_enabled(x.device.type) or x.dtype == torch.float32
    if torch.is_grad_enabled() or not as_converted:
        return type(layer).forward(layer, x)
    return layer.base_layer(x) + linear(linear(x, down), up) * layer.scaling[NAME]
