"""The wiring as Gradio sees it: what is a tick, what is text, what has a label, what is public."""

import dataclasses
import json
from typing import Any

import gradio as gr
import pytest

from tests.ui import fake_run
from workbench.events import Metric
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run
from workbench.stages import Stage
from workbench.ui import settings_part, snapshot, train_tab
from workbench.ui.page import build_page, launch_options


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return build_page()


@pytest.fixture(scope="module")
def parts(page: gr.Blocks) -> list[dict[str, Any]]:
    """All components as the browser gets them."""
    return [part for part in page.get_config_file()["components"] if "id" in part]


def of_kind(parts: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [part["props"] for part in parts if part["type"] == kind]


def test_there_are_eight_tabs(parts: list[dict[str, Any]]) -> None:
    names = [tab["label"] for tab in of_kind(parts, "tabitem")]
    assert names == [
        "Transfer", "Write", "Review", "Train", "Compare", "Take home", "Runs", "Fleet",
    ]  # fmt: skip


def test_tables_show_text_and_nothing_else(parts: list[dict[str, Any]]) -> None:
    """A cell typed "html" is put into the page as it is, "markdown" loads pictures: a sample
    could fetch an address of its author's."""
    tables = of_kind(parts, "dataframe")
    assert len(tables) >= 7
    for table in tables:
        kinds = table["datatype"]
        assert set([kinds] if isinstance(kinds, str) else kinds) == {"str"}, table["elem_id"]
    assert not of_kind(parts, "markdown") and not of_kind(parts, "chatbot")


def test_every_control_has_a_label(parts: list[dict[str, Any]]) -> None:
    for kind in ("textbox", "number", "dropdown", "slider", "checkbox", "radio", "file",
                 "dataframe", "plot", "nativeplot"):  # fmt: skip
        for props in of_kind(parts, kind):
            assert props.get("label"), (kind, props.get("elem_id"))


def test_no_field_for_a_number_begins_empty(parts: list[dict[str, Any]]) -> None:
    """Gradio shows 0 in it, and hands 0 over: a filter "from 0.5" was one "to 0" as well."""
    assert all(props.get("value") is not None for props in of_kind(parts, "number"))


def test_every_recipe_field_is_offered(parts: list[dict[str, Any]]) -> None:
    """What the command line can set can be set here, the rest behind "Advanced"."""
    offered = {part["props"].get("elem_id") for part in parts}
    hidden = {"schema"}
    hidden |= {"student.rank_pattern", "student.alpha_pattern"}
    for name in fields_of(TransferRecipe()) - hidden:
        element = name.replace(".", "-").replace("_", "-")
        element = {"evaluation-margin-points": "margin"}.get(element, element)
        assert element in offered, name


def fields_of(value: Any, prefix: str = "") -> set[str]:
    """Dotted names of all plain fields of a recipe."""
    names: set[str] = set()
    for entry in dataclasses.fields(value):
        inner = getattr(value, entry.name)
        dotted = f"{prefix}{entry.name}"
        names |= fields_of(inner, f"{dotted}.") if dataclasses.is_dataclass(inner) else {dotted}
    return names


def test_tick_stays_out_of_the_queue_and_answers_with_one_text(page: gr.Blocks) -> None:
    """With the default limit of one at a time, six visitors waited six seconds for a tick; with
    every component as output each tick took the server 600 ms."""
    (tick,) = (fn for fn in page.fns.values() if fn.name == "tick")
    assert not tick.queue and tick.concurrency_limit is None
    assert len(tick.outputs) == 1
    shared = [fn for fn in page.fns.values() if fn.fn is tick.fn]
    assert len(shared) == 1


def test_a_training_step_draws_the_curve_and_nothing_else(page: gr.Blocks, draft: Run) -> None:
    """The answers to held-out inputs were sent again with every step: of what a page on the
    Train tab asks every two seconds, a third."""
    (tick,) = (fn.fn for fn in page.fns.values() if fn.name == "tick")
    assert tick is not None
    run = fake_run.distil(fake_run.synthesize(draft), upto=50)
    drawn = {}
    for tab in ("transfer", "write", "review", "train", "compare", "takehome"):
        snapshot.take(run.id, fresh=True)
        former = json.loads(tick(run.id, tab, ""))["pulse"]
        last = run.journal.last(Metric)
        assert last is not None
        step = last.step + 1
        run.journal.append(Metric(Stage.DISTIL, step, 120, 0.1, 1e-4, 610.0, 2_410_000_000))
        snapshot.take(run.id, fresh=True)
        now = json.loads(json.loads(tick(run.id, tab, former))["pulse"])
        drawn[tab] = [name for name in now if now[name] != json.loads(former)[name]]
    assert drawn.pop("train") == ["train curve"]
    assert drawn.pop("transfer") == ["live"]
    assert not any(drawn.values()), drawn


def test_counters_follow_the_form_of_a_draft(page: gr.Blocks, draft: Run) -> None:
    """After the preset "best" they went on saying "of 300" beside a form with 1,000."""
    (tick,) = (fn.fn for fn in page.fns.values() if fn.name == "tick")
    (draw,) = (fn.fn for fn in page.fns.values() if fn.name == "draw_write_rows")
    assert tick is not None and draw is not None
    snapshot.take(draft.id, fresh=True)
    former = json.loads(json.loads(tick(draft.id, "write", ""))["pulse"])
    settings_part.take_preset(draft.id, "best")
    snapshot.take(draft.id, fresh=True)
    now = json.loads(json.loads(tick(draft.id, "write", json.dumps(former)))["pulse"])
    assert now["write rows"] != former["write rows"]
    assert any("of about" in str(shown) for shown in draw(f"{draft.id}|").values())


@pytest.mark.parametrize("steps", [1, 2, 199, 201, 799, 12_345])
def test_a_long_curve_is_as_light_as_a_short_one(draft: Run, steps: int) -> None:
    """A tick of a page on the Train tab sent up to 1,600 points, most of the server's work."""
    now = snapshot.take(draft.id, fresh=True)
    now.tail.metrics[:] = [
        Metric(Stage.DISTIL, step, steps, 1.0, 1e-4, 1.0, 1) for step in range(1, steps + 1)
    ]
    curve = train_tab.curve_of(now, True)["value"]
    assert min(steps, 20) <= len(curve) <= 201
    shown = [int(step) for step in curve["step"]]
    assert shown == sorted(set(shown)) and (shown[0], shown[-1]) == (1, steps)


def test_sections_draw_few_components_each(page: gr.Blocks) -> None:
    drawings = [fn for fn in page.fns.values() if (fn.name or "").startswith("draw_")]
    drawings = [fn for fn in drawings if fn.name != "draw_map"]  # a button's: it asks a model
    assert len(drawings) >= 12
    assert all(not fn.queue and len(fn.outputs) <= 24 for fn in drawings)


def test_launch_options_close_what_gradio_leaves_open() -> None:
    options = launch_options()
    assert options["run_history"] is False and options["enable_monitoring"] is False
    assert options["max_file_size"] and options["show_error"] is False
    assert options["theme"].name != "default" and options["css_paths"]


def test_nothing_is_fetched_from_elsewhere(page: gr.Blocks) -> None:
    text = json.dumps(launch_options()["theme"]._get_theme_css()) + launch_options()["head"]
    text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert "http://" not in text and "https://" not in text
    assert page.analytics_enabled is False
