"""One server and one Chromium for all journeys that do not end either of them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driving import CHROMIUM, Server, open_page

playwright_api = pytest.importorskip("playwright.sync_api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A journey is tried again when a busy machine was too slow; a real fault fails again."""
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("journey"):
            item.add_marker(pytest.mark.flaky(reruns=2))


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless."""
    path = _chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app over an empty folder of runs, shared by all tests that leave it running."""
    served = Server(tmp_path_factory.mktemp("served") / "runs")
    served.start()
    yield served
    served.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server for a test that stops it or wants its own runs."""
    served = Server(tmp_path / "runs")
    served.start()
    yield served
    served.stop()


@pytest.fixture
def open_run(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end no page may have written an error to its console."""
    pages: list[Any] = []

    def opening(run: str = "", **context: Any) -> Any:
        pages.append(open_page(browser, server.address, run, **context))
        return pages[-1]

    yield opening
    problems = [problem for page in pages for problem in page.problems]
    for page in pages:
        page.context.close()
    assert not problems, problems
    assert "unexpected error" not in server.log(), server.log()[-4000:]
