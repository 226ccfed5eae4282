"""T11, T12: text that a model or a stranger wrote stays text, wherever the page shows it."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import Server, field, go_to, settled
from tests.ui import fake_run
from workbench.events import Probe
from workbench.samples import Example

pytestmark = pytest.mark.browser

PAYLOADS = (
    "<img src=x onerror=\"document.title='taken'\">",
    "<svg onload=\"document.title='taken'\">",
    "<iframe srcdoc=\"<script>parent.document.title='taken'</script>\"></iframe>",
    "[a link](javascript:document.title='taken')",
    "![beacon](https://beacon.invalid/pixel.png)",
    "${document.title='taken'} {{constructor.constructor('document.title=1')()}}",
    "<a href=\"javascript:document.title='taken'\">x</a> $x^2$ \\(y\\)",
    "\u202eright to left\u202c <b>bold</b>",
)


def test_hostile_text_stays_text(open_run: Callable[..., Any], server: Server) -> None:
    run = fake_run.draft(server.runs, '<img src=x onerror="1">')
    run.put_examples("seeds", [Example(text, text) for text in PAYLOADS])
    rows = [Example(text, text) for text in PAYLOADS for _ in range(4)]
    run.put_examples("evaluation", rows)
    fake_run.synthesize(run, rounds=1)
    run.samples.add([Example(f"{text} again", text) for text in PAYLOADS], "hand")
    fake_run.distil(run)
    run.journal.append(*(Probe(120, text, text, text) for text in PAYLOADS))
    fake_run.export(fake_run.compare(run, labels=PAYLOADS))
    page = open_run(run.id)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
    title = page.title()
    for tab in ("Write", "Review", "Train", "Compare", "Take home", "Runs", "Transfer"):
        go_to(page, tab)
        settled(page)
        if tab == "Review":
            field(page, "review-search").fill("again")
            expect(page.locator("#page-sentence")).to_contain_text("of 8")
            page.locator("#review-table [data-testid='cell-0-1']").click()
            expect(field(page, "review-input")).not_to_have_value("")
        assert page.title() == title
        for injected in ("img[src=x]", "svg[onload]", "iframe", "a[href^=javascript]"):
            assert page.locator(f"#journey {injected}").count() == 0, (tab, injected)
    assert not [url for url in asked if "beacon" in url or url.startswith("dialog")]
    expect(page.locator(".strip-name")).to_have_text('<img src=x onerror="1">')
