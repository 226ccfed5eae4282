"""4-bit bases on a CPU: each test is a way in which bitsandbytes gave wrong results silently.

On a CPU with AVX512_BF16, ``Linear4bit`` repacks its weights in place at the first evaluation.
Packed weights have no backward pass, cannot be dequantised, and are saved as they are. The
results below only differ on such a CPU; the flag that prevents it is checked on all.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bitsandbytes.functional
import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from tests import tiny
from workbench.models import number_types
from workbench.models.dense import dense
from workbench.models.number_types import compute_dtype
from workbench.models.resident import Resident, load
from workbench.recipe import LoraSettings

IDS = torch.tensor([[40, 41, 42, 50, 60, 70, 80, 90, 45, 55]])
CPU = "cpu"


def student(folder: Path) -> Resident:
    """An NF4 base with an adapter whose B is not zero, so that every gradient counts."""
    resident = load(folder, quantize=True, device=CPU)
    resident.attach_new("student", LoraSettings(rank=4), seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in resident.trainable("student").values():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return resident


def evaluate(resident: Resident) -> Tensor:
    resident.model.eval()
    with torch.no_grad():
        return resident.model(input_ids=IDS).logits.float()


def gradients(resident: Resident) -> dict[str, Tensor]:
    resident.model.train()
    with resident.using("student"):
        parameters = resident.trainable("student")
        resident.model(input_ids=IDS, labels=IDS).loss.backward()
    found = {key: parameter.grad.clone() for key, parameter in parameters.items()}
    resident.model.eval()
    return found


def linears(model: nn.Module) -> list[Linear4bit]:
    return [module for module in model.modules() if isinstance(module, Linear4bit)]


def dequantized(layer: Linear4bit) -> Tensor:
    return bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)


def correlation(left: Tensor, right: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([left.flatten(), right.flatten()]))[0, 1])


def test_what_is_quantized(tiny_target: Path) -> None:
    """bitsandbytes computes in float32 unless told: five times slower where bf16 is native."""
    resident = load(tiny_target, quantize=True, device=CPU)
    layers = linears(resident.model)
    assert len(layers) == 2 * len(tiny.ALL_LINEAR)
    for layer in layers:
        assert layer.compute_dtype == compute_dtype(torch.device(CPU))
        assert layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.quant_state.nested, "double quantisation is off"
        assert not layer.support_avx512bf16_for_cpu
    assert not isinstance(resident.model.get_output_embeddings(), Linear4bit)
    rest = {p.dtype for p in resident.model.parameters() if p.dtype != torch.uint8}
    assert rest == {compute_dtype(torch.device(CPU))}, "any other type is many times slower here"


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_arithmetic_follows_the_processor(
    native: bool, expected: torch.dtype, tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch multiplies bf16 one number at a time where the processor cannot: 60 times slower."""
    monkeypatch.setattr(number_types, "cpu_multiplies_bf16", lambda: native)
    resident = load(tiny_target, quantize=True, device=CPU)
    assert {layer.compute_dtype for layer in linears(resident.model)} == {expected}
    assert resident.model.dtype == expected
    assert load(tiny_target, device=CPU).model.dtype == expected
    with dense(resident):
        assert evaluate(resident).isfinite().all()


def test_training_after_an_evaluation_has_the_right_gradients(tiny_source: Path) -> None:
    """Scoring before training lost 70 % of the first layer's gradient, with a fine-looking loss.

    The reference is a bf16 model with the dequantised weights, which nothing ever packs.
    """
    never, after = student(tiny_source), student(tiny_source)
    for _ in range(2):
        evaluate(after)
        with after.using("student"):
            evaluate(after)
    expected, found = gradients(never), gradients(after)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    reference = gradients(_in_bf16(tiny_source, never))
    for key, value in reference.items():
        cosine = torch.cosine_similarity(found[key].flatten(), value.flatten(), dim=0)
        assert cosine > 0.98, f"{key}: cosine {cosine:.3f} to the bf16 reference"
        assert 0.9 < float(found[key].norm() / value.norm()) < 1.1, key


def _in_bf16(folder: Path, quantized: Resident) -> Resident:
    """The same base with the 4-bit weights written out in bf16, and the same adapter."""
    plain = load(folder, device=CPU)
    modules = dict(plain.model.named_modules())
    for name, layer in quantized.model.named_modules():
        if isinstance(layer, Linear4bit):
            target = modules[name.removesuffix(".base_layer")]
            target.weight.data.copy_(dequantized(layer))
    plain.attach_new("student", LoraSettings(rank=4), seed=0)
    for key, parameter in quantized.trainable("student").items():
        plain.trainable("student")[key].data.copy_(parameter.data)
    return plain


def test_evaluation_leaves_the_weights_as_they_are(tiny_source: Path) -> None:
    resident = load(tiny_source, quantize=True, device=CPU)
    before = [(layer.weight.data.clone(), dequantized(layer)) for layer in linears(resident.model)]
    evaluate(resident)
    for layer, (packed, values) in zip(linears(resident.model), before, strict=True):
        assert not getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
        assert torch.equal(layer.weight.data, packed)
        assert torch.equal(dequantized(layer), values)


def test_merging_after_an_evaluation_is_right(tiny_source: Path) -> None:
    """Merged after an evaluation, a packed model's logits had nothing to do with the adapter's."""
    merged = []
    for evaluated_before in (False, True):
        resident = student(tiny_source)
        with resident.using("student"):
            if evaluated_before:
                adapted = evaluate(resident)
            merge: Any = resident.attachment("student").peft.base_model
            merge.merge_adapter()  # we never do; whoever exports a merged model would
            merged.append(evaluate(resident))
    assert torch.equal(merged[0], merged[1])
    assert correlation(adapted, merged[1]) > 0.9, "merging costs no more than a re-quantisation"


def test_saving_after_an_evaluation_is_right(tiny_source: Path, tmp_path: Path) -> None:
    resident = load(tiny_source, quantize=True, device=CPU)
    before = evaluate(resident)
    resident.model.save_pretrained(tmp_path)
    assert torch.equal(evaluate(resident), before), "saving changed the live model"
    again = AutoModelForCausalLM.from_pretrained(
        tmp_path, device_map={"": CPU}, attn_implementation="eager"
    )
    for layer in linears(again):
        layer.support_avx512bf16_for_cpu = False
    with torch.no_grad():
        assert correlation(again(input_ids=IDS).logits.float(), before) > 0.999


def test_odd_widths_evaluate_and_train(tmp_path: Path) -> None:
    """Packing asserted widths in multiples of 32 and 64, so odd layers crashed in evaluation."""
    resident = student(tiny.write_source(tmp_path, middle=104))
    assert torch.isfinite(evaluate(resident)).all()
    plain = load(tmp_path, device=CPU)
    with resident.using(None):
        assert correlation(evaluate(resident), evaluate(plain)) > 0.9
    assert all(value.isfinite().all() for value in gradients(resident).values())


def test_dora_trains_on_a_quantized_base(tiny_target: Path) -> None:
    resident = load(tiny_target, quantize=True, device=CPU)
    base = evaluate(resident)
    resident.attach_new("student", LoraSettings(method="dora", rank=4), seed=0)
    with resident.using("student"):
        assert correlation(evaluate(resident), base) > 0.999, "a fresh DoRA changes nothing"
    found = gradients(resident)
    assert any(value.any() for key, value in found.items() if "magnitude" in key)
    assert any(value.any() for key, value in found.items() if "lora_B" in key)


def test_right_padding_gives_finite_gradients(tiny_target: Path) -> None:
    """Left padding with fully masked rows gave NaN losses on this pair of families."""
    resident = student(tiny_target)
    assert resident.tokenizer.padding_side == "right"
    rows = IDS.repeat(2, 1)
    mask = torch.ones_like(rows)
    mask[1, 4:] = 0
    labels = rows.masked_fill(mask == 0, -100)
    with resident.using("student"):
        loss = resident.model(input_ids=rows, attention_mask=mask, labels=labels).loss
        loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad.isfinite().all() for p in resident.trainable("student").values())


@pytest.mark.skipif(
    not bitsandbytes.functional.has_avx512bf16(), reason="only CPUs with AVX512_BF16 ask for it"
)
def test_an_installed_kernels_package_is_never_asked_for_binaries(tmp_path: Path) -> None:
    """Importing bitsandbytes used to fetch a binary from the Hub when `kernels` was installed."""
    package = tmp_path / "kernels"
    package.mkdir()
    canary = tmp_path / "canary"
    source = f"open({str(canary)!r}, 'w').close()\ndef get_kernel(*a, **k): raise SystemExit(3)\n"
    (package / "__init__.py").write_text(source)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    done = subprocess.run(
        [sys.executable, "-c", "import workbench.models.resident"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not canary.exists()
    assert "kernels" not in done.stderr


def test_dense_copies_change_no_number_and_are_gone_afterwards(tiny_source: Path) -> None:
    """While decoding, weights are unpacked once instead of at every step."""
    resident = load(tiny_source, quantize=True, device="cpu")
    ids = torch.arange(5, 29).view(2, 12)
    with torch.no_grad():
        packed = resident.model(ids).logits
        with dense(resident):
            layers = [m for m in resident.model.modules() if "forward" in vars(m)]
            assert len(layers) == sum(isinstance(m, Linear4bit) for m in resident.model.modules())
            assert torch.equal(resident.model(ids).logits, packed)
            with dense(resident):  # again, by a caller within
                pass
            assert all("forward" in vars(m) for m in layers)
    assert not any("forward" in vars(m) for m in resident.model.modules())


def test_dense_copies_are_not_made_of_a_large_model(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = load(tiny_source, quantize=True, device="cpu")
    monkeypatch.setattr("workbench.models.dense.DENSE_BYTES", 1000)
    with dense(resident):
        assert not any("forward" in vars(m) for m in resident.model.modules())
