"""The whole page: masthead, status strip, eight tabs, one timer. Wiring only."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.limits import LIMITS
from workbench.runs import owners
from workbench.ui import (
    compare_tab,
    fleet_tab,
    plain,
    review_tab,
    runs_tab,
    saves,
    serving,
    slices_part,
    snapshot,
    strip,
    takehome_tab,
    traffic,
    train_tab,
    transfer_tab,
    uploads,
    visitors,
    waiting_line,
    write_tab,
)
from workbench.ui.failures import told
from workbench.ui.sections import (
    SPREAD,
    TYPED,
    Drawings,
    Parts,
    Section,
    pulse_of,
    run_of,
    without_typed,
)
from workbench.ui.snapshot import Snapshot
from workbench.ui.theme import ASSETS, build_theme

TICK_SECONDS = 2.0
_TITLE = "Trans-LoRA Workbench"
_SENTENCE = "Move a LoRA adapter to another base model, almost without data."
_LOGO = ASSETS / "logo.svg"
_TABS = (
    ("transfer", "Transfer"),
    ("write", "Write"),
    ("review", "Review"),
    ("train", "Train"),
    ("compare", "Compare"),
    ("takehome", "Take home"),
    ("runs", "Runs"),
    ("fleet", "Fleet"),
)
# tab -> page of docs/ that explains it
_HELP = {
    "transfer": "own-adapter",
    "write": "concepts",
    "review": "concepts",
    "train": "gpu-and-hub",
    "compare": "verdict",
    "takehome": "files",
    "runs": "troubleshooting",
    "fleet": "scale",
}
# The address carries run and tab, see page.js; before its first answer a page has only the address
# to know its run by.
_OPEN_RUN = "(run || window.workbench_run())"
_LOAD = "() => [window.workbench_run(), window.workbench_tab(), window.workbench_page()]"
# A tab's own answer may be late, and another one open by then: the browser knows which.
_IN_SIGHT = "(run, tab, pulse) => [run, window.workbench_in_sight(), pulse]"
# Answers may overtake one another: one about another run than the open one is dropped.
_SHOW = f"""(news, run, strip, pulse) => {{
  const told = JSON.parse(news || "{{}}");
  return told.run === {_OPEN_RUN} ? [told.strip, told.pulse] : [strip, pulse];
}}"""


def build_page() -> gr.Blocks:
    """Everything, wired."""
    # Gradio's copies of uploads and downloads; it takes uploads before a handler of ours is asked.
    cleared = (600, uploads.kept_seconds())
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=cleared) as page:
        plain.block(plain.masthead(_TITLE, _SENTENCE, _LOGO.read_text(encoding="utf-8")))
        run_id = gr.Textbox(visible="hidden", label="Run", elem_id="run-id")
        tab_id = gr.Textbox("transfer", visible="hidden", label="Tab", elem_id="tab-id")
        owner = gr.Textbox(visible="hidden", label="Owner", elem_id="owner")
        own_name = gr.Textbox(visible="hidden", label="Page", elem_id="page-name")
        pulse = gr.Textbox(visible="hidden", label="Pulse", elem_id="pulse")
        news = gr.Textbox(visible="hidden", label="News", elem_id="news")
        tabs = gr.Tabs(selected="transfer", elem_id="journey", render=False)
        parts = Parts(run_id, tab_id, owner, own_name, pulse, tabs)
        status = strip.build(parts)
        slices_part.build(parts)
        tabs.render()
        places = _build_tabs(parts)
        _wire(page, parts, places, status, news)
    # Nothing that joins the queue may be called beside it.
    page.queue(max_size=traffic.JOINED, default_concurrency_limit=4, api_open=False)
    # Else it wakes a thousand times in a second to see that nobody has joined.
    page._queue.sleep_when_free, page._queue.progress_update_sleep_when_free = 0.02, 0.1
    for event in page.fns.values():
        event.api_visibility = "private"  # handlers of a page, no programming interface
        if event.show_progress == "hidden":
            # Else the browser tells each output of all of them how each of them stands, twice.
            event.show_progress_on = []
    waiting_line.bind(page)
    visitors.bind(page)
    return page


def _tabs() -> tuple[tuple[str, str], ...]:
    """(id, title). A fleet is read from any folder of the machine: not for strangers."""
    return tuple(tab for tab in _TABS if tab[0] != "fleet" or not owners.shared())


def _build_tabs(parts: Parts) -> dict[str, gr.Tab]:
    places: dict[str, gr.Tab] = {}
    builders = {
        "transfer": transfer_tab.build,
        "write": write_tab.build,
        "review": review_tab.build,
        "train": train_tab.build,
        "compare": compare_tab.build,
        "takehome": takehome_tab.build,
    }
    of_all_runs = {"runs": runs_tab.build, "fleet": fleet_tab.build}
    with parts.tabs:
        for name, title in _tabs():
            with gr.Tab(title, id=name, elem_id=f"tab-{name}") as place:
                places[name] = place
                if name in of_all_runs:
                    of_all_runs[name](parts, place)
                else:
                    builders[name](parts)
                plain.help_part(_HELP[name])
    return places


def _wire(
    page: gr.Blocks, parts: Parts, places: dict[str, gr.Tab], status: gr.HTML, news: gr.Textbox
) -> None:
    sections, pulse = parts.sections, parts.pulse
    light: dict[str, Any] = {
        "show_progress": "hidden",
        "queue": False,
        "concurrency_limit": None,
    }
    now_in_sight: dict[str, Any] = {"js": _IN_SIGHT, **light}

    def told_of(run_id: str, now: Snapshot, tab: str, former: str, afresh: bool = False) -> str:
        tokens = pulse_of(sections, now, tab, former, afresh=afresh)
        return json.dumps({"run": run_id, "strip": strip.text(now), "pulse": tokens})

    # Each event has a function of its own: events that share one share a queue and its limit.
    # They answer with equal texts rather than with skip(), for which Gradio builds a component.
    def tick(run_id: str, tab: str, former: str) -> str:
        return told_of(run_id, snapshot.look(run_id), tab, former)

    def after_change(run_id: str, tab: str, former: str) -> str:
        return told_of(run_id, snapshot.look(run_id, fresh=True), tab, former)

    def after_opening(run_id: str, tab: str, former: str) -> str:
        return told_of(run_id, snapshot.look(run_id, fresh=True), tab, former, afresh=True)

    def on_tab(run_id: str, tab: str, former: str) -> tuple[str, str]:
        return told_of(run_id, snapshot.look(run_id, fresh=True), tab, former), tab

    def after_load(run_id: str, tab: str, _page: str) -> tuple[str, str, str, str, Any]:
        tab = tab if tab in places else _TABS[0][0]
        now = snapshot.look(run_id, fresh=True)
        return told_of(run_id, now, tab, ""), run_id, tab, _page, gr.Tabs(selected=tab)

    asked = [parts.run_id, parts.tab, pulse]
    gr.Timer(TICK_SECONDS).tick(tick, asked, news, **now_in_sight)
    # A timer rests while its page is hidden; the script presses this instead, see page.js.
    gr.Button("Look again", visible="hidden", elem_id="look-again").click(
        after_change, asked, news, **now_in_sight
    )
    opened = [parts.run_id, parts.tab, parts.page]
    page.load(after_load, opened, [news, *opened, parts.tabs], js=_LOAD, **light)
    page.load(None, None, parts.owner, js="() => window.workbench_owner()")
    parts.places |= {name: place.select for name, place in places.items()}
    for name, comes_into_sight in parts.places.items():
        # The script says which tab is open, so that ticks know which to draw. The first one is
        # selected while the page loads, whichever the address names.
        spot = f"(run, tab, pulse) => [{_OPEN_RUN}, window.workbench_at('{name}'), pulse]"
        comes_into_sight(on_tab, asked, [news, parts.tab], js=spot, **light)
    for event in parts.changed:
        event.then(after_change, asked, news, **now_in_sight)
    for event in parts.opened:
        event.then(after_opening, asked, news, **now_in_sight)
    news.change(None, [news, parts.run_id, status, pulse], [status, pulse], js=_SHOW)
    parts.run_id.change(None, [parts.run_id], None, js="(run) => window.workbench_open(run)")
    # What was shown of the run before is no longer asked for, and taken away.
    away = {box: update for _, updates in parts.readings for box, update in updates.items()}
    parts.run_id.change(
        None, None, list(away), js=f"() => {json.dumps(list(away.values()))}",
        cancels=[event for event, _ in parts.readings if event is not None],
    )  # fmt: skip

    boxes = [gr.Textbox(visible="hidden", label=section.name) for section in sections]
    names = json.dumps([section.name for section in sections])
    pulse.change(None, [pulse, *boxes], boxes, js=SPREAD.replace("NAMES", names))
    for box, section in zip(boxes, sections, strict=True):
        typed = bool(section.fields)
        asks = [box, parts.tab, parts.page, section.drawn] if typed else [box]
        box.change(
            _drawing(section), asks, list(section.outputs), js=TYPED if typed else None, **light
        )


def _drawing(section: Section) -> Callable[..., dict[Any, Any]]:
    drawings = Drawings(section)

    def draw(mark: str, typed: str = "", page: str = "", held: str = "") -> dict[Any, Any]:
        # What was typed and saved a moment ago must not be drawn over by an older look.
        now = snapshot.look(run_of(mark), fresh=bool(section.fields))
        drawn = without_typed(section, drawings.of(now), typed, held)
        return saves.without_shown(page, now.run_id, held, section.fields, drawn) or gr.skip()

    draw.__name__ = "draw_" + section.name.replace(" ", "_")
    return told(draw)


def launch_options() -> dict[str, Any]:
    """What ``launch`` is called with everywhere: page, tests, screenshots."""
    return {
        "theme": build_theme(),
        "favicon_path": _LOGO,
        "css_paths": [ASSETS / "theme.css"],
        "head": f"<script>window.workbench_tabs = {json.dumps([name for name, _ in _tabs()])};\n"
        f"{(ASSETS / 'page.js').read_text(encoding='utf-8')}</script>",
        "max_file_size": LIMITS.archive_bytes,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": [],
        "show_error": False,
        "ssr_mode": False,
        "blocked_paths": [str(Path.home() / ".cache")],
        "strict_cors": True,
        # Gradio looks at its own page, and ends when that takes three seconds: on a busy machine.
        "_frontend": False,
        "max_threads": traffic.JOINED,  # of which most only wait in a line, see waiting_line.py
        "state_session_capacity": 1000,
        "app_kwargs": {"lifespan": serving.lifespan},
    }
