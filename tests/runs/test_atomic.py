"""A write leaves the old or the new content, whatever happens on the way."""

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from workbench.errors import RunError
from workbench.runs import atomic


def test_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"a": 1})
    atomic.write_json(path, {"a": "é"})
    assert atomic.read_json(path) == {"a": "é"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_file_and_folder_are_synced_in_order(tmp_path: Path, monkeypatch) -> None:
    done: list[str] = []
    real_replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append("sync"))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), real_replace(a, b)))
    atomic.write_text(tmp_path / "a", "x")
    assert done == ["sync", "rename", "sync"]


def test_missing_and_torn_json_read_as_none(tmp_path: Path) -> None:
    (tmp_path / "torn").write_text('{"a": ')
    assert atomic.read_json(tmp_path / "torn") is None
    assert atomic.read_json(tmp_path / "missing") is None


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_full_disk_keeps_the_old_content(tmp_path: Path, monkeypatch, moment: str) -> None:
    path = tmp_path / "a"
    atomic.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "write":
        monkeypatch.setattr(atomic, "_replace", _replace_with(full))
    else:
        monkeypatch.setattr(os, moment, full)
    with pytest.raises(RunError, match="full"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _replace_with(fill):
    real = atomic._replace
    return lambda path, _, durable: real(path, fill, durable)


def test_copy_in_hashes_what_it_wrote(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"weights" * 1000)
    size, sha256 = atomic.copy_in(source, tmp_path / "out")
    assert size == 7000
    assert sha256 == atomic.sha256_of(tmp_path / "out") == atomic.sha256_of(source)


def test_copy_in_does_not_follow_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (tmp_path / "link").symlink_to(secret)
    with pytest.raises(OSError):
        atomic.copy_in(tmp_path / "link", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_space_is_asked_for_with_half_as_much_again(tmp_path: Path, monkeypatch) -> None:
    usage = type("Usage", (), {"free": 149})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    atomic.require_space(tmp_path, 99)
    with pytest.raises(RunError, match="Free some space"):
        atomic.require_space(tmp_path, 100)


def test_sweep_takes_old_partials_only(tmp_path: Path) -> None:
    inner = tmp_path / "checkpoints"
    inner.mkdir()
    old_folder = atomic.partial_name(inner / "step-000001")
    old_folder.mkdir()
    (old_folder / "tensors").write_text("x")
    old_file, young, whole = tmp_path / ".a.1.part", tmp_path / ".b.2.part", tmp_path / "c"
    for path in (old_file, young, whole):
        path.write_text("x")
    past = time.time() - 7200
    for path in (old_folder, old_file, whole):
        os.utime(path, (past, past))
    assert set(atomic.sweep(tmp_path)) == {old_folder, old_file}
    assert young.exists() and whole.exists()


def test_what_is_larger_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match="too large"):
        atomic.read_bytes(tmp_path / "large.json")
    assert atomic.read_json(tmp_path / "large.json") is None
