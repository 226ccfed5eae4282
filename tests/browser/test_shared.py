"""A server that strangers share: the browser's own token goes along with whatever makes a run."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import Server, open_page, run_in_address, toast
from workbench.limits import LIMITS
from workbench.recipe import TransferRecipe
from workbench.runs import owners
from workbench.runs.folder import create, find_run

pytestmark = pytest.mark.browser


def test_a_browser_has_so_many_drafts(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    server = Server(tmp_path / "runs")
    server.start()
    page: Any = open_page(browser, server.address)
    try:
        token = page.evaluate("window.workbench_owner()")
        drafts = [create(server.runs, TransferRecipe()) for _ in range(LIMITS.drafts)]
        for draft in drafts:
            owners.claim(draft, token)
        page.locator("#load-example").click()
        toast(page, "were never started")
        drafts[0].delete()
        page.locator("#load-example").click()
        expect(page.locator("#seeds-count")).to_contain_text("15 examples")
        made = find_run(server.runs, run_in_address(page))
        assert owners.owns(token, made.recall(owners.OWNER, ""))
        assert not page.problems
    finally:
        page.context.close()
        server.stop()
