"""A value of a row as text: labels are typed in the files that people have.

Numbers, true and false become what a person would write; lists and objects become JSON, as a task
with structured answers wants them.
"""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

# numpy's own way to write a list: array(['a', 'b'], dtype=object)
_ARRAY = re.compile(r"array\((\[[^\[\]]*\])(?:, dtype=\w+)?\)")


def as_text(value: Any) -> str | None:
    """Text of a JSON value: 2.0 is "2", true is "true", an object is JSON; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: null, white space, an empty object, a list of such."""
    if isinstance(value, list):
        return all(map(is_empty, value))
    return value is None or value == {} or (isinstance(value, str) and not value.strip())


def from_python(text: str) -> Any:
    """The value of a cell that pandas wrote as Python has it: lists and objects in single quotes.

    Only literals are read and nothing is run; what is none stays the text that it is.
    """
    plain = _ARRAY.sub(r"\1", text)
    try:
        value = ast.literal_eval(plain)
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value


def right_answers(value: Any) -> list[str] | None:
    """Several answers that are all right, the first the most usual; None where it is one value.

    The format of SQuAD is ``{"text": [...], "answer_start": [...]}``; others have a list of texts,
    or of objects with a text.
    """
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]
    if not isinstance(value, list):
        return None
    texts = [entry.get("text") if isinstance(entry, Mapping) else entry for entry in value]
    found = [text for text in texts if isinstance(text, str)]
    return list(dict.fromkeys(found)) if len(found) == len(texts) else None
