"""Conversations as chat trainers store them: OpenAI's ``messages``, ShareGPT's ``conversations``.

The last answer is the output; what was said before is the input. A system turn is no part of
either: where all rows have the same one, it belongs to the prompt format.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from workbench.errors import IntakeError
from workbench.intake.bounded_json import read_json
from workbench.intake.cells import as_text, is_empty
from workbench.intake.wording import shown

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
_ROLES = {
    **dict.fromkeys(("system", "developer"), SYSTEM),
    **dict.fromkeys(("user", "human", "prompter", "usr", "customer", "client"), USER),
    **dict.fromkeys(("patient", "student", "caller", "visitor", "guest"), USER),
    **dict.fromkeys(("assistant", "gpt", "model", "chatgpt", "bot", "ai", "bard"), ASSISTANT),
    **dict.fromkeys(("chatbot", "function_call", "agent", "doctor", "therapist"), ASSISTANT),
    **dict.fromkeys(("counselor", "operator", "support", "tutor", "teacher"), ASSISTANT),
}
# What an exchange calls the two who speak, where one object holds both.
_EXCHANGES = (
    *(("human", "assistant"), ("user", "assistant"), ("input", "output"), ("prompt", "response")),
    *(("question", "answer"), ("query", "response"), ("instruction", "output"), ("human", "gpt")),
)
_ROLE_NAMES = ("role", "from", "speaker")
_CALLS = ("tool_calls", "function_call")
_TEXT_NAMES = ("content", "value", "text", "parts", "message")


class NotText(Exception):
    """A turn that holds something else than text; the message says what."""


@dataclass(frozen=True)
class Turn:
    """Who said what; ``role`` is SYSTEM, USER, ASSISTANT or another word of the file."""

    role: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """One row out of a conversation.

    Attributes:
        input: what the user asked; with earlier turns, each after "User: " or "Assistant: ".
        output: the last answer, or None where the user has the last word.
        system: what the system turn says, "" without one.
        earlier: turns before the one that is answered, without the system turn.
    """

    input: str
    output: str | None
    system: str
    earlier: int


def is_conversation(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a cell is a list of turns, whatever its column is called."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(turn, dict)
            and _role_name(turn)
            and (_text_name(turn) or any(name in turn for name in _CALLS))
            for turn in value
        )
    )


def as_turns(value: Any) -> Any:
    """A conversation that is stored in another way, as a list of turns; anything else as it is.

    Texts that follow each other (the first is of the user), pairs of texts, and objects that hold
    question and answer: ``{"input": …, "output": …}``.
    """
    if isinstance(value, dict) and is_conversation(value.get("messages")):
        return value["messages"]
    if not isinstance(value, list) or len(value) == 0:
        return value
    if len(value) > 1 and all(isinstance(text, str) for text in value):
        return [_turn((USER, ASSISTANT)[at % 2], text) for at, text in enumerate(value)]
    if all(_is_pair(entry) for entry in value):
        return [_turn(role, text) for pair in value for role, text in _both(pair)]
    keys = next((keys for keys in _EXCHANGES if all(_has(entry, keys) for entry in value)), None)
    if keys is None:
        return value
    turns = [_turn(SYSTEM, value[0]["system"])] if value[0].get("system") else []
    return turns + [
        _turn(role, text) for entry in value for role, text in _both([entry[key] for key in keys])
    ]


def _turn(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


def _both(texts: list[Any]) -> Iterator[tuple[str, Any]]:
    yield from zip((USER, ASSISTANT), texts, strict=True)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(t, str) for t in value)


def _has(value: Any, keys: tuple[str, str]) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in keys)


def is_answered(value: Any) -> bool:
    """Whether the last turn of a cell is an answer."""
    turns = [value] if isinstance(value, dict) else value
    return is_conversation(turns) and _roles(turns)[-1] == ASSISTANT


def _role_name(turn: dict[str, Any]) -> str:
    return next((name for name in _ROLE_NAMES if isinstance(turn.get(name), str)), "")


def _text_name(turn: dict[str, Any]) -> str:
    return next((name for name in _TEXT_NAMES if name in turn), "")


def turns_of(value: list[dict[str, Any]]) -> list[Turn]:
    """The turns of a cell for which ``is_conversation`` holds; NotText names a bad one."""
    return [Turn(role, _text(turn)) for role, turn in zip(_roles(value), value, strict=True)]


def _roles(value: list[dict[str, Any]]) -> list[str]:
    words = [str(turn[_role_name(turn)]).strip().lower() for turn in value]
    roles = [_ROLES.get(word, word) for word in words]
    if USER in roles and ASSISTANT not in roles:
        # Task-oriented dialogues call the machine "system".
        asked = roles.index(USER)
        roles[asked:] = [ASSISTANT if role == SYSTEM else role for role in roles[asked:]]
    return roles


def beside(value: list[dict[str, Any]]) -> set[str]:
    """Names of what the turns hold besides role and text, as "weight" or "reasoning_content"."""
    read_names = (*_ROLE_NAMES, *_TEXT_NAMES, *_CALLS)
    return {
        str(name)
        for turn in value
        for name, inner in turn.items()
        if name not in read_names and not is_empty(inner)
    }


def plain_text(value: Any) -> str:
    """The text of a system turn that stands apart: a text, its parts, or an object with them."""
    if isinstance(value, dict) and _text_name(value):
        value = value[_text_name(value)]
    parts = value if isinstance(value, list) else [value]
    try:
        return "\n".join(filter(None, map(_part, parts)))
    except NotText:
        return as_text(value) or ""


def _text(turn: dict[str, Any]) -> str:
    content = turn.get(_text_name(turn))
    parts = content if isinstance(content, list) else [content]
    said = "\n".join(_part(part) for part in parts)
    return "\n".join(filter(None, [said, *_calls(turn)]))


def _calls(turn: dict[str, Any]) -> Iterator[str]:
    """Calls of tools as most templates write them."""
    calls = next((turn[name] for name in _CALLS if turn.get(name)), [])
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function", call) if isinstance(call, dict) else call
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise NotText("a turn calls a tool in a form that is not known")
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = read_json(arguments, "it")
            except IntakeError as error:
                raise NotText("the arguments of a tool call are no JSON") from error
        told = json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)
        yield f"<tool_call>\n{told}\n</tool_call>"


def _part(part: Any) -> str:
    if part is None:
        return ""
    if isinstance(part, dict):
        part = part.get("text")
    if not isinstance(part, str):
        raise NotText("a turn of the conversation holds something else than text")
    return part


def history_turns(value: Any) -> Iterator[Turn]:
    """Earlier turns as pairs ``[[question, answer], …]``, as LLaMA-Factory and ms-swift have them.

    Raises:
        NotText: it is something else.
    """
    for pair in value or ():
        if not isinstance(pair, list) or len(pair) != 2 or any(type(p) is not str for p in pair):
            raise NotText("the history is not a list of pairs of texts")
        yield Turn(USER, pair[0])
        yield Turn(ASSISTANT, pair[1])


def read(turns: Sequence[Turn], apart: bool = False) -> Conversation:
    """One row: the last answer is the output, all before it the input.

    Args:
        apart: the output stands elsewhere, so that all turns are the input.

    Raises:
        NotText: nobody asks anything.
    """
    opening = next((at for at, turn in enumerate(turns) if turn.role != SYSTEM), len(turns))
    system = "\n\n".join(turn.text.strip() for turn in turns[:opening] if turn.text.strip())
    spoken = list(turns[opening:])
    answered = not apart and bool(spoken) and spoken[-1].role == ASSISTANT
    answer = spoken.pop().text if answered else None
    if not any(turn.role == USER for turn in spoken):
        raise NotText("the conversation has no turn of a user before its last answer")
    if len(spoken) == 1:
        return Conversation(spoken[0].text, answer, system, 0)
    text = "\n\n".join(f"{shown(turn.role.capitalize(), 20)}: {turn.text}" for turn in spoken)
    return Conversation(text, answer, system, len(spoken) - 1)
