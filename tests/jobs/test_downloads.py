"""Weights that are not there are fetched first, with a clean worker afterwards."""

from pathlib import Path

import pytest

from tests.jobs.conftest import wait_for, wait_until
from tests.test_pipeline import MakeRun, make_run  # noqa: F401  a fixture
from workbench import jobs
from workbench.errors import ModelError
from workbench.events import StageStarted
from workbench.jobs import downloads
from workbench.recipe import TransferRecipe, override
from workbench.runs import lease
from workbench.runs.folder import create
from workbench.stages import Stage

PACKAGE = "package:smollm2-135m-instruct"


def test_only_what_is_missing_is_named(
    tmp_path: Path, tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    recipe = override(TransferRecipe(), {"target_base": f"folder:{tiny_target}"})
    assert downloads.missing(recipe) == [PACKAGE]


def test_a_download_that_fails_is_a_sentence_in_the_run_and_in_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No index is reachable: pip fails, the run says so and can be started again."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    run = create(tmp_path / "runs", TransferRecipe(), id="offline")
    jobs.start(run, Stage.LABEL)
    failed = wait_for(run, "failed")
    assert "smollm2" in failed.message
    with pytest.raises(ModelError, match="smollm2"):
        jobs.consult(run.folder, "inspect")


def test_after_the_download_the_worker_has_a_clean_environment(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary_0123456789")
    run = make_run(synthesis__samples=40)
    # As if something were missing: the fetching process finds it there and becomes the worker.
    monkeypatch.setattr(downloads, "missing", lambda recipe: [PACKAGE])
    jobs.start(run, Stage.SYNTHESIZE)
    wait_for(run, "running")
    wait_until(lambda: run.journal.last(StageStarted))
    holder = lease.holder(run.folder)
    assert holder is not None
    seen = Path(f"/proc/{holder.pid}/environ").read_bytes()
    assert b"hf_canary" not in seen
    assert b"HF_HUB_OFFLINE=1" in seen
    jobs.stop(run)
    wait_for(run, "stopped", "finished")
