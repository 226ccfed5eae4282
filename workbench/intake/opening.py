"""Cells that hold several values, opened up before columns get a meaning.

Conversations in any way that people store them become lists of turns; objects of unknown columns
become columns of their own: translation becomes translation.en and translation.fr.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.bounded_json import read_json
from workbench.intake.cells import from_python, is_empty
from workbench.intake.column_names import (
    ABOUT,
    ALIASES,
    ANSWERS,
    CHOICES,
    CLASSES,
    CONVERSATIONS,
    KNOWN,
    SYSTEM,
    normal,
)
from workbench.intake.conversations import as_turns, is_conversation
from workbench.intake.records import Table, table_of
from workbench.intake.wording import shown

_LISTED = ("answers", *ALIASES)  # columns of several right answers
_TALKS = (*CONVERSATIONS, "data", "chat")


def opened(table: Table, chosen: Iterable[str] = ()) -> Table:
    """The table with its conversations as turns, and its unknown objects as columns.

    Args:
        chosen: columns in lower case that a person named; they stay whole.
    """
    for name in table.columns:
        _parse(table, name)
    apart = any(_answers_apart(table, name) for name in table.columns)
    for name in table.columns:
        _as_turns(table, name, apart)
    return _flattened(table, frozenset(chosen))


def _parse(table: Table, name: str) -> None:
    """Conversations and answers that a cell of text holds as JSON, or as Python writes them."""
    listed = normal(name) in _LISTED
    if not listed and normal(name) not in CONVERSATIONS:
        return
    for record in table.records:
        text = record.cells.get(name)
        if not isinstance(text, str) or not text.lstrip().startswith(("[{", "{'", "['")):
            continue
        value = from_python(text)
        if value is text and not listed:
            try:
                value = read_json(text, "it")
            except IntakeError as error:
                problem = error.message.removeprefix("it: ").rstrip(".")
                record.problem = f"its {name}: {problem}"
        if not listed or "'" in text[:3]:
            record.cells[name] = value


def _answers_apart(table: Table, name: str) -> bool:
    """Whether a column holds an answer or a class, so that a list of texts holds none."""
    first = table.first(name)
    if is_conversation(first):
        return False
    return normal(name) in ANSWERS or (normal(name) in CLASSES and not isinstance(first, list))


def _as_turns(table: Table, name: str, apart: bool) -> None:
    first = table.first(name)
    of_texts = isinstance(first, list) and isinstance(first[0], str)
    talk = normal(name) in _TALKS and not (of_texts and apart)
    if is_conversation(first) or not is_conversation(as_turns(first)):
        return
    if not talk and not isinstance(first, dict):
        return
    for record in table.records:
        if name in record.cells:
            record.cells[name] = as_turns(record.cells[name])
    if of_texts:
        table.notes = (
            *table.notes,
            f'The texts in "{shown(name, 30)}" were read as turns: the first is of the user, the '
            "second of the assistant, and so on.",
        )


def _flattened(table: Table, chosen: frozenset[str]) -> Table:
    for name in table.columns:
        values = [value for r in table.records if not is_empty(value := r.cells.get(name))]
        whole = normal(name) in (*KNOWN, *CHOICES, *SYSTEM) or name.lower() in chosen
        if whole or not all(isinstance(value, dict) for value in values):
            continue
        asked = any(wanted.startswith(f"{name.lower()}.") for wanted in chosen)
        if not (asked or _brings_answer(table, values)) and _is_beside_known(table, name):
            continue
        for record in table.records:
            inner = record.cells.pop(name, None)
            if isinstance(inner, dict):
                record.cells.update({f"{name}.{part}": value for part, value in inner.items()})
        again = table_of(iter(table.records))
        table = replace(table, columns=again.columns)
    return table


def _is_beside_known(table: Table, name: str) -> bool:
    """Whether another column has a meaning already, so that this one is no row by itself."""
    others = [normal(other) for other in table.columns if other != name]
    return any(other in (*KNOWN, *CONVERSATIONS) and other not in ABOUT for other in others)


def _brings_answer(table: Table, values: list[Any]) -> bool:
    """Whether the object holds the answer that no column has, as reward_model.ground_truth."""
    known = {normal(other) for other in table.columns}
    return not known & {*ANSWERS, *CLASSES} and all(
        any(normal(part) in ANSWERS for part in value) for value in values
    )
