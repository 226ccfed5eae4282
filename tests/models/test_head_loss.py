"""The loss from hidden states is that of all logits, and so is its gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from workbench.models import head_loss as module
from workbench.models.head_loss import head_loss

WIDTH, VOCABULARY, ROWS = 32, 5000, 7


@pytest.fixture(autouse=True)
def several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 700)


def _case(sharpness: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(ROWS, WIDTH, generator=draw) * sharpness
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw) / WIDTH**0.5
    targets = torch.randint(VOCABULARY, (ROWS,), generator=draw)
    targets[0] = VOCABULARY - 1
    return states.to(dtype), weight.to(dtype), targets, torch.rand(ROWS, generator=draw)


def _both(case: tuple[Tensor, Tensor, Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
    states, weight, targets, shares = case

    def plain(inner: Tensor) -> Tensor:
        logits = inner.float() @ weight.float().T
        return cross_entropy(logits, targets, reduction="none") @ shares

    found = []
    for loss_of in (plain, lambda inner: head_loss(inner, weight, targets, shares)):
        inner = states.clone().requires_grad_()
        loss = loss_of(inner)
        (loss * 0.25).backward()
        assert inner.grad is not None
        found.append((loss.detach(), inner.grad.float()))
    return found


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 20.0])  # from every token alike to one alone
def test_in_fp32_loss_and_gradient_are_equal(sharpness: float) -> None:
    (loss, gradient), (other, ours) = _both(_case(sharpness, torch.float32))
    assert other == pytest.approx(float(loss), rel=1e-5)
    assert torch.allclose(gradient, ours, atol=1e-6)


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 20.0])
def test_in_bf16_they_are_within_what_bf16_tells_apart(sharpness: float) -> None:
    (loss, gradient), (other, ours) = _both(_case(sharpness, torch.bfloat16))
    assert other == pytest.approx(float(loss), rel=2e-2, abs=2e-2)
    assert float((gradient - ours).norm() / gradient.norm()) < 1e-2


def test_tokens_without_probability_are_left_out_only_where_the_rest_is_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float, bool]] = []
    plain = module._gradient

    def watched(*arguments: object) -> Tensor | None:
        made = plain(*arguments)  # type: ignore[arg-type]
        asked.append((float(arguments[-1]), made is None))  # type: ignore[arg-type]
        return made

    monkeypatch.setattr(module, "_gradient", watched)
    head_loss(*_case(20.0, torch.bfloat16))
    assert [refused for _, refused in asked] == [False]
    asked.clear()
    monkeypatch.setattr(module, "LEAST", 2**-10)  # more than any of 5,000 alike tokens has
    head_loss(*_case(0.01, torch.bfloat16))
    assert [refused for _, refused in asked] == [True, False]
