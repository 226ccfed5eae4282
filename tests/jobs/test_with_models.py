"""The worker and the questions with the real pipeline on tiny models."""

from pathlib import Path

import pytest

from tests.jobs.conftest import wait_for, wait_until
from tests.test_pipeline import BALANCED, ROWS, SEEDS, SMALL
from workbench import jobs, recipe
from workbench.events import Metric, StageStarted
from workbench.intake.adapter import read_adapter
from workbench.jobs import questions, supervisor
from workbench.runs.folder import Run, create
from workbench.stages import ORDER, Stage

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture
def run(
    root: Path, tiny_source: Path, tiny_target: Path, tiny_adapter: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:  # fmt: skip
    monkeypatch.setattr(supervisor, "WORKER_MODULE", "workbench.jobs.worker")
    monkeypatch.setattr(questions, "CONSULT_MODULE", "workbench.jobs.consult_worker")
    bases = {"source_base": f"folder:{tiny_source}", "target_base": f"folder:{tiny_target}"}
    made = create(root, recipe.override(BALANCED, SMALL | bases))
    made.put_adapter(read_adapter(tiny_adapter, tmp_path))
    made.put_examples("seeds", SEEDS)
    made.put_examples("evaluation", ROWS)
    return made


def test_from_draft_to_result_with_a_stop_on_the_way(run: Run) -> None:
    jobs.start(run)
    wait_until(lambda: run.journal.last(Metric), seconds=180)
    jobs.stop(run)
    wait_for(run, "stopped", "finished")
    if jobs.state(run).state == "stopped":
        jobs.start(run)
    wait_for(run, "finished", seconds=180)
    result = run.result()
    assert result is not None and result["arms"]["transferred"]["n"] == len(ROWS)
    begun = [event.stage for event in run.journal.all_of(StageStarted) if not event.resumed]
    assert begun == list(ORDER)
    assert (run.folder / "worker.log").exists()


def test_a_preview_and_a_refusal(run: Run) -> None:
    samples = jobs.consult(run.folder, "preview", {"count": 3}, timeout_seconds=180)["samples"]
    # Random models may write nothing usable.
    assert len(samples) <= 3 and run.samples.count() == 0
    run.put_adapter(None)
    jobs.start(run)
    failed = wait_for(run, "failed")
    assert "adapter" in failed.message and failed.stage == Stage.SYNTHESIZE
