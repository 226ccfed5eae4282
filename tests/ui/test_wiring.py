"""The page over HTTP, as Gradio's own client drives it: what goes into a handler, what comes out.

Handlers are private, so the client is told by their numbers that it may call them.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client

from tests.ui import fake_fleet, fake_run
from workbench.fleet import standing
from workbench.runs.folder import Run, find_run
from workbench.samples import REJECTED
from workbench.ui.page import build_page, launch_options

FINDER = ("", "", "", "", None, None, False, "-made")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    page = build_page()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield Client(address, verbose=False)
    page.close()


def call(client: Client, name: str, *given: Any) -> Any:
    """What a handler answers, without the components that its page never shows."""
    (number,) = (d["id"] for d in client.config["dependencies"] if d["api_name"] == name)
    client.endpoints[number].is_valid = True
    return client.predict(*given, fn_index=number)


def test_nothing_is_offered_to_programs(client: Client) -> None:
    offered = client.view_api(return_format="dict")
    assert offered == {"named_endpoints": {}, "unnamed_endpoints": {}}


def test_an_adapter_and_seeds_make_a_run(client: Client, runs: Path) -> None:
    run_id, refused, *_ = call(client, "load_example", "", "")
    run = find_run(runs, run_id)
    assert len(run.inputs.seeds) == 15 and refused == ""
    news = json.loads(call(client, "tick", run_id, "transfer settings", ""))
    assert news["run"] == run_id and run.name in news["strip"]
    assert "settings write" in json.loads(news["pulse"])
    tiles, _, rows = call(client, "draw_write_rows", f"{run_id}|token")
    assert "of about 1,030" in tiles and rows["data"] == []
    drawn, page = call(client, "draw_transfer_form", f"{run_id}|token", "[]", "", "")[-1], "a page"
    table = {"headers": ["input", "output"], "data": [["one", 2], ["", None]], "metadata": None}
    opened = call(client, "take_seed_table", run_id, table, drawn, page, "")[0]
    assert opened != run_id  # who opened another run meanwhile is not taken back
    assert [(seed.input, seed.output) for seed in run.inputs.seeds] == [("one", "2")]


def test_a_page_of_samples_is_turned_decided_and_handed_out(
    client: Client, reviewable: Run
) -> None:
    table, sentence, number, *_ = call(client, "page_forward", reviewable.id, *FINDER, 1, "")
    assert "51–100 of 480" in sentence and number == 2 and len(table["data"]) == 50
    first, second = reviewable.samples.page(offset=50, limit=2)
    # The ids of the page are held by the server, for this client alone.
    shown = call(client, "reject", reviewable.id, *FINDER, 2, first.id, first.version, "", "")
    after = reviewable.samples.get(first.id)
    assert after is not None and (after.status, after.decided_by) == (REJECTED, "person")
    assert second.id in shown
    path = call(client, "make_file", reviewable.id, *FINDER, "CSV", False)
    with Path(path["value"] if isinstance(path, dict) else path).open(encoding="utf-8-sig") as rows:
        assert len(list(csv.DictReader(rows))) == 480


def test_a_failure_leaves_what_is_shown(client: Client, runs: Path) -> None:
    run = fake_run.draft(runs)
    drawn, page = call(client, "draw_transfer_form", f"{run.id}|token", "[]", "", "")[-1], "a page"
    call(client, "take_seed_table", run.id, {"headers": ["input", "output"],
         "data": [[f"seed {n}", ""] for n in range(16)], "metadata": None},
         drawn, page, "")  # fmt: skip
    assert len(run.inputs.seeds) == 12


def test_the_fleet_page_shows_retries_and_hands_out(
    client: Client, runs: Path, tmp_path: Path
) -> None:
    place = fake_fleet.fleet(tmp_path / "out")
    folder, counts, report, rows, chosen = call(client, "_look", place.root, "Failed", "")
    assert folder == place.root and "<dt>Failed</dt><dd>1</dd>" in counts and "non-inf" in report
    assert [row[0] for row in rows["data"]] == ["letters"]
    assert chosen["value"] == "letters"
    call(client, "_again", place.root, "letters")
    assert standing.read(place, ["letters"])["letters"].state == standing.WAITING
    found = fake_fleet.with_a_run(place, tmp_path / "elsewhere")
    call(client, "_look", place.root, "All", "")
    opened = call(client, "_open_1", place.root, found.name)
    assert find_run(runs, opened).name == found.name
    table = Path(call(client, "_export", place.root, "CSV")["value"])
    assert len(table.read_text().splitlines()) == len(fake_fleet.STANDINGS) + 2
