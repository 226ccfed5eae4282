"""Passes over memory that are not made: several operations of a layer at once.

Of a training step of an 8B model on a GPU less than half is matrix products, and on two cores of a
small model's; the rest reads and writes activations. liger-kernel (optional, for GPUs,
requirements-gpu.txt) has norms, rotary positions and gated activations in one kernel each;
``one_product`` adds a LoRA inside the products of its layer. Numbers are the same within what bf16
allows.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from workbench.models.attached import NAME
from workbench.models.attention import FAMILIES

ROTARY = "apply_rotary_pos_emb"


def use_liger(model: PreTrainedModel) -> bool:
    """Give a model on a GPU liger's kernels if they are installed and know its family.

    liger exchanges names of the module that defines the model, for all models of the process.
    They are put back, as others may be on the CPU; what stays is bound to this model, and rotary
    positions, which look at where their tensors are.
    """
    try:
        from liger_kernel.transformers import (  # type: ignore[import-not-found]  # noqa: PLC0415
            monkey_patch,  # imports triton
        )
    except ImportError:
        return False
    known = FAMILIES & set(monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN)
    if model.config.model_type not in known:
        return False
    module = sys.modules[type(model).__module__]
    plain = dict(vars(module))
    monkey_patch._apply_liger_kernel_to_instance(
        model, cross_entropy=False, fused_linear_cross_entropy=False
    )
    fast = getattr(module, ROTARY)
    vars(module).update(plain)
    if fast is not plain[ROTARY] and not isinstance(plain[ROTARY], partial):
        setattr(module, ROTARY, partial(_rotary, fast, plain[ROTARY]))
    return True


def _rotary(
    fast: Callable[..., Any],
    plain: Callable[..., Any],
    query: Tensor,
    key: Tensor,
    *others: Any,
    **options: Any,
) -> Any:
    if not query.is_cuda:
        return plain(query, key, *others, **options)
    return fast(_by_token(query), _by_token(key), *others, **options)


def _by_token(states: Tensor) -> Tensor:
    """[rows, heads, length, head], whose steps from token to token are as liger reads them.

    It takes them from a dimension of length 1 too, where PyTorch lets them be anything.
    """
    rows, heads, length, head = states.shape
    if length > 1:
        return states
    return states.reshape(rows, heads * head).view(rows, 1, heads, head).transpose(1, 2)


@contextmanager
def one_product(model: nn.Module) -> Iterator[None]:
    """Train plain LoRAs without dropout inside the products of their layers, until the block ends.

    PEFT computes base, A, B, scaling and sum one after the other and keeps most of them for the
    backward pass. For models in bf16, in autocast.
    """
    chosen = [m for m in model.modules() if isinstance(m, LoraLayer) and _is_bare(m)]
    for layer in chosen:
        layer.forward = partial(_with_lora, layer)
    try:
        yield
    finally:
        for layer in chosen:
            vars(layer).pop("forward", None)


def is_plain(layer: LoraLayer) -> bool:
    """Whether a layer's output is that of the base plus B A x, scaled."""
    return (
        type(layer).__name__ in ("Linear", "Linear4bit")
        and type(layer).__module__.startswith("peft.tuners.lora.")
        and NAME in layer.lora_A
        and NAME not in layer.lora_variant
        and not layer.lora_bias[NAME]
    )


def _is_bare(layer: LoraLayer) -> bool:
    return (
        is_plain(layer)
        and isinstance(layer.base_layer, nn.Linear)
        and isinstance(layer.lora_dropout[NAME], nn.Identity)
    )


def _with_lora(layer: Any, x: Tensor) -> Tensor:
    a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
    return _Lora.apply(x, a, b, layer.base_layer, layer.scaling[NAME])  # type: ignore[return-value]


class _Lora(torch.autograd.Function):
    """x W^T + scale (x A^T) B^T of x [..., in], A [rank, in], B [out, rank], with a frozen W.

    Products are in the dtype of x; A, B and their gradients in their own.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, base: nn.Linear, scale: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        down, up = a.to(x.dtype), b.to(x.dtype) * scale
        inner = flat @ down.T
        bias = None if base.bias is None else base.bias.to(x.dtype)
        out = linear(flat, _weight(base, x.dtype), bias).addmm_(inner, up.T)
        ctx.save_for_backward(flat, inner, down, up)
        ctx.base, ctx.scale, ctx.dtypes = base, scale, (a.dtype, b.dtype)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:  # type: ignore[override]
        flat, inner, down, up = ctx.saved_tensors
        g = gradient.reshape(-1, gradient.shape[-1])
        inner_gradient = g @ up
        of_a = (inner_gradient.T @ flat).to(ctx.dtypes[0])
        of_b = (g.T @ inner).to(ctx.dtypes[1]) * ctx.scale
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (g @ _weight(ctx.base, g.dtype)).addmm_(inner_gradient, down)
            of_x = of_x.view(*gradient.shape[:-1], -1)
        return of_x, of_a, of_b, None, None


def _weight(base: nn.Linear, dtype: torch.dtype) -> Tensor:
    """The base's weight [out, in] as products take it."""
    stored: Any = base.weight
    if isinstance(base, Linear4bit):
        return dequantize_4bit(stored.data, stored.quant_state).to(dtype)
    return stored.to(dtype)
