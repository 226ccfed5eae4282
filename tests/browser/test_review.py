"""Review with a filled run: decisions, edits, keys, undo across reloads, two tabs, files."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from playwright.sync_api import expect

from tests.browser.driving import (
    ACTIONS,
    ROWS,
    Server,
    answer_late,
    choose,
    drawn,
    field,
    go_to,
    toast,
)
from tests.ui import fake_run
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED

pytestmark = pytest.mark.browser


@pytest.fixture
def run(server: Server) -> Run:
    """A run that waits for review."""
    return fake_run.synthesize(fake_run.draft(server.runs))


def review(open_run: Callable[..., Any], run: Run) -> Any:
    """A page on the Review tab with its first page shown."""
    page = open_run(run.id)
    go_to(page, "Review")
    expect(page.locator("#page-sentence")).to_contain_text("of 480")
    return page


def click_row(page: Any, row: int) -> None:
    """Choose a sample in the table."""
    page.locator(f"#review-table [data-testid='cell-{row}-1']").click()
    expect(field(page, "review-input")).not_to_have_value("")


def chosen(page: Any, former: str = "") -> str:
    """Id of the sample in the editor, as soon as it is another one than the former."""
    box = field(page, "review-chosen")
    expect(box).not_to_have_value(re.compile(f"^({former})?$"))
    return box.input_value()


def test_a_decision_is_kept_and_the_next_sample_comes(
    open_run: Callable[..., Any], run: Run
) -> None:
    page = review(open_run, run)
    kept = run.samples.status_counts()[KEPT]
    choose(page, "review-status", "Kept")
    expect(page.locator("#page-sentence")).to_contain_text(f"of {kept}")
    click_row(page, 0)
    first = chosen(page)
    page.get_by_role("button", name="✕ Reject").click()
    expect(page.locator("#page-sentence")).to_contain_text(f"of {kept - 1}")
    sample = run.samples.get(first)
    assert sample is not None and (sample.status, sample.decided_by) == (REJECTED, "person")
    assert chosen(page, first) != first


def test_a_decision_waits_for_the_row_that_was_clicked(
    open_run: Callable[..., Any], run: Run
) -> None:
    page = review(open_run, run)
    click_row(page, 0)
    first = chosen(page)
    answer_late(page, ROWS)
    clicked = page.locator("#review-table [data-testid='cell-3-1']")
    text = clicked.inner_text().strip()
    clicked.click()
    page.keyboard.press("r")
    expect(page.locator("#review-undo")).to_have_text("Undo: rejected")
    decided = [sample for sample in run.samples.all() if sample.decided_by == "person"]
    assert [sample.input for sample in decided] == [text] and decided[0].id != first


def test_decisions_made_before_the_answer_are_about_one_sample_each(
    open_run: Callable[..., Any], run: Run
) -> None:
    """On a slow server the second key was lost, and the third decided on the first sample."""
    page = review(open_run, run)
    click_row(page, 0)
    cells = [page.locator(f"#review-table [data-testid='cell-{at}-1']") for at in range(4)]
    texts = [cell.inner_text().strip() for cell in cells]
    field(page, "review-input").fill("an input of my own")
    field(page, "review-input").press("Escape")
    answer_late(page, ACTIONS, 700)
    for key in "aarj":
        page.keyboard.press(key)
    expect(field(page, "review-input")).not_to_have_value(texts[3])  # it has gone past it
    expect(page.locator("button[aria-busy]")).to_have_count(0)
    decided = {
        sample.input: sample for sample in run.samples.all() if sample.decided_by == "person"
    }
    assert {text: sample.status for text, sample in decided.items()} == {
        "an input of my own": KEPT, texts[1]: KEPT, texts[2]: REJECTED,
    }  # fmt: skip


def test_keys_alone(open_run: Callable[..., Any], run: Run) -> None:
    page = review(open_run, run)
    page.keyboard.press("j")
    first = chosen(page)
    page.keyboard.press("j")
    second = chosen(page, first)
    page.keyboard.press("k")
    expect(field(page, "review-chosen")).to_have_value(first)
    page.keyboard.press("r")
    expect(field(page, "review-chosen")).to_have_value(second)
    page.keyboard.press("a")
    expect(field(page, "review-chosen")).not_to_have_value(second)
    assert run.samples.get(first).status == REJECTED  # type: ignore[union-attr]
    assert run.samples.get(second).status == KEPT  # type: ignore[union-attr]
    expect(page.locator("#review-undo")).to_be_enabled()
    page.keyboard.press("u")
    toast(page, "Undone")
    page.keyboard.press("e")
    expect(field(page, "review-input")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(" jarkeu")  # keys are text in a field
    expect(field(page, "review-input")).to_have_value(re.compile(" jarkeu$"))
    page.keyboard.press("Escape")
    expect(field(page, "review-input")).not_to_be_focused()


def test_an_edit_is_stored_and_undone_after_a_reload(
    open_run: Callable[..., Any], run: Run
) -> None:
    page = review(open_run, run)
    click_row(page, 0)
    sample = chosen(page)
    before = run.samples.get(sample)
    field(page, "review-input").fill("an input of my own")
    page.get_by_role("button", name="Save edit").click()
    toast(page, "scored and labelled again")
    after = run.samples.get(sample)
    assert before is not None and after is not None
    assert after.input == "an input of my own" and after.edited
    assert after.discriminator_score is None
    page.reload()
    drawn(page)
    go_to(page, "Review")
    page.get_by_role("button", name="Undo: edit").click()
    toast(page, "Undone: edit")
    assert run.samples.get(sample).input == before.input  # type: ignore[union-attr]
    expect(page.get_by_role("button", name="Redo: edit")).to_be_enabled()


def test_two_tabs_on_one_sample_get_a_sentence(open_run: Callable[..., Any], run: Run) -> None:
    one, other = review(open_run, run), review(open_run, run)
    click_row(one, 0)
    click_row(other, 0)
    assert chosen(one) == chosen(other)
    field(one, "review-input").fill("the first tab was here")
    one.get_by_role("button", name="Save edit").click()
    toast(one, "scored and labelled again")
    field(other, "review-input").fill("the second tab as well")
    other.get_by_role("button", name="Save edit").click()
    toast(other, "changed meanwhile")
    expect(field(other, "review-input")).to_have_value("the second tab as well")
    assert run.samples.get(chosen(one)).input == "the first tab was here"  # type: ignore[union-attr]


def test_bulk_says_how_many_and_can_be_undone(open_run: Callable[..., Any], run: Run) -> None:
    page = review(open_run, run)
    field(page, "review-search").fill("card")
    button = page.locator("#bulk-reject")
    expect(button).to_have_text(re.compile(r"Reject all (?!480)\d+\s*$"))
    count = int(button.inner_text().split()[-1])
    kept = run.samples.status_counts()[KEPT]
    button.click()
    toast(page, f"{count} samples rejected")
    assert run.samples.status_counts()[KEPT] < kept
    page.get_by_role("button", name="Undo").click()
    toast(page, "Undone")
    assert run.samples.status_counts()[KEPT] == kept


def test_written_by_hand(open_run: Callable[..., Any], run: Run) -> None:
    page = review(open_run, run)
    page.get_by_role("button", name="Write one by hand").click()
    expect(field(page, "review-input")).to_be_focused()
    field(page, "review-input").fill("please close my account")
    page.get_by_role("button", name="Save edit").click()
    toast(page, "Added as a kept sample")
    expect(page.locator("#page-sentence")).to_contain_text("of 481")
    expect(page.locator("#review-work")).to_contain_text("1 waiting sample")


def test_pages_turn(open_run: Callable[..., Any], run: Run) -> None:
    page = review(open_run, run)
    page.get_by_role("button", name="Page ›").click()
    expect(page.locator("#page-sentence")).to_contain_text("51–100 of 480")
    field(page, "page-number").fill("10")
    field(page, "page-number").press("Enter")
    expect(page.locator("#page-sentence")).to_contain_text("451–480 of 480")


def test_rows_go_out_and_come_in(open_run: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    run.samples.add([fake_run.Example("=HYPERLINK(1)", "trap")], "hand")
    page = open_run(run.id)
    go_to(page, "Review")
    field(page, "review-search").fill("HYPERLINK")
    expect(page.locator("#page-sentence")).to_contain_text("of 1")
    page.get_by_role("button", name="Import and export").click()
    for form in ("JSONL", "CSV", "Parquet"):
        choose(page, "review-format", form)
        page.get_by_role("button", name="Make the file").click()
        link = page.locator(f"#review-file a[href*='.{form.lower()}']").first
        with page.expect_download() as download:
            link.click()
        path = download.value.path()
        if form == "CSV":
            with path.open(encoding="utf-8-sig") as lines:
                assert next(iter(csv.DictReader(lines)))["input"] == "'=HYPERLINK(1)"
        elif form == "Parquet":
            assert pyarrow.parquet.read_table(path)["input"].to_pylist() == ["=HYPERLINK(1)"]
        else:
            assert json.loads(path.read_text())["input"] == "=HYPERLINK(1)"
    more = tmp_path / "more.parquet"
    row = {"input": ["close it please"], "output": ["close"]}
    pyarrow.parquet.write_table(pyarrow.table(row), more)
    table = tmp_path / "more.csv"
    table.write_text("input,output\nclose it now,close\n")
    for file in (more, table):
        page.locator("#review-import input[type=file]").set_input_files(file)
        toast(page, "1 sample added")
