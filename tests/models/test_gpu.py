"""The same things on a GPU, where there is one: loading, switching, gradients, seeds."""

import gc
import random
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import Tensor

from tests import tiny
from workbench.models import forward, training
from workbench.models import resident as resident_module
from workbench.models.forward import logits_at, packed_logits_at, padded
from workbench.models.packed import ROUNDED, Row, one_behind_the_other
from workbench.models.recorded import Recorded
from workbench.models.resident import Resident, load
from workbench.models.training import TrainingRow, train
from workbench.recipe import LoraSettings, StudentSettings, TrainingSettings
from workbench.students import STUDENTS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

SETTINGS = TrainingSettings(learning_rate=1e-2, epochs=12, batch_rows=8, warmup_fraction=0.0)
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


def random_ids(count: int, longest: int) -> list[list[int]]:
    draw = random.Random(count)
    return [[draw.randrange(5, 300) for _ in range(draw.randint(1, longest))] for _ in range(count)]


@pytest.mark.parametrize("family", ["tiny_source", "tiny_target"])
def test_packed_rows_see_themselves_only(family: str, request: pytest.FixtureRequest) -> None:
    resident = load(request.getfixturevalue(family))
    assert forward.can_pack(resident)
    rows = random_ids(9, 60)
    ids, _ = padded(rows, resident.device)
    beside = [at * ids.shape[1] + place for at, row in enumerate(rows) for place in range(len(row))]
    with torch.no_grad():
        keep = torch.tensor(beside, device=resident.device)
        side_by_side = logits_at(resident, ids, keep).float()
        given = [Row(row, list(range(len(row))), row, [1.0] * len(row)) for row in rows]
        longest, (ids, places, segments, keep, *_) = one_behind_the_other(given, ROUNDED)
        packed = [part.to(resident.device) for part in (ids, places, segments)]
        in_a_row = packed_logits_at(resident, *packed, longest, keep.to(resident.device)).float()
        in_a_row = in_a_row[: len(side_by_side)]
    assert torch.cosine_similarity(side_by_side, in_a_row, dim=1).min() > 0.99


@pytest.mark.parametrize("family", ["tiny_source", "tiny_target"])
def test_training_is_that_of_a_gpu_without_fewer_passes(
    family: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = random_ids(16, 40)
    rows = [TrainingRow(ids[i], ids[i + 8]) for i in range(8)]
    losses = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(training, "can_pack", lambda _: False)
            monkeypatch.setattr(training, "one_product", lambda _: nullcontext())
            monkeypatch.setattr(resident_module, "use_liger", lambda _: False)
        resident = load(request.getfixturevalue(family), quantize=True)
        resident.attach_new("student", LoraSettings(rank=4, alpha=8), seed=1)
        losses.append([s.loss for s in train(resident, "student", rows, SETTINGS, seed=5)])
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert losses[0][-1] < 0.97 * losses[0][0]


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("method", STUDENTS)
def test_every_student_trains(
    method: str, quantize: bool, tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = random_ids(16, 40)
    rows = [TrainingRow(ids[i], ids[i + 8]) for i in range(8)]
    losses = []
    for packs in (True, False):
        if not packs:
            monkeypatch.setattr(training, "can_pack", lambda _: False)
        resident = load(tiny_target, quantize=quantize)
        resident.attach_new("student", StudentSettings(method=method, rank=4, alpha=8), seed=1)
        losses.append([s.loss for s in train(resident, "student", rows, SETTINGS, seed=5)])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("family", ["tiny_source", "tiny_target"])
@pytest.mark.parametrize("shared", [0, 400])
def test_recorded_steps_give_the_logits_of_unrecorded_ones(
    family: str, shared: int, request: pytest.FixtureRequest
) -> None:
    steps_agree(request.getfixturevalue(family), shared)


def steps_agree(folder: Path, shared: int) -> None:
    resident = load(folder)
    rows = [[40 + at % 200 for at in range(shared)] + row for row in random_ids(24, 20)]
    with torch.inference_mode():
        length, prefix = forward.shared_prefix(resident, rows)
    assert bool(length) == bool(shared)
    recorded, plain = (forward.GroupedBatch(resident, prefix, room=32) for _ in range(2))
    assert recorded.recorded is not None and plain.recorded is not None
    plain.recorded._possible = False
    for batch in (recorded, plain):
        batch.read([row[length:] for row in rows])
    for step in range(80):
        if step == 50:
            for batch in (recorded, plain):
                batch.keep(torch.arange(0, 24, 2, device=resident.device))
        tokens = torch.arange(len(plain.next), device=resident.device) + 40 + step
        found, right = recorded.step(tokens).float(), plain.step(tokens).float()
        assert torch.cosine_similarity(found, right, dim=1).min() > 0.999, step
    assert recorded.recorded._graph is not None and plain.recorded._graph is None


def test_a_dead_graph_does_not_break_a_recording() -> None:
    def dead() -> None:
        recorded = Recorded()
        for _ in range(2):
            recorded(lambda given: given + 1, torch.ones(4, device="cuda"))
        recorded.itself = recorded  # type: ignore[attr-defined]  # only the collector frees it

    def work(given: Tensor) -> Tensor:
        kept = [[at] for at in range(2000)]  # makes the collector run, if it may
        return given + len(kept)

    recorded = Recorded()
    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for at in range(4):
            dead()
            found = recorded(work, torch.full((4,), float(at), device="cuda"))
            assert found.tolist() == [2000.0 + at] * 4
    finally:
        gc.set_threshold(*thresholds)
    assert recorded._graph is not None


def test_what_waits_for_the_gpu_is_worked_off_on_the_same_stream() -> None:
    stream = torch.cuda.current_stream()
    recorded = Recorded()
    for at in range(4):
        given = torch.full((4,), float(at), device="cuda")
        assert recorded(lambda x: x + float(x.sum()), given).tolist() == [5.0 * at] * 4
        assert torch.cuda.current_stream() == stream
    assert recorded._graph is None
