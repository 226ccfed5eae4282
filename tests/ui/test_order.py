"""What a person does before the server has answered what they did before."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.ui import fake_run
from workbench.errors import RunError
from workbench.ui import runs_tab, waiting_line
from workbench.ui.page import build_page
from workbench.ui.sections import staying
from workbench.ui.waiting_line import WORK, Line, in_order


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    """All events of the page that the server answers, as the browser gets them."""
    page = build_page().get_config_file()
    kinds = {part["id"]: part["type"] for part in page["components"]}
    return [
        event | {"by": {(kinds.get(target), name) for target, name in event["targets"]}}
        for event in page["dependencies"]
        if event["backend_fn"]
    ]


def test_the_last_of_several_values_is_the_one_that_counts(events: list[dict[str, Any]]) -> None:
    """Gradio drops what comes while the former event is not answered, unless it is told."""
    values = {"input", "change", "blur", "submit", "release"}
    given = [event for event in events if values & {name for _, name in event["by"]}]
    dropping = [event["api_name"] for event in given if event["trigger_mode"] == "once"]
    assert len(given) > 30 and dropping == ["take_hub_1"]  # Enter twice asks the Hub once


def test_buttons_wait_for_what_was_done_before(events: list[dict[str, Any]]) -> None:
    js = {event["api_name"]: str(event["js"]) for event in events}
    for name in ("save", "save_4", "take_seed_table", "take_preset", "_set_margin", "choose",
                 "accept", "step_on", "save_5", "_choose", "_open", "_delete"):  # fmt: skip
        assert "workbench_begun" in js[name], name


def test_a_row_of_a_list_that_has_changed_is_not_taken_for_another(runs: Path) -> None:
    """Nor does it help to tell nonsense of the row."""
    first, second = fake_run.draft(runs, "First"), fake_run.draft(runs, "▸ Second")

    def click(place: int, row: Any) -> Any:
        event = gr.SelectData(None, {"index": [place, 0], "value": "", "row_value": row})
        return runs_tab._choose([first.id, second.id], event)

    for row in (None, [], [1], "x", {"a": 1}, ["First"], ["▸ First", "Draft"]):
        assert click(0, row) == (first.id, "First")
    assert click(1, ["▸ Second"]) == (second.id, "▸ Second")
    with pytest.raises(RunError, match="had changed"):
        click(1, ["First"])


@pytest.mark.parametrize("ordered", [True, False])
def test_of_one_browser_the_second_is_begun_when_the_first_is_answered(ordered: bool) -> None:
    """The answer to Save came after the one to the click on the next row, and put it back."""
    begun, may_end = [], threading.Event()

    def slow() -> None:
        begun.append("slow")
        may_end.wait(20)

    def quick() -> None:
        begun.append("quick")

    async def play() -> None:
        line = Line(WORK)
        asked = [
            asyncio.create_task(waiting_line._waiting(in_order(it) if ordered else it, line)())
            for it in (slow, quick)
        ]
        deadline = time.monotonic() + 20
        while len(begun) < (1 if ordered else 2) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0)
        assert begun == (["slow"] if ordered else ["slow", "quick"])
        may_end.set()
        await asyncio.gather(*asked)
        assert begun == ["slow", "quick"]

    with ThreadPoolExecutor(1) as pool:  # a browser test beside it may have a loop in this thread
        pool.submit(asyncio.run, play()).result()


def test_an_answer_takes_nobody_back_to_the_run_it_is_about() -> None:
    """Who opened another run while a value was saved was taken back by the answer."""
    unchanged = gr.skip()
    assert staying(lambda run: run)("one") == unchanged
    assert staying(lambda run, text: (run, text))("one", "said") == (unchanged, "said")
    assert staying(lambda run: "new")("") == "new"
