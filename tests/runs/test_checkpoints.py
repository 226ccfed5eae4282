"""F2: the newest checkpoint that verifies is taken, a damaged one is put aside."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench.errors import RunError
from workbench.runs import atomic, checkpoints


def write(folder: Path, step: int, **more) -> Path:
    tensors = {"a": np.full((2, 3), step, np.float32), "step": np.array(step, np.int64)}
    return checkpoints.write(folder, step, tensors, {"seed": 1, "micro_rows": 4}, **more)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    tensors = {
        "weights": np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "half": np.ones(3, np.float16),
        "empty": np.zeros((0, 4), np.float32),
    }
    written = checkpoints.write(tmp_path / "new", 120, tensors, {"rng": [1, 2]})
    assert written.name == "step-000120"
    found = checkpoints.newest(tmp_path / "new")
    assert found is not None
    assert (found.step, found.folder, found.meta) == (120, written, {"rng": [1, 2]})
    assert found.tensors.keys() == tensors.keys()
    for name, array in tensors.items():
        assert found.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(found.tensors[name], array)


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "missing") is None
    (tmp_path / "step-x").mkdir()
    (tmp_path / ".step-000001.ab.part").mkdir()
    assert checkpoints.newest(tmp_path) is None


def test_only_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 1_000_000):
        write(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-1000000"]


def test_the_same_step_again_replaces(tmp_path: Path) -> None:
    write(tmp_path, 7)
    checkpoints.write(tmp_path, 7, {}, {"again": True})
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.meta == {"again": True}
    assert [p.name for p in tmp_path.iterdir()] == ["step-000007"]


def _truncate(folder: Path) -> None:
    path = folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _flip(folder: Path) -> None:
    path = folder / "tensors.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def _lying_manifest(folder: Path) -> None:
    """The manifest is fine by its own numbers, but the tensors are none."""
    path = folder / "tensors.safetensors"
    path.write_bytes(b"not tensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][path.name] = {"bytes": 11, "sha256": atomic.sha256_of(path)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": _truncate,
    "a bit flipped": _flip,
    "member gone": lambda folder: (folder / "meta.json").unlink(),
    "meta changed": lambda folder: (folder / "meta.json").write_text("{}"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "torn manifest": lambda folder: (folder / "manifest.json").write_text('{"schema": 1, "fi'),
    "empty manifest": lambda folder: (folder / "manifest.json").write_text(""),
    "manifest is a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "zero length": lambda folder: (folder / "tensors.safetensors").write_bytes(b""),
    "empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "lying manifest": _lying_manifest,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_f2_a_damaged_one_is_put_aside_for_the_one_before(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    write(tmp_path, 10)
    damage(write(tmp_path, 20))
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.step == 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad-step-000020", "step-000010"]
    damage(found.folder)
    assert checkpoints.newest(tmp_path) is None


def test_f2_a_link_out_of_the_folder_is_damage(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", 10)
    shutil.move(folder / "tensors.safetensors", tmp_path / "outside")
    (folder / "tensors.safetensors").symlink_to(tmp_path / "outside")
    assert checkpoints.newest(tmp_path / "run") is None


def test_f2_a_newer_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    folder = write(tmp_path, 10)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": 2}))
    with pytest.raises(RunError, match="Upgrade"):
        checkpoints.newest(tmp_path)
    assert folder.exists()


def test_two_damaged_ones_of_a_step_are_both_put_aside(tmp_path: Path) -> None:
    for _ in range(2):
        _truncate(write(tmp_path, 10))
        assert checkpoints.newest(tmp_path) is None
    assert len(list(tmp_path.iterdir())) == 2


def test_f4_a_full_disk_keeps_the_last_good_one(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path, 10)
    write(tmp_path, 20)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(RunError, match="full"):
        write(tmp_path, 30)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-000020"]
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.step == 20


def test_f4_space_is_made_from_the_older_good_one_never_from_the_last(
    tmp_path: Path, monkeypatch
) -> None:
    write(tmp_path, 10)
    _truncate(write(tmp_path, 20))
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(RunError):
        write(tmp_path, 30)
    monkeypatch.undo()
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.step == 10


def test_forget_does_not_follow_a_link(tmp_path: Path) -> None:
    write(tmp_path / "outside", 1)
    (tmp_path / "checkpoints").symlink_to(tmp_path / "outside")
    checkpoints.forget(tmp_path / "checkpoints")
    assert checkpoints.newest(tmp_path / "outside") is not None
    checkpoints.forget(tmp_path / "outside")
    assert not (tmp_path / "outside").exists()


def test_f5_damaged_ones_are_named(tmp_path: Path) -> None:
    assert checkpoints.damaged(tmp_path / "nowhere") == []
    for step in (1, 2):
        write(tmp_path, step)
    assert checkpoints.damaged(tmp_path) == []
    (tmp_path / "step-000001" / "manifest.json").unlink()
    _truncate(tmp_path / "step-000002")
    assert checkpoints.damaged(tmp_path) == ["step-000001", "step-000002"]
    assert checkpoints.newest(tmp_path) is None
    assert checkpoints.damaged(tmp_path) == ["bad-step-000001", "bad-step-000002"]
