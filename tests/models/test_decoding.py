"""Our decoding loop says what transformers' own ``generate`` says, only sooner."""

import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
import transformers

from tests import tiny
from workbench import activity
from workbench.errors import ModelError
from workbench.models import attention, forward
from workbench.models.decoding import Decoded, Sampling, decode
from workbench.models.forward import has_own_attention
from workbench.models.resident import Resident, load

FAMILIES = sorted(attention.FAMILIES)


@pytest.fixture(autouse=True)
def share_short_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts here are short: share whatever they have in common."""
    monkeypatch.setitem(forward.WORTHWHILE, "cpu", 1)


@pytest.fixture(scope="module", params=["tiny_source", "tiny_target"])
def resident(request: pytest.FixtureRequest) -> Resident:
    """Llama, and Gemma 3 with a sliding window of 16, in fp32 so that ties do not decide."""
    loaded = load(request.getfixturevalue(request.param), device="cpu")
    loaded.model.float()
    return loaded


def random_prompts(shared: int, lengths: list[int], seed: int = 0) -> list[list[int]]:
    """Prompts over the tiny vocabularies, the first ``shared`` tokens the same in all."""
    draw = random.Random(seed)
    head = [draw.randrange(5, 300) for _ in range(shared)]
    return [head + [draw.randrange(5, 300) for _ in range(length)] for length in lengths]


def generated(resident: Resident, prompt: list[int], tokens: int, stop: list[int]) -> Decoded:
    """What ``generate`` makes of one prompt, greedily."""
    ids = torch.tensor([prompt])
    out = resident.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=stop or None,
        pad_token_id=0,
    )
    new = out[0, len(prompt) :].tolist()
    finished = new[-1] in stop
    return Decoded(new[:-1] if finished else new, [], finished)


def greedy(resident: Resident, prompts: list[list[int]], tokens: int, **more) -> list[Decoded]:
    results = dict(
        decode(resident, prompts, new_tokens=tokens, stop_ids=[7, 9, 11], sampling=None, **more)
    )
    return [results[i] for i in range(len(prompts))]


def test_how_far_it_is_can_be_read_while_it_writes(resident: Resident) -> None:
    """A round of a minute was silent until it was over."""
    writing = decode(resident, random_prompts(0, [3, 4, 5]), new_tokens=4, stop_ids=[],
                     sampling=None, rows=1)  # fmt: skip
    told = [activity.words() for _ in writing]
    assert told == [f"{n} of 3 texts written, {4 * n} tokens" for n in (1, 2, 3)]
    assert activity.words() == ""


@pytest.mark.parametrize("scores", [attention.SCORES, 0], ids=["grouped", "fused"])
@pytest.mark.parametrize(
    ("shared", "lengths"),
    [
        (0, [1, 5, 9, 30, 17, 2, 40]),
        (12, [3, 1, 8, 25, 4]),
        (50, [1, 2, 30]),  # the prefix alone is longer than the window
        (0, [20]),
    ],
)
def test_greedy_equals_generate(
    resident: Resident,
    shared: int,
    lengths: list[int],
    scores: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways of reading the prompts: all scores at once, and the kernel for long ones."""
    monkeypatch.setattr(attention, "SCORES", scores)
    prompts = random_prompts(shared, lengths)
    for prompt, mine in zip(prompts, greedy(resident, prompts, 20, rows=3), strict=True):
        wanted = generated(resident, prompt, 20, [7, 9, 11])
        assert (mine.ids, mine.finished) == (wanted.ids, wanted.finished)
        assert len(mine.log_probs) == len(mine.ids)


def test_greedy_crosses_the_reserved_columns(resident: Resident) -> None:
    """Keys and values move to larger tensors when the columns run out."""
    prompts = random_prompts(4, [10, 30])
    results = dict(decode(resident, prompts, new_tokens=150, stop_ids=[], sampling=None))
    for at, prompt in enumerate(prompts):
        assert results[at].ids == generated(resident, prompt, 150, []).ids
        assert not results[at].finished


def test_a_prompt_that_is_the_prefix_of_another(resident: Resident) -> None:
    long = random_prompts(0, [12])[0]
    prompts = [long, long[:6], long]
    for prompt, mine in zip(prompts, greedy(resident, prompts, 8), strict=True):
        assert mine.ids == generated(resident, prompt, 8, [7, 9, 11]).ids


def test_adapter_is_used(tiny_source: Path, tiny_adapter: Path) -> None:
    resident = load(tiny_source, device="cpu")
    resident.model.float()
    resident.attach("task", tiny.lora_settings(), tiny_adapter / "adapter_model.safetensors")
    prompts = random_prompts(10, [4, 9])
    with resident.using("task"):
        wanted = [generated(resident, prompt, 12, []).ids for prompt in prompts]
        found = [mine.ids for mine in greedy(resident, prompts, 12)]
    assert found == wanted
    with resident.using(None):
        assert [mine.ids for mine in greedy(resident, prompts, 12)] != wanted


def test_log_probs_are_those_of_a_teacher_forced_pass(resident: Resident) -> None:
    prompts = random_prompts(6, [3, 14, 8])
    sampling = Sampling(temperature=0.7, top_k=12, top_p=0.9)
    for at, mine in decode(resident, prompts, new_tokens=10, stop_ids=[], sampling=sampling):
        ids = prompts[at] + mine.ids
        logits = resident.model(input_ids=torch.tensor([ids])).logits[0].float()
        every = logits.log_softmax(dim=-1)[len(prompts[at]) - 1 : -1]
        wanted = every.gather(1, torch.tensor(mine.ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(mine.log_probs), wanted, atol=1e-4)


def test_a_prompt_gets_the_same_text_in_any_batch(resident: Resident) -> None:
    prompts = random_prompts(5, [3, 3, 9, 20, 11, 6, 3])
    sampling = Sampling(temperature=1.2, top_k=40, top_p=0.95)
    kwargs = {"new_tokens": 16, "stop_ids": [7, 9, 11, 13, 15], "sampling": sampling}
    runs = [dict(decode(resident, prompts, rows=rows, seed=3, **kwargs)) for rows in (1, 2, 7)]
    ids = [[run[i].ids for i in range(len(prompts))] for run in runs]
    assert ids[0] == ids[1] == ids[2]
    assert ids[0][0] != ids[0][1]
    other = dict(decode(resident, prompts, rows=7, seed=4, **kwargs))
    assert [other[i].ids for i in range(len(prompts))] != ids[0]


def test_equal_prompts_are_sampled_apart(resident: Resident) -> None:
    prompt = random_prompts(0, [6])[0]
    sampling = Sampling(temperature=1.0, top_k=50, top_p=1.0)
    results = dict(decode(resident, [prompt] * 4, new_tokens=12, stop_ids=[], sampling=sampling))
    assert len({tuple(results[i].ids) for i in range(4)}) == 4


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(1.0, 20, 1.0),
        Sampling(0.5, 200, 0.8),
        Sampling(1.5, 8, 0.6),
        Sampling(1.0, 5, 0.01),
    ],
)
def test_samples_follow_the_cut_distribution(resident: Resident, sampling: Sampling) -> None:
    """Chi-square of 3000 first tokens against softmax, top k, then top p."""
    prompt, count = random_prompts(0, [5])[0], 3000
    logits = resident.model(input_ids=torch.tensor([prompt])).logits[0, -1].float()
    top, ids = logits.topk(min(sampling.top_k, len(logits)))
    probabilities = (top / sampling.temperature).softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities = probabilities * (before < sampling.top_p)
    probabilities = (probabilities / probabilities.sum()).tolist()
    drawn = Counter(
        result.ids[0]
        for _, result in decode(
            resident, [prompt] * count, new_tokens=1, stop_ids=[], sampling=sampling, rows=500
        )
    )
    wanted = {token: p for token, p in zip(ids.tolist(), probabilities, strict=True) if p > 0}
    assert set(drawn) <= set(wanted)
    statistic = sum((drawn[t] - count * p) ** 2 / (count * p) for t, p in wanted.items())
    freedom = len(wanted) - 1
    assert statistic <= freedom + 5 * math.sqrt(2 * freedom) + 1e-9


def test_stop_text_ends_a_row(resident: Resident) -> None:
    prompts = random_prompts(0, [5, 9, 13])
    free = greedy(resident, prompts, 24)
    text = resident.tokenizer.decode(free[0].ids)
    assert len(text) > 8
    wanted = text[6:8]
    for mine, before in zip(greedy(resident, prompts, 24, stop_text=wanted), free, strict=True):
        assert before.ids[: len(mine.ids)] == mine.ids
        if wanted in resident.tokenizer.decode(before.ids):
            assert mine.finished
            assert wanted in resident.tokenizer.decode(mine.ids)
            assert wanted not in resident.tokenizer.decode(mine.ids[:-1])


def test_stopping_and_going_on_by_hand_changes_nothing_else(resident: Resident) -> None:
    """The choice of attention is undone, so plain calls between two results stay right."""
    prompts = random_prompts(3, [2, 6, 20, 9])
    before = resident.model.config._attn_implementation
    plain = resident.model(input_ids=torch.tensor([prompts[0]])).logits
    results = decode(resident, prompts, new_tokens=6, stop_ids=[], sampling=None, rows=2)
    next(results)
    assert resident.model.config._attn_implementation == before
    assert torch.equal(resident.model(input_ids=torch.tensor([prompts[0]])).logits, plain)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("fails_at", [0, 5])
def test_out_of_memory_means_smaller_batches_and_the_same_text(
    resident: Resident, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that takes three rows, whether it fails at the prompts or some tokens later."""
    prompts = random_prompts(3, [2, 6, 20, 9, 4, 4, 8])
    sampling = Sampling(temperature=1.2, top_k=40, top_p=0.95)
    options = {"new_tokens": 12, "stop_ids": list(range(5, 60)), "sampling": sampling}
    wanted = dict(decode(resident, prompts, rows=7, **options))
    assert any(row.finished for row in wanted.values())
    plain = forward.GroupedBatch.step, forward.GroupedBatch.read

    def step(batch: forward.GroupedBatch, tokens: torch.Tensor) -> torch.Tensor:
        if len(tokens) > 3 and batch.state.used - batch.width >= fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain[0](batch, tokens)

    def read(batch: forward.GroupedBatch, rows: list[list[int]]) -> torch.Tensor:
        if len(rows) > 3 and fails_at == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        batch.width = max(map(len, rows))
        return plain[1](batch, rows)

    monkeypatch.setattr(forward.GroupedBatch, "step", step)
    monkeypatch.setattr(forward.GroupedBatch, "read", read)
    found = list(decode(resident, prompts, rows=7, **options))
    assert len(found) == len(prompts)
    assert {i: row.ids for i, row in found} == {i: row.ids for i, row in wanted.items()}


def test_no_memory_for_one_row_is_a_sentence(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(forward.GroupedBatch, "read", never)
    with pytest.raises(ModelError, match="not enough memory"):
        list(decode(resident, [[5], [6]], new_tokens=4, stop_ids=[], sampling=None))


def test_nothing_to_do(resident: Resident) -> None:
    assert list(decode(resident, [], new_tokens=4, stop_ids=[], sampling=None)) == []
    nothing = dict(decode(resident, [[5], [6]], new_tokens=0, stop_ids=[], sampling=None))
    assert nothing == {0: Decoded([], [], False), 1: Decoded([], [], False)}
    with pytest.raises(ModelError, match="empty"):
        list(decode(resident, [[5], []], new_tokens=4, stop_ids=[], sampling=None))


# What sets a family apart, small enough to matter in a tiny model.
EXTRA = {
    "mistral": {"sliding_window": 12},
    "gemma2": {"sliding_window": 12, "attn_logit_softcapping": 0.5},
    "gemma3_text": {"sliding_window": 12},
    "granite": {"attention_multiplier": 0.1},
}


def family_model(family: str, layers: int = 2) -> transformers.PreTrainedModel:
    """A tiny random model of a family, windows and soft caps as the family has them."""
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **EXTRA.get(family, {}),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(std=0.2)
    return model.eval()


@pytest.mark.parametrize("family", [*FAMILIES, "cohere", "gpt_neox"])
def test_every_family_agrees_with_generate(family: str, tiny_source: Path) -> None:
    """Families with our attention, and two that take transformers' own road."""
    model = family_model(family)
    tokenizer = load(tiny_source, device="cpu").tokenizer
    resident = Resident(model, tokenizer, torch.device("cpu"), False, tiny_source)
    assert has_own_attention(resident) == (family in attention.FAMILIES)
    prompts = random_prompts(9, [1, 7, 22, 3])
    for prompt, mine in zip(prompts, greedy(resident, prompts, 14), strict=True):
        assert mine.ids == generated(resident, prompt, 14, [7, 9, 11]).ids


def test_a_prompt_that_is_longer_than_the_base_reads_is_named(resident: Resident) -> None:
    with pytest.raises(ModelError, match="Prompt 2 has 2,048 tokens, and this base reads 2,048"):
        list(decode(resident, [[5], [5] * 2048], new_tokens=3, stop_ids=[], sampling=None))
