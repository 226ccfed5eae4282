"""How the page keeps up with a run: sections that redraw only when what they show has changed.

A section names its components, says from a snapshot what they depend on (its token), and draws
them. A tick answers with one short text, the tokens of the tab that is open; the browser gives
each section its token, and only a section whose token has changed asks to be drawn. Gradio builds
a component anew for every output of an event, skipped ones too, so a tick with all components as
outputs took 600 ms of the server where this one takes a few.
"""

import functools
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
from workbench.ui.waiting_line import in_order

ALWAYS = ""  # the tab name of sections that are in sight on every tab
_EPOCH = "#"
_MARK = "|"
_REMEMBERED = 8  # tokens per section
Drawn = dict[Any, Any]
# An update, as the browser takes it.
HIDDEN: dict[str, Any] = {"__type__": "update", "visible": False}
# Of an event that comes while the former is not answered, the last one is done then.
LAST: dict[str, Any] = {"trigger_mode": "always_last"}

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


def ordered(handler: Callable[..., Any]) -> dict[str, Any]:
    """Arguments of an event whose answer must not be overtaken by that of an earlier one."""
    # Of one concurrency_id, so that the queue begins them in the order in which they came.
    return {"fn": in_order(told(handler)), "concurrency_id": "ordered", "show_progress": "hidden"}


def act(
    event: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any],
    outputs: list[Any] | None = None, **more: Any,
) -> Any:  # fmt: skip
    """Wire what a person does and may go on from: a value, a row, a button.

    A button that is pressed before the answer waits for it, see page.js.
    """
    js = "(...given) => window.workbench_begun(given)"
    begun = event(inputs=inputs, outputs=outputs, js=js, **ordered(handler), **more)
    begun.then(None, js="() => window.workbench_answered()")
    begun.failure(None, js="() => window.workbench_lost()")
    return begun


def choose(
    table: gr.Dataframe, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]
) -> Any:
    """Wire a click on a row."""
    return act(table.select, handler, inputs, outputs, trigger_mode="multiple")


def staying(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler that opens no run where it answers with the one that it was asked about.

    A person may have opened another one meanwhile, and would be taken back.
    """

    @functools.wraps(handler)
    def stay(run_id: str, *given: Any) -> Any:
        answer = handler(run_id, *given)
        if isinstance(answer, tuple):
            return (gr.skip() if answer[0] == run_id else answer[0], *answer[1:])
        return gr.skip() if answer == run_id else answer

    return stay


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
        readings: (event, updates) of what is shown of the open run by a click alone: the event's
            answer is not waited for when another run is opened, and the updates take it away.
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
    readings: list[tuple[Any, Drawn]] = field(default_factory=list)
    places: dict[str, Any] = field(default_factory=dict)

    def act(
        self, event: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any],
        outputs: list[Any] | None = None, *, afresh: bool = False, **more: Any,
    ) -> Any:  # fmt: skip
        """Wire what changes the run, see ``act``; ``afresh`` draws everything again."""
        begun = act(event, self._staying(handler, inputs, outputs), inputs, outputs, **more)
        (self.opened if afresh else self.changed).append(begun)
        return begun

    def press(
        self, button: gr.Button, handler: Callable[..., Any], inputs: list[Any],
        outputs: list[Any] | None = None, *, afresh: bool = False,
    ) -> Any:  # fmt: skip
        """Wire a button whose click changes the run."""
        return self.act(button.click, handler, inputs, outputs, afresh=afresh)

    def take(
        self, event: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any],
        outputs: list[Any], *, afresh: bool = False,
    ) -> None:  # fmt: skip
        """Wire what takes in a file, or something of the Hub: nothing waits for it.

        The run is the first of the inputs, a box with uploads the second.
        """
        place = inputs[1].elem_id
        js = f"(run, ...rest) => [window.workbench_uploaded('{place}', run), ...rest]"
        begun = event(told(self._staying(handler, inputs, outputs)), inputs, outputs, js=js)
        (self.opened if afresh else self.changed).append(begun)

    def _staying(
        self, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any] | None
    ) -> Callable[..., Any]:
        asked = inputs[:1] == [self.run_id] and (outputs or [])[:1] == [self.run_id]
        return staying(handler) if asked else handler


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
