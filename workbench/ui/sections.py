"""How the page keeps up with a run: sections that redraw only when what they show has changed.

A section names its components, says from a snapshot what they depend on (its token), and draws
them. The page remembers per visitor which tokens it has shown; a tick compares, draws what
differs in the tab that is open, and skips everything else. No Gradio queue, no model, no lock
held while drawing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.ui.snapshot import Snapshot

ALWAYS = ""  # the tab name of sections that are in sight on every tab
Drawn = dict[Any, Any]


@dataclass(frozen=True)
class Section:
    """A group of components that change together.

    Attributes:
        name: unique on the page.
        tab: id of the tab it is on, or ALWAYS.
        outputs: its components; ``draw`` returns updates for some or all of them.
        token: what it depends on, as a short string; equal tokens mean "as shown".
        draw: builds the updates; called only when the token differs.
    """

    name: str
    tab: str
    outputs: Sequence[Component | Any]
    token: Callable[[Snapshot], str]
    draw: Callable[[Snapshot], Drawn]


@dataclass
class Parts:
    """What every tab needs of the page, and what it hands back to be wired at the end.

    Attributes:
        run_id: hidden box with the id of the open run; survives a restart of the server because
            the browser sends it with every event.
        tab: hidden box with the id of the open tab.
        tabs: the Tabs component, to move on to the next one.
        seen: tokens shown so far, per visitor.
        sections: filled by the tabs.
        changed: events after which changed sections are redrawn at once.
        opened: events after which everything is redrawn, forms as well.
    """

    run_id: gr.Textbox
    tab: gr.Textbox
    tabs: gr.Tabs
    seen: gr.State
    sections: list[Section] = field(default_factory=list)
    changed: list[Any] = field(default_factory=list)
    opened: list[Any] = field(default_factory=list)


def redraw(
    sections: Sequence[Section], snapshot: Snapshot, tab: str, seen: dict[str, str]
) -> tuple[Drawn, dict[str, str]]:
    """Updates of what changed on ``tab``, and the tokens as they are now."""
    updates: Drawn = {}
    now = dict(seen)
    for section in sections:
        if section.tab not in (ALWAYS, tab):
            continue
        token = section.token(snapshot)
        if seen.get(section.name) != token:
            updates.update(section.draw(snapshot))
            now[section.name] = token
    return updates, now
