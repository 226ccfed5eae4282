"""Whose turn it is, and what is told of a process: how it ended, how long it takes."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.making import a_run
from workbench.errors import WorkbenchError
from workbench.events import Progress, StageStarted
from workbench.jobs import questions, turns
from workbench.jobs.state import _ending, _remaining
from workbench.runs import lease
from workbench.runs.lease import Holder
from workbench.runs.summary import summary


def test_a_worker_without_standard_input_has_its_turn(tmp_path: Path) -> None:
    """The lock's descriptor is 0 where that one was closed."""
    worker = Holder("job", os.getpid(), lease.identity(os.getpid()) or "", 0.0)
    kept = os.dup(0)
    os.close(0)
    try:
        with turns.turn(tmp_path, worker, lambda: False) as has_turn:
            assert has_turn and os.path.samestat(
                os.fstat(0), os.stat(tmp_path / ".queue" / "machine.lock")
            )
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_how_a_process_ended_is_told(tmp_path: Path) -> None:
    assert _ending(0) == "exit code 0" and "SIGHUP" in _ending(-1)
    assert "want of memory" in _ending(-9) and "signal 99" in _ending(-99)
    for code, words in ((-9, "want of memory"), (3, "exit code 3")):
        with pytest.raises(WorkbenchError, match=words):
            questions._read(b"", code, tmp_path)


def test_the_first_progress_of_a_stage_tells_no_time(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.journal.append(StageStarted("distil"), Progress("distil", 1, 9, "steps"))
    glance = replace(summary(run), progress_at=run.journal.log()[-1].at)  # that was rounded
    assert glance.progress is not None
    assert _remaining(run, glance, glance.progress) is None
