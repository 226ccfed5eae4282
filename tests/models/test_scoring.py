"""Scores equal a naive loop: one row at a time, all logits, log_softmax in fp32."""

import random
from typing import Any

import pytest
import torch

from workbench.errors import ModelError
from workbench.models import batches, scoring
from workbench.models.resident import Resident, load
from workbench.models.scoring import (
    answer_log_probs,
    choice_log_probs,
    next_token_log_probs,
)


@pytest.fixture(scope="module", params=["tiny_source", "tiny_target"])
def resident(request: pytest.FixtureRequest) -> Resident:
    """Llama, and Gemma 3 with a sliding window of 16, in fp32."""
    loaded = load(request.getfixturevalue(request.param), device="cpu")
    loaded.model.float()
    return loaded


def random_ids(length: int, draw: random.Random) -> list[int]:
    return [draw.randrange(5, 300) for _ in range(length)]


def naive(resident: Resident, prompt: list[int], answer: list[int]) -> torch.Tensor:
    logits = resident.model(input_ids=torch.tensor([prompt + answer])).logits[0].float()
    every = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
    return every.gather(1, torch.tensor(answer)[:, None])[:, 0].detach()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches, some cut by tokens and some by logits."""
    monkeypatch.setitem(batches.TOKENS, "cpu", 128)
    monkeypatch.setitem(batches.LOGITS, "cpu", 360 * 24)


@pytest.mark.parametrize("shared", [0, 25])
def test_answers_equal_the_naive_loop(resident: Resident, shared: int) -> None:
    """Also when all prompts begin alike and that beginning is computed once."""
    draw = random.Random(0)
    head = random_ids(shared, draw)
    pairs = [
        (head + random_ids(draw.randrange(1, 40), draw), random_ids(draw.randrange(1, 9), draw))
        for _ in range(23)
    ]
    pairs.append(
        (head + random_ids(300, draw), random_ids(30, draw))
    )  # over both bounds on its own
    found = answer_log_probs(resident, pairs)
    for (prompt, answer), mine in zip(pairs, found, strict=True):
        assert mine.dtype == torch.float32
        assert torch.allclose(mine, naive(resident, prompt, answer), atol=1e-4)


@pytest.mark.parametrize("shared", [0, 25])
def test_next_tokens_equal_the_naive_loop(resident: Resident, shared: int) -> None:
    draw = random.Random(1)
    head = random_ids(shared, draw)
    prompts = [head + random_ids(draw.randrange(1, 50), draw) for _ in range(11)]
    found = next_token_log_probs(resident, prompts, [7, 250, 12])
    wanted = torch.tensor(
        [[naive(resident, prompt, [token]).item() for token in (7, 250, 12)] for prompt in prompts]
    )
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("shared", [0, 25])
@pytest.mark.parametrize(
    "answers",
    [
        [[7], [8], [9]],  # no token has a successor
        [[7, 8, 2], [7, 9, 2], [30, 2], [7, 8, 40, 41, 2], [7, 8, 2]],
        [[n, n + 1, 2] for n in range(20, 40)],
    ],
)
def test_choices_equal_the_naive_loop(
    resident: Resident, answers: list[list[int]], shared: int
) -> None:
    """The tree of answers lets no branch see another, even beyond the sliding window."""
    draw = random.Random(2)
    head = random_ids(shared, draw)
    prompts = [head + random_ids(length, draw) for length in (1, 4, 13, 30, 14)]
    found = choice_log_probs(resident, prompts, answers)
    wanted = torch.stack(
        [torch.stack([naive(resident, p, answer).sum() for answer in answers]) for p in prompts]
    )
    assert torch.allclose(found, wanted, atol=2e-4)


def test_choices_of_a_family_without_our_attention(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[7, 8, 2], [7, 9, 2], [30, 2]]
    prompts = [random_ids(length, random.Random(3)) for length in (5, 9)]
    ours = choice_log_probs(resident, prompts, answers)
    monkeypatch.setattr("workbench.models.forward.FAMILIES", frozenset())
    assert torch.allclose(choice_log_probs(resident, prompts, answers), ours, atol=1e-4)


def test_a_batch_that_does_not_fit_is_cut(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(4)
    pairs = [(random_ids(6, draw), random_ids(2, draw)) for _ in range(9)]
    wanted = answer_log_probs(resident, pairs)
    plain, refused = scoring.logits_at, []

    def tight(resident: Resident, ids: torch.Tensor, *more: Any) -> torch.Tensor:
        if len(ids) > 2:
            refused.append(len(ids))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(resident, ids, *more)

    monkeypatch.setattr(scoring, "logits_at", tight)
    for mine, before in zip(answer_log_probs(resident, pairs), wanted, strict=True):
        assert torch.allclose(mine, before, atol=1e-5)
    assert refused

    def never(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(scoring, "logits_at", never)
    with pytest.raises(ModelError, match="not enough memory"):
        next_token_log_probs(resident, [[5]], [6])


def test_scores_are_ready_for_a_loss(resident: Resident) -> None:
    """Plain tensors: no gradient history and no inference mode to trip over later."""
    (score,) = answer_log_probs(resident, [([5, 6], [7])])
    assert not score.requires_grad and not score.is_inference()
    weight = torch.ones(1, requires_grad=True)
    (weight * score).sum().backward()


def test_nothing_to_score(resident: Resident) -> None:
    assert answer_log_probs(resident, []) == []
    assert next_token_log_probs(resident, [], [5, 6]).shape == (0, 2)
    assert choice_log_probs(resident, [], [[5]]).shape == (0, 1)
    with pytest.raises(ModelError, match="empty"):
        answer_log_probs(resident, [([5], [])])
    with pytest.raises(ModelError, match="empty"):
        next_token_log_probs(resident, [[]], [5])
