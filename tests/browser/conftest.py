"""One server for all journeys that do not end it; the Chromium is that of all rooms."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.driving import Server, open_page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A journey is tried again when a busy machine was too slow; a real fault fails again."""
    for item in items:
        if item.get_closest_marker("browser") and not (
            item.get_closest_marker("journey") or item.get_closest_marker("flaky")
        ):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app over an empty folder of runs, shared by all tests that leave it running."""
    served = Server(tmp_path_factory.mktemp("served") / "runs")
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    served = Server(tmp_path_factory.mktemp("own") / "runs")
    yield served
    served.stop()


@pytest.fixture
def own_server(_own: Server) -> Server:
    """A server for tests that stop it or want their own runs, one for each file of them."""
    if _own.process is None or _own.process.poll() is not None:
        _own.start()
    return _own


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
