"""What the page does where a GPU is lent in slices; the lender is a function of the test's."""

import time
from dataclasses import replace
from typing import Any

import pytest

from workbench import jobs
from workbench.jobs import downloads, slice_plan, slices, worker
from workbench.runs.folder import Run
from workbench.ui import live_part, page, slices_part, snapshot, transfer_views


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How the next slices end."""
    ends: list[int] = []

    def advance(folder: str, seconds: float) -> dict[str, Any]:
        return {"outcome": ends.pop(0), "unit_seconds": 2.0, "seconds": 50.0}

    monkeypatch.setattr(slices, "_lender", slices._Lender(advance, lambda asked, seconds: {}))
    monkeypatch.setattr(downloads, "missing", lambda recipe: [])
    return ends


def test_the_page_asks_for_one_slice_after_the_other(draft: Run, outcomes: list[int]) -> None:
    outcomes += [worker.SLICE_OVER, worker.FINISHED]
    assert slices_part._mark(snapshot.take(draft.id, fresh=True)) == ""
    jobs.start(draft)
    marks = []
    for _ in range(2):
        now = snapshot.take(draft.id, fresh=True)
        assert now.busy
        marks.append(slices_part._mark(now))
        slices_part.next_slice(marks[-1])
    assert all(marks) and marks[0] != marks[1]
    now = snapshot.take(draft.id, fresh=True)
    assert slices_part._mark(now) == "" and not now.busy


def test_while_the_quota_is_used_up_nothing_is_asked(draft: Run, outcomes: list[int]) -> None:
    jobs.start(draft)
    job = slice_plan.read(draft.folder)
    assert job is not None
    sentence = "You have exceeded your quota."
    waits = replace(job, count=2, message=sentence, again_at=time.time() + 60, used=100.0)
    slice_plan.write(draft.folder, waits)
    now = snapshot.take(draft.id, fresh=True)
    assert slices_part._mark(now) == ""
    assert now.state.message == sentence
    assert slices_part.numbers(now) == "slice 2, 1:40 of your quota used"
    assert slices_part.closing(now, live_part._MAY_CLOSE) == slices_part.KEEP_OPEN


def test_the_plan_counts_slices(draft: Run, outcomes: list[int]) -> None:
    plan = transfer_views.plan(snapshot.take(draft.id, fresh=True))
    assert "of 60 seconds of a lent GPU" in plan
    assert "2 minutes without a login to Hugging Face, 3½ with a free account" in plan


def test_elsewhere_nothing_is_said_or_wired(draft: Run) -> None:
    now = snapshot.take(draft.id, fresh=True)
    assert slices_part.plan(now) == "" and slices_part.numbers(now) == ""
    assert slices_part.closing(now, live_part._MAY_CLOSE) == live_part._MAY_CLOSE


def test_the_box_is_on_a_page_of_a_lending_server(outcomes: list[int]) -> None:
    built = page.build_page()
    assert any(getattr(block, "elem_id", "") == "slice-due" for block in built.blocks.values())
