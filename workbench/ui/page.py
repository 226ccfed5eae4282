"""The whole page: masthead, status strip, seven tabs, one timer. Wiring only."""

from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.limits import LIMITS
from workbench.ui import (
    compare_tab,
    distil_tab,
    plain,
    review_tab,
    runs_tab,
    snapshot,
    source_tab,
    strip,
    synthesize_tab,
    takehome_tab,
)
from workbench.ui.failures import told
from workbench.ui.sections import Parts, redraw
from workbench.ui.theme import ASSETS, build_theme

TICK_SECONDS = 2.0
_TITLE = "Trans-LoRA Workbench"
_SENTENCE = "Move a LoRA adapter to another base model, almost without data."
_TABS = (
    ("source", "Source"),
    ("synthesize", "Synthesize"),
    ("review", "Review"),
    ("distil", "Distil"),
    ("compare", "Compare"),
    ("takehome", "Take home"),
    ("runs", "Runs"),
)
# The address carries the run; a page without one has no query.
_ADDRESS = """(run) => {
  const address = new URL(window.location);
  if (run) address.searchParams.set("run", run); else address.searchParams.delete("run");
  if (address.href !== window.location.href) window.history.replaceState(null, "", address);
}"""


def build_page() -> gr.Blocks:
    """Everything, wired."""
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(3600, 86_400)) as page:
        plain.block(plain.masthead(_TITLE, _SENTENCE))
        run_id = gr.Textbox(visible="hidden", label="Run", elem_id="run-id")
        tab_id = gr.Textbox("source", visible="hidden", label="Tab", elem_id="tab-id")
        seen = gr.State({})
        tabs = gr.Tabs(selected="source", elem_id="journey", render=False)
        parts = Parts(run_id, tab_id, tabs, seen)
        strip.build(parts)
        tabs.render()
        places = _build_tabs(parts)
        _wire(page, parts, places)
    page.queue(max_size=200, default_concurrency_limit=4)
    return page


def _build_tabs(parts: Parts) -> dict[str, gr.Tab]:
    places: dict[str, gr.Tab] = {}
    builders = {
        "source": source_tab.build,
        "synthesize": synthesize_tab.build,
        "review": review_tab.build,
        "distil": distil_tab.build,
        "compare": compare_tab.build,
        "takehome": takehome_tab.build,
    }
    with parts.tabs:
        for name, title in _TABS:
            with gr.Tab(title, id=name, elem_id=f"tab-{name}") as place:
                places[name] = place
                if name == "runs":
                    runs_tab.build(parts, place)
                else:
                    builders[name](parts)
    return places


def _wire(page: gr.Blocks, parts: Parts, places: dict[str, gr.Tab]) -> None:
    sections = parts.sections
    outputs = [parts.run_id, parts.seen]
    outputs += [box for section in sections for box in section.outputs if box not in outputs]
    outputs = list({box._id: box for box in outputs}.values())

    def refresh(run_id: str, tab: str, seen: dict[str, str], fresh: bool) -> dict[Any, Any]:
        try:
            now = snapshot.take(run_id, fresh=fresh)
        except WorkbenchError as error:
            # Deleted in another tab, or a wrong address: the empty page says so in the strip.
            now = snapshot.nothing(error.message)
        updates, shown = redraw(sections, now, tab, seen)
        if now.run_id != run_id:
            updates[parts.run_id] = now.run_id
        if shown != seen:
            updates[parts.seen] = shown
        return updates or {parts.seen: gr.skip()}

    # Each event has a function of its own: events that share one share a queue and its limit.
    def tick(run_id: str, tab: str, seen: dict[str, str]) -> dict[Any, Any]:
        return refresh(run_id, tab, seen, fresh=False)

    def after_change(run_id: str, tab: str, seen: dict[str, str]) -> dict[Any, Any]:
        return refresh(run_id, tab, seen, fresh=True)

    def after_opening(run_id: str, tab: str) -> dict[Any, Any]:
        return refresh(run_id, tab, {}, fresh=True)

    def on_tab(run_id: str, tab: str, seen: dict[str, str]) -> dict[Any, Any]:
        return {parts.tab: tab} | refresh(run_id, tab, seen, fresh=True)

    def after_load(request: gr.Request) -> dict[Any, Any]:
        wanted = str(request.query_params.get("run", ""))
        return {parts.run_id: wanted} | refresh(wanted, "source", {}, fresh=True)

    light: dict[str, Any] = {
        "show_progress": "hidden",
        "queue": False,
        "api_visibility": "private",
    }
    asked = [parts.run_id, parts.tab, parts.seen]
    gr.Timer(TICK_SECONDS).tick(told(tick), asked, outputs, concurrency_limit=None, **light)
    page.load(told(after_load), None, outputs, **light)
    for name, place in places.items():
        # The script puts the tab's name in, so that ticks know which tab to draw.
        place.select(
            told(on_tab), asked, [parts.tab, *outputs],
            js=f"(run, tab, seen) => [run, '{name}', seen]", **light,
        )  # fmt: skip
    for event in parts.changed:
        event.then(told(after_change), asked, outputs, **light)
    for event in parts.opened:
        event.then(told(after_opening), asked[:2], outputs, **light)
    parts.run_id.change(None, [parts.run_id], None, js=_ADDRESS)


def launch_options() -> dict[str, Any]:
    """What ``launch`` is called with everywhere: page, tests, screenshots."""
    return {
        "theme": build_theme(),
        "css_paths": [ASSETS / "theme.css"],
        "head": f"<script>{(ASSETS / 'page.js').read_text(encoding='utf-8')}</script>",
        "max_file_size": LIMITS.archive_bytes,
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": [],
        "show_error": False,
        "ssr_mode": False,
        "blocked_paths": [str(Path.home() / ".cache")],
    }
