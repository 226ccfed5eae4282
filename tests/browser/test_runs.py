"""The Runs tab: duplicate, compare, rename, delete and take back, as a person does it."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.driving import (
    ACTIONS,
    EXAMPLES,
    Server,
    answer_late,
    choose,
    field,
    go_to,
    open_part,
    run_in_address,
    toast,
)
from tests.ui import fake_run
from workbench.runs.folder import find_run

pytestmark = pytest.mark.browser


def test_a_finished_run_leads_on(open_run: Callable[..., Any], server: Server) -> None:
    """Its report as a picture, on paper, and another base from the same samples."""
    run = fake_run.finished(server.runs, "Frisian calls")
    page = open_run(run.id)
    expect(page.locator("#made-with")).to_contain_text("gemma-3-270m")
    with page.expect_download() as download:
        page.get_by_role("button", name="Report as picture").click()
    assert download.value.suggested_filename == "Frisian-calls.png"
    with Image.open(download.value.path()) as picture:
        assert picture.width == 2000 and 800 < picture.height < 2000
        assert len(picture.getcolors(2**20) or ()) > 20  # it is not blank
    page.emulate_media(media="print")
    expect(page.locator("#transfer-verdict")).to_be_visible()
    for controls in ("#tab-write-button", "#go-takehome", "#onward"):
        expect(page.locator(controls)).to_be_hidden()
    page.emulate_media(media="screen")
    open_part(page, "Go on with another base")
    page.get_by_role("button", name="Train from the same samples").click()
    toast(page, "Choose another base first")
    choose(page, "onward-base", "SmolLM2")
    page.get_by_role("button", name="Train from the same samples").click()
    expect(page.locator("#live-train")).to_be_visible()
    expect(page.locator(".strip-name")).to_contain_text("Frisian calls, for SmolLM2")
    new = find_run(server.runs, run_in_address(page))
    assert new.id != run.id and len(new.samples.kept()) == len(run.samples.kept())


def test_history_is_worked_with(open_run: Callable[..., Any], server: Server) -> None:
    run = fake_run.finished(server.runs, "Dutch requests")
    page = open_run(run.id)
    go_to(page, "Runs")
    # By role: a table of few rows is made of other elements than one of many.
    row = page.locator("#runs-table").get_by_role("row").filter(has_text="▸ Dutch requests")
    for words in ("Finished", "→", "just now", "MB", "gemma-3-270m, LoRA"):
        expect(row).to_contain_text(words)

    page.get_by_role("button", name="Duplicate").click()
    toast(page, "A new draft with the same inputs")
    expect(page.locator(".strip-name")).to_have_text("Dutch requests (copy)")
    copy = find_run(server.runs, run_in_address(page))
    assert copy.id != run.id and copy.recipe == run.recipe and copy.inputs.seeds == run.inputs.seeds

    go_to(page, "Runs")
    expect(page.locator("#runs-table")).to_contain_text("▸ Dutch requests (copy)")
    copy.change_recipe({"student.rank": 4})
    choose(page, "runs-other", "Dutch requests ·")
    expect(page.locator("#runs-compared")).to_contain_text("Rank")
    expect(page.locator("#runs-compared")).to_contain_text("Target + new adapter")

    field(page, "runs-name").fill("Frisian requests")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".strip-name")).to_have_text("Frisian requests")
    expect(page.locator("#runs-table")).to_contain_text("▸ Frisian requests")

    page.get_by_role("button", name="Delete").click()
    toast(page, '"Frisian requests" (')
    expect(page.locator(".strip-name")).to_have_text("No run open")
    expect(page.locator("#runs-table")).not_to_contain_text("Frisian requests")
    assert not copy.folder.exists()
    page.get_by_role("button", name="Undo delete: Frisian requests").click()
    toast(page, '"Frisian requests" is back')
    expect(page.locator("#runs-table")).to_contain_text("Frisian requests")
    assert copy.folder.is_dir()


def test_a_button_waits_for_the_row_that_was_clicked(
    open_run: Callable[..., Any], server: Server
) -> None:
    """On a slow server a quick click on Open opened the run that was chosen before."""
    opened, other = fake_run.draft(server.runs, "Opened"), fake_run.draft(server.runs, "Clicked")
    fake_run.draft(server.runs, "Clicked first")
    page = open_run(opened.id)
    go_to(page, "Runs")
    # The first of a name: a second attempt finds the runs of the one before.
    names = page.locator("#runs-table [data-testid^='cell-']:visible")
    answer_late(page)
    for name in ("Clicked first", "Clicked"):
        names.get_by_text(name, exact=True).first.click()
    page.locator("#runs-open").click()
    expect(page.locator(".strip-name")).to_have_text("Clicked")
    assert run_in_address(page) == other.id
    go_to(page, "Runs")
    names.get_by_text("Opened", exact=True).first.click()
    page.locator("#runs-refresh").click()
    expect(page.locator("#runs-table")).to_contain_text("▸ Clicked")
    expect(field(page, "runs-chosen")).to_have_value(re.compile("^Opened"))


def test_what_was_begun_for_a_run_is_about_that_run(
    open_run: Callable[..., Any], server: Server, tmp_path: Path
) -> None:
    """Another one is opened before a value has been saved, and before a file has arrived."""
    first, other = fake_run.draft(server.runs, "Begun"), fake_run.draft(server.runs, "Went on")
    page = open_run(first.id)
    go_to(page, "Runs")
    choose(page, "runs-chosen", "Went on")
    go_to(page, "Transfer")
    open_part(page, EXAMPLES)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"input": "{n} coins", "output": "balance"}}\n' for n in range(5)))
    # Asked how far an upload is of which nothing has come for three seconds, Gradio answers 404: so
    # that question waits with the file.
    uploads, held = re.compile("/upload(_progress)?\\?"), []
    page.route(uploads, lambda route: held.append(route))
    page.locator("#evaluation-file input[type=file]").set_input_files(str(rows))
    answer_late(page, ACTIONS)
    page.locator("#pause-for-review input").click()
    go_to(page, "Runs")
    page.locator("#runs-open").click()
    expect(page.locator("#runs-open")).to_have_attribute("aria-busy", "true")
    expect(page.locator(".strip-name")).to_have_text("Went on")
    assert first.recipe.pause_for_review and not other.recipe.pause_for_review
    assert held
    for route in held:
        route.continue_()
    page.unroute(uploads)
    deadline = time.monotonic() + 30
    while len(first.inputs.evaluation) == 240 and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    expect(page.locator(".strip-name")).to_have_text("Went on")
    assert (len(first.inputs.evaluation), len(other.inputs.evaluation)) == (5, 240)
