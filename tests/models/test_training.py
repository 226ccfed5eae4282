"""Training equals a naive loop, resumes exactly, survives small memory and learns."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.errors import StageError
from workbench.models import batches, forward, number_types, training, training_state
from workbench.models.decoding import decode
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, TrainingStep, learning_rate, train
from workbench.recipe import LoraSettings, TrainingSettings

SETTINGS = TrainingSettings(learning_rate=3e-3, epochs=2, batch_rows=8, warmup_fraction=0.2)


@pytest.fixture(params=["tiny_source", "tiny_target"])
def resident(request: pytest.FixtureRequest) -> Resident:
    """A fresh fp32 model of either family."""
    return fresh(request.getfixturevalue(request.param))


def fresh(folder: Path, dropout: float = 0.0) -> Resident:
    loaded = load(folder, device="cpu")
    loaded.model.float()
    loaded.attach_new("student", LoraSettings(rank=4, alpha=8, dropout=dropout), seed=1)
    return loaded


def random_rows(count: int, seed: int = 0, shared: int = 0) -> list[TrainingRow]:
    draw = random.Random(seed)
    head = [draw.randrange(5, 300) for _ in range(shared)]

    def ids(low: int, high: int) -> list[int]:
        return [draw.randrange(5, 300) for _ in range(draw.randrange(low, high))]

    return [TrainingRow(head + ids(1, 40), [*ids(0, 6), 2]) for _ in range(count)]


def losses(resident: Resident, rows: list[TrainingRow], settings: TrainingSettings) -> list[float]:
    return [step.loss for step in train(resident, "student", rows, settings, seed=5)]


def naive_losses(
    resident: Resident, rows: list[TrainingRow], settings: TrainingSettings
) -> list[float]:
    """The same training row by row, all logits, plain AdamW."""
    parameters = list(resident.trainable("student").values())
    optimizer = torch.optim.AdamW(parameters, lr=1.0, weight_decay=settings.weight_decay)
    per_epoch = math.ceil(len(rows) / settings.batch_rows)
    steps, found = math.ceil(per_epoch * settings.epochs), []
    with resident.using("student"):
        for step in range(steps):
            order = training._order(5, step // per_epoch, len(rows))
            at = step % per_epoch * settings.batch_rows
            batch = [rows[i] for i in order[at : at + settings.batch_rows]]
            count = sum(len(row.answer_ids) for row in batch)
            optimizer.zero_grad()
            total = 0.0
            for row in batch:
                ids = torch.tensor([row.prompt_ids + row.answer_ids])
                every = resident.model(input_ids=ids).logits[0].log_softmax(dim=-1)
                every = every[len(row.prompt_ids) - 1 : -1]
                loss = -every.gather(1, torch.tensor(row.answer_ids)[:, None]).sum() / count
                loss.backward()
                total += loss.item()
            if settings.clip_norm:
                torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimizer.param_groups[0]["lr"] = learning_rate(step, steps, settings)
            optimizer.step()
            found.append(total)
    return found


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        TrainingSettings(
            learning_rate=1e-2, epochs=1.5, batch_rows=6, warmup_fraction=0, weight_decay=0.1,
            clip_norm=0,
        ),
        TrainingSettings(learning_rate=1e-2, epochs=1, batch_rows=5, clip_norm=0.05),
    ],
)  # fmt: skip
def test_losses_equal_the_naive_loop(
    request: pytest.FixtureRequest, settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the micro-batches are, and where gradients flow through a shared beginning."""
    monkeypatch.setitem(batches.TOKENS, "cpu", 150)
    monkeypatch.setitem(forward.WORTHWHILE, "cpu", 20)
    for folder, shared in (("tiny_source", 20), ("tiny_target", 20), ("tiny_target", 0)):
        rows = random_rows(20, shared=shared)
        wanted = naive_losses(fresh(request.getfixturevalue(folder)), rows, settings)
        found = losses(fresh(request.getfixturevalue(folder)), rows, settings)
        assert found == pytest.approx(wanted, rel=1e-4)
        assert len(set(found)) == len(found)


def test_resuming_lands_on_the_same_losses(tiny_target: Path) -> None:
    """With dropout and from any step: everything random follows from seed and step."""
    rows = random_rows(20)
    whole, states = [], []
    for step in train(fresh(tiny_target, 0.1), "student", rows, SETTINGS, seed=5):
        whole.append(step.loss)
        states.append(step.snapshot())
    assert len(whole) == 6
    for state in (states[0], states[3]):
        again = fresh(tiny_target, 0.1)
        torch.manual_seed(99)
        rest = list(train(again, "student", rows, SETTINGS, seed=5, resume=state))
        assert [step.loss for step in rest] == whole[state.step :]
        assert rest[0].step == state.step + 1
    ended = train(fresh(tiny_target), "student", rows, SETTINGS, seed=5, resume=states[-1])
    assert list(ended) == []


def test_snapshot_is_a_copy_and_json(tiny_source: Path) -> None:
    resident = fresh(tiny_source)
    steps = train(resident, "student", random_rows(20), SETTINGS, seed=5)
    state = next(steps).snapshot()
    before = {key: tensor.clone() for key, tensor in state.tensors.items()}
    list(steps)
    assert all(torch.equal(state.tensors[key], before[key]) for key in before)
    assert json.loads(json.dumps(state.meta)) == state.meta
    keys = set(resident.trainable("student"))
    assert set(before) == {f"{kind}/{key}" for kind in training_state.KINDS for key in keys}
    assert all(tensor.dtype == torch.float32 for tensor in before.values())


def test_a_state_of_another_training_is_refused(tiny_source: Path) -> None:
    rows = random_rows(20)
    state = next(train(fresh(tiny_source), "student", rows, SETTINGS, seed=5)).snapshot()
    with pytest.raises(StageError, match="another training"):
        next(train(fresh(tiny_source), "student", rows, SETTINGS, seed=6, resume=state))
    with pytest.raises(StageError, match="another training"):
        next(train(fresh(tiny_source), "student", rows[:8], SETTINGS, seed=5, resume=state))


def test_only_the_adapter_changes_and_only_while_training(resident: Resident) -> None:
    frozen = {
        name: parameter.clone()
        for name, parameter in resident.model.named_parameters()
        if "lora" not in name
    }
    for _ in train(resident, "student", random_rows(10), SETTINGS, seed=5):
        assert not resident.model.training
        assert resident.active is None
    for name, parameter in resident.model.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name])


def test_decoding_between_steps_changes_nothing(tiny_target: Path) -> None:
    rows = random_rows(20)
    wanted = losses(fresh(tiny_target, 0.1), rows, SETTINGS)
    resident, found = fresh(tiny_target, 0.1), []
    for step in train(resident, "student", rows, SETTINGS, seed=5):
        found.append(step.loss)
        with resident.using("student"):
            list(decode(resident, [[5, 6, 7]], new_tokens=4, stop_ids=[], sampling=None))
    assert found == wanted


def test_it_learns_a_simple_rule(resident: Resident) -> None:
    """Answer which of four tokens stands last: the loss must fall well below guessing."""
    draw = random.Random(0)
    rows = []
    for _ in range(64):
        prompt = [draw.randrange(5, 300) for _ in range(draw.randrange(3, 9))]
        last = draw.choice([20, 21, 22, 23])
        rows.append(TrainingRow([*prompt, last], [last + 10]))
    settings = TrainingSettings(learning_rate=2e-2, epochs=8, batch_rows=16)
    steps = list(train(resident, "student", rows, settings, seed=5))
    # The tiny head cannot make any token likely (its logits are small), so look at the answers.
    assert steps[-1].loss < steps[0].loss - 2
    with resident.using("student"):
        prompts = [row.prompt_ids for row in rows]
        answers = dict(decode(resident, prompts, new_tokens=1, stop_ids=[], sampling=None))
    right = sum(answers[i].ids == row.answer_ids for i, row in enumerate(rows))
    assert right >= 60


def test_counts(resident: Resident) -> None:
    rows = [TrainingRow([5] * 6, [6, 2]), TrainingRow([5] * 3, [2])]
    (step,) = train(resident, "student", rows, TrainingSettings(epochs=1), seed=0)
    assert isinstance(step, TrainingStep)
    assert (step.step, step.steps, step.tokens) == (1, 1, 12)
    assert step.micro_rows == 2 and not step.skipped


def test_automatic_batches_are_settled_by_the_rows_and_told(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.recipe.sections.MOST_STEPS", 2)
    rows = [TrainingRow([5, n], [n, 2]) for n in range(6, 70)]
    settings = TrainingSettings(epochs=1, batch_rows=0, warmup_fraction=0)
    first, *_ = steps = list(train(resident, "student", rows, settings, seed=0))
    assert len(steps) == 2
    assert first.micro_rows == 32
    assert first.learning_rate == pytest.approx(2**0.5 * settings.learning_rate)
    meta = first.snapshot().meta
    assert (meta["batch_rows"], meta["learning_rate"]) == (32, first.learning_rate)
    soft = [replace(rows[0], weight=0.5, alternatives=(([7, 2], 0.5),)), *rows[1:]]
    first = next(train(resident, "student", soft, settings, seed=0))
    assert first.learning_rate == settings.learning_rate


def test_a_state_of_an_older_version_goes_on(resident: Resident) -> None:
    rows = [TrainingRow([5, n], [n, 2]) for n in range(6, 22)]
    settings = TrainingSettings(epochs=1, batch_rows=4)
    steps = train(resident, "student", rows, settings, seed=0)
    next(steps)
    state = next(steps).snapshot()
    older = {k: v for k, v in state.meta.items() if k not in ("batch_rows", "learning_rate")}
    again = train(resident, "student", rows, settings, seed=0, resume=replace(state, meta=older))
    assert [step.step for step in again] == [3, 4]


def test_rate_rises_and_falls() -> None:
    settings = TrainingSettings(learning_rate=0.1, warmup_fraction=0.2)
    rates = [10 * learning_rate(step, 10, settings) for step in range(10)]
    assert rates[0] == pytest.approx(1 / 3)
    assert max(rates) == rates[2] == 1.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(1 / 8)


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_loss(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that fits three rows must train as one that fits eight, and remember it."""
    rows = [TrainingRow([*range(20, 30), n], [n + 1, 2]) for n in range(40, 60)]
    wanted = losses(fresh(tiny_source), rows, SETTINGS)
    plain, refused = training.logits_at, []

    def tight(resident: Resident, ids: torch.Tensor, *more: Any, **how: Any) -> torch.Tensor:
        if len(ids) > 3:
            refused.append(len(ids))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(resident, ids, *more, **how)

    monkeypatch.setattr(training, "logits_at", tight)
    monkeypatch.setitem(batches.TOKENS, "cpu", 8 * 12)
    steps = train(fresh(tiny_source), "student", rows, SETTINGS, seed=5)
    first = next(steps)
    state = first.snapshot()
    assert refused == [8, 4] and first.micro_rows == 2
    assert [first.loss, *(step.loss for step in steps)] == pytest.approx(wanted, rel=1e-4)

    again = train(fresh(tiny_source), "student", rows, SETTINGS, seed=5, resume=state)
    assert [step.loss for step in again] == pytest.approx(wanted[1:], rel=1e-4)
    assert refused == [8, 4]


def test_no_memory_for_a_single_row_is_a_sentence(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(training, "logits_at", never)
    with pytest.raises(StageError, match="not enough memory"):
        next(train(fresh(tiny_source), "student", random_rows(8), SETTINGS, seed=5))


def test_other_errors_are_not_taken_for_memory(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(training, "logits_at", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        next(train(fresh(tiny_source), "student", random_rows(8), SETTINGS, seed=5))


def test_a_broken_step_is_skipped_and_three_stop_the_training(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NaN must not reach the adapter: one is skipped, three in a row end in a sentence."""
    plain, calls = training.head_loss, []
    broken_calls = {1, 3, 4, 5}

    def sometimes(*given: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        loss = plain(*given)
        return loss * math.nan if len(calls) - 1 in broken_calls else loss

    monkeypatch.setattr(training, "head_loss", sometimes)
    resident, skipped = fresh(tiny_source), []
    with pytest.raises(StageError, match="3 steps in a row"):
        for step in train(resident, "student", random_rows(20), SETTINGS, seed=5):
            skipped.append(step.skipped)
    assert skipped == [False, True, False, True, True]
    for parameter in resident.trainable("student").values():
        assert torch.isfinite(parameter).all()


def test_rows_without_answer_are_refused(tiny_source: Path) -> None:
    for rows in ([], [TrainingRow([5], [])], [TrainingRow([], [5])]):
        with pytest.raises(StageError, match="both a prompt and an answer"):
            next(train(fresh(tiny_source), "student", rows, SETTINGS, seed=0))


def test_a_soft_label_is_worth_one_row(tiny_source: Path) -> None:
    """Answers with shares 0.25 and 0.75 give the loss that one row in four would."""
    ids = [40, 41, 42]
    settings = replace(SETTINGS, epochs=1, batch_rows=4)
    hard = [TrainingRow(ids, [60, 2]), *[TrainingRow(ids, [70, 2])] * 3]
    soft = [TrainingRow(ids, [60, 2], 0.25, (([70, 2], 0.75),))]
    wanted = losses(fresh(tiny_source), hard, settings)
    assert losses(fresh(tiny_source), soft, settings) == pytest.approx(wanted, rel=1e-4)


def soft_rows(count: int, shared: int = 0) -> list[TrainingRow]:
    """Rows of which every other has two more answers, of other lengths."""
    rows = random_rows(count, seed=3, shared=shared)
    others = [
        tuple((row.answer_ids, 0.25) for row in random_rows(2, seed=at)) for at in range(count)
    ]
    return [
        replace(row, weight=0.5, alternatives=more) if at % 2 else row
        for at, (row, more) in enumerate(zip(rows, others, strict=True))
    ]


@pytest.mark.parametrize("shared", [0, 30])
@pytest.mark.parametrize("family", ["tiny_source", "tiny_target"])
def test_answers_of_a_soft_label_do_not_see_each_other(
    family: str, shared: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a prompt once for all its answers gives the losses of reading it for each."""
    folder = request.getfixturevalue(family)
    rows = soft_rows(16, shared)
    apart = [branch for row in rows for branch in row.branches()]
    once, whole = (
        replace(SETTINGS, epochs=1, batch_rows=16),
        replace(SETTINGS, epochs=1, batch_rows=len(apart)),
    )
    wanted = losses(fresh(folder), apart, whole)
    assert losses(fresh(folder), rows, once) == pytest.approx(wanted, rel=1e-4)
    twice, every = replace(once, epochs=3), replace(whole, epochs=3)
    wanted = losses(fresh(folder), apart, every)
    assert losses(fresh(folder), rows, twice) == pytest.approx(wanted, rel=1e-3)
    # A model whose rows cannot branch reads them apart, and nobody notices.
    monkeypatch.setattr(training, "has_own_attention", lambda resident: False)
    monkeypatch.setattr(forward, "has_own_attention", lambda resident: False)
    assert losses(fresh(folder), rows, twice) == pytest.approx(wanted, rel=1e-3)


def test_bf16_base_with_fp32_adapter(tiny_target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: products in bf16, adapter weights and moments in fp32."""
    monkeypatch.setattr(number_types, "cpu_multiplies_bf16", lambda: True)
    resident = load(tiny_target, device="cpu")
    resident.attach_new("student", LoraSettings(rank=4, alpha=8), seed=1)
    assert all(p.dtype == torch.float32 for p in resident.trainable("student").values())
    wanted = losses(fresh(tiny_target), random_rows(20), SETTINGS)
    found = losses(resident, random_rows(20), SETTINGS)
    assert found == pytest.approx(wanted, rel=0.03)
