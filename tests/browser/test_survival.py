"""What outlives what: reloads, a restarted server, a killed worker, a stop with each choice.

With tiny models and the real worker. Users of such tools complain first about lost progress, then
about "running" that is not true, then about stops without a choice; these are those stories.
"""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import (
    EXAMPLES,
    SETTINGS,
    Server,
    drawn,
    field,
    go_to,
    open_page,
    open_part,
    phase,
    visit,
)
from tests.ui import fake_run
from workbench import jobs
from workbench.events import Metric, StageStarted
from workbench.intake.adapter import read_adapter
from workbench.recipe import TransferRecipe, override, with_preset
from workbench.runs import lease
from workbench.runs.folder import Run, create
from workbench.samples import Example
from workbench.stages import Stage

pytestmark = pytest.mark.browser

SMALL = {
    "task_name": "coins",
    "synthesis.samples": 12,
    "synthesis.filter": "none",
    "synthesis.prompts_per_round": 8,
    "synthesis.new_tokens": 24,
    "evaluation.answer_tokens": 12,
    "training.epochs": 3,
    "training.batch_rows": 4,
    "training.checkpoint_steps": 10,
    "student.rank": 4,
}
ENDLESS = {"synthesis.samples": 4000, "synthesis.max_rounds": 4000}
LONG_TRAINING = {"training.epochs": 100, "training.batch_rows": 1}


@pytest.fixture
def make_draft(tiny_source: Path, tiny_target: Path, tiny_adapter: Path) -> Callable[..., Run]:
    """A draft with everything that a transfer needs."""

    def make(root: Path, **changes: object) -> Run:
        bases = {"source_base": f"folder:{tiny_source}", "target_base": f"folder:{tiny_target}"}
        run = create(
            root, override(with_preset(TransferRecipe(), "balanced"), {**SMALL, **bases, **changes})
        )
        run.put_adapter(read_adapter(tiny_adapter, root.parent))
        run.put_examples(
            "seeds", [Example(f"please move {n} coins to box {n}", f"box{n}") for n in range(6)]
        )
        run.put_examples("evaluation", [Example(f"put {n} coins", f"box{n}") for n in range(8)])
        return run

    return make


def samples_there(run: Run, more_than: int = 0, seconds: float = 120) -> int:
    """Wait until a run has more samples than that."""
    deadline = time.monotonic() + seconds
    while (count := run.samples.count()) <= more_than:
        assert time.monotonic() < deadline, jobs.state(run)
        time.sleep(0.2)
    return count


def steps_there(run: Run, seconds: float = 180) -> None:
    """Wait until a training has made a step."""
    deadline = time.monotonic() + seconds
    while "steps" not in jobs.state(run).unit or jobs.state(run).done < 1:
        assert time.monotonic() < deadline, jobs.state(run)
        time.sleep(0.2)


def test_draft_outlives_reload_and_restart(browser: Any, own_server: Server) -> None:
    page = open_page(browser, own_server.address)
    open_part(page, EXAMPLES)
    field(page, "seeds-pasted").fill("how much is left\nsend it to my sister\nblock my card")
    page.get_by_role("button", name="Add these lines").click()
    expect(page.locator("#seeds-count")).to_contain_text("3 examples")
    page.reload()
    drawn(page)
    expect(page.locator("#seeds-count")).to_contain_text("3 examples")
    address = page.url
    own_server.stop()
    own_server.start()
    page.goto(address)
    drawn(page)
    expect(page.locator("#seeds-count")).to_contain_text("3 examples")
    open_part(page, EXAMPLES)
    expect(page.locator("#seeds")).to_contain_text("block my card")
    page.context.close()


LATE_ANSWERS = """() => {
  const asks = window.fetch;
  window.fetch = async (url, options) => {
    const answer = await asks(url, options);
    if (String(url).endsWith("/run/predict")) {
      const asked = JSON.parse(options.body).data;
      const late = asked.length === 0 ? 2500 : asked[0] === "" ? 3500 : 0;
      await new Promise((done) => setTimeout(done, late));
    }
    return answer;
  };
  window.names = [];
  new MutationObserver(() => {
    const name = document.querySelector(".strip-name")?.textContent;
    if (name && name !== window.names.at(-1)) window.names.push(name);
  }).observe(document, { childList: true, subtree: true, characterData: true });
}"""


def test_an_overtaken_answer_does_not_hide_the_run(browser: Any, server: Server) -> None:
    """What a page asked before it knew its run was answered last: "No run open" for 2 seconds."""
    run = fake_run.draft(server.runs, "Late answers")
    context = browser.new_context()
    context.add_init_script(f"({LATE_ANSWERS})()")
    page = context.new_page()
    visit(page, server.address, run.id)
    page.wait_for_timeout(7000)  # the last answer of before comes after 5.5 s
    assert page.evaluate("window.names") == ["Late answers"]
    context.close()


def test_what_is_typed_while_another_page_saves_stays(
    open_run: Callable[..., Any], server: Server
) -> None:
    """A form that is drawn once more left nothing of a name that was being typed."""
    run = fake_run.draft(server.runs, "While typing")
    page = open_run(run.id)
    open_part(page, SETTINGS)
    name = field(page, "task-name")
    name.click()
    name.fill("")
    name.press_sequentially("My requests", delay=120)
    run.change_recipe({"seed": 7})
    page.wait_for_timeout(2500)
    expect(name).to_have_value("My requests")
    name.press("Tab")
    expect(page.locator(".strip-name")).to_have_text("My requests")
    expect(field(page, "seed")).to_have_value("7")


def test_run_outlives_browser_server_stop_and_kill(
    browser: Any, own_server: Server, make_draft: Callable[..., Run]
) -> None:
    run = make_draft(own_server.runs, **ENDLESS)
    page = open_page(browser, own_server.address, run.id)
    start_transfer(page)
    phase(page, "Write", 120)
    before = samples_there(run)
    page.context.close()
    own_server.stop()
    later = samples_there(run, before)
    own_server.start()
    page = open_page(browser, own_server.address, run.id)
    phase(page, "Write")
    assert run.samples.count() >= later
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Keep running").click()
    expect(page.locator("#stop-choices")).to_be_hidden()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop, continue later").click()
    phase(page, "Stopped", 90)
    kept = run.samples.count()
    page.get_by_role("button", name="Continue", exact=True).click()
    phase(page, "Write", 90)
    count = samples_there(run, kept)
    holder = lease.holder(run.folder)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    phase(page, "Interrupted", 60)
    expect(page.locator(".strip-message")).to_contain_text("Nothing that was done is lost")
    page.get_by_role("button", name="Continue", exact=True).click()
    phase(page, "Write", 90)
    samples_there(run, count)
    jobs.stop(run, "pause")
    assert not page.problems
    page.context.close()


def start_transfer(page: Any) -> None:
    """Press the one button."""
    page.get_by_role("button", name="Transfer", exact=True).click()


def training_is_shown(page: Any, least_step: int) -> int:
    """Settings, curve and log of a training are on the page; returns the step that it shows."""
    go_to(page, "Transfer")
    expect(page.locator("#live-curve svg, #live-curve canvas").first).to_be_visible()
    expect(page.locator("#settings")).to_be_hidden()
    go_to(page, "Train")
    expect(page.locator("#train-tiles")).to_contain_text("nats per answer token")
    expect(page.locator("#loss-curve svg, #loss-curve canvas").first).to_be_visible()
    page.locator("#tab-train button.label-wrap", has_text="Log").click()
    expect(field(page, "run-log")).to_have_value(re.compile("Train begins"))
    text = page.locator("#train-tiles .tile", has_text="Step").locator("dd").inner_text()
    step = int(text.split("of")[0].replace(",", ""))
    assert step >= least_step
    return step


def test_training_outlives_reload_restart_and_kill(
    browser: Any, own_server: Server, make_draft: Callable[..., Run]
) -> None:
    run = make_draft(own_server.runs, **LONG_TRAINING, **{"synthesis.samples": 200})
    run.put_examples("unlabelled", [Example(f"count {n} coins in box {n}") for n in range(200)])
    page: Any = open_page(browser, own_server.address, run.id)
    start_transfer(page)
    steps_there(run)
    step = training_is_shown(page, 1)
    page.reload()
    drawn(page)
    phase(page, "Train")
    step = training_is_shown(page, step)
    page.context.close()
    own_server.stop()
    own_server.start()
    page = open_page(browser, own_server.address, run.id)
    phase(page, "Train")
    step = training_is_shown(page, step)

    holder = lease.holder(run.folder)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    phase(page, "Interrupted at: Train")
    last = run.journal.last(Metric)
    assert last is not None and step <= last.step < last.steps
    page.get_by_role("button", name="Continue", exact=True).click()
    phase(page, "Train", 90)
    deadline = time.monotonic() + 120
    while (now := run.journal.last(Metric)) is None or now.step <= last.step:
        assert time.monotonic() < deadline, jobs.state(run)
        time.sleep(0.2)
    assert StageStarted(Stage.DISTIL, resumed=True) in run.journal.all_of(StageStarted)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#stop-choices")).to_contain_text("learnt something already")
    page.locator("#stop-keep").click()
    phase(page, "Finished", 180)

    page.context.close()
    own_server.stop()
    own_server.start()
    page = open_page(browser, own_server.address, run.id)
    phase(page, "Finished")
    go_to(page, "Compare")
    expect(page.locator("#verdict")).to_contain_text("8 rows")
    go_to(page, "Take home")
    expect(page.get_by_role("button", name="Download the adapter")).to_be_enabled()
    assert not page.problems
    page.context.close()


def test_a_discarded_training_may_be_set_anew(
    open_run: Callable[..., Any], server: Server, make_draft: Callable[..., Run]
) -> None:
    run = make_draft(server.runs, **LONG_TRAINING)
    page = open_run(run.id)
    start_transfer(page)
    steps_there(run)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator("#stop-discard").click()
    phase(page, "Stopped", 120)
    assert not run.stages()[Stage.DISTIL].started_at
    expect(page.locator("#settings")).to_be_visible()  # another try may be another setting


def test_wrong_address_says_so(open_run: Callable[..., Any], server: Server) -> None:
    page = open_run("0" * 32)
    expect(page.locator(".strip-message")).to_contain_text("There is no such run")
    expect(page.locator(".strip-name")).to_have_text("No run open")
    visit(page, server.address)
    expect(page.locator(".strip-name")).to_have_text("No run open")
