"""One damaged run never hides the others, and says what is wrong and what can still be taken."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.corruptions import CORRUPTIONS
from tests.ui import fake_run
from workbench import jobs
from workbench.__main__ import main
from workbench.errors import WorkbenchError
from workbench.events import CheckpointWritten
from workbench.jobs import supervisor
from workbench.runs import checkpoints, damage
from workbench.runs.database import _close_idle
from workbench.runs.folder import Run, find_run
from workbench.runs.lease import Holder
from workbench.runs.listing import list_runs
from workbench.runs.stop_request import StopRequest
from workbench.ui import page as page_module
from workbench.ui import runs_tab, snapshot
from workbench.ui.sections import Parts, Section

pytestmark = pytest.mark.faults
SOUND, HURT = "sound", "hurt"
COMMANDS = (["runs"], ["runs", "--json"], ["runs", "--check", HURT], ["runs", "--check", SOUND])


@pytest.fixture(scope="module")
def sections() -> list[Section]:
    """Everything that the page draws of a run."""
    made: list[Parts] = []
    original = page_module.Parts
    page_module.Parts = lambda *given, **named: made.append(original(*given, **named)) or made[-1]
    try:
        page_module.build_page()
    finally:
        page_module.Parts = original
    return made[0].sections


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with every file that a run can have."""
    root = tmp_path_factory.mktemp("whole")
    run = fake_run.finished(root)
    for step in (1, 2):
        checkpoints.write(run.checkpoints, step, {"a": np.zeros(4000, np.float32)}, {"n": step})
        run.journal.append(CheckpointWritten(step, f"step-{step:06d}"))
    dead = Holder("job", os.getpid(), "another process", 1.0, until="export")
    (run.folder / "lease.json").write_text(json.dumps(asdict(dead)))
    (run.folder / "stop.json").write_text(json.dumps(asdict(StopRequest("job", "pause", 1.0))))
    (run.folder / "exit.json").write_text(json.dumps({"job": "job", "code": -9}))
    (run.folder / "worker.log").write_text("a line\n")
    run.database.close()
    return run.folder


@pytest.fixture
def root(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A root with a sound run and one to be hurt; no worker is started."""
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(supervisor, "_start_worker", lambda run, until: None)
    for name in (SOUND, HURT):
        shutil.copytree(whole, tmp_path / "runs" / name)
    yield tmp_path / "runs"
    _close_idle()
    for name in (SOUND, HURT):
        snapshot.forget(name)
    for path in (tmp_path / "runs" / HURT, *(tmp_path / "runs" / HURT).glob("*/")):
        with suppress(OSError):
            path.chmod(0o700)


def _open_page(sections: list[Section], id: str) -> str:
    """Everything that a page shows of a run; returns what it says where it shows nothing."""
    now = snapshot.look(id, fresh=True)
    told = "" if now.run else now.state.message
    for section in sections:
        try:
            section.token(now)
            section.draw(now)
        except WorkbenchError as error:  # the page shows it and leaves the section as it was
            told = told or error.message
    snapshot.forget(id)
    return told


def _handlers(id: str) -> Iterator[Callable[[], Any]]:
    """What a person may press on the list; a sentence is an answer, anything else is not."""
    yield lambda: runs_tab._list("", "")
    yield lambda: runs_tab._open(id)
    yield lambda: runs_tab._compare(SOUND, id)
    yield lambda: runs_tab._rename(id, "another name")
    yield lambda: jobs.start(find_run(Path(os.environ["WORKBENCH_RUNS"]), id))


def test_the_whole_run_is_sound(root: Path, sections: list[Section]) -> None:
    assert list(damage.problems(root / HURT)) == []
    assert [line.problem for line in list_runs(root)] == ["", ""]
    assert _open_page(sections, HURT) == ""


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_damaged_run(
    name: str,
    root: Path,
    sections: list[Section],
    count: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    corruption = CORRUPTIONS[name]
    corruption.apply(root / HURT)
    lines = {line.id: line for line in list_runs(root)}
    assert set(lines) == {SOUND, HURT}
    assert lines[SOUND].problem == "" and lines[SOUND].phase == "Finished"
    states = {line.id: state for line, state in jobs.history(root)}
    assert set(states) == {SOUND, HURT}
    found = list(damage.problems(root / HURT))
    assert not corruption.told or found, "the check finds nothing"
    assert all(problem.what for problem in found)
    if lines[HURT].glance is None:
        assert "can" in lines[HURT].problem and found
    if corruption.spares_adapter:
        adapter = damage.left_in(root / HURT).adapter
        assert adapter is not None and adapter.is_file()
    message = _open_page(sections, HURT)
    assert message == "" or found, "it does not open and the check finds nothing"
    for press in _handlers(HURT):
        with suppress(WorkbenchError):
            press()
    for command in COMMANDS:
        assert main([command[0], "--runs", str(root), *command[1:]]) in (0, 1)
    assert "Traceback" not in "".join(capsys.readouterr())
    count("corruptions")


def test_what_can_be_taken_is_written(root: Path, tmp_path: Path) -> None:
    (root / HURT / "result.json").write_text("{")
    target = tmp_path / "taken"
    command = ["runs", "--runs", str(root), "--check", HURT, "--take", str(target)]
    assert main(command) == 1
    run = find_run(root, SOUND)
    assert isinstance(run, Run)
    names = sorted(path.name for path in target.iterdir())
    (adapter,) = run.exports.glob("*.zip")
    assert names == sorted([adapter.name, "recipe.json", "samples.jsonl"])
    assert len((target / "samples.jsonl").read_text().splitlines()) == len(run.samples.kept())
