"""One worker: limits of a transfer, and what is kept when one is reached."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.fleet.making import FAST, write_list
from workbench.fleet import standing
from workbench.fleet.lines import Line, read
from workbench.fleet.owed import owed
from workbench.fleet.place import Place
from workbench.fleet.schedule import DONE, MEMORY, TIME, Task, again
from workbench.fleet.standing import Attempt
from workbench.fleet.worker import Worker
from workbench.models import batches
from workbench.runs.folder import open_run
from workbench.synthesis_plan import MEASURED_FORMAT


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "out"))


@pytest.fixture
def task(place: Place, tmp_path: Path, tiny_source: Path, tiny_target: Path) -> Task:
    unnamed = {name: value for name, value in FAST.items() if name != "source_format.kind"}
    path = write_list(tmp_path / "list", tiny_source, tiny_target, 1, set=unnamed)
    (task,) = owed(place, read(path, Line(memory_limit_gb=3), (1, 1), print), False)
    return task


@pytest.fixture
def worker(place: Place, tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(place.url, str(tmp_path))
    yield worker
    worker.close()


def test_a_limit_stops_a_transfer_and_keeps_what_is_done(
    place: Place, task: Task, worker: Worker, tmp_path: Path
) -> None:
    assert task.memory_limit_bytes == 3e9
    late = worker.do(replace(task, time_limit_seconds=1e-3))
    assert late.reason == TIME and "what is done is kept" in late.message
    large = worker.do(replace(task, memory_limit_bytes=1e6))
    assert large.reason == MEMORY and "more than its 0.001" in large.message
    assert worker.do(task).reason == DONE
    assert standing.read(place, [task.name])[task.name].state == standing.DONE
    place.fetch(task.name, tmp_path / "fetched")
    told = open_run(tmp_path / "fetched").recall(MEASURED_FORMAT)
    assert told.startswith("Prompt format of the source adapter"), "its line names none"


def test_only_more_memory_is_tried_again() -> None:
    """With smaller batches; a time limit would be reached again."""
    ended = [Task("t", attempts=(Attempt(reason, "", 1.0),)) for reason in (TIME, MEMORY)]
    assert [again(task) for task in ended] == [False, True]
    assert [task.scale for task in ended] == [1.0, 0.5]


def test_workers_that_share_a_gpu_keep_to_their_share(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (60, 100))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda *_: 10)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda *_: 15)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    worker = Worker(str(tmp_path / "out"), str(tmp_path), gpu_share=0.5)
    gpu = torch.device("cuda")
    for limit, share, room in ((0, 0.5, 40), (30, 0.3, 20), (90, 0.5, 40)):
        batches.set_gpu_share(worker._share(Task("t", memory_limit_bytes=limit)))
        assert shares[-1] == share and batches.gpu_room(gpu) == room
    batches.set_gpu_share(1.0)
    assert batches.gpu_room(gpu) == 65
    worker.close()
