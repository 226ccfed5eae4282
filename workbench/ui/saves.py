"""What a page may save: a value for the run that it was shown for, over the value it was shown.

A form tells with every save what it was drawn with: the run, and what each field held. A save for
another run is refused, and one over a value that somebody else has changed since. What a page saved
itself is remembered for a while, so that it may go on typing before its form is drawn again; after
a restart of the server nothing is remembered, and the form's own word counts.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from workbench.errors import RunError

_REMEMBERED = 5000  # saves, over all runs
_NEW = "run"  # the field name under which a run's first page is remembered
# (run, field) -> page, mark of what it saved, mark of what the field had been drawn with by then.
_authors: OrderedDict[tuple[str, str], tuple[str, str, str]] = OrderedDict()
_lock = threading.Lock()


def drawn_for(run_id: str, values: Mapping[str, Any]) -> str:
    """What the hidden box of a form holds; ``values`` by field name."""
    marks = {name: _mark(value) for name, value in values.items()}
    return json.dumps({"run": run_id, "fields": marks})


def with_former(held: str, drawn: str, names: Sequence[str]) -> str:
    """A form's hidden box that still says of some fields what the former one said."""
    now = json.loads(drawn)
    former = _marks(held, now["run"])
    now["fields"] |= {name: mark for name, mark in former.items() if name in names}
    return json.dumps(now)


def require_run(run_id: str, drawn: str, page: str) -> None:
    """Refuse a save of a form that was drawn for another run.

    Args:
        drawn: the hidden box of the form.
        page: the page's random name.

    Raises:
        RunError: with what to do.
    """
    if _said(drawn)[0] != run_id and not saved_by(page, run_id, _NEW, run_id):
        raise RunError(
            "This page still showed another run, so nothing was saved. Look again, then repeat it."
        )


def require_shown(
    run_id: str, drawn: str, page: str, name: str, current: Any, *, whole: bool = False
) -> None:
    """Refuse a save over a value that the page did not show.

    Args:
        name: of the field; ``current`` is its value now.
        whole: refuse whoever changed it: it replaces what cannot be typed again.

    Raises:
        RunError: with what to do.
    """
    mark = _mark(current)
    if _said(drawn)[1].get(name) == mark or saved_by(page, run_id, name, current):
        return
    with _lock:
        known = _authors.get((run_id, name), ("", "", ""))[1] == mark
    if whole or known:
        raise RunError(
            "This was changed elsewhere after this page had shown it, so nothing was saved. "
            "It now shows how it stands: repeat your change."
        )


def remember(page: str, run_id: str, name: str, value: Any, drawn: str = "") -> None:
    """This page has saved this value; ``drawn`` is the hidden box of its form."""
    with _lock:
        _authors[run_id, name] = page, _mark(value), _marks(drawn, run_id).get(name, "")
        _authors.move_to_end((run_id, name))
        while len(_authors) > _REMEMBERED:
            _authors.popitem(last=False)


def remember_new(page: str, run_id: str) -> None:
    """This page has begun this run, so a form that it drew before is about it."""
    remember(page, run_id, _NEW, run_id)


def shows(drawn: str, page: str, run_id: str, name: str, value: Any) -> bool:
    """Whether a field holds what the page itself put there: nobody has typed into it."""
    known = _marks(drawn, run_id).get(name) == _mark(value)
    return known or saved_by(page, run_id, name, value)


def saved_by(page: str, run_id: str, name: str, value: Any) -> bool:
    """Whether this page itself made the field what it is, so that it need not be drawn again."""
    with _lock:
        return bool(page) and _authors.get((run_id, name), ("", ""))[:2] == (page, _mark(value))


def without_shown(
    page: str, run_id: str, held: str, boxes: Mapping[str, Any], drawn: dict[Any, Any]
) -> dict[Any, Any]:
    """A form's updates without the values that the page shows already.

    Those that it saved itself, and those that it was drawn with before: what a person begins to
    type while a form is on its way must not be drawn over.

    Args:
        held: the hidden box of the form, as it was when the form was asked for.
    """
    shown = _marks(held, run_id)
    kept = dict(drawn)
    for name, box in boxes.items():
        update = drawn.get(box)
        value = update.get("value") if isinstance(update, dict) else update
        with _lock:
            author, saved, over = _authors.get((run_id, name), ("", "", ""))
        # What this page saved since the field was drawn is what it shows. A drawing that was asked
        # for before may have come after it.
        mine = bool(page) and author == page and over == shown.get(name, "")
        if (saved if mine else shown.get(name)) == _mark(value):
            rest = (
                {k: v for k, v in update.items() if k != "value"}
                if isinstance(update, dict)
                else {}
            )
            kept[box] = rest or gr.skip()
    return kept


def _marks(held: str, run_id: str) -> dict[str, str]:
    """What a form's hidden box says of its fields; nothing when it is about another run."""
    run, marks = _said(held)
    return marks if run == run_id else {}


def _said(held: str) -> tuple[str, dict[str, str]]:
    """(run, marks by field) of a form's hidden box; nothing where no page of ours wrote it."""
    try:
        said = json.loads(held or "{}")
        return str(said["run"]), dict(said["fields"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", {}


def _mark(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a browser knows no other numbers
    return hashlib.blake2b(repr(value).encode(), digest_size=6).hexdigest()
