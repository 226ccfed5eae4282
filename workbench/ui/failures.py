"""What a person sees when a handler fails: a sentence of ours, or a short id that is in the log."""

import functools
import inspect
import json
import logging
import re
import secrets
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.runs import owners
from workbench.ui import plain

log = logging.getLogger("workbench.ui")

_SHOWN_SECONDS = 20


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap an event handler: expected errors become a warning, others an id; outputs stay."""
    unchanged = left_alone(handler)

    @functools.wraps(handler)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except WorkbenchError as error:
            warn(error.message)
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("unexpected error %s in %s", error_id, handler.__name__)
            warn(
                f"Something went wrong on our side. The log has the details under {error_id}.",
                title="Unexpected error",
            )
        return unchanged

    return guarded


def left_alone(handler: Callable[..., Any]) -> Any:
    """What a handler answers that changes none of its outputs; it may have none at all."""
    return None if inspect.signature(handler).return_annotation is None else gr.skip()


def with_clock(
    click: Callable[..., Any], text: str, waiting: gr.HTML, handler: Callable[..., Any],
    inputs: list[Any], outputs: list[Any] | None,
) -> Any:  # fmt: skip
    """Wire a click that models answer: a sentence with a clock, gone when there is an answer."""
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    begun = click(None, None, waiting, js=f"() => {json.dumps(plain.working(text))}")
    answered = begun.then(told(handler), inputs, outputs, **quiet)
    answered.then(None, None, waiting, js="() => ''")
    return answered


_PATH = re.compile(r"(?<![\w:/.])/(?:[^\s/\"';:,]+/)+([^\s/\"';:,]*)")
_CONTROLS = dict.fromkeys(range(32), " ") | dict.fromkeys(range(127, 160), " ")


def for_visitor(sentence: str) -> str:
    """A sentence without control characters and, where strangers share the server, without its
    folders: of a path the last part stays."""
    quiet = sentence.translate(_CONTROLS)
    return _PATH.sub(lambda path: path[1] or "a folder", quiet) if owners.shared() else quiet


def warn(sentence: str, title: str = "Not done") -> None:
    """A toast; the text is escaped because toasts render markup."""
    gr.Warning(escape(for_visitor(sentence), quote=False), duration=_SHOWN_SECONDS, title=title)


def say(sentence: str, title: str = "Done") -> None:
    """A toast for something that worked and is not visible elsewhere."""
    gr.Info(escape(for_visitor(sentence), quote=False), duration=6, title=title)
