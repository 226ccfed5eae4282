"""Starting, watching and stopping real worker processes."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.jobs.conftest import my_zombies, running, wait_for, wait_until
from tests.jobs.fake_worker import UNITS
from tests.runs.making import a_round, a_sample
from workbench import jobs
from workbench.errors import BusyError, RunError
from workbench.events import Progress, StageStarted, Stopped
from workbench.jobs import environment, supervisor, turns, worker
from workbench.limits import LIMITS
from workbench.runs import checkpoints, lease, stop_request
from workbench.runs.folder import Run, open_run
from workbench.stages import ORDER, WORDS, Stage

Make = Callable[..., Run]


def test_from_draft_to_finished(run_with: Make) -> None:
    run = run_with()
    assert jobs.state(run).state == "draft"
    jobs.start(run)
    done = wait_for(run, "finished")
    assert (done.stage, done.phase, done.job) == (Stage.EXPORT, "Finished", "")
    assert len(run.samples.rounds()) == UNITS * len(ORDER)
    assert run.journal.last(Stopped) is None
    wait_until(lambda: not my_zombies())


def test_a_running_run_tells_how_far_it_is(run_with: Make) -> None:
    run = run_with(gated=2)
    jobs.start(run, Stage.LABEL)
    wait_until(lambda: run.journal.last(Progress))
    now = jobs.state(run)
    assert (now.state, now.stage, now.phase) == ("running", Stage.SYNTHESIZE, WORDS[ORDER[0]])
    assert now.done >= 1 and (now.total, now.unit, now.until) == (UNITS, "rounds", Stage.LABEL)
    assert now.remaining_seconds is not None and 0 <= now.remaining_seconds <= UNITS / 2
    assert now.memory_bytes > 1_000_000 and now.job
    # Somebody who opens the run elsewhere sees the same.
    assert jobs.state(open_run(run.folder)).job == now.job


def test_it_ends_after_the_stage_that_was_asked_for(run_with: Make) -> None:
    run = run_with()
    jobs.start(run, Stage.LABEL)
    done = wait_for(run, "ready for review")
    assert (done.stage, done.message) == (Stage.DISTIL, "")
    assert run.stage_done(Stage.LABEL) and not run.stage_done(Stage.DISTIL)
    jobs.start(run)
    wait_for(run, "finished")


def test_a_second_start_is_refused(run_with: Make) -> None:
    run = run_with(gated=0)
    jobs.start(run)
    with pytest.raises(BusyError, match="already"):
        jobs.start(run)
    with pytest.raises(BusyError):
        run.delete()
    jobs.stop(run)
    wait_for(run, "stopped")


def test_expected_failures_are_sentences_and_can_be_continued(run_with: Make) -> None:
    run = run_with(odd="refuse", at="distil")
    jobs.start(run)
    failed = wait_for(run, "failed")
    assert failed.message == "Too few samples are kept. Keep more of them."
    assert failed.stage == Stage.DISTIL
    event = run.journal.last(Stopped)
    assert event is not None and (event.stage, event.code) == ("distil", "stage")
    run.remember("script", {})
    jobs.start(run)
    wait_for(run, "finished")
    resumed = [event.resumed for event in run.journal.all_of(StageStarted)]
    assert resumed == [False, False, False, True, False, False]


def test_defects_show_an_id_that_is_in_the_log(run_with: Make) -> None:
    run = run_with(odd="defect")
    jobs.start(run)
    failed = wait_for(run, "failed")
    event = run.journal.last(Stopped)
    assert event is not None and event.code == "unexpected" and event.error_id in failed.message
    assert "secret cause" not in failed.message
    log = (run.folder / "worker.log").read_text()
    assert event.error_id in log and "secret cause" in log


def test_want_of_memory_is_a_sentence(run_with: Make) -> None:
    run = run_with(odd="memory")
    jobs.start(run)
    assert "memory" in wait_for(run, "failed").message


def test_a_worker_that_cannot_start_is_a_sentence(run_with: Make, monkeypatch) -> None:
    run = run_with()
    monkeypatch.setattr(supervisor, "WORKER_MODULE", "tests.jobs.no_such_module")
    with pytest.raises(RunError, match=r"worker\.log"):
        jobs.start(run)
    assert jobs.state(run).state == "draft"
    assert "no_such_module" in (run.folder / "worker.log").read_text()


def test_a_run_of_a_newer_version_is_not_started(run_with: Make) -> None:
    run = run_with()
    run.database.read("PRAGMA user_version = 99")
    with pytest.raises(RunError, match="Upgrade"):
        jobs.start(open_run(run.folder))


def test_f6_a_stop_that_was_meant_for_another_job_is_ignored(run_with: Make) -> None:
    run = run_with(gated=1)
    jobs.start(run)
    wait_until(lambda: run.samples.rounds())
    for mode in ("pause", "discard", "keep"):
        stop_request.ask(run.folder, "of another job", mode)
        assert run.stop_mode() == ""
    run.remember("open", True)
    wait_for(run, "finished")
    assert run.journal.last(Stopped) is None


def test_f6_a_request_is_kept_for_its_job_alone(run_with: Make) -> None:
    run = run_with()
    stop_request.ask(run.folder, "one", "pause")
    assert stop_request.ask(run.folder, "two", "discard").job == "two"
    assert stop_request.ask(run.folder, "two", "pause").mode == "discard"  # twice is once
    worker._settle_former_request(run, "two")
    kept = stop_request.read(run.folder)
    assert kept is not None and kept.job == "two", "it came while the worker started"
    worker._settle_former_request(run, "three")
    assert stop_request.read(run.folder) is None


def test_f5_a_damaged_run_is_not_started(run_with: Make) -> None:
    run = run_with()
    run.samples.commit_round(0, [a_sample(f"{n} " * 300) for n in range(300)], a_round(0))
    run.database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    run.database.close()
    with (run.folder / "run.db").open("r+b") as file:
        file.seek(30 * 4096)
        file.write(bytes(30 * 4096))
    with pytest.raises(RunError, match="damaged"):
        jobs.start(open_run(run.folder))
    assert lease.holder(run.folder) is None


def test_f4_a_nearly_full_disk_is_said_before_the_start(run_with: Make, monkeypatch) -> None:
    run = run_with()
    usage = type("Usage", (), {"free": LIMITS.free_disk_bytes - 1})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(RunError, match="Free some space"):
        jobs.start(run)
    usage.free += 1
    jobs.start(run)
    wait_for(run, "finished")


class TestStopping:
    def test_f6_pause_and_continue(self, run_with: Make) -> None:
        run = run_with(gated=1)
        jobs.start(run)
        wait_until(lambda: run.samples.rounds())
        assert jobs.stop(run)
        stopped = wait_for(run, "stopped")
        assert "Continue" in stopped.message and stopped.stage == Stage.SYNTHESIZE
        before = run.samples.all()
        run.remember("script", {})
        jobs.start(run)
        wait_for(run, "finished")
        assert run.samples.all()[: len(before)] == before
        assert len(run.samples.rounds()) == UNITS * len(ORDER)

    def test_f6_stopping_twice_is_stopping_once(self, run_with: Make) -> None:
        run = run_with(gated=0)
        jobs.start(run)
        assert jobs.stop(run)
        jobs.stop(run, "discard")  # the worker may have ended by now: then there is nothing to stop
        wait_for(run, "stopped")
        assert len(run.journal.all_of(Stopped)) == 1

    def test_f6_a_finished_run_stays_finished(self, run_with: Make) -> None:
        run = run_with()
        jobs.start(run)
        wait_for(run, "finished")
        assert not jobs.stop(run)
        assert jobs.state(run).state == "finished"
        assert not (run.folder / "stop.json").exists()

    def test_f6_a_stop_for_an_earlier_job_does_nothing(self, run_with: Make) -> None:
        run = run_with(gated=0)
        jobs.start(run, Stage.SYNTHESIZE)
        earlier = jobs.state(run).job
        run.remember("open", True)
        wait_for(run, "stopped")
        run.remember("open", False)
        stop_request.ask(run.folder, earlier, "pause")  # written by a page that was late
        jobs.start(run, Stage.LABEL)
        assert not jobs.stop(run, job=earlier)
        run.remember("open", True)
        wait_until(lambda: run.stage_done(Stage.LABEL))
        assert run.journal.last(Stopped) is None

    def test_keep_ends_the_stage_and_goes_on(self, run_with: Make) -> None:
        run = run_with(gated=1)
        jobs.start(run)
        wait_until(lambda: run.samples.rounds())
        assert run.stop_mode() == ""
        holder = lease.holder(run.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGSTOP)  # it may not have ended before it is looked at
        jobs.stop(run, "keep")
        assert run.stop_mode() == "keep"
        os.kill(holder.pid, signal.SIGCONT)
        wait_for(run, "finished")
        assert len(run.samples.rounds()) < UNITS * len(ORDER)

    def test_discard_forgets_the_training(self, run_with: Make) -> None:
        run = run_with(gated=9, odd="write checkpoint", at="distil")
        jobs.start(run)
        wait_until(lambda: checkpoints.newest(run.checkpoints))
        jobs.stop(run, "discard")
        wait_for(run, "stopped")
        assert checkpoints.newest(run.checkpoints) is None
        assert run.stages()[Stage.DISTIL].started_at is None and run.stage_done(Stage.LABEL)
        run.change_recipe({"student.rank": 3})

    def test_discard_of_a_killed_worker_is_done_by_the_next(self, run_with: Make) -> None:
        run = run_with(gated=9, odd="write checkpoint", at="distil")
        for stage in ORDER[:2]:
            run.database.read(
                "INSERT INTO stages (stage, started_at, finished_at) VALUES (?, 1, 2)", (stage,)
            )
        jobs.start(run)
        wait_until(lambda: checkpoints.newest(run.checkpoints))
        holder = lease.holder(run.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGSTOP)
        jobs.stop(run, "discard")
        os.kill(holder.pid, signal.SIGKILL)
        assert "ended" in wait_for(run, "stopped").message
        run.remember("script", {})
        jobs.start(run)
        wait_for(run, "finished")
        resumed = [e.resumed for e in run.journal.all_of(StageStarted) if e.stage == "distil"]
        assert resumed == [False, False]

    def test_f6_a_deaf_worker_is_ended(self, run_with: Make, monkeypatch) -> None:
        monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.3)
        run = run_with(pause=1, deaf=True)
        jobs.start(run)
        wait_until(lambda: run.samples.rounds())
        jobs.stop(run)
        stopped = wait_for(run, "stopped")
        assert "signal" in stopped.message
        wait_until(lambda: not my_zombies())

    def test_f6_a_frozen_worker_is_killed_with_its_group(self, run_with: Make, monkeypatch) -> None:
        monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.2)
        monkeypatch.setattr(supervisor, "KILL_SECONDS", 0.2)
        run = run_with(pause=0.2)
        jobs.start(run)
        holder = lease.holder(run.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGSTOP)
        jobs.stop(run)
        assert "did not stop by itself" in wait_for(run, "stopped").message
        run.remember("script", {})
        jobs.start(run)
        wait_for(run, "finished")

    def test_a_signal_from_outside_is_a_clean_stop(self, run_with: Make) -> None:
        run = run_with(pause=30)
        jobs.start(run)
        wait_until(lambda: run.journal.last(StageStarted))
        holder = lease.holder(run.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGTERM)
        assert "signal" in wait_for(run, "stopped").message
        assert lease.holder(run.folder) is None


class TestDeath:
    def test_f8_a_killed_worker_is_interrupted_and_continues(self, run_with: Make) -> None:
        run = run_with(odd="kill", at="distil")
        jobs.start(run)
        gone = wait_for(run, "interrupted")
        wait_until(lambda: "SIGKILL" in jobs.state(run).message)
        assert gone.stage == Stage.DISTIL and "continue" in gone.message.lower()
        rounds = run.samples.rounds()
        run.remember("script", {})
        jobs.start(run)
        wait_for(run, "finished")
        assert run.samples.rounds() > rounds
        wait_until(lambda: not my_zombies())

    def test_f8_a_silent_worker_is_not_responding(self, run_with: Make, monkeypatch) -> None:
        run = run_with(gated=1)
        jobs.start(run)
        wait_until(lambda: run.samples.rounds())
        holder = lease.holder(run.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGSTOP)
        monkeypatch.setattr(lease, "STALE_SECONDS", 0.5)
        silent = wait_for(run, "not responding")
        assert "silent" in silent.message and silent.remaining_seconds is None
        monkeypatch.setattr(lease, "STALE_SECONDS", 30.0)
        os.kill(holder.pid, signal.SIGCONT)
        assert jobs.state(run).state == "running"
        run.remember("open", True)
        wait_for(run, "finished")

    def test_t21_what_a_worker_forked_goes_with_it(self, run_with: Make) -> None:
        for end in ("stop", "kill"):
            run = run_with(odd="fork", gated=0)
            jobs.start(run)
            wait_until(lambda run=run: run.recall("sleeper"))
            holder = lease.holder(run.folder)
            assert holder is not None
            family = psutil.Process(holder.pid).children(recursive=True)
            assert len(family) == 2
            if end == "stop":
                jobs.stop(run)
                wait_for(run, "stopped")
            else:
                os.kill(holder.pid, signal.SIGKILL)
                wait_for(run, "interrupted")
            wait_until(lambda family=family: not any(running(child.pid) for child in family))

    def test_t21_orphans_of_a_worker_nobody_watched_do_not_block_the_run(
        self, run_with: Make
    ) -> None:
        """A forked child kept the lock of its dead parent, so the run could never continue."""
        run = run_with(odd="fork", pause=5)
        _start_elsewhere(run)
        wait_until(lambda: run.recall("sleeper"))
        holder = lease.holder(run.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        assert wait_for(run, "interrupted").message
        assert running(run.recall("sleeper"))
        run.remember("script", {})
        jobs.start(run)
        wait_for(run, "finished")
        assert not running(run.recall("sleeper"))

    def test_f7_the_worker_outlives_who_started_it(self, run_with: Make) -> None:
        run = run_with(gated=0)
        server = _start_elsewhere(run)
        assert not running(server)
        now = wait_for(run, "running")
        with pytest.raises(BusyError):
            jobs.start(run)
        assert jobs.stop(run, job=now.job)
        wait_for(run, "stopped")
        run.remember("open", True)
        jobs.start(run)
        wait_for(run, "finished")


def _start_elsewhere(run: Run) -> int:
    """Start the run in another process that is then killed; returns that process's pid."""
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from workbench import jobs
        from workbench.jobs import downloads, supervisor
        from workbench.runs.folder import open_run
        supervisor.WORKER_MODULE = "tests.jobs.fake_worker"
        downloads.missing = lambda recipe: []
        jobs.start(open_run(Path(sys.argv[1])))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.folder)],
        env=environment.clean_environment(),
    ) as server:
        assert server.wait() == -signal.SIGKILL
        return server.pid


class TestTurns:
    def test_f10_one_at_a_time_in_order_of_arrival(self, run_with: Make) -> None:
        runs = [run_with(gated=0), run_with(), run_with()]
        for run in runs:
            jobs.start(run, Stage.SYNTHESIZE)
        wait_until(lambda: runs[0].journal.cursor() and jobs.state(runs[2]).position == 2)
        states = [jobs.state(run) for run in runs]
        assert [state.state for state in states] == ["running", "queued", "queued"]
        assert [state.position for state in states] == [0, 1, 2]
        assert "2 before" in states[2].phase
        runs[0].remember("open", True)
        for run in runs:
            wait_until(lambda run=run: run.stage_done(Stage.SYNTHESIZE))
        ends = [run.journal.log()[-1].at for run in runs]
        begins = [run.journal.log()[0].at for run in runs]
        assert ends[0] <= begins[1] and ends[1] <= begins[2]

    def test_a_waiting_run_can_be_stopped(self, run_with: Make) -> None:
        first, second = run_with(gated=0), run_with()
        jobs.start(first)
        jobs.start(second)
        assert jobs.state(second).state == "queued"
        jobs.stop(second)
        assert wait_for(second, "stopped").stage == Stage.SYNTHESIZE
        assert second.samples.count() == 0
        assert jobs.state(first).state == "running"

    def test_a_killed_worker_does_not_block_the_queue(self, run_with: Make) -> None:
        first, second = run_with(odd="fork", pause=30), run_with()
        jobs.start(first)
        jobs.start(second)
        wait_until(lambda: first.recall("sleeper"))
        holder = lease.holder(first.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        wait_for(second, "finished")

    def test_f11_a_full_queue_says_so(self, run_with: Make, monkeypatch) -> None:
        monkeypatch.setattr(turns, "WAITING_LIMIT", 1)
        first, second = run_with(gated=0), run_with()
        jobs.start(first)
        wait_until(lambda: turns.waiting(first.folder.parent))
        with pytest.raises(BusyError, match="1 runs are waiting"):
            jobs.start(second)
        assert jobs.state(second).state == "draft"


def test_history_has_the_state_of_each_run(run_with: Make, root: Path) -> None:
    finished, draft = run_with(), run_with()
    draft.rename("draft")
    broken = run_with()
    broken.database.close()
    (broken.folder / "run.db").write_bytes(b"no database" * 500)
    jobs.start(finished)
    wait_for(finished, "finished")
    told = {line.id: state.state for line, state in jobs.history(root)}
    assert told == {finished.id: "finished", draft.id: "draft", broken.id: "failed"}


def test_a_look_is_cheap(run_with: Make) -> None:
    """Fifty pages look every two seconds, on the cores that the worker needs."""
    run = run_with(gated=1)
    jobs.start(run)
    wait_until(lambda: run.samples.rounds())
    before = time.thread_time()
    for _ in range(100):
        jobs.state(run)
    assert (time.thread_time() - before) / 100 < 0.005
