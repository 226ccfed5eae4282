"""Copies of runs in folders and object stores."""

from pathlib import Path

import pytest

from workbench.fleet.place import Copier, Place, PlaceError
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run, create, open_run
from workbench.samples import Example


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A local folder, and something that is none."""
    url = str(tmp_path / "out") if request.param == "folder" else f"memory://fleet{tmp_path.name}"
    return Place(url)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = create(tmp_path / "runs", TransferRecipe(task_name="coins"), id="one")
    made.put_examples("seeds", [Example("a", "b")])
    return made


def test_a_fetched_copy_is_the_run(place: Place, run: Run, tmp_path: Path) -> None:
    assert place.names() == []
    (run.folder / "lease.json").write_text("{}")
    run.remember("colour", "green")  # in the write-ahead log, not yet in the file
    Copier(place, run).copy()
    place.write_standing("one", {"state": "waiting"})
    assert place.names() == ["one"] and b"waiting" in place.standings(["one", "two"])["one"]
    place.fetch("one", tmp_path / "elsewhere" / "one")
    again = open_run(tmp_path / "elsewhere" / "one")
    assert again.recall("colour") == "green" and again.inputs.seeds == run.inputs.seeds
    assert again.recipe == run.recipe
    assert not (again.folder / "lease.json").exists()


def test_only_what_changed_is_sent_and_what_is_gone_is_removed(
    place: Place, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = run.checkpoints / "step-000002"
    checkpoint.mkdir()
    (checkpoint / "manifest.json").write_text("{}")
    copier = Copier(place, run)
    copier.copy()
    (checkpoint / "manifest.json").unlink()
    (run.exports / "new.txt").write_text("new")
    sent: list[str] = []
    real = Copier._put
    monkeypatch.setattr(
        Copier, "_put", lambda self, path, name: (sent.append(name), real(self, path, name))[1]
    )
    copier.copy()
    assert sent == ["exports/new.txt", "run.db"]  # the database last
    place.fetch("one", tmp_path / "back")
    assert (tmp_path / "back" / "exports" / "new.txt").read_text() == "new"
    assert not (tmp_path / "back" / "checkpoints" / "step-000002").exists()


def test_a_place_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlaceError, match="cannot be used"):
        Place(str(tmp_path / "file" / "below")).write("x.json", "{}")
    with pytest.raises(PlaceError, match="nosuch"):
        Place("nosuch://x/y")
