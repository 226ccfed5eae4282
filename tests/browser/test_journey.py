"""The whole way by mouse with tiny models and the real worker: files in, adapter out."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import (
    EXAMPLES,
    SETTINGS,
    choose,
    field,
    go_to,
    open_part,
    phase,
    run_in_address,
    type_choice,
)

pytestmark = pytest.mark.browser

SEEDS = "\n".join(f"please move {n} coins to box {n * 7} => box{n % 3}" for n in range(1, 7))


def rows_file(folder: Path) -> Path:
    """Evaluation rows with answers."""
    path = folder / "evaluation.jsonl"
    rows = [{"input": f"put {n} coins into box {n}", "output": f"box{n % 3}"} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fill_in(page: Any, adapter: Path, source: Path, target: Path, evaluation: Path) -> None:
    """Everything that a transfer may need."""
    page.locator("#adapter-files input[type=file]").set_input_files(
        [adapter / "adapter_config.json", adapter / "adapter_model.safetensors"]
    )
    expect(page.locator("#adapter-card")).to_contain_text("LoRA ·")
    type_choice(page, "source-base", f"folder:{source}")
    type_choice(page, "target-base", f"folder:{target}")
    open_part(page, EXAMPLES)
    field(page, "seeds-pasted").fill(SEEDS)
    page.get_by_role("button", name="Add these lines").click()
    expect(page.locator("#seeds-count")).to_contain_text("6 examples")
    page.locator("#evaluation-file input[type=file]").set_input_files(evaluation)
    expect(page.locator("#seeds-count")).to_contain_text("12 evaluation rows")


def test_files_become_an_adapter(
    open_run: Callable[..., Any],
    tmp_path: Path,
    tiny_source: Path,
    tiny_target: Path,
    tiny_adapter: Path,
) -> None:
    page = open_run()
    expect(page.get_by_role("button", name="Add an adapter first")).to_be_disabled()
    fill_in(page, tiny_adapter, tiny_source, tiny_target, rows_file(tmp_path))
    run_in_address(page)

    open_part(page, SETTINGS)
    # A teacher of random weights is sure of nothing, which the preset "best" would reject.
    page.locator("#preset").get_by_label("Balanced").check()
    expect(page.locator("#synthesis-seeds-per-prompt")).to_be_visible()  # it has been taken
    choose(page, "synthesis-filter", "Keep all")
    for name, value in (
        ("synthesis-samples", "20"), ("synthesis-new-tokens", "24"), ("training-epochs", "2"),
        ("evaluation-answer-tokens", "8"), ("student-rank", "4"),
    ):  # fmt: skip
        field(page, name).fill(value)
        field(page, name).press("Tab")
    expect(page.locator("#plan")).to_contain_text("Write about 20 inputs")
    page.get_by_role("button", name="Transfer", exact=True).click()
    expect(page.locator("#live-rows")).to_be_visible(timeout=120_000)
    phase(page, "Finished", 180)
    # Nobody is moved to another tab, and the button that is left leads on.
    expect(page.locator("#transfer-verdict")).to_contain_text("12 rows")
    expect(page.locator("#transfer-bars")).to_contain_text("Target + new adapter")

    go_to(page, "Write")
    expect(page.locator("#newest-samples")).to_contain_text("kept")
    go_to(page, "Train")
    expect(page.locator("#train-tiles")).to_contain_text("Training loss")
    expect(page.locator("#loss-curve svg, #loss-curve canvas").first).to_be_visible()
    expect(page.locator("#probes")).to_contain_text("put")

    go_to(page, "Compare")
    expect(page.locator("#verdict")).to_contain_text("12 rows")
    expect(page.locator("#arms-bars")).to_contain_text("Target + new adapter")
    field(page, "playground-input").fill("put 3 coins into box 3")
    page.get_by_role("button", name="Ask both").click()
    expect(field(page, "playground-target")).not_to_have_value("", timeout=90_000)

    go_to(page, "Take home")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the adapter").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= names
