"""Questions to the models, in a process of their own."""

import threading
import time
from pathlib import Path

import pytest

from tests.runs.making import a_run
from workbench import jobs
from workbench.errors import BusyError, ModelError, WorkbenchError
from workbench.limits import LIMITS
from workbench.runs import lease


def test_question_and_answer_survive_chatty_libraries(root: Path) -> None:
    run = a_run(root)
    reply = jobs.consult(run.folder, "what?", {"text": "ünï", "n": 1.5})
    assert reply["question"] == "what?"
    assert reply["arguments"] == {"text": "ünï", "n": 1.5, "run": str(run.folder)}
    assert "library says hello" in (run.folder / "worker.log").read_text()
    assert lease.identity(reply["pid"]) is None


def test_expected_errors_come_back_as_they_were(root: Path) -> None:
    with pytest.raises(ModelError, match="Fetch it first"):
        jobs.consult(a_run(root).folder, "refuse")


def test_defects_come_back_as_an_id(root: Path) -> None:
    run = a_run(root)
    with pytest.raises(WorkbenchError, match="error ") as caught:
        jobs.consult(run.folder, "defect")
    assert "secret cause" not in caught.value.message
    assert "secret cause" in (run.folder / "worker.log").read_text()


def test_t18_the_log_of_questions_begins_anew_when_it_is_long(root: Path) -> None:
    run = a_run(root)
    log = run.folder / "worker.log"
    log.write_bytes(b"x" * (LIMITS.log_bytes + 1))
    jobs.consult(run.folder, "what?")
    assert log.read_text().startswith("a library says hello") and log.stat().st_mode & 0o077 == 0
    assert (run.folder / "worker.log.1").stat().st_size == LIMITS.log_bytes + 1


def test_an_answer_that_does_not_come(root: Path) -> None:
    started = time.monotonic()
    with pytest.raises(BusyError, match="within 2 seconds"):
        jobs.consult(a_run(root).folder, "hang", timeout_seconds=2)
    assert time.monotonic() - started < 20


def test_a_cancelled_question_says_so(root: Path) -> None:
    """It ended in "for want of memory, perhaps"."""
    run, told = a_run(root), []

    def ask() -> None:
        with pytest.raises(BusyError, match="Cancelled") as caught:
            jobs.consult(run.folder, "hang")
        told.append(caught.value)

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + 60
    while not jobs.cancel_consult(run.folder):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asking.join(60)
    assert told


def test_a_process_that_dies(root: Path) -> None:
    with pytest.raises(WorkbenchError, match="no answer"):
        jobs.consult(a_run(root).folder, "die")


def test_t20_no_token_gets_in(root: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    seen = jobs.consult(a_run(root).folder, "environment")
    assert "hf_canary" not in str(seen) and seen["HF_HUB_OFFLINE"] == "1"


def test_one_at_a_time(root: Path) -> None:
    run = a_run(root)

    def ask() -> None:
        with pytest.raises(BusyError):
            jobs.consult(run.folder, "hang", timeout_seconds=3)

    first = threading.Thread(target=ask)
    first.start()
    time.sleep(0.5)
    with pytest.raises(BusyError, match="Other questions"):
        jobs.consult(run.folder, "what?", timeout_seconds=0.5)
    first.join()
    assert jobs.consult(run.folder, "what?")["question"] == "what?"
