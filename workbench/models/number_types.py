"""Types of numbers: what arithmetic is done in, and 4-bit weights."""

import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import nn
from transformers import BitsAndBytesConfig


def compute_dtype(device: torch.device) -> torch.dtype:
    """bf16, but float32 on CPUs that cannot multiply bf16.

    Without AVX-512 or its like, torch multiplies bf16 one number at a time: measured on an AVX2
    processor, a forward product took 6 times as long as in float32 and a backward one 60 times.
    Where bf16 is native, float32 is 5 times slower.
    """
    if device.type == "cpu" and not cpu_multiplies_bf16():
        return torch.float32
    return torch.bfloat16


def cpu_multiplies_bf16() -> bool:
    """Whether oneDNN, which does torch's matrix products, has bf16 kernels for this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def keep_weights_unpacked(model: nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in place at the first evaluation on a CPU.

    A packed layer has no backward pass, so training after an evaluation would lose the gradients
    of all earlier layers without an error; merging and saving such a layer gives noise.
    """
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    """4-bit NF4 with double quantisation; arithmetic in ``dtype``."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
