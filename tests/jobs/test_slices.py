"""Jobs and questions in slices of a GPU: the same result, whatever ends a slice."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.jobs.spaces_stand_in import Spaces, a_space, error, without_emulation
from tests.reliability.dying import in_child, strikes_at
from tests.test_pipeline import BALANCED, ROWS, SEEDS, SMALL, assert_same_outcome
from workbench import jobs
from workbench import recipe as recipes
from workbench.errors import BusyError, WorkbenchError
from workbench.events import Stopped
from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.jobs import slice_plan, slices
from workbench.jobs.slice_plan import Deadline
from workbench.pipeline import advance
from workbench.runs import stop_request
from workbench.runs.folder import Run, create, open_run
from workbench.stages import Stage

MakeRun = Callable[[str], Run]


@pytest.fixture(scope="module")
def make_run(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_source: Path,
    tiny_target: Path,
    tiny_adapter: Path,
) -> MakeRun:
    """Equal runs of tiny models under names of their own."""
    root = tmp_path_factory.mktemp("slices")
    wanted = {
        **SMALL,
        "source_base": f"folder:{tiny_source}",
        "target_base": f"folder:{tiny_target}",
        "training.epochs": 3,
    }
    recipe, adapter = recipes.override(BALANCED, wanted), read_adapter(tiny_adapter, root)
    inputs = Inputs(adapter, seeds=tuple(SEEDS), evaluation=tuple(ROWS[:20]))
    return lambda name: create(root / "runs", recipe, id=name, inputs=inputs)


@pytest.fixture(scope="module")
def smooth(make_run: MakeRun) -> Run:
    """The run without slices, in a child as well, so that every process begins alike."""
    run = make_run("smooth")

    def work() -> None:
        without_emulation()
        torch.set_num_threads(1)
        for _ in advance(open_run(run.folder)):
            pass

    assert in_child(work) == 0
    return run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spaces]:
    """A Space with short slices; this process works in slices for as long as the test takes."""
    monkeypatch.setattr(slice_plan, "LEAST_SECONDS", 1.0)
    monkeypatch.setattr(slices, "LEAST_SECONDS", 1.0)
    monkeypatch.setattr(slices, "_lender", None)
    # On a busy machine the short slices of a test get nothing done; they become longer.
    monkeypatch.setattr(slices, "IDLE_SLICES", 12)
    with a_space() as space:
        slices.use(space.GPU)
        yield space


def begun(run: Run, seconds: float = 60.0, until: Stage = Stage.EXPORT) -> Run:
    """A job that has not had a slice."""
    jobs.start(run, until)
    job = slice_plan.read(run.folder)
    assert job is not None
    slice_plan.write(run.folder, replace(job, seconds=seconds))
    return run


def work_off(run: Run, slices_at_most: int = 200) -> int:
    """As the page does: one slice after the other; returns how many it took."""
    for number in range(slices_at_most):
        if slices.waiting(run.folder) is None:
            return number
        slices.next_slice(run)
    raise AssertionError(f"still {jobs.state(run)}")


def test_slices_end_with_the_run_that_was_not_sliced(
    make_run: MakeRun, smooth: Run, space: Spaces
) -> None:
    run = begun(make_run("sliced"), seconds=1.0)
    assert jobs.state(run).state == "queued"
    assert "slice 1" in jobs.state(run).phase
    count = work_off(run)
    assert count >= 3, "it was no test of slices"
    assert jobs.state(run).state == "finished"
    assert not (run.folder / slice_plan.FILE).exists()
    assert os.getpid() not in space.pids
    assert_same_outcome(run, smooth)


def test_kills_in_slices_lose_nothing(make_run: MakeRun, smooth: Run, space: Spaces) -> None:
    run = begun(make_run("killed"), seconds=10.0)
    kill_again_and_again(run, space, random.Random(0), most=8)
    assert space.kills == 8
    assert_same_outcome(run, smooth)


def kill_again_and_again(run: Run, space: Spaces, chance: random.Random, most: int) -> None:
    """Work a run off; the first ``most`` slices are killed at one of their next durable calls."""

    def strike() -> None:
        if space.kills < most:
            moment = chance.randint(1, 14) + space.kills // 10
            strikes_at(moment, lambda: os.kill(os.getpid(), signal.SIGKILL))

    space.in_child = strike
    while slices.waiting(run.folder) is not None:
        chance.random()  # the children's copies draw the same otherwise
        job = slice_plan.read(run.folder)
        assert job is not None
        # Struck early a slice gets nothing done, which would be given up after three.
        slice_plan.write(run.folder, replace(job, idle=0))
        space.end()
        slices.next_slice(run)
        run.database.check()
    assert jobs.state(run).state == "finished"


def test_a_slice_is_cut_off_at_its_end(
    make_run: MakeRun, space: Spaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that takes longer than the slice: longer ones are asked for, then it is given up."""
    monkeypatch.setattr(slices, "IDLE_SLICES", 3)
    run = begun(make_run("slow"), seconds=1.0)
    space.in_child = lambda: time.sleep(60)
    space.most = 2.0
    slices.next_slice(run)
    job = slice_plan.read(run.folder)
    assert job is not None and job.idle == 1 and job.seconds == 2.0
    assert job.used == 1.0, "what was asked for is taken, whatever came of it"
    slices.next_slice(run)
    slices.next_slice(run)
    assert space.kills == 3
    state = jobs.state(run)
    assert state.state == "failed"
    assert "3 slices in a row" in state.message
    space.in_child, space.most = lambda: None, 60.0
    work_off(begun(run))  # continue goes on
    assert jobs.state(run).state == "finished"


def test_the_quota_is_used_up_and_the_run_waits(
    make_run: MakeRun, smooth: Run, space: Spaces
) -> None:
    run = begun(make_run("quota"), seconds=60.0)
    space.left = 8.0
    slices.next_slice(run)
    assert space.asked[0] == 8.0, "no more is asked for than the visitor has"
    space.left = 0.0
    work_off_until_refused(run)
    state = jobs.state(run)
    if state.state != "finished":
        assert state.state == "queued"
        assert "quota" in state.message and "Try again in 5:03:00" in state.message
        job = slice_plan.read(run.folder)
        assert job is not None and 5 * 3600 < job.again_at - time.time() < 5.1 * 3600
        before = len(space.asked)
        slices.next_slice(run)
        assert len(space.asked) == before, "it is asked again only when it makes sense"
        slice_plan.write(run.folder, replace(job, again_at=0.0))
        space.left = 600.0
        work_off(run)
    assert_same_outcome(run, smooth)


def test_what_is_left_of_a_quota_is_no_measure(make_run: MakeRun, space: Spaces) -> None:
    """A run asked for slices of 8 seconds ever after, and gave up when three got nothing done."""
    run = begun(make_run("rest"), seconds=60.0)
    space.in_child = lambda: os.kill(os.getpid(), signal.SIGKILL)
    for _ in range(slices.IDLE_SLICES + 1):
        space.left = 8.0
        slices.next_slice(run)
    job = slice_plan.read(run.folder)
    assert job is not None and (job.seconds, job.idle) == (60.0, 0)
    assert set(space.asked) == {8.0} and job.used == 8.0 * len(space.asked)


def work_off_until_refused(run: Run) -> None:
    for _ in range(20):
        job = slices.waiting(run.folder)
        if job is None or job.again_at:
            return
        slices.next_slice(run)


def test_refusals_are_told_and_tried_again(make_run: MakeRun, space: Spaces) -> None:
    run = begun(make_run("refused"))
    space.refusals = [
        error("ZeroGPU queue timeout", "No GPU was available after 60s"),
        RuntimeError("Connection closed by visitor while queueing"),
    ]
    for words in ("No GPU was available", "Connection closed"):
        slices.next_slice(run)
        state = jobs.state(run)
        assert state.state == "queued" and words in state.message
        job = slice_plan.read(run.folder)
        assert job is not None and job.count == 0
        slice_plan.write(run.folder, replace(job, again_at=0.0))


def test_too_long_a_slice_is_halved(make_run: MakeRun, space: Spaces) -> None:
    space.most = 20.0
    work_off(begun(make_run("long"), seconds=60.0))
    assert space.asked[0] == 15.0


def test_stop_between_slices_and_go_on(make_run: MakeRun, smooth: Run, space: Spaces) -> None:
    run = begun(make_run("stopped-8"), seconds=1.0)
    slices.next_slice(run)
    with pytest.raises(BusyError, match="worked on already"):
        jobs.start(run)
    assert jobs.stop(run, "pause")
    assert jobs.state(run).state == "stopped"
    assert not jobs.stop(run, "pause")
    slices.next_slice(run)  # a page that is late
    assert jobs.state(run).state == "stopped"
    work_off(begun(run))
    assert_same_outcome(run, smooth)


def test_stop_in_a_slice(make_run: MakeRun, space: Spaces) -> None:
    run = begun(make_run("stopped-9"))
    job = jobs.state(run).job

    def ask() -> None:
        stop_request.ask(run.folder, job, "pause")

    space.in_child = ask
    slices.next_slice(run)
    state = jobs.state(run)
    assert state.state == "stopped"
    stopped = run.journal.last(Stopped)
    assert stopped is not None and "Continue" in stopped.message
    assert slices.waiting(run.folder) is None


def test_a_stop_that_a_killed_slice_did_not_obey(make_run: MakeRun, space: Spaces) -> None:
    run = begun(make_run("stopped-10"))
    job = jobs.state(run).job

    def ask_and_die() -> None:
        stop_request.ask(run.folder, job, "pause")
        os.kill(os.getpid(), signal.SIGKILL)

    space.in_child = ask_and_die
    slices.next_slice(run)
    assert jobs.state(run).state == "stopped"


def test_one_slice_of_a_run_at_a_time(make_run: MakeRun, space: Spaces) -> None:
    run = begun(make_run("two-pages"))
    pages = [threading.Thread(target=slices.next_slice, args=(run,)) for _ in range(3)]
    for page in pages:
        page.start()
    for page in pages:
        page.join()
    assert len(space.asked) == 1


def test_questions_are_answered_in_slices(make_run: MakeRun, space: Spaces) -> None:
    run = make_run("asked")
    made = jobs.consult(run.folder, "preview", {"count": 3})
    assert len(made["samples"]) <= 3 and made["writer"]  # random weights may write nothing new
    with pytest.raises(WorkbenchError, match="no question"):
        jobs.consult(run.folder, "what is the time")
    assert os.getpid() not in space.pids
    space.left = 2.0
    space.refusals = [error("ZeroGPU quota exceeded", "Space app has reached its GPU limit. ")]
    with pytest.raises(BusyError, match="GPU limit"):
        jobs.consult(run.folder, "preview", {"count": 3})


def test_nothing_secret_is_in_a_slice(
    make_run: MakeRun, space: Spaces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = tmp_path / "environment"
    monkeypatch.setattr(slices.worker, "advance", _environment_to(seen))
    run = begun(make_run("secret"))
    slices.next_slice(run)
    assert "hf_secret" not in seen.read_text()
    assert "HF_HUB_OFFLINE" in seen.read_text()
    assert os.environ["HF_TOKEN"] == "hf_secret"


def _environment_to(path: Path) -> Any:
    def advance(folder: str, seconds: float) -> dict[str, Any]:
        path.write_text(str(dict(os.environ)))
        return {"outcome": 0, "unit_seconds": 0.0, "seconds": 0.0}

    return advance


def test_transactions_of_other_threads_do_not_cross_the_fork(
    make_run: MakeRun, smooth: Run, space: Spaces
) -> None:
    """The page reads and writes while slices are forked off; nothing of it is lost or blocked."""
    run, over = begun(make_run("busy-page"), seconds=1.0), threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        count = 0
        while not over.is_set():
            try:
                jobs.state(run)
                run.remember("looked", count)
                count += 1
            except BaseException as failure:
                failures.append(failure)
                return

    pages = [threading.Thread(target=look) for _ in range(3)]
    for page in pages:
        page.start()
    work_off(run)
    over.set()
    for page in pages:
        page.join()
    assert not failures
    run.database.check()
    assert_same_outcome(run, smooth)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_deadline_leaves_room_for_one_more_unit() -> None:
    clock = Clock()
    deadline = Deadline(60.0, clock=clock)
    for moment, near in ((20.0, False), (25.0, False), (30.0, False), (48.0, True)):
        clock.now = moment  # loading takes 20 seconds, units 5, then one of 18
        assert deadline.near() is near
    assert deadline.unit_seconds == 18.0


def test_a_deadline_knows_units_of_former_slices() -> None:
    clock = Clock()
    deadline = Deadline(60.0, 25.0, clock)
    clock.now = 15.0
    assert not deadline.near()
    clock.now = 20.0
    assert deadline.near()


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Try again in 0:10:05. ", 605.0),
        ("Try again in 1 day, 2:00:00. ", 26 * 3600.0),
        ("No GPU was available", None),
    ],
)
def test_what_a_refusal_says(text: str, wait: float | None) -> None:
    assert slice_plan.seconds_to_wait(text) == wait
    assert slice_plan.seconds_left("(60s requested vs. 12s left)") == 12.0
    assert slice_plan.seconds_left(text) is None
