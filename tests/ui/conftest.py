"""Runs in a folder of their own for every test of the page's handlers."""

from pathlib import Path

import pytest

from tests.ui import fake_run
from workbench.runs.folder import Run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of runs that the page works in."""
    root = tmp_path / "runs"
    root.mkdir()
    monkeypatch.setenv("WORKBENCH_RUNS", str(root))
    return root


@pytest.fixture
def draft(runs: Path) -> Run:
    """A run with inputs and nothing started."""
    return fake_run.draft(runs)


@pytest.fixture
def reviewable(runs: Path) -> Run:
    """A run whose samples wait for review."""
    return fake_run.synthesize(fake_run.draft(runs))


@pytest.fixture
def finished(runs: Path) -> Run:
    """A run that went all the way."""
    return fake_run.finished(runs)
