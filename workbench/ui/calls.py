"""What a call of the page looks like. Anything else is refused before Gradio sees it."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import orjson
from gradio.utils import get_upload_folder
from pydantic import ValidationError

from workbench.limits import LIMITS

_DEPTH = 32
# What the browser sends of each kind of box; of others a model of Gradio's says it, or all will do.
_SENT: dict[type, tuple[type, ...]] = {
    gr.Textbox: (str, int, float),
    gr.HTML: (str,),
    gr.Number: (int, float),
    gr.Slider: (int, float),
    gr.Checkbox: (bool,),
    gr.Radio: (str, int, float),
    gr.Dropdown: (str, int, float),
}
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Refused(Exception):
    """A request that is not let in.

    Args:
        status: of HTTP.
        sentence: for whoever sent it.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class Call:
    """A handler's number, who calls it, and the body for Gradio."""

    number: int
    session: str
    body: bytes


def read(body: bytes, page: gr.Blocks, direct: bool) -> Call:
    """Check a body of ``run/predict`` (``direct``) or of ``queue/join``.

    Raises:
        Refused: no call of this page, or a direct one of what is open by the queue only.
    """
    data = _object(body)
    number, session, values = data.get("fn_index"), data.get("session_hash"), data.get("data")
    if type(number) is not int or number not in page.fns:
        raise Refused(404, "The page has no such function. Load it again.")
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise Refused(400, "The request names no session.")
    event = page.fns[number]
    if not isinstance(values, list) or len(values) != len(event.inputs) or event.fn is None:
        raise Refused(400, "The request has other values than this function takes.")
    if direct and event.queue:
        raise Refused(404, "This function is open by the queue only.")
    _walk(data, _DEPTH, [LIMITS.request_values], get_upload_folder())
    for box, value in zip(_as_shown(event.inputs, page, session), values, strict=True):
        if not (_sends(box, value) if value is not None else _may_be_empty(box, event)):
            raise Refused(400, "The request has other values than this function takes.")
    if _asks_what_was_selected(event.fn) and not _selection(data.get("event_data")):
        raise Refused(400, "The request does not say what was selected.")
    texts = [
        "" if value is None and isinstance(box, gr.Textbox) else value
        for box, value in zip(event.inputs, values, strict=True)
    ]
    return Call(number, session, body if texts == values else orjson.dumps(data | {"data": texts}))


def _as_shown(boxes: Sequence[Any], page: gr.Blocks, session: str) -> Sequence[Any]:
    """The boxes as this session has them: their choices may have come later."""
    held = page.app.state_holder.session_data.get(session)
    return [held.blocks_config.blocks.get(box._id, box) for box in boxes] if held else boxes


def _may_be_empty(box: Any, event: Any) -> bool:
    """Whether null may come for a box: not for a slider, nor for files where some have come."""
    uploaded = all(name == "upload" for _, name in event.targets)
    files = isinstance(box, gr.File | gr.UploadButton)
    return not (isinstance(box, gr.Slider) or (uploaded and files))


def _asks_what_was_selected(handler: Any) -> bool:
    parameters = inspect.signature(handler).parameters.values()
    return any(parameter.annotation is gr.SelectData for parameter in parameters)


def _selection(told_of: Any) -> bool:
    """Whether this is what a table tells of a click: Gradio opens it before it asks us."""
    if not isinstance(told_of, dict) or "value" not in told_of:
        return False
    place = told_of.get("index")
    numbers = place if isinstance(place, list) and place else [place]
    return all(type(number) is int for number in numbers)


def _sends(box: Any, value: Any) -> bool:
    """Whether a box can have sent a value: else it is an error deep inside."""
    model = getattr(box, "data_model", None)
    if model is not None:
        try:
            model.model_validate(value, context={"validate_meta": True})
        except ValidationError:
            return False
        return True
    kinds = next((kinds for kind, kinds in _SENT.items() if isinstance(box, kind)), None)
    if kinds is None:
        return True
    if isinstance(box, gr.Slider) and type(value) in kinds:
        return box.minimum <= value <= box.maximum
    several = isinstance(value, list) and getattr(box, "multiselect", False)
    each_of = value if several else [value]
    if not all(type(each) in kinds for each in each_of):
        return False
    if not isinstance(box, gr.Dropdown | gr.Radio) or getattr(box, "allow_custom_value", False):
        return True
    return all(each in [known for _, known in box.choices] for each in each_of)


def require_names(body: bytes) -> None:
    """Check a body of ``cancel`` or ``reset``: it names a session and a call, and has no more.

    Raises:
        Refused: it has anything else, which Gradio would answer with an error of its own.
    """
    for value in _object(body).values():
        if not isinstance(value, int) and not (
            isinstance(value, str) and _SESSION.fullmatch(value)
        ):
            raise Refused(400, "The request is no call of the page.")


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "The request is no JSON.") from error
    if not isinstance(data, dict):
        raise Refused(400, "The request is no call of the page.")
    return data


def _walk(value: Any, depth: int, left: list[int], folder: str) -> None:
    """Count what is in a body; refuse depth, numbers and lengths, and files that are none of
    ours."""
    left[0] -= 1
    if depth < 0 or left[0] < 0:
        raise Refused(413, "The request is nested too deeply or has too many values.")
    if isinstance(value, str):
        if len(value) > LIMITS.field_characters:
            raise Refused(413, f"A text has more than {LIMITS.field_characters:,} characters.")
    elif isinstance(value, list):
        for item in value:
            _walk(item, depth - 1, left, folder)
    elif isinstance(value, dict):
        if value.get("path") is not None:
            _require_upload(value["path"], folder)
        for key, item in value.items():
            left[0] -= 1
            if len(key) > LIMITS.field_characters:
                raise Refused(413, "A name in the request is too long.")
            _walk(item, depth - 1, left, folder)


def _require_upload(path: Any, folder: str) -> None:
    """Only what the page uploaded itself: no other file of this machine, and no address."""
    if isinstance(path, str) and "\0" not in path and len(path) < 4096:
        whole = Path(path)
        if ".." not in whole.parts and whole.is_relative_to(Path(folder).absolute()):
            return
    raise Refused(400, "That is no file that this page has uploaded.")
