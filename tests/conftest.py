"""Fixtures that every room shares: tiny models on disk, built once per session."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


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
