"""A server that strangers share: the browser's own token goes along with whatever makes a run."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import (
    SETTINGS,
    Server,
    drawn,
    field,
    go_to,
    open_page,
    open_part,
    run_in_address,
    settled,
    toast,
    visit,
)
from workbench.limits import LIMITS
from workbench.recipe import TransferRecipe
from workbench.runs import owners
from workbench.runs.folder import create, find_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that says of itself that strangers share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_SHARED", "1")
        server = Server(tmp_path_factory.mktemp("shared") / "runs")
        server.start()
    yield server
    server.stop()


def test_a_browser_has_so_many_drafts(
    browser: Any, shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    page: Any = open_page(browser, shared.address)
    try:
        token = page.evaluate("window.workbench_owner()")
        drafts = [create(shared.runs, TransferRecipe()) for _ in range(LIMITS.drafts)]
        for draft in drafts:
            owners.claim(draft, token)
        page.locator("#load-example").click()
        toast(page, "were never started")
        drafts[0].delete()
        page.locator("#load-example").click()
        expect(page.locator("#seeds-count")).to_contain_text("15 examples")
        made = find_run(shared.runs, run_in_address(page))
        assert owners.owns(token, made.recall(owners.OWNER, ""))
        assert not page.problems
    finally:
        page.context.close()


def test_visitors_of_a_shared_server_see_their_own_runs(browser: Any, shared: Server) -> None:
    anna, bert = (open_page(browser, shared.address) for _ in range(2))
    anna.locator("#load-example").click()
    open_part(anna, SETTINGS)
    # The example brings a name: what is typed before it has come would be mixed with it.
    expect(field(anna, "task-name")).to_have_value("requests to a voice assistant")
    expect(anna.locator(".strip-name")).to_have_text("requests to a voice assistant")
    settled(anna)
    field(anna, "task-name").fill("Anna's requests")
    field(anna, "task-name").press("Tab")
    expect(anna.locator(".strip-name")).to_have_text("Anna's requests")
    run = run_in_address(anna)
    visit(bert, shared.address, run)  # Anna has sent the address
    expect(bert.locator(".strip-message")).to_contain_text("There is no such run")
    anna.reload()
    drawn(anna)
    for page in (anna, bert):
        go_to(page, "Runs")
        expect(page.locator("#tab-runs")).to_contain_text("Those that this browser began")
    expect(anna.locator("#runs-table")).to_contain_text("Anna's requests")
    expect(bert.locator("#runs-table")).to_be_visible()
    bert.wait_for_timeout(2000)
    expect(bert.locator("#runs-table")).not_to_contain_text("Anna's requests")
    for page in (anna, bert):
        assert not page.problems
        page.context.close()
