"""How the page keeps up with a run: sections that redraw only when what they show has changed.

A section names its components, says from a snapshot what they depend on (its token), and draws
them. A tick answers with one short text, the tokens of the tab that is open; the browser gives
each section its token, and only a section whose token has changed asks to be drawn. Gradio builds
a component anew for every output of an event, skipped ones too, so a tick with all components as
outputs took 600 ms of the server where this one takes a few.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import gradio as gr

from workbench.ui import saves
from workbench.ui.failures import told
from workbench.ui.snapshot import Snapshot

ANSWERED = "(...given) => window.workbench_answered(given)"
ALWAYS = ""  # the tab name of sections that are in sight on every tab
_EPOCH = "#"
_MARK = "|"
_REMEMBERED = 8  # tokens per section
Drawn = dict[Any, Any]

# Hands the tokens of a pulse to their boxes; boxes that it does not name keep theirs.
SPREAD = """(pulse, ...held) => {
  const tokens = JSON.parse(pulse || "{}");
  return NAMES.map((name, place) => name in tokens ? tokens[name] : held[place]);
}"""


@dataclass(frozen=True)
class Section:
    """A group of components that change together.

    Attributes:
        name: unique on the page.
        tab: id of the tab it is on, or of the part that has to be opened first, or ALWAYS.
        outputs: its components; ``draw`` gives updates of all in this order, or by component.
        follows: what it depends on: names of a snapshot's parts, or a text that is made from it.
        draw: builds the updates; called only when the token differs.
        fields: element id -> component that people type into: left alone while they do.
        drawn: hidden box of a form, see ``saves``: for which run, and with what in each field;
            one of the outputs.
    """

    name: str
    tab: str
    outputs: Sequence[Any]
    follows: str | Callable[[Snapshot], str]
    draw: Callable[[Snapshot], Drawn | tuple[Any, ...]]
    fields: Mapping[str, Any] = field(default_factory=dict)
    drawn: gr.Textbox | None = None

    def token(self, now: Snapshot) -> str:
        """What it depends on, as text: equal tokens mean "as shown"."""
        if not isinstance(self.follows, str):
            return self.follows(now)
        values = [now.run_id, *(attrgetter(name)(now) for name in self.follows.split())]
        return "|".join(str(sorted(it) if isinstance(it, frozenset) else it) for it in values)


class Drawings:
    """Draws one section for all pages that show the same: once, then from memory."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._lock = threading.Lock()
        self._drawn: OrderedDict[tuple[str, str, str], Drawn] = OrderedDict()

    def of(self, now: Snapshot) -> Drawn:
        """The section's updates for one look at a run."""
        # A form's token leaves out what its fields hold, or typing would redraw them; what is
        # remembered must not, or a reload would show what they held before.
        key = (self._section.token(now), now.recipe_token, now.inputs_token)
        with self._lock:
            if key not in self._drawn:
                drawn = self._section.draw(now)
                if isinstance(drawn, tuple):
                    drawn = dict(zip(self._section.outputs, drawn, strict=True))
                self._drawn[key] = drawn
            while len(self._drawn) > _REMEMBERED:
                self._drawn.popitem(last=False)
            drawn = self._drawn[key]
        # Gradio takes updates apart while it sends them; each page gets its own.
        return {box: dict(it) if isinstance(it, dict) else it for box, it in drawn.items()}


# Puts what was typed into just now in place of the tab's name; see page.js.
TYPED = "(mark, tab, page, held) => [mark, JSON.stringify(window.workbench_typed()), page, held]"


def without_typed(section: Section, drawn: Drawn, typed: str, held: str) -> Drawn:
    """The updates without those of fields that a person is typing into.

    The form's hidden box keeps what it says of them: they still show what they were drawn with.
    """
    try:
        told_of = json.loads(typed or "[]")
        names = [name for name in section.fields if name in told_of]
    except (ValueError, TypeError, RecursionError):  # no page of ours wrote it
        return drawn
    mine = [section.fields[name] for name in names]
    rest = {box: update for box, update in drawn.items() if box not in mine}
    if section.drawn in rest:
        rest[section.drawn] = saves.with_former(held, rest[section.drawn], names)
    return rest


def pressed(inputs: int) -> str:
    """Script of a click with so many inputs: its button says that it was pressed, see page.js."""
    return f"(...given) => window.workbench_pressed(given.slice(0, {inputs}))"


def choose(
    table: gr.Dataframe, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]
) -> Any:
    """Wire a click on a row; a button that is pressed before it is answered waits, see page.js.

    Clicks are answered one after another, so that the last one is the one that holds.
    """
    js = f"(...given) => window.workbench_choosing(given.slice(0, {len(inputs)}))"
    event = table.select(
        told(handler), inputs, outputs, js=js,
        show_progress="hidden", trigger_mode="multiple", concurrency_limit=1,
    )  # fmt: skip
    return event.then(None, js="() => window.workbench_chosen()")


@dataclass
class Parts:
    """What every tab needs of the page, and what it hands back to be wired at the end.

    Attributes:
        run_id: hidden box with the id of the open run; survives a restart of the server because
            the browser sends it with every event.
        tab: hidden box with the ids of what is in sight: the open tab, parts that were opened.
        owner: hidden box with the token of the browser, see ``runs.owners``.
        page: hidden box with a random name of this page, see ``saves``.
        pulse: hidden box with the newest tokens.
        tabs: the Tabs component, to move on to the next one.
        sections: filled by the tabs.
        changed: events after which changed sections are redrawn at once.
        opened: events after which everything is redrawn, forms as well.
        places: event that brings a place into sight, by its id.
    """

    run_id: gr.Textbox
    tab: gr.Textbox
    owner: gr.Textbox
    page: gr.Textbox
    pulse: gr.Textbox
    tabs: gr.Tabs
    sections: list[Section] = field(default_factory=list)
    changed: list[Any] = field(default_factory=list)
    opened: list[Any] = field(default_factory=list)
    places: dict[str, Any] = field(default_factory=dict)

    def press(
        self, button: gr.Button, handler: Callable[..., Any], inputs: list[Any],
        outputs: list[Any] | None = None, *, afresh: bool = False,
    ) -> None:  # fmt: skip
        """Wire a button whose click changes the run; ``afresh`` draws everything again."""
        js = pressed(len(inputs))
        event = button.click(told(handler), inputs, outputs, js=js, show_progress="hidden")
        (self.opened if afresh else self.changed).append(event)


def pulse_of(
    sections: Sequence[Section], now: Snapshot, tab: str, former: str, *, afresh: bool = False
) -> str:
    """The tokens of what is in sight, as JSON.

    Args:
        tab: ids of what is in sight, with spaces between.
        former: the pulse before; its epoch is kept, so that unchanged sections stay as they are.
        afresh: begin a new epoch: every section is drawn again when it comes into sight.
    """
    epoch = _epoch_of(former) + afresh
    tokens: dict[str, Any] = {_EPOCH: epoch}
    in_sight = (ALWAYS, *tab.split())
    for section in sections:
        if section.tab in in_sight:
            token = f"{epoch}|{section.token(now)}"
            mark = hashlib.blake2b(token.encode(), digest_size=6).hexdigest()
            tokens[section.name] = f"{now.run_id}{_MARK}{mark}"
    return json.dumps(tokens)


def _epoch_of(pulse: str) -> int:
    try:
        return int(json.loads(pulse or "{}").get(_EPOCH, 0))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return 0  # no page of ours wrote it


def run_of(mark: str) -> str:
    """The run that a section's token is about: it is drawn from this one, whatever is open by then.

    The page once asked for a drawing with the run that stood in its box, which on a slow machine
    was empty still: an empty form was drawn for a run, and saved over it.
    """
    return mark.partition(_MARK)[0]
