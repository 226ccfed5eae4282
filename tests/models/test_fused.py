"""What a GPU does in fewer passes is the same: here on the CPU, where nothing of it is a gain."""

import gc
import random
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.models import forward, training
from workbench.models.forward import (
    GroupedBatch,
    logits_at,
    mixed_precision,
    packed_logits_at,
    padded,
)
from workbench.models.fused import one_product
from workbench.models.packed import ROUNDED, Passes, Row, one_behind_the_other
from workbench.models.recorded import Recorded
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, train
from workbench.recipe import LoraSettings, TrainingSettings

SETTINGS = TrainingSettings(learning_rate=3e-3, epochs=2, batch_rows=8, warmup_fraction=0.0)


@pytest.fixture(params=["tiny_source", "tiny_target"])
def resident(request: pytest.FixtureRequest) -> Resident:
    """An fp32 model of either family with a fresh student."""
    return fresh(request.getfixturevalue(request.param))


def fresh(folder: Path, *, quantize: bool = False) -> Resident:
    loaded = load(folder, device="cpu", quantize=quantize)
    if not quantize:
        loaded.model.float()
    loaded.attach_new("student", LoraSettings(rank=4, alpha=8), seed=1)
    return loaded


def random_ids(count: int, longest: int) -> list[list[int]]:
    draw = random.Random(count)
    return [[draw.randrange(5, 300) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def test_packed_rows_see_themselves_only(resident: Resident) -> None:
    rows = random_ids(5, 40)  # longer than the window of one layer of Gemma
    ids, _ = padded(rows, resident.device)
    beside = [at * ids.shape[1] + place for at, row in enumerate(rows) for place in range(len(row))]
    with torch.no_grad():
        side_by_side = logits_at(resident, ids, torch.tensor(beside))
        given = [Row(row, list(range(len(row))), row, [1.0] * len(row)) for row in rows]
        longest, (*packed, keep, _, _) = one_behind_the_other(given, ROUNDED)
        in_a_row = packed_logits_at(resident, *packed, longest, keep)
    assert in_a_row.shape[0] % ROUNDED["answers"] == packed[0].shape[1] % ROUNDED["tokens"] == 0
    in_a_row = in_a_row[: len(side_by_side)]
    torch.testing.assert_close(in_a_row, side_by_side, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rounded", [False, True])
def test_training_on_packed_rows_is_the_same(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch, rounded: bool
) -> None:
    if rounded:  # as passes are that a GPU records
        monkeypatch.setattr(Passes, "are_recorded", lambda *_: True)
        monkeypatch.setattr(Recorded, "_record", lambda *_: None)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    ids = random_ids(24, 30)
    rows = [TrainingRow(ids[i], ids[i + 12]) for i in range(12)]
    rows[0] = TrainingRow(ids[0], ids[12], weight=0.75, alternatives=((ids[13], 0.25),))
    found = []
    for packed in (False, True):
        monkeypatch.setattr(training, "can_pack", lambda _, packed=packed: packed)
        resident = fresh(tiny_source)
        losses = [step.loss for step in train(resident, "student", rows, SETTINGS, seed=5)]
        found.append((losses, weights(resident)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-2, atol=1e-4)


def weights(resident: Resident) -> Tensor:
    return torch.cat([part.detach().flatten() for part in resident.trainable("student").values()])


@pytest.mark.parametrize("quantize", [False, True])
def test_a_lora_inside_its_products_has_the_same_gradients(
    tiny_source: Path, quantize: bool
) -> None:
    resident = fresh(tiny_source, quantize=quantize)
    parameters = resident.trainable("student")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for part in parameters.values():  # B is zero at first, and A then has no gradient
            part.data.normal_(std=0.1)
    ids = torch.tensor([random_ids(1, 1)[0] * 3 + [7, 90, 45]])

    def gradients() -> tuple[float, Tensor]:
        for part in parameters.values():
            part.grad = None
        with mixed_precision(resident):
            loss = resident.model(input_ids=ids, labels=ids).loss
        loss.backward()
        found = [part.grad.flatten() for part in parameters.values() if part.grad is not None]
        return loss.item(), torch.cat(found)

    with resident.using("student"):
        plain_loss, plain = gradients()
        with one_product(resident.model):
            loss, found = gradients()
        again_loss, again = gradients()
    assert plain.abs().max() > 0
    assert loss == pytest.approx(plain_loss, rel=0.02 if quantize else 1e-5)
    assert torch.cosine_similarity(found, plain, dim=0) > (0.99 if quantize else 0.999999)
    assert found.norm() == pytest.approx(plain.norm(), rel=0.05 if quantize else 1e-4)
    assert again_loss == plain_loss and torch.equal(again, plain)  # PEFT's own are back


def test_adapters_with_dropout_keep_their_own_forward(tiny_source: Path) -> None:
    resident = load(tiny_source, device="cpu")
    resident.attach_new("student", LoraSettings(rank=4, dropout=0.5), seed=1)
    with resident.using("student"), one_product(resident.model):
        assert not any("forward" in vars(module) for module in resident.model.modules())


class Unrecorded:
    """Stands where a GPU would replay a step: the same state, worked off as it is."""

    forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1

    def __call__(self, work: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
        return work(tokens)


def test_a_batch_that_is_over_waits_for_no_garbage_collector(resident: Resident) -> None:
    batch = GroupedBatch(resident, [], room=5)
    batch.recorded = Recorded()
    batch.read(random_ids(4, 9))
    batch.step(torch.tensor([40, 41, 42, 43]))  # worked off as it stands
    recording = weakref.ref(batch.recorded)
    gc.disable()
    try:
        del batch
        assert recording() is None
    finally:
        gc.enable()


def test_steps_that_could_be_recorded_give_the_same_logits(resident: Resident) -> None:
    rows = random_ids(4, 9)
    plain, ready = (GroupedBatch(resident, [], room=5) for _ in range(2))
    ready.recorded = Unrecorded()  # type: ignore[assignment]
    torch.testing.assert_close(ready.read(rows), plain.read(rows))
    for step in range(12):
        if step == 7:
            some = torch.tensor([0, 2, 3])
            plain.keep(some)
            ready.keep(some)
        tokens = torch.arange(len(plain.next)) + 40 + step
        torch.testing.assert_close(ready.step(tokens), plain.step(tokens), rtol=1e-4, atol=1e-4)
    assert ready.recorded.forgotten == 1 + 3  # rows have left, columns were reserved


def test_a_prefix_of_a_gpu_has_an_even_width(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(forward.ALIGNED, "cpu", 16)
    rows = [[5] * 37 + [at] for at in range(6, 12)]
    assert forward.prefix_pays(resident, rows) == 32
