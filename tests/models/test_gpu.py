"""The same things on a GPU, where there is one: loading, switching, gradients, seeds."""

from pathlib import Path

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import Tensor

from tests import tiny
from workbench.models.resident import Resident, load
from workbench.recipe import LoraSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

IDS = torch.tensor([[40, 41, 42, 50, 60, 70, 80, 90, 45, 55]])
WEIGHTS = "adapter_model.safetensors"


def logits(resident: Resident) -> Tensor:
    with torch.no_grad():
        return resident.model(input_ids=IDS.to(resident.device)).logits.float().cpu()


def test_a_gpu_is_taken_by_default(tiny_target: Path) -> None:
    resident = load(tiny_target, quantize=True)
    assert resident.device.type == "cuda"
    assert {parameter.device.type for parameter in resident.model.parameters()} == {"cuda"}
    assert resident.model.config._attn_implementation == "sdpa"
    assert any(isinstance(module, Linear4bit) for module in resident.model.modules())


@pytest.mark.parametrize("quantize", [False, True])
def test_a_gpu_gives_what_the_cpu_gives(
    tiny_source: Path, tiny_adapter: Path, quantize: bool
) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        resident = load(tiny_source, quantize=quantize, device=device)
        resident.attach("teacher", tiny.lora_settings(), tiny_adapter / WEIGHTS)
        base = logits(resident)
        with resident.using("teacher"):
            found[device] = logits(resident)
        assert torch.equal(logits(resident), base)
        assert not torch.equal(found[device], base)
    cosine = torch.cosine_similarity(found["cpu"].flatten(), found["cuda"].flatten(), dim=0)
    assert cosine > 0.995


def test_a_seed_gives_the_same_adapter_and_gradients(tiny_source: Path) -> None:
    weights, gradients = [], []
    for device in ("cpu", "cuda"):
        resident = load(tiny_source, quantize=True, device=device)
        resident.attach_new("student", LoraSettings(rank=4), seed=7)
        parameters = resident.trainable("student")
        weights.append(torch.cat([p.detach().cpu().flatten() for p in parameters.values()]))
        logits(resident)
        with resident.using("student"):
            ids = IDS.to(resident.device)
            resident.model(input_ids=ids, labels=ids).loss.backward()
        found = [p.grad.cpu().flatten() for key, p in parameters.items() if "lora_B" in key]
        gradients.append(torch.cat(found))
    assert torch.equal(weights[0], weights[1])
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.98
