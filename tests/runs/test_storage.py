"""Where a Space keeps its runs."""

from contextlib import closing
from pathlib import Path

import pytest

from workbench.runs import storage
from workbench.runs.folder import runs_root


@pytest.fixture(autouse=True)
def space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Space with an empty /data of its own."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(storage, "DATA", data)
    monkeypatch.setenv("SPACE_ID", "somebody/workbench")
    monkeypatch.delenv("WORKBENCH_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    storage.holds_databases.cache_clear()
    return data


def test_runs_of_a_space_live_under_data(space: Path) -> None:
    assert runs_root() == space / "runs"
    assert not storage.is_lost_at_restart(runs_root())
    assert not list(space.iterdir()), "the probe leaves nothing behind"


def test_without_data_they_are_lost_at_a_restart(space: Path, tmp_path: Path) -> None:
    space.rmdir()
    assert runs_root() == tmp_path / "runs"
    assert storage.is_lost_at_restart(runs_root())


def test_a_mount_without_locks_is_not_used(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_may_write", lambda connection: True)
    assert runs_root() == tmp_path / "runs"


def test_a_folder_that_is_named_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "mine"))
    assert runs_root() == tmp_path / "mine"


def test_elsewhere_data_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID")
    assert runs_root() == tmp_path / "runs"
    assert not storage.is_lost_at_restart(runs_root())


def test_who_may_write_is_told_by_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "probe.db"
    with closing(storage._open(path)) as writer, closing(storage._open(path)) as other:
        assert storage._may_write(writer)
        assert not storage._may_write(other)
        writer.execute("COMMIT")
        assert storage._may_write(other)
