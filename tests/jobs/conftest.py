"""Real worker processes with a pipeline without models; none outlives its test."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.runs.making import a_run
from workbench import jobs
from workbench.jobs import downloads, questions, supervisor
from workbench.runs import lease
from workbench.runs.folder import Run

WAIT_SECONDS = 120.0  # long only where the machine is busy with other things


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs whose workers are fakes; whatever still runs is ended."""
    monkeypatch.setattr(supervisor, "WORKER_MODULE", "tests.jobs.fake_worker")
    monkeypatch.setattr(questions, "CONSULT_MODULE", "tests.jobs.fake_consult")
    monkeypatch.setattr(downloads, "missing", lambda recipe: [])  # see test_downloads
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    folder = tmp_path / "runs"
    yield folder
    for path in folder.glob("*/lease.json"):
        holder = lease.holder(path.parent)
        if holder is not None and holder.leads_group:
            lease.end_group(holder, signal.SIGKILL)


@pytest.fixture
def run_with(root: Path) -> Callable[..., Run]:
    """Makes a draft whose pipeline follows a script."""

    def make(**script: object) -> Run:
        run = a_run(root)
        run.remember("script", script)
        return run

    return make


def wait_for(run: Run, *wanted: str, seconds: float = WAIT_SECONDS) -> jobs.RunState:
    """The state as soon as it is one of the wanted; fails after a while."""
    deadline = time.monotonic() + seconds
    while (now := jobs.state(run)).state not in wanted:
        assert time.monotonic() < deadline, f"still {now}"
        time.sleep(0.02)
    return now


def wait_until(true: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Return when something has become true; fail after a while."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    return lease.identity(pid) is not None


def my_zombies() -> list[psutil.Process]:
    """Children of this process that nobody has waited for."""
    children = psutil.Process(os.getpid()).children()
    return [child for child in children if child.status() == psutil.STATUS_ZOMBIE]
