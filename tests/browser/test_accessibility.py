"""axe-core finds nothing serious on any tab, light and dark, wide and narrow."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import TABS, Server, go_to, settled
from tests.ui import fake_fleet, fake_run
from workbench.runs.folder import Run
from workbench.ui import fleet_tab

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(
    os.environ.get("AXE_CORE", ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js")
)
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def finished(server: Server) -> Run:
    """A run with something on every tab."""
    folder = server.runs.parent / "fleet"
    fake_fleet.fleet(folder)
    fleet_tab.remember(str(folder), server.runs)
    return fake_run.finished(server.runs)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 375)])
def test_tabs_fit_and_axe_finds_nothing_serious(
    open_run: Callable[..., Any], server: Server, finished: Run, theme: str, width: int
) -> None:
    page = open_run(f"{finished.id}&__theme={theme}", viewport={"width": width, "height": 900})
    found = []
    for tab in TABS:
        go_to(page, tab)
        settled(page)
        excess = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert excess <= 0, (tab, excess)
        if AXE.is_file():
            found += [(tab, *fault) for fault in faults(page)]
    assert not found, found
    # The strip is what says that a run is alive: it must not scroll away.
    go_to(page, "Compare")
    settled(page)
    page.mouse.wheel(0, 1500)
    page.wait_for_function("window.scrollY > 300")
    box = page.locator("#strip").bounding_box()
    assert box is not None and 0 <= box["y"] < 80
    if not AXE.is_file():
        pytest.skip("npm install --prefix build/axe axe-core")


def faults(page: Any) -> list[tuple[str, str]]:
    """Serious ones of what is in sight: (rule, markup)."""
    page.add_script_tag(path=AXE)
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (fault["id"], node["html"][:160])
        for fault in result["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


@pytest.mark.skipif(not AXE.is_file(), reason="npm install --prefix build/axe axe-core")
def test_axe_finds_nothing_serious_in_a_run_that_trains(
    open_run: Callable[..., Any], server: Server
) -> None:
    run = fake_run.distil(fake_run.synthesize(fake_run.draft(server.runs)), upto=70)
    page = open_run(run.id)
    expect(page.locator("#live-rows [data-testid='cell-0-0']")).to_be_visible()
    settled(page)
    assert not faults(page)


def test_nothing_scrolls_over_the_strip(open_run: Callable[..., Any], finished: Run) -> None:
    """The names of text fields were drawn over it."""
    page = open_run(finished.id, viewport={"width": 1280, "height": 500})
    go_to(page, "Review")
    expect(page.locator("#page-sentence")).to_contain_text("of 480")
    label = page.locator("#review-input [data-testid=block-info]")
    expect(label).to_be_visible()
    settled(page)
    # At once: a wheel scrolls for a while, and the box would be where it was on the way.
    up = "it => window.scrollBy({top: it.getBoundingClientRect().top - 40, behavior: 'instant'})"
    label.evaluate(up)
    box = label.bounding_box()
    assert 0 < box["y"] < 70
    there = "([x, y]) => document.elementFromPoint(x, y).closest('#status') !== null"
    assert page.evaluate(there, [box["x"] + 5, box["y"] + 5])


def test_a_long_choice_ends_before_the_arrow(open_run: Callable[..., Any]) -> None:
    """A base's licence ran under it."""
    page = open_run()
    expect(page.locator("#target-base input")).to_have_value(re.compile("Gemma Terms"))
    ends = page.locator("#target-base input").evaluate(
        "box => box.getBoundingClientRect().right - parseFloat(getComputedStyle(box).paddingRight)"
    )
    arrow = page.locator("#target-base .dropdown-arrow").bounding_box()
    assert ends <= arrow["x"]
