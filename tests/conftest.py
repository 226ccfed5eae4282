"""Fixtures that every room shares: tiny models on disk, built once per session."""

import os
from pathlib import Path

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
