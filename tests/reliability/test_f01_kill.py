"""F1: ``kill -9`` at any moment leaves a consistent run, and at most one unit of work is lost."""

import errno
import hashlib
import os
import random
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.export.test_bundle import write as write_bundle_in
from tests.jobs.conftest import wait_for, wait_until
from tests.jobs.fake_worker import UNITS
from tests.reliability.dying import dies_at_each_step, in_child
from tests.runs.making import a_round, a_run, a_sample
from workbench import jobs
from workbench.errors import RunError
from workbench.events import RoundFinished, StageStarted
from workbench.export.bundle import find_bundle
from workbench.inputs import AdapterFiles, Inputs
from workbench.recipe import LoraSettings, TransferRecipe
from workbench.runs import atomic, checkpoints, lease
from workbench.runs.damage import find_adapter
from workbench.runs.folder import Run, create, open_run
from workbench.runs.listing import list_runs
from workbench.samples import Example
from workbench.stages import ORDER, Stage

KILLS = 25


def test_a_file_is_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    atomic.write_json(path, {"version": 0})

    def check(moment: int) -> None:
        assert atomic.read_json(path) in ({"version": 0}, {"version": 1})

    assert dies_at_each_step(lambda: atomic.write_json(path, {"version": 1}), check) >= 3
    assert atomic.read_json(path) == {"version": 1}
    atomic.sweep(tmp_path, older_than_seconds=-1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_is_created_whole_or_not_at_all(tmp_path: Path) -> None:
    """Inputs and facts included: a run without its evaluation rows would finish without them."""
    weights = tmp_path / "adapter.safetensors"
    weights.write_bytes(b"weights")
    adapter = AdapterFiles(
        LoraSettings(), weights, hashlib.sha256(weights.read_bytes()).hexdigest()
    )
    rows = (Example("put 3 coins", "box"),)
    inputs = Inputs(adapter, adapter, seeds=rows, evaluation=rows, unlabelled=rows)
    root = tmp_path / "runs"

    def make() -> Run:
        return create(root, TransferRecipe(), "whole", inputs=inputs, facts={"owner": "me"})

    def check(moment: int) -> None:
        for line in list_runs(root):
            run = open_run(line.folder)
            assert line.problem == "" and run.recipe == TransferRecipe()
            assert (run.name, run.recall("owner")) == ("whole", "me")
            there = run.inputs
            assert there.adapter and there.discriminator
            assert there.adapter.verified().read_bytes() == b"weights"
            assert (there.seeds, there.evaluation, there.unlabelled) == (rows, rows, rows)

    assert dies_at_each_step(make, check) >= 20
    assert len(list_runs(root)) >= 1
    for left in root.glob(".*.part"):
        os.utime(left, (0, 0))
    make()
    assert not list(root.glob(".*.part")), "what the dead left behind is cleared away"


def test_a_checkpoint_is_whole_or_the_one_before_counts(tmp_path: Path) -> None:
    def write(step: int) -> None:
        checkpoints.write(tmp_path, step, {"a": np.full(1000, step, np.float32)}, {"step": step})

    write(1)

    def check(moment: int) -> None:
        found = checkpoints.newest(tmp_path)
        assert found is not None and found.step in (1, 2)
        assert found.meta == {"step": found.step}
        assert (found.tensors["a"] == found.step).all()

    assert dies_at_each_step(lambda: write(2), check) >= 6
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.step == 2


def test_the_same_step_written_again_is_never_missing(tmp_path: Path) -> None:
    """A training that fell back writes a step anew; while it does, the one before counts."""
    checkpoints.write(tmp_path, 1, {}, {})
    checkpoints.write(tmp_path, 2, {}, {})

    def check(moment: int) -> None:
        assert checkpoints.newest(tmp_path) is not None

    dies_at_each_step(lambda: checkpoints.write(tmp_path, 2, {}, {}), check)


def _bundle_files(exports: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What is in the folder and in the zip, by name."""
    (archive,) = exports.glob("*.zip")
    with zipfile.ZipFile(archive) as opened:
        zipped = {name.rpartition("/")[2]: opened.read(name) for name in opened.namelist()}
    return {path.name: path.read_bytes() for path in (exports / "adapter").iterdir()}, zipped


@pytest.mark.parametrize("swaps", [True, False])
def test_f1_a_packed_adapter_is_always_there(
    tmp_path: Path, swaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed again: folder and zip are the old or the new one, and whole; whoever asks for both
    gets the same, also where two folders cannot change places in one call."""
    if not swaps:

        def refuse(one: Path, other: Path) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

        monkeypatch.setattr(atomic, "_exchange", refuse)
    exports = write_bundle_in(tmp_path).folder.parent
    old = _bundle_files(exports)
    write_bundle_in(tmp_path, samples=[])
    new = _bundle_files(exports)
    assert old[0] == old[1] != new[0] == new[1]
    write_bundle_in(tmp_path)

    def check(moment: int) -> None:
        assert find_adapter(tmp_path) is not None
        if swaps:
            folder, zipped = _bundle_files(exports)
            assert folder in (old[0], new[0]) and zipped in (old[1], new[1])
        assert find_bundle(exports) is not None
        folder, zipped = _bundle_files(exports)
        assert folder == zipped in (old[1], new[1])
        if zipped == new[1]:
            write_bundle_in(tmp_path)  # the old one once more, for the next to die

    assert dies_at_each_step(lambda: write_bundle_in(tmp_path, samples=[]), check) >= 10


def test_f1_a_merged_model_is_replaced_in_one_act(tmp_path: Path) -> None:
    """As every folder that is written anew."""
    place = tmp_path / "merged"

    def write(number: int) -> None:
        partial = atomic.partial_name(place)
        partial.mkdir()
        (partial / "weights").write_text(str(number))
        atomic.replace_folder(partial, place)

    write(1)

    def check(moment: int) -> None:
        assert (place / "weights").read_text() in ("1", "2")

    assert dies_at_each_step(lambda: write(2), check) >= 3
    write(3)
    atomic.sweep(tmp_path, older_than_seconds=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_inputs_are_the_old_or_the_new(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    old, new = (Example("old", "a"),), (Example("new", "b"), Example("newer"))
    run.put_examples("seeds", old)

    def check(moment: int) -> None:
        assert open_run(run.folder).inputs.seeds in (old, new)

    dies_at_each_step(lambda: open_run(run.folder).put_examples("seeds", new), check)
    assert open_run(run.folder).inputs.seeds == new


def test_more_samples_are_asked_for_or_not(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    before = run.recipe.synthesis.samples
    run.journal.append(StageStarted(Stage.SYNTHESIZE))
    ask: Callable[[], object] = lambda: open_run(run.folder).change_recipe(  # noqa: E731
        {"synthesis.samples": 9_999}
    )

    def check(moment: int) -> None:
        assert open_run(run.folder).recipe.synthesis.samples in (before, 9_999)

    dies_at_each_step(ask, check)
    assert open_run(run.folder).recipe.synthesis.samples == 9_999


def test_deleting_is_done_or_not(tmp_path: Path) -> None:
    def check(moment: int) -> None:
        for line in list_runs(tmp_path):
            assert line.problem == ""

    for _ in range(3):
        a_run(tmp_path)
    dies_at_each_step(lambda: open_run(list_runs(tmp_path)[0].folder).delete(), check)


def _write_for_ever(folder: Path) -> None:
    run = open_run(folder)
    number = max(run.samples.rounds(), default=-1) + 1
    while True:
        samples = [a_sample(f"round {number} text {n}") for n in range(20)]
        run.samples.commit_round(number, samples, a_round(number, 20))
        checkpoints.write(
            run.checkpoints, number, {"a": np.full(5000, number, np.float32)}, {"at": number}
        )
        run.write_result({"rounds": number})
        number += 1


def test_random_kills_of_a_writer(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    chance = random.Random(0)
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                _write_for_ever(run.folder)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.01, 0.12))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        _require_consistent(open_run(run.folder))
    assert len(run.samples.rounds()) > 3, "it was never let to write"


def _require_consistent(run: Run) -> None:
    run.database.check()
    rounds = run.samples.rounds()
    assert rounds == set(range(len(rounds))), "a gap"
    assert run.samples.count() == 20 * len(rounds)
    assert [event.round for event in run.journal.all_of(RoundFinished)] == sorted(rounds)
    found = checkpoints.newest(run.checkpoints)
    if found is not None:
        assert (found.tensors["a"] == found.step).all() and found.meta == {"at": found.step}
        assert not list(run.checkpoints.glob("bad-*")), "a complete name with damaged content"
    result = run.result()
    assert (run.folder / "result.json").exists() == (result is not None)


def test_a_killed_run_ends_like_one_that_was_not(run_with) -> None:
    smooth, rough = run_with(), run_with(pause=0.3)
    jobs.start(smooth)
    wait_for(smooth, "finished")
    chance = random.Random(1)
    for _ in range(4):
        jobs.start(rough)
        before = len(rough.samples.rounds())
        wait_until(lambda before=before: len(rough.samples.rounds()) > before)
        time.sleep(chance.uniform(0, 0.1))
        holder = lease.holder(rough.folder)
        assert holder is not None
        os.kill(holder.pid, signal.SIGKILL)
        wait_for(rough, "interrupted")
    rough.remember("script", {})
    jobs.start(rough)
    wait_for(rough, "finished")
    assert [s.id for s in rough.samples.all()] == [s.id for s in smooth.samples.all()]
    # Not one unit was done twice.
    done = [event.round for event in rough.journal.all_of(RoundFinished)]
    assert done == list(range(UNITS * len(ORDER)))


def test_the_worker_sweeps_what_the_dead_left_behind(run_with) -> None:
    run = run_with()
    left = atomic.partial_name(run.checkpoints / "step-000001")
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"torn")
    jobs.start(run)
    wait_for(run, "finished")
    assert not left.exists()


@pytest.mark.parametrize("kind", ["file", "database", "checkpoint"])
def test_f4_a_full_disk_loses_nothing(tmp_path: Path, kind: str) -> None:
    """F4: with a limit on file sizes in place of a full disk, the old content stays."""
    run = a_run(tmp_path)
    run.samples.commit_round(0, [a_sample("old")], a_round(0))
    checkpoints.write(run.checkpoints, 1, {"a": np.zeros(10, np.float32)}, {})
    run.write_result({"old": True})
    actions: dict[str, Callable[[Run], object]] = {
        "file": lambda full: full.write_result({"new": "x" * 300_000}),
        "database": lambda full: full.samples.commit_round(
            1, [a_sample(f"{n} " * 5000) for n in range(100)], a_round(1)
        ),
        "checkpoint": lambda full: checkpoints.write(
            full.checkpoints, 2, {"a": np.zeros(100_000, np.float32)}, {}
        ),
    }

    def with_small_files() -> None:
        import resource  # noqa: PLC0415  only the child is limited

        full = open_run(run.folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, resource.RLIM_INFINITY))
        with pytest.raises(RunError, match=r"full|written"):
            actions[kind](full)

    assert in_child(with_small_files) == 0
    again = open_run(run.folder)
    again.database.check()
    assert again.samples.count() == 1 and again.samples.rounds() == {0}
    found = checkpoints.newest(again.checkpoints)
    assert found is not None and found.step == 1
    assert again.result() == {"old": True}
    again.samples.commit_round(1, [a_sample("new")], a_round(1))
