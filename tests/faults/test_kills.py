"""``kill -9`` and full disks at commit points of a whole transfer of tiny models: nothing is lost.

A run is worked off by one process after the other; each dies, or finds the disk full, at a random
one of its next durable calls. After each the run is whole and listed, and in the end it is the
run that nobody disturbed, to the last bit of the adapter.
"""

import errno
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.numpy import load_file

from tests.reliability.dying import KILLED, in_child, strikes_at
from tests.test_pipeline import BALANCED, ROWS, SEEDS, SMALL
from workbench import recipe as recipes
from workbench.errors import WorkbenchError
from workbench.events import RoundFinished
from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.intake.kit import write_kit
from workbench.jobs import environment
from workbench.pipeline import advance
from workbench.runs import checkpoints
from workbench.runs.folder import Run, create, open_run
from workbench.runs.listing import list_runs
from workbench.stages import Stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
KILLS, FULL_DISKS, PROCESS_KILLS = 300, 60, 30
FULL = 75


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_source: Path,
    tiny_target: Path,
    tiny_adapter: Path,
) -> Callable[[str], Run]:
    """Equal runs of tiny models under names of their own."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("kills")
    wanted = {
        **SMALL,
        "source_base": f"folder:{tiny_source}",
        "target_base": f"folder:{tiny_target}",
        "training.epochs": 2,
    }
    recipe = recipes.override(BALANCED, wanted)
    adapter = read_adapter(tiny_adapter, root)
    inputs = Inputs(adapter, seeds=tuple(SEEDS), evaluation=tuple(ROWS[:20]))
    return lambda name: create(root / "runs", recipe, id=name, inputs=inputs)


@pytest.fixture(scope="module")
def smooth(make: Callable[[str], Run]) -> Run:
    """The run that nobody disturbs; worked off in a child, so that every process begins alike."""
    run = make("smooth")
    assert in_child(lambda: _work(run.folder)) == 0
    return run


def _work(folder: Path) -> None:
    for _ in advance(open_run(folder)):
        pass


def _outcome(run: Run) -> dict[str, object]:
    """All that a transfer makes, without times."""
    (weights,) = run.exports.glob("adapter/*.safetensors")
    result = run.result()
    assert result is not None
    return {
        "samples": [(s.input, s.status, s.teacher_output) for s in run.samples.all()],
        "arms": result["arms"],
        "answers": {arm: run.answers.get(arm) for arm in result["arms"]},
        "tensors": load_file(weights),
    }


def _require_same(one: Run, other: Run) -> None:
    first, second = _outcome(one), _outcome(other)
    tensors, others = first.pop("tensors"), second.pop("tensors")
    assert first == second
    assert isinstance(tensors, dict) and isinstance(others, dict)
    assert tensors.keys() == others.keys()
    assert all(numpy.array_equal(tensors[name], others[name]) for name in tensors)


def _require_whole(folder: Path) -> None:
    run = open_run(folder)
    run.database.check()
    assert run.inputs.adapter and run.inputs.adapter.verified()
    assert len(run.inputs.evaluation) == 20 and len(run.inputs.seeds) == len(SEEDS)
    assert {line.id: line.problem for line in list_runs(folder.parent)}[run.id] == ""
    events = [event.round for event in run.journal.all_of(RoundFinished)]
    assert sorted(set(events)) == sorted(events), "a round was committed twice"
    if run.checkpoints.is_dir():
        checkpoints.newest(run.checkpoints)
        assert not list(run.checkpoints.glob("bad-*")), "a complete name, damaged content"
    run.database.close()


def _disturb(
    folder: Path, chance: random.Random, child: Callable[[int], object], end: int, most: int
) -> int:
    """One process after the other until one comes to the end; returns how many did not.

    Args:
        most: so many are disturbed; the next one is left alone.
    """
    times = 0
    while True:
        moment = chance.randint(1, 14) + times // 10  # a step may need many to be done at all
        if times == most:
            moment = sys.maxsize
        code = in_child(lambda at=moment: child(at))
        assert code in (0, end), "it failed otherwise than it was made to"
        _require_whole(folder)
        if code == 0:
            return times
        times += 1


def test_runs_that_are_killed_again_and_again(
    make: Callable[[str], Run], smooth: Run, count: Callable[..., None]
) -> None:
    chance, kills = random.Random(0), 0
    for number in itertools.count():
        if kills >= KILLS:
            break
        run = make(f"killed-{number}")

        def child(moment: int, run: Run = run) -> None:
            strikes_at(moment, _die)
            _work(run.folder)

        kills += _disturb(run.folder, chance, child, KILLED, KILLS - kills)
        _require_same(run, smooth)
    count("kills of children", kills)


def _die() -> None:
    os._exit(KILLED)


def test_runs_whose_disk_is_full_again_and_again(
    make: Callable[[str], Run], smooth: Run, count: Callable[..., None]
) -> None:
    chance, times = random.Random(1), 0
    for number in itertools.count():  # some do without what could not be written
        if times >= FULL_DISKS:
            break
        run = make(f"full-{number}")

        def child(moment: int, run: Run = run) -> None:
            _with_full_disk(run.folder, moment)

        times += _disturb(run.folder, chance, child, FULL, FULL_DISKS - times)
        _require_same(run, smooth)
    count("full disks", times)


def _with_full_disk(folder: Path, moment: int) -> None:
    strikes_at(moment, _no_space)
    try:
        _work(folder)
    except WorkbenchError:
        os._exit(FULL)
    except BaseException:
        traceback.print_exc()
        raise


def _no_space() -> None:
    """As the system and SQLite say it, by who asks."""
    asked_by = sys._getframe(2).f_code.co_name
    if asked_by == "execute":
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorname = "SQLITE_FULL"
        raise full
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_workers_that_are_killed_again_and_again(
    make: Callable[[str], Run], smooth: Run, count: Callable[..., None]
) -> None:
    """Real worker processes, killed after a random number of events."""
    chance, kills = random.Random(7), 0
    for number in range(20):
        if kills >= PROCESS_KILLS:
            break
        run = make(f"process-{number}")
        while not run.stage_done(Stage.EXPORT):
            process = subprocess.Popen(
                environment.command("workbench.jobs.worker", str(run.folder)),
                cwd=run.folder,
                env=environment.clean_environment(),
                start_new_session=True,
            )
            wanted = run.journal.cursor() + chance.randint(1, 12)
            if kills == PROCESS_KILLS:
                wanted = sys.maxsize
            while process.poll() is None and run.journal.cursor() < wanted:
                time.sleep(0.005)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
            process.wait()
            _require_whole(run.folder)
        _require_same(run, smooth)
    assert kills >= PROCESS_KILLS
    count("kills of processes", kills)


def test_a_kit_is_the_old_or_the_new_one(
    make: Callable[[str], Run], tmp_path: Path, count: Callable[..., None]
) -> None:
    """The last step of prepare: the zip that is there is whole, whenever the writer dies."""
    run, kit = make("kit"), tmp_path / "kit.zip"
    write_kit(kit, run.inputs, run.recipe)
    old = kit.read_bytes()

    def write(moment: int) -> None:
        strikes_at(moment, _die)
        write_kit(kit, run.inputs, run.recipe, attribution="new")

    for moment in range(1, 100):
        code = in_child(lambda at=moment: write(at))
        assert code in (0, KILLED)
        if code == 0:
            break
        assert kit.read_bytes() == old
        count("kills of children", 1)
    assert kit.read_bytes() != old
