"""A reload shows the run that the address names, at once and whole, and loses no cell.

On a slow machine sections were asked before the page knew its run: an empty table was drawn for a
run with seeds, and the first cell typed into it replaced them all. No test here is tried again.
"""

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import (
    EXAMPLES,
    SETTINGS,
    Server,
    drawn,
    field,
    go_to,
    open_page,
    open_part,
    toast,
)
from tests.ui import fake_run
from workbench.runs.folder import Run

pytestmark = [pytest.mark.browser, pytest.mark.flaky(reruns=0)]

# WORKBENCH_RELOADS=300 .venv/bin/pytest -m faults tests/browser/test_reload.py
RELOADS = int(os.environ.get("WORKBENCH_RELOADS", "30"))
SLOWER = 2  # times, than this machine's processor
PATIENCE = 120_000  # ms: a page that is slow is not one that stays empty


def stages(root: Any) -> list[Run]:
    """Runs that stand at different places."""
    return [
        fake_run.draft(root, "A draft"),
        fake_run.synthesize(fake_run.draft(root, "Half written"), rounds=4, finish=False),
        fake_run.synthesize(fake_run.draft(root, "To be reviewed")),
        fake_run.distil(fake_run.synthesize(fake_run.draft(root, "Half trained")), upto=70),
        fake_run.finished(root, "Finished"),
    ]


@pytest.mark.faults
@pytest.mark.timeout(40 * RELOADS)  # seconds, on a machine that is busy
def test_no_reload_shows_an_empty_run_or_loses_a_cell(browser: Any, own_server: Server) -> None:
    runs = stages(own_server.runs)
    page = open_page(browser, own_server.address)
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    draw = random.Random(1)
    for number in range(RELOADS):
        run = runs[number % len(runs)]
        tab = "&tab=review" if number % 3 == 2 and run.name != "A draft" else ""
        page.goto(f"{own_server.address}?run={run.id}{tab}")
        if number % 2:
            page.wait_for_timeout(draw.randrange(600))
            page.reload()
        if tab:
            expect(page.locator("#page-sentence")).to_contain_text("of ", timeout=PATIENCE)
        elif run.name == "Finished":
            expect(page.locator("#transfer-verdict")).to_contain_text("240 rows", timeout=PATIENCE)
        elif run.name != "A draft":
            row = page.locator("#live-rows [data-testid='cell-0-0']")
            expect(row).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".strip-name")).to_have_text(run.name)
        if run.name == "A draft":
            open_part(page, EXAMPLES)
            last = page.locator("#seeds [data-testid='cell-11-0']")
            expect(last).to_contain_text(run.inputs.seeds[-1].input, timeout=PATIENCE)
            edit(page.locator("#seeds [data-testid='cell-0-0']"))
            page.keyboard.type(f" {number}")
            page.keyboard.press("Enter")
            wait_until_stored(run, f" {number}")
        assert len(seeds_of(run)) == 12, (number, seeds_of(run))
        print(f"{number + 1} of {RELOADS} whole", flush=True)
    page.context.close()


def seeds_of(run: Run) -> list[str]:
    """The seeds as they are on disk."""
    return [seed.input for seed in run.inputs.seeds]


def edit(cell: Any) -> None:
    """Open a cell: what is typed before its box has the focus goes elsewhere."""
    cell.dblclick()
    expect(cell.locator("textarea, input").first).to_be_focused(timeout=PATIENCE)


def wait_until_stored(run: Run, text: str, seconds: float = 20) -> None:
    """Until the first seed on disk has this text."""
    deadline = time.monotonic() + seconds
    while text not in seeds_of(run)[0]:
        assert time.monotonic() < deadline, seeds_of(run)
        time.sleep(0.1)


def test_the_tab_is_in_the_address_and_back_goes_back(
    open_run: Callable[..., Any], server: Server
) -> None:
    first, second = fake_run.finished(server.runs), fake_run.draft(server.runs, "Another")
    page = open_run(first.id)
    selected = page.locator("[role=tab][aria-selected=true]")
    go_to(page, "Review")
    expect(page.locator("#page-sentence")).to_contain_text("of 480")
    go_to(page, "Compare")
    expect(page.locator("#verdict")).to_contain_text("240 rows")
    page.go_back()
    expect(selected).to_have_text("Review")
    page.reload()
    drawn(page)
    expect(selected).to_have_text("Review")
    expect(page.locator("#page-sentence")).to_contain_text("of 480")
    go_to(page, "Runs")
    page.locator("#runs-table [data-testid^='cell-']:visible").get_by_text("Another").click()
    page.locator("#runs-open").click()
    expect(page.locator(".strip-name")).to_have_text("Another")
    assert f"run={second.id}" in page.url
    page.go_back()
    expect(page.locator(".strip-name")).to_have_text(first.name)
    assert f"run={first.id}" in page.url


def test_a_save_over_what_another_page_changed_is_refused(
    open_run: Callable[..., Any], server: Server
) -> None:
    run = fake_run.draft(server.runs, "Two pages")
    page = open_run(run.id)
    open_part(page, EXAMPLES)
    cell = page.locator("#seeds [data-testid='cell-0-0']")
    expect(cell).to_contain_text(seeds_of(run)[0])
    page.evaluate("window.setInterval = () => 0")
    edit(cell)
    page.keyboard.type(" typed here")
    run.put_examples("seeds", run.inputs.seeds[:5])  # meanwhile, elsewhere
    page.keyboard.press("Enter")
    toast(page, "changed elsewhere")
    assert len(seeds_of(run)) == 5 and "typed here" not in seeds_of(run)[0]
    expect(page.locator("#seeds [data-testid='cell-4-0']")).to_contain_text(seeds_of(run)[4])


# Everything that the page asks beside the queue is lost once: news, drawings, its own beginning.
LOSES = """() => {
  const asks = window.fetch, lost = new Set();
  window.fetch = async (url, options) => {
    if (!String(url).endsWith("/run/predict") || lost.has(options.body)) return asks(url, options);
    lost.add(options.body);
    if (lost.size % 2) throw new TypeError("lost");
    return new Response("{}", { status: 503 });
  };
}"""


def test_what_another_page_changed_is_shown(open_run: Callable[..., Any], server: Server) -> None:
    run = fake_run.draft(server.runs, "Changed elsewhere")
    page = open_run(run.id)
    page.add_init_script(f"({LOSES})()")
    page.reload()
    open_part(page, SETTINGS)
    expect(field(page, "task-name")).to_have_value("Changed elsewhere")
    run.change_recipe({"task_name": "By another page"})
    expect(field(page, "task-name")).to_have_value("By another page")
