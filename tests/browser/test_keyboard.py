"""The whole way without a mouse: every control is reached by Tab and worked by its keys."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.driving import SETTINGS, Server, open_part, phase, run_in_address
from tests.browser.test_journey import SEEDS
from tests.ui import fake_run

pytestmark = pytest.mark.browser

MOST_TABS = 120
_VISIBLE = """() => {
  const style = getComputedStyle(document.activeElement);
  return [style.outlineStyle, style.boxShadow, style.borderStyle].some((it) => it !== "none");
}"""


def reach(page: Any, target: Locator, backwards: bool = False) -> None:
    """Press Tab until the target has the focus, which must be visible."""
    expect(target).to_be_visible()
    for _ in range(MOST_TABS):
        if target.evaluate("(node) => node === document.activeElement"):
            assert page.evaluate(_VISIBLE), "the focus cannot be seen"
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"{target} cannot be reached by Tab")


def press(page: Any, name: str, key: str = "Enter", role: str = "button") -> None:
    """Reach a button by its name and press it."""
    reach(page, page.get_by_role(role, name=name).locator("visible=true").first)
    page.keyboard.press(key)


def write(page: Any, element: str, text: str) -> None:
    """Reach a text field and replace what is in it."""
    reach(page, page.locator(f"#{element} textarea, #{element} input").first)
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def to_tab(page: Any, tab: str) -> None:
    """Choose a tab."""
    reach(page, page.get_by_role("tab", name=tab, exact=True).first, backwards=True)
    page.keyboard.press("Enter")


def test_keyboard_alone(
    open_run: Callable[..., Any],
    tiny_source: Path,
    tiny_target: Path,
    tiny_adapter: Path,
) -> None:
    page = open_run()
    with page.expect_file_chooser() as chooser:
        press(page, "Adapter: a zip")
    chooser.value.set_files(
        [tiny_adapter / "adapter_config.json", tiny_adapter / "adapter_model.safetensors"]
    )
    expect(page.locator("#adapter-card")).to_contain_text("LoRA ·")
    for element, folder in (("source-base", tiny_source), ("target-base", tiny_target)):
        write(page, element, f"folder:{folder}")
        page.keyboard.press("Enter")
    press(page, "Examples and evaluation rows")
    write(page, "seeds-pasted", SEEDS)
    press(page, "Add these lines")
    expect(page.locator("#seeds-count")).to_contain_text("6 examples")
    run_in_address(page)
    # A teacher of random weights is sure of nothing, which the preset "best" would reject.
    press(page, "Settings")
    reach(page, page.locator("#preset input[value=balanced]"))
    page.keyboard.press("Space")
    expect(page.locator("#preset input:checked")).to_have_value("balanced")
    expect(page.locator("#synthesis-seeds-per-prompt")).to_be_visible()
    write(page, "synthesis-samples", "20")
    reach(page, page.locator("#synthesis-filter input").first)
    page.keyboard.press("Control+a")
    page.keyboard.type("Keep all")
    page.keyboard.press("Enter")
    write(page, "training-epochs", "1")
    reach(page, page.locator("#pause-for-review input"))
    page.keyboard.press("Space")
    expect(page.locator("#plan")).to_contain_text("wait for your review")
    press(page, "Transfer")
    phase(page, "Samples are ready", 180)
    to_tab(page, "Review")
    expect(page.locator("#page-sentence")).to_contain_text("of ")
    page.keyboard.press("j")
    expect(page.locator("#review-input textarea")).not_to_have_value("")
    page.keyboard.press("r")
    press(page, "Undo: rejected")
    to_tab(page, "Transfer")
    press(page, "Train now")
    phase(page, "Finished", 240)
    to_tab(page, "Compare")
    expect(page.locator("#verdict")).to_contain_text("No model gives a right answer")
    write(page, "playground-input", "put 3 coins into box 3")
    press(page, "Ask both")
    expect(page.locator("#playground-target textarea")).not_to_have_value("", timeout=90_000)
    to_tab(page, "Take home")
    with page.expect_download():
        press(page, "Download the adapter")
    to_tab(page, "Runs")
    write(page, "runs-name", "By keyboard alone")
    press(page, "Rename")
    expect(page.locator(".strip-name")).to_have_text("By keyboard alone")


def test_a_field_that_is_only_passed_is_not_saved(
    open_run: Callable[..., Any], server: Server
) -> None:
    run = fake_run.draft(server.runs, "Passed by")
    page = open_run(run.id)
    open_part(page, SETTINGS)
    page.locator("#student-rank input").focus()
    saves: list[str] = []
    page.on(
        "request", lambda asked: saves.append(asked.url) if "/queue/join" in asked.url else None
    )
    for name in ("alpha", "dropout"):
        page.keyboard.press("Tab")
        expect(page.locator(f"#student-{name} input")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("0.25")
    page.keyboard.press("Tab")
    deadline = time.monotonic() + 30
    while run.recipe.student.dropout != 0.25:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    assert len(saves) == 1
