"""The Fleet page: what it shows of an output folder, and what can be done with a transfer."""

import csv
from pathlib import Path

import gradio as gr
import pyarrow.parquet
import pytest

from tests.ui import fake_fleet
from workbench.errors import RunError
from workbench.fleet import standing
from workbench.fleet.place import Place, PlaceError
from workbench.fleet.standing import Standing
from workbench.ui import fleet_tab, workspace
from workbench.ui.page import build_page, launch_options


@pytest.fixture
def place(runs: Path, tmp_path: Path) -> Place:
    return fake_fleet.fleet(tmp_path / "out")


def names(place: Place, only: str = "All", search: str = "") -> list[str]:
    return fleet_tab._look(place.root, only, search)[4]


def test_what_needs_a_person_comes_first(place: Place) -> None:
    _, counts, report, rows, shown, choice = fleet_tab._look(place.root, "All", "")
    assert shown == ["letters", "dates", "moods", "places", "names", "songs", "intents", "prices"]
    assert choice["choices"] == shown and choice["value"] == "letters"
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["letters"] == ["Failed", "", "", f"model: {fake_fleet.BAD.message}"]
    assert by_name["intents"] == [
        "✓ Within the margin", "99.5 %", "−0.5 (−2.5 to +1.5)", "smollm2-135m to gemma-3-270m",
    ]  # fmt: skip
    assert by_name["places"][0] == "Running" and "2 of 5 steps, just now" in by_name["places"][3]
    assert "2 of 4 compared are non-inferior at their margin" in report
    for state, count in (("Waiting", 2), ("Running", 1), ("Done", 4), ("Failed", 1)):
        assert f"<dt>{state}</dt><dd>{count}</dd>" in counts


def test_rows_are_chosen_by_state_and_name(place: Place) -> None:
    assert names(place, "Needs a person") == ["letters", "dates", "moods"]
    assert names(place, "Failed") == ["letters"]
    assert names(place, "Running or waiting") == ["places", "names", "songs"]
    assert names(place, "Within the margin or better") == ["intents", "prices"]
    assert names(place, search=" LLAMA ") == ["songs"]
    assert names(place, "Failed", "llama") == []
    assert "None of them" in fleet_tab._look(place.root, "Failed", "llama")[2]


def test_a_browser_is_sent_no_more_than_it_can_show(place: Place) -> None:
    for number in range(fleet_tab.SHOWN):
        standing.write(place, Standing(f"t{number:04}", "0", *fake_fleet.BASES))
    _, counts, report, rows, shown, _ = fleet_tab._look(place.root, "All", "")
    assert len(rows) == len(shown) == fleet_tab.SHOWN
    assert "200 of 208 are shown" in report and "<dt>Waiting</dt><dd>202</dd>" in counts


def test_the_folder_is_known_after_a_reload(place: Place) -> None:
    assert "Name the output folder" in fleet_tab._look("", "All", "")[2]
    fleet_tab._look(place.root, "All", "")
    assert fleet_tab._look("", "All", "")[0] == place.root


@pytest.mark.parametrize("folder", ["/no/such", "s3://bucket/results", "https://a.b/c"])
def test_only_folders_of_this_machine_are_read(runs: Path, folder: str) -> None:
    with pytest.raises(RunError, match=r"no folder .* on this machine"):
        fleet_tab._look(folder, "All", "")


def test_a_click_on_a_list_that_has_changed_is_told() -> None:
    event = gr.SelectData(None, {"index": [1, 0], "value": "", "row_value": ["✓"]})
    with pytest.raises(RunError, match="had changed"):
        fleet_tab._choose(["dates", "times"], event)
    event = gr.SelectData(None, {"index": [1, 0], "value": "", "row_value": ["times", "Done"]})
    assert fleet_tab._choose(["dates", "times"], event) == "times"


def test_a_folder_without_a_fleet_is_told(runs: Path) -> None:
    with pytest.raises(RunError, match="No transfer of a fleet"):
        fleet_tab._look(str(runs), "All", "")


def test_a_standing_under_another_name_is_none(place: Place) -> None:
    """A folder that a person has copied or renamed must not be counted twice."""
    text = (Path(place.root) / "dates" / "standing.json").read_text()
    place.write("dates-old/standing.json", text)
    place.write("broken/standing.json", "{")
    assert set(names(place)) == {one.name for one in fake_fleet.STANDINGS}


def test_a_copy_of_a_run_is_opened(place: Place, runs: Path, tmp_path: Path) -> None:
    found = fake_fleet.with_a_run(place, tmp_path / "elsewhere")
    opened, tabs = fleet_tab._open(place.root, found.name)
    run = workspace.find(opened)
    assert run.folder.parent == runs and run.name == found.name and tabs.selected == "transfer"
    assert standing.measured(run) == found.measured
    assert fleet_tab._open(place.root, found.name)[0] == opened
    standing.write(place, found)  # it has gone on
    assert fleet_tab._open(place.root, found.name)[0] != opened
    run.rename("Mine")
    assert standing.read(place, [found.name])[found.name].measured == found.measured


def test_of_what_was_deleted_no_empty_run_is_left(place: Place, runs: Path) -> None:
    for _ in range(2):
        with pytest.raises(PlaceError, match="no run dates"):
            fleet_tab._open(place.root, "dates")
    assert not [path for path in runs.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("name", ["", None, "gone", "../out/dates", "a/b"])
def test_what_is_not_there_cannot_be_opened_or_tried(place: Place, name: str | None) -> None:
    for action in (fleet_tab._open, fleet_tab._again):
        with pytest.raises(RunError):
            action(place.root, name)


def test_only_what_has_failed_is_tried_again(place: Place) -> None:
    fleet_tab._again(place.root, "letters")
    now = standing.read(place, ["letters"])["letters"]
    assert (now.state, now.attempts) == (standing.WAITING, ())
    for name in ("letters", "places", "dates"):
        with pytest.raises(RunError, match="only what has failed"):
            fleet_tab._again(place.root, name)


def test_the_table_is_the_command_s(place: Place) -> None:
    paths = [Path(fleet_tab._export(place.root, kind)["value"]) for kind in ("CSV", "Parquet")]
    with paths[0].open(encoding="utf-8-sig", newline="") as file:
        read = list(csv.DictReader(file))
    typed = pyarrow.parquet.read_table(paths[1]).to_pylist()
    assert [row["name"] for row in read] == [row["name"] for row in typed] == names(place)
    assert typed[0]["message"] == read[0]["message"] == f"model: {fake_fleet.BAD.message}"


def test_strangers_have_no_fleet_page(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read any folder of the server."""
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    page = build_page()
    assert not any("fleet" in str(getattr(b, "elem_id", "")) for b in page.blocks.values())
    assert not any(event.fn and "fleet_tab" in event.fn.__module__ for event in page.fns.values())
    assert '"runs"]' in launch_options()["head"]
