"""Transfers on a local Ray cluster; a worker and the command are killed meanwhile."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import psutil
import pytest
from safetensors.numpy import load_file

from tests.fleet.making import write_list
from workbench.events import StageFinished
from workbench.fleet import standing
from workbench.fleet.place import Place
from workbench.runs.folder import open_run

PROJECT = str(Path(__file__).parents[2])


def begin(path: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The command in a process group of its own."""
    command = [sys.executable, "-m", "workbench", "fleet", str(path), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--workers", str(workers), "--scratch", str(out.parent)],
        cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def states(out: Path) -> list[str]:
    place = Place(str(out))
    return [found.state for found in standing.read(place, place.names()).values()]


def wait_until_running(driver: subprocess.Popen[bytes], out: Path, done: int) -> None:
    """Until a transfer is at work and so many are done."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and driver.poll() is None:
        now = states(out)
        if standing.RUNNING in now and now.count(standing.DONE) >= done:
            return
        time.sleep(0.2)


def actors(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Worker processes of the cluster that the command has begun."""
    children = psutil.Process(driver.pid).children(recursive=True)
    return [child for child in children if child.name().startswith("ray::Worker")]


def kill_and_finish(path: Path, out: Path, chance: random.Random, done: int) -> None:
    """Kill a worker, then the command itself, at random moments; then let it come to its end."""
    driver = begin(path, out, 2)
    wait_until_running(driver, out, 0)
    time.sleep(chance.uniform(0, 2))
    if found := actors(driver):
        chance.choice(found).kill()
    wait_until_running(driver, out, done)
    time.sleep(chance.uniform(0, 2))
    family = [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]
    driver.send_signal(signal.SIGKILL)
    for process in family:  # its machine is gone with it
        if process.is_running():
            process.kill()
    driver.wait()
    assert begin(path, out, 2).wait(timeout=3000) == 0


def assert_equal_to_single(out: Path, single: Path, names: list[str]) -> None:
    """Every step done once, and the same adapter as without a fleet around it."""
    for name in names:
        one, other = open_run(out / name), open_run(single / name)
        ended = [event.stage for event in one.journal.all_of(StageFinished)]
        assert len(ended) == len(set(ended)) == 5
        first, second = one.result(), other.result()
        assert first and second and first["arms"] == second["arms"]
        tensors, others = (
            load_file(next((run.folder / "exports").glob("*/adapter_model.safetensors")))
            for run in (one, other)
        )
        assert all(numpy.array_equal(tensors[key], others[key]) for key in others)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_forty_transfers_survive_the_loss_of_a_worker_and_of_the_command(
    tmp_path: Path, tiny_source: Path, tiny_target: Path
) -> None:
    path = write_list(tmp_path / "list", tiny_source, tiny_target, 40)
    kill_and_finish(path, tmp_path / "out", random.Random(1), done=10)
    assert states(tmp_path / "out") == [standing.DONE] * 40
    few = path.with_name("few.jsonl")
    few.write_text("".join(path.read_text().splitlines(keepends=True)[::10]))
    assert begin(few, tmp_path / "single", 1).wait() == 0
    names = [f"move-{number}" for number in range(0, 40, 10)]
    assert_equal_to_single(tmp_path / "out", tmp_path / "single", names)


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_transfers_survive_the_loss_of_a_worker_and_of_the_command(
    tmp_path: Path, tiny_source: Path, tiny_target: Path
) -> None:
    path = write_list(tmp_path / "list", tiny_source, tiny_target, 4)
    kill_and_finish(path, tmp_path / "out", random.Random(0), done=1)
    assert states(tmp_path / "out") == [standing.DONE] * 4
    one = path.with_name("one.jsonl")
    one.write_text(path.read_text().splitlines(keepends=True)[3])
    assert begin(one, tmp_path / "single", 1).wait() == 0
    assert_equal_to_single(tmp_path / "out", tmp_path / "single", ["move-3"])
