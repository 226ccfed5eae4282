"""Folders of servers in the system's temporary folder."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from workbench.ui import workspace

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
from workbench.ui import workspace
print(workspace.export_file("samples.csv").parent.parent, flush=True)
input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder that this test has to itself."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_killed_servers_left_is_cleared_and_nothing_else(temporary: Path) -> None:
    """A folder with every exported file stayed behind for each server that was killed."""
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    places = []
    for server in servers:
        assert server.stdout is not None
        places.append(Path(server.stdout.readline().strip()))
    killed, living = places
    (temporary / "workbench-outlet-new").mkdir()  # not locked yet
    (temporary / "elsewhere").mkdir()
    (temporary / "workbench-outlet-link").symlink_to(temporary / "elsewhere")
    os.kill(servers[0].pid, signal.SIGKILL)
    servers[0].wait()
    workspace.clear_dead_outlets()
    assert killed.parent == temporary and not killed.exists()
    assert {path.name for path in temporary.iterdir()} == {
        living.name, "workbench-outlet-new", "workbench-outlet-link", "elsewhere",
    }  # fmt: skip
    assert [path.name for path in living.iterdir() if path.is_dir()]
    servers[1].communicate("\n")
    assert not living.exists()
