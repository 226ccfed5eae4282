"""axe-core finds nothing serious on any tab, light and dark, wide and narrow."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import TABS, Server, drawn, go_to
from tests.ui import fake_run

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
AXE = Path(
    os.environ.get("AXE_CORE", ROOT / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js")
)
SERIOUS = ("serious", "critical")


@pytest.mark.skipif(not AXE.is_file(), reason="npm install --prefix build/axe axe-core")
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 375)])
def test_axe_finds_nothing_serious(
    open_run: Callable[..., Any], server: Server, theme: str, width: int
) -> None:
    run = fake_run.finished(server.runs)
    page = open_run(run.id, viewport={"width": width, "height": 900})
    page.goto(f"{server.address}?run={run.id}&__theme={theme}")
    drawn(page)
    found = []
    for tab in TABS:
        go_to(page, tab)
        page.wait_for_timeout(2000)
        # Until the charts' program has been read, Gradio shows a placeholder.
        expect(page.locator("[aria-label='Empty value']:visible")).to_have_count(0, timeout=30_000)
        page.add_script_tag(path=AXE)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found += [
            (tab, fault["id"], node["html"][:160])
            for fault in result["violations"]
            if fault["impact"] in SERIOUS
            for node in fault["nodes"]
        ]
    assert not found, found


@pytest.mark.parametrize("width", [1280, 375])
def test_nothing_is_wider_than_the_screen(
    open_run: Callable[..., Any], server: Server, width: int
) -> None:
    run = fake_run.finished(server.runs)
    page = open_run(run.id, viewport={"width": width, "height": 900})
    for tab in TABS:
        go_to(page, tab)
        page.wait_for_timeout(1200)
        excess = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert excess <= 0, (tab, excess)


def test_strip_stays_in_sight(open_run: Callable[..., Any], server: Server) -> None:
    """The strip is what says that a run is alive: it must not scroll away."""
    page = open_run(fake_run.finished(server.runs).id)
    go_to(page, "Compare")
    page.wait_for_timeout(1500)
    page.mouse.wheel(0, 1500)
    page.wait_for_timeout(500)
    assert page.evaluate("window.scrollY") > 300
    box = page.locator("#strip").bounding_box()
    assert box is not None and 0 <= box["y"] < 80


def test_nothing_scrolls_over_the_strip(open_run: Callable[..., Any], server: Server) -> None:
    """The names of text fields were drawn over it."""
    page = open_run(fake_run.finished(server.runs).id, viewport={"width": 1280, "height": 500})
    go_to(page, "Review")
    expect(page.locator("#page-sentence")).to_contain_text("of 480")
    label = page.locator("#review-input [data-testid=block-info]")
    expect(label).to_be_visible()
    page.mouse.wheel(0, label.bounding_box()["y"] - 40)
    page.wait_for_timeout(500)
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
