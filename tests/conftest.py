"""Fixtures that every room shares: tiny models on disk, built once per session."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import locks

locks.begin()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores: one thread each
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

# The same examples every time, however long they take: what fails once fails always.
settings.register_profile(
    "certain",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("certain")

# Tests of one group follow each other in one process, where others run beside it: a browser and
# its server are started once, real models are in memory once, and what is timed or killed does
# not meet its like.
GROUPS = {"browser": "browser", "ui": "page", "real": "real", "jobs": "processes",
          "reliability": "processes"}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay together."""
    for item in items:
        room = item.path.parent.name
        group = "browser" if item.get_closest_marker("browser") else GROUPS.get(room)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: the collector need not look through them."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _locks_are_kept() -> Iterator[None]:
    """Whatever a test does: no file of a database is opened by hand (see tests/locks.py)."""
    yield
    found = locks.opened[:]
    locks.opened.clear()
    assert not found


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Llama with a chat template."""
    from tests import tiny  # noqa: PLC0415  rooms without torch must not pay for its import

    return tiny.write_source(tmp_path_factory.mktemp("models") / "tiny-source")


@pytest.fixture(scope="session")
def tiny_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Gemma 3 without a chat template, other tokenizer."""
    from tests import tiny  # noqa: PLC0415

    return tiny.write_target(tmp_path_factory.mktemp("models") / "tiny-target")


@pytest.fixture(scope="session")
def tiny_adapter(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> Path:
    """Folder of a random LoRA adapter for the tiny source; see ``tiny.lora_settings``."""
    from tests import tiny  # noqa: PLC0415

    return tiny.write_adapter(tmp_path_factory.mktemp("adapters") / "tiny-adapter", tiny_source)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless; Playwright's synchronous side runs only once per process."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    from tests.browser.driving import CHROMIUM  # noqa: PLC0415

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM))
        yield chromium
        chromium.close()
