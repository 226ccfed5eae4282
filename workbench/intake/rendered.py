"""Dialogues that a trainer wrote into one text: "### Instruction: …", ChatML, "[INST] … [/INST]".

Files for a trainer's ``text`` field hold the answer inside the text. Such a text is taken apart
into turns, so that the answer is the output and not a part of the input. What a trainer put around
the question in the same way in every row is the prompt that its adapter learned: a template.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from workbench.intake.cells import is_empty
from workbench.intake.conversations import ASSISTANT, SYSTEM, USER
from workbench.intake.records import Record, Table

Turns = list[dict[str, str]]
_LOOKED_AT = 1000  # rows that have to be dialogues for the column to be one
_MARK = "{input}"
_LONGEST_TEMPLATE = 15_000
_COLUMNS = (
    "text",
    "prompt",
    "chat",
    "content",
    "formatted",
    "formatted_text",
    "prompt_and_response",
)
_PREFERENCES = ("chosen", "rejected")
_ROLES = {
    **dict.fromkeys(("system", "sys", "developer"), SYSTEM),
    **dict.fromkeys(("user", "human", "instruction", "input", "question", "q", "prompt"), USER),
    "context": USER,
    **dict.fromkeys(("assistant", "response", "model", "output", "answer", "a", "gpt"), ASSISTANT),
    **dict.fromkeys(("bot", "ai", "assistent"), ASSISTANT),
}


@dataclass(frozen=True)
class _Kind:
    """One way to write a dialogue.

    Attributes:
        name: what people are told.
        mark: what begins a turn; its first group is the role.
        ends: what may end a turn and is no part of it.
        template: the words around the question are plain text, so they make a prompt template;
            else they are a base's chat template.
    """

    name: str
    mark: re.Pattern[str]
    ends: tuple[str, ...]
    template: bool = False


_END_TOKENS = ("</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>", "<|eot_id|>")
_KINDS = (
    _Kind("<|im_start|>", re.compile(r"<\|im_start\|>(\w{1,20})\n"), _END_TOKENS),
    _Kind(
        "<|start_header_id|>",
        re.compile(r"<\|start_header_id\|>(\w{1,20})<\|end_header_id\|>\n{0,2}"),
        _END_TOKENS,
    ),
    _Kind(
        "<start_of_turn>",
        re.compile(r"<start_of_turn>(\w{1,20})\n"),
        (*_END_TOKENS, "<end_of_turn>"),
    ),
    _Kind(
        "<|user|>",
        re.compile(r"<\|(system|user|assistant)\|>\n?"),
        (*_END_TOKENS, "<|end|>"),
    ),
    _Kind(
        "###",
        re.compile(
            r"\s*###[ ]?(Instruction|Input|Human|User|Question|Prompt|Context|System|Response"
            r"|Assistant|Output|Answer)[ ]?:?[ \n]?",
            re.IGNORECASE,
        ),
        _END_TOKENS,
        template=True,
    ),
    _Kind(
        "USER: … ASSISTANT:",
        re.compile(r"(?:\A|\s)\s*(SYSTEM|USER|ASSISTANT|Human|Assistant): ?"),
        _END_TOKENS,
        template=True,
    ),
    _Kind(
        "Question: … Answer:",
        re.compile(r"(?:\A|\n)\s*(Question|Answer|Q|A): ?"),
        _END_TOKENS,
        template=True,
    ),
)
_LLAMA_2 = re.compile(
    r"\A\s*(?:<s>)?\s*\[INST\]\s*(?:<<SYS>>\s*(?P<system>.*?)\s*<</SYS>>\s*)?"
    r"(?P<user>.*?)\s*\[/INST\](?P<answer>.*?)\s*(?:</s>)?\s*\Z",
    re.DOTALL,
)


@dataclass(frozen=True)
class Dialogues:
    """What was found in a table whose cells were replaced by lists of turns.

    Attributes:
        note: a sentence for people; "" where no column holds dialogues.
        template: what stood around every question, with "{input}" in its place; "" without one.
    """

    note: str = ""
    template: str = ""


def take_apart(table: Table, outputs: frozenset[str]) -> Dialogues:
    """Replace texts that are whole dialogues by their turns, in place.

    Only in columns that trainers use for it, and only where every row is of the same form and ends
    with an answer: anything else is text as it stands.

    Args:
        outputs: names in lower case of columns that hold an answer; beside one nothing is done.
    """
    names = {name.lower(): name for name in table.columns}
    if outputs.intersection(names):  # the answer stands apart, a text beside it repeats it
        return Dialogues()
    wanted = [names[name] for name in (*_PREFERENCES, *_COLUMNS) if name in names]
    if len(table.columns) == 1:
        wanted = list(table.columns)
    found = Dialogues()
    for name in wanted:
        records = [r for r in table.records if not r.problem and not is_empty(r.cells.get(name))]
        kind = _kind_of(records, name)
        if kind is None:
            continue
        template = _shared_template(records, name, kind) if isinstance(kind, _Kind) else ""
        for record in records:
            turns = _turns(record.cells[name], kind)
            if turns is None:
                record.problem = f"its {name} is no dialogue that ends with an answer"
            else:
                record.cells[name] = turns if not template else _bare(record.cells[name], template)
        if name not in _PREFERENCES[1:] and not found.note:
            found = Dialogues(_note(kind, template), template)
    return found


def _note(kind: _Kind | re.Pattern[str], template: str) -> str:
    how = kind.name if isinstance(kind, _Kind) else "[INST]"
    said = f'The texts hold question and answer ("{how}"): they were taken apart.'
    return f"{said} What stands around every question is the prompt template." if template else said


def _kind_of(records: Sequence[Record], name: str) -> _Kind | re.Pattern[str] | None:
    first = [record.cells[name] for record in islice(records, _LOOKED_AT)]
    if not first or not all(isinstance(text, str) for text in first):
        return None
    for kind in (_LLAMA_2, *_KINDS):
        if all(_turns(text, kind) for text in first):
            return kind
    return None


def _turns(text: object, kind: _Kind | re.Pattern[str]) -> Turns | None:
    """The turns of a text, the last an answer; None where it is no such dialogue."""
    if not isinstance(text, str):
        return None
    if isinstance(kind, re.Pattern):
        match = kind.match(text)
        if not match or "[INST]" in match["user"] + match["answer"] or not match["answer"].strip():
            return None
        turns = [_turn(SYSTEM, match["system"])] if match["system"] else []
        return [*turns, _turn(USER, match["user"]), _turn(ASSISTANT, match["answer"].strip())]
    marks = list(kind.mark.finditer(text))
    turns: Turns = []
    before = text[: marks[0].start()].strip() if marks else ""
    for end in ("<s>", "<bos>", "<|begin_of_text|>"):
        before = before.removeprefix(end).strip()
    if before and kind.template:
        turns.append(_turn(SYSTEM, before))
    elif before:
        return None
    for role, part in _parts(text, marks, kind.ends):
        if turns and turns[-1]["role"] == role == USER:  # an instruction and its input
            joined = f"{turns[-1]['content']}\n\n{part}".strip()
            turns[-1] = _turn(USER, joined)
        elif part or role != SYSTEM:
            turns.append(_turn(role, part))
    asked = any(turn["role"] == USER and turn["content"] for turn in turns)
    answered = bool(turns) and turns[-1]["role"] == ASSISTANT and bool(turns[-1]["content"])
    return turns if asked and answered else None


def _parts(
    text: str, marks: Sequence[re.Match[str]], ends: Sequence[str]
) -> Iterator[tuple[str, str]]:
    for at, mark in enumerate(marks):
        part = text[mark.end() : marks[at + 1].start() if at + 1 < len(marks) else len(text)]
        yield _ROLES.get(mark[1].lower(), mark[1].lower()), _ended(part, ends)


def _ended(part: str, ends: Sequence[str]) -> str:
    part = part.strip()
    while end := next((end for end in ends if part.endswith(end)), ""):
        part = part.removesuffix(end).strip()
    return part


def _turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


# ------------------------------------------------------------------------------- templates


def _shared_template(records: Sequence[Record], name: str, kind: _Kind) -> str:
    """The words around the last part of every question, where they are the same in all rows."""
    if not kind.template:
        return ""
    found = {_around(record.cells[name], kind) for record in records}
    template = found.pop() if len(found) == 1 else ""
    return template if len(template) <= _LONGEST_TEMPLATE else ""


def _around(text: str, kind: _Kind) -> str:
    marks = list(kind.mark.finditer(text))
    if len(marks) < 2 or [_ROLES.get(m[1].lower()) for m in marks[-2:]] != [USER, ASSISTANT]:
        return ""
    if any(_ROLES.get(mark[1].lower()) == ASSISTANT for mark in marks[:-1]):
        return ""  # several turns
    start = text[: marks[-2].end()].removeprefix("<s>")
    return "" if _MARK in start else f"{start}{_MARK}{marks[-1][0]}".rstrip(" ")


def _bare(text: str, template: str) -> Turns:
    """Question and answer of a text that was written with a template."""
    start, end = template.split(_MARK)
    question, _, answer = text.removeprefix("<s>").removeprefix(start).partition(end)
    return [_turn(USER, question.strip()), _turn(ASSISTANT, _ended(answer, _END_TOKENS))]
