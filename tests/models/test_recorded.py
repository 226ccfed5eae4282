"""Recording work as a CUDA graph, with a stand-in for the graph: what holds on a GPU besides."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.models.recorded import Recorded


class Graph:
    """Replays nothing: the result of the recording stays."""

    replays = 0

    def replay(self) -> None:
        type(self).replays += 1


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happened, in order; torch's own context manager keeps its stream when it fails."""
    found: list[Any] = []

    @contextmanager
    def recording(graph: Graph, **options: Any) -> Iterator[None]:
        found.append(("garbage is collected", gc.isenabled()))
        yield
        if "fails" in found:
            raise RuntimeError("operation failed due to a previous error during capture")

    @contextmanager
    def stream(chosen: str) -> Iterator[None]:
        found.append(f"in {chosen}")
        try:
            yield
        finally:
            found.append(f"back in {chosen}")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "the caller's stream")
    monkeypatch.setattr(Graph, "replays", 0)
    return found


def double(given: Tensor) -> Tensor:
    return 2 * given


def test_the_second_call_records_undisturbed_and_later_ones_replay(seen: list[Any]) -> None:
    recorded = Recorded()
    for _ in range(4):
        recorded(double, torch.ones(1))
    assert seen == [
        "in the caller's stream",
        ("garbage is collected", False),
        "back in the caller's stream",
    ]
    assert Graph.replays == 3
    assert gc.isenabled()


def test_what_cannot_be_recorded_is_worked_off_on_the_callers_stream(seen: list[Any]) -> None:
    seen.append("fails")
    recorded = Recorded()
    for at in range(4):
        assert recorded(double, torch.full((1,), float(at))) == 2 * at
    assert seen.count("back in the caller's stream") == 1  # tried once
    assert Graph.replays == 0
    assert gc.isenabled()
