"""T20: a secret of the server's environment does not reach a worker, its log or its events."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.conftest import wait_for, wait_until
from workbench import jobs
from workbench.jobs import environment
from workbench.runs import lease

CANARY = "hf_canary_0123456789"
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_SPACE_SECRET")


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("WORKBENCH_CACHE", "/somewhere/cache")


def test_t20_a_canary_stays_out(run_with) -> None:
    run = run_with(odd="defect", at="label", gated=0)
    jobs.start(run)
    holder = lease.holder(run.folder)
    assert holder is not None
    seen = Path(f"/proc/{holder.pid}/environ").read_bytes()
    assert CANARY.encode() not in seen
    assert b"HF_HUB_OFFLINE=1" in seen and b"WORKBENCH_CACHE=/somewhere/cache" in seen
    run.remember("open", True)
    wait_for(run, "failed")
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_t20_what_a_worker_sees(run_with) -> None:
    run = run_with(odd="look around")
    jobs.start(run)
    wait_until(lambda: run.recall("seen"))
    seen = run.recall("seen")
    assert not set(SECRETS) & set(seen["environment"])
    assert set(seen["environment"]) <= {
        "WORKBENCH_HUB_AS",
        *environment.clean_environment(), "LC_CTYPE", "PWD", "OLDPWD", "SHLVL", "_",
    }  # fmt: skip
    assert seen["environment"]["HF_TOKEN_PATH"] == os.devnull
    assert seen["umask"] == 0o077
    assert str(run.folder) not in seen["path"] and "" not in seen["path"]
    wait_for(run, "finished")


def test_t20_a_fork_of_the_server_forgets_its_secrets() -> None:
    """As a slice of a lent GPU is."""
    code = (
        "import os; from workbench.jobs import environment; environment.clean_this_process(); "
        "print(dict(os.environ))"
    )
    given = {**os.environ, "PYTHONPATH": environment.python_path()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True
    )
    assert CANARY not in done.stdout and "HF_TOKEN_PATH" in done.stdout


def test_t21_files_of_a_worker_are_private(run_with) -> None:
    run = run_with(odd="write checkpoint")
    jobs.start(run)
    wait_for(run, "finished")
    for path in [run.folder, *run.folder.rglob("*")]:
        assert path.lstat().st_mode & 0o077 == 0, path
