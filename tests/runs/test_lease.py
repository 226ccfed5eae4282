"""One writer at a time, and telling the living from the dead."""

import json
import os
import signal
import subprocess
import sys
import time
import types
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from workbench.activity import counting
from workbench.errors import BusyError
from workbench.runs import lease, stop_request
from workbench.runs.lease import Holder, Lease, holder, identity


def test_a_second_one_is_refused_and_may_come_later(tmp_path: Path) -> None:
    with Lease(tmp_path, "one"):
        with pytest.raises(BusyError, match="Another worker"), Lease(tmp_path, "two"):
            pass
        found = holder(tmp_path)
        assert found is not None and found.job == "one"
    assert holder(tmp_path) is None
    with Lease(tmp_path, "two"):
        pass


def test_what_it_tells_of_itself(tmp_path: Path) -> None:
    with Lease(tmp_path, "job", "label") as held, counting(3, "read") as count:
        count.done = 2
        held.beat("queued")
        found = holder(tmp_path)
        assert found is not None and found.alive()
        assert (found.pid, found.until, found.phase) == (os.getpid(), "label", "queued")
        assert found.memory_bytes > 1_000_000 and found.peak_memory_bytes >= found.memory_bytes
        assert found.silent_seconds() < 5 and found.activity == "2 of 3 texts read"


def test_it_beats_by_itself_and_takes_up_a_phase(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with Lease(tmp_path, "job", watch=lambda: "stopping"):
        first = holder(tmp_path)
        assert first is not None
        deadline = time.monotonic() + 5
        while (now := holder(tmp_path)) is None or now.phase != "stopping":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert now.beat > first.beat
    time.sleep(0.1)
    assert holder(tmp_path) is None, "a beat came after the end"


def test_a_full_disk_does_not_end_the_beating(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.02)
    with Lease(tmp_path, "job"):
        before = holder(tmp_path)
        assert before is not None

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(lease.atomic, "write_json", full)
            time.sleep(0.1)
        deadline = time.monotonic() + 5
        while (now := holder(tmp_path)) is None or now.beat <= before.beat:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_torch_that_is_just_being_imported_does_not_end_the_beating(
    tmp_path: Path, monkeypatch
) -> None:
    """The heart stopped when it looked at a module that another thread was still importing."""
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    with Lease(tmp_path, "job") as held:
        held.beat()
        monkeypatch.setattr(sys.modules["torch"], "cuda", types.ModuleType("cuda"), raising=False)
        held.beat()
        busy = types.SimpleNamespace(is_initialized=lambda: True, memory_reserved=lambda: 7)
        monkeypatch.setattr(sys.modules["torch"], "cuda", busy)
        held.beat()
        found = holder(tmp_path)
        assert found is not None and found.device_memory_bytes == 7


def test_f7_a_pid_that_is_another_process_now_is_not_alive(tmp_path: Path) -> None:
    with Lease(tmp_path, "job"):
        found = holder(tmp_path)
    assert found is not None and found.alive()
    assert not replace(found, started=found.started + "0").alive()
    assert not replace(found, pid=2**22 - 1).alive()


def test_f7_another_process_with_the_pid_is_never_signalled() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        stranger = Holder("job", innocent.pid, "another boot:1", 0.0, leads_group=True)
        lease.end_group(stranger, signal.SIGKILL)
        time.sleep(0.1)
        assert innocent.poll() is None
        assert innocent.stdin is not None
        innocent.stdin.close()


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    deadline = time.monotonic() + 10
    while identity(child.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert child.wait() == 0


def test_identity_survives_a_name_made_to_mislead(tmp_path: Path) -> None:
    """A process may call itself ``x) Z 1 (`` and so forge the fields that follow the name."""
    program = "import time; open('/proc/self/comm','w').write('x) Z 1 (y'); print(1,flush=True)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", program + "time.sleep(60)"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    assert identity(child.pid) is not None
    child.kill()
    child.wait()


def test_f13_the_wall_clock_does_not_age_it(tmp_path: Path, monkeypatch) -> None:
    with Lease(tmp_path, "job"):
        monkeypatch.setattr(time, "time", lambda: 0.0)
        found = holder(tmp_path)
        assert found is not None and found.alive() and found.silent_seconds() < 5


@pytest.mark.parametrize("content", ["", "{", "[]", '{"job": 1}', "null"])
def test_a_torn_file_is_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "lease.json").write_text(content)
    assert holder(tmp_path) is None


def test_fields_of_a_newer_version_are_dropped(tmp_path: Path) -> None:
    values = asdict(Holder("job", 1, "x", 0.0)) | {"from the future": 1}
    (tmp_path / "lease.json").write_text(json.dumps(values))
    found = holder(tmp_path)
    assert found is not None and found.job == "job"


class TestStopRequest:
    def test_asking_again_changes_nothing(self, tmp_path: Path) -> None:
        first = stop_request.ask(tmp_path, "job", "pause")
        assert stop_request.ask(tmp_path, "job", "discard") == first
        assert stop_request.read(tmp_path) == first
        assert stop_request.ask(tmp_path, "next job", "discard").mode == "discard"

    def test_after_keep_the_rest_can_be_stopped(self, tmp_path: Path) -> None:
        stop_request.ask(tmp_path, "job", "keep")
        assert stop_request.ask(tmp_path, "job", "pause").mode == "pause"

    def test_torn_or_missing_is_none(self, tmp_path: Path) -> None:
        assert stop_request.read(tmp_path) is None
        (tmp_path / "stop.json").write_text('{"job"')
        assert stop_request.read(tmp_path) is None
        stop_request.clear(tmp_path)
        stop_request.clear(tmp_path)
