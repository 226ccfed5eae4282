"""The command in this process: what is missing is done, nothing twice, and bases stay in memory."""

import argparse
import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.making import write_list
from workbench.fleet import command, standing
from workbench.fleet.options import add_options
from workbench.fleet.place import Place
from workbench.fleet.schedule import DONE, Bases, Outcome, Task
from workbench.models import kept_bases


@pytest.fixture(autouse=True)
def _former_signals() -> Iterator[None]:
    former = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, former)


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = parser.parse_args([str(argument) for argument in arguments])
    return options.command(options)


def test_bases_are_loaded_once_and_nothing_is_done_twice(
    tmp_path: Path, tiny_source: Path, tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load = [], kept_bases.load

    def counting(folder: Path, **options: Any) -> object:
        loaded.append(folder)
        return load(folder, **options)

    monkeypatch.setattr(kept_bases, "load", counting)
    path, out = write_list(tmp_path / "list", tiny_source, tiny_target, 2), tmp_path / "out"
    assert run(path, "--out", out, "--scratch", tmp_path) == 0
    assert sorted(loaded) == sorted([tiny_source, tiny_target])
    place = Place(str(out))
    done = standing.read(place, place.names())
    assert [found.state for found in done.values()] == [standing.DONE] * 2
    for found in done.values():
        assert found.elapsed > sum(found.seconds.values()) > 0
    assert run(path, "--out", out) == 0
    assert standing.read(place, place.names()) == done
    assert json.loads((out / "fleet.json").read_text())["states"] == {"done": 2}


class Pool:
    """A worker that does its tasks in a moment, as a test says."""

    def __init__(self, place: Place, ends: dict[str, list[Outcome]]) -> None:
        self._place, self._ends = place, ends
        self._given: list[Task] = []
        self.done: list[str] = []

    def idle(self) -> list[tuple[int, Bases | None]]:
        return [] if self._given else [(0, None)]

    def give(self, worker: int, task: Task) -> None:
        self._given.append(task)

    def wait(self) -> Sequence[tuple[Task, Outcome]]:
        task = self._given.pop()
        outcome = self._ends[task.name].pop(0)
        self.done.append(task.name)
        found = standing.read(self._place, list(self._ends))
        if outcome.reason == DONE:
            standing.write(self._place, replace(found[task.name], state=standing.DONE))
        for other in found.values():  # a person sees what has failed, on the page
            if other.state == standing.FAILED:
                standing.retry(self._place, other)
        return [(task, outcome)]

    def close(self) -> None:
        pass


def test_what_is_tried_again_meanwhile_is_done_in_the_end(
    tmp_path: Path, tiny_source: Path, tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_list(tmp_path / "list", tiny_source, tiny_target, 2), tmp_path / "out"
    bad = Outcome("model", "No such layer.")
    ends = {"move-0": [bad, Outcome(DONE)], "move-1": [Outcome(DONE)]}
    pool = Pool(Place(str(out)), ends)
    monkeypatch.setattr(command, "_pool", lambda options, tell: pool)
    assert run(path, "--out", out) == 0
    assert pool.done == ["move-0", "move-1", "move-0"]


def test_what_has_failed_stays_until_it_is_asked_for(
    tmp_path: Path, tiny_source: Path, tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_list(tmp_path / "list", tiny_source, tiny_target, 1), tmp_path / "out"
    bad = Outcome("model", "No such layer.")
    pool = Pool(Place(str(out)), {"move-0": [bad, Outcome(DONE)]})
    monkeypatch.setattr(command, "_pool", lambda options, tell: pool)
    assert run(path, "--out", out) == 1
    assert run(path, "--out", out) == 1 and len(pool.done) == 1
    assert run(path, "--out", out, "--retry-failed") == 0 and len(pool.done) == 2
