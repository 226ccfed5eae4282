"""Which columns of a table are the input and the output.

Known names are understood, in any letter case; two columns that make one input are joined in one
stated way. What is not understood is asked: ``ColumnsUnclear`` carries what a person must see to
choose. The names come from the data sets and trainers that people use.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import IntakeError
from workbench.intake.cells import as_text, right_answers
from workbench.intake.column_names import (
    ABOUT,
    ALIASES,
    ANSWERS,
    CHANGED,
    CHOICES,
    CLASSES,
    CONTENT,
    CONVERSATIONS,
    FIRST,
    HEADING,
    INPUTS,
    INSTRUCTION,
    LESSER,
    ORIGINALS,
    OUTPUTS,
    QUESTION,
    SPEAKERS,
    SYSTEM,
    choice_marks,
    is_about,
    normal,
    without_language,
)
from workbench.intake.column_questions import (
    Choice,
    ColumnsUnclear,
    names_listed,
    question_about,
    unclear,
)
from workbench.intake.conversations import is_answered, is_conversation
from workbench.intake.records import Table
from workbench.intake.wording import shown

# How much an output is wanted.
NONE = "none"  # unlabelled inputs
OPTIONAL = "optional"  # seeds
REQUIRED = "required"  # training rows, rows that accuracy is counted on
EITHER = "either"  # evaluation rows of a transfer: all of them have one, or none

_LOOKED_AT = 1000  # rows by which columns are compared


@dataclass(frozen=True)
class Reading:
    """Which columns are what; "" where there is none.

    Attributes:
        inputs: joined in this order, with a blank line between.
        conversation: columns whose turns follow each other, instead of ``inputs`` and ``output``.
        system: text that belongs to the prompt format.
        history: earlier turns as pairs.
        answers: has several answers that are all right; it may be ``output`` itself.
        same: columns that say the same as the output, in numbers.
    """

    inputs: tuple[str, ...] = ()
    output: str = ""
    conversation: tuple[str, ...] = ()
    system: str = ""
    history: str = ""
    answers: str = ""
    same: tuple[str, ...] = ()

    @property
    def used(self) -> frozenset[str]:
        """All columns that are read."""
        names = (*self.inputs, *self.conversation)
        names += (self.output, self.answers, self.system, self.history)
        return frozenset(name for name in names if name)


def read_columns(table: Table, where: str, outputs: str, choice: Choice) -> Reading:
    """Decide what the columns are.

    Args:
        outputs: NONE, OPTIONAL, REQUIRED or EITHER.
        choice: what a person says; it is believed.

    Raises:
        ColumnsUnclear: a person has to say it.
        IntakeError: a chosen column is not there, or there are no outputs at all.
    """
    names = _by_name(table)
    system = next((names[name] for name in SYSTEM if name in names), "")
    inputs: tuple[str, ...] = ()
    if choice.inputs:
        inputs = tuple(_chosen(table, name, where) for name in choice.inputs)
        spoken = inputs if is_conversation(table.first(inputs[0])) else ()
    else:
        spoken = _conversation(table, names)
    if len(spoken) == len(inputs) == 1 or (spoken and not choice.inputs):
        output = _answer_apart(table, names, where, outputs, choice, spoken)
        return Reading(conversation=spoken, output=output, system=system)
    inputs = inputs or _inputs(table, names, where, outputs, choice)
    if choice.output:
        chosen = _chosen(table, choice.output, where)
        if chosen in inputs:
            raise IntakeError(
                f"{where}: the column {shown(chosen)} cannot be input and output at once. Name "
                "another one for either."
            )
        output, same = chosen, ()
    elif choice.output == "" or outputs == NONE:
        return Reading(inputs, system=system)
    else:
        output, same = _output(table, names, where, outputs, inputs)
    history = names.get("history", "")
    if choice.inputs or not isinstance(table.first(history), list):
        history = ""
    aliases = (names[name] for name in ALIASES if name in names)
    answers = next((name for name in aliases if name not in inputs), "")
    if normal(output) in ("answer", "answers") and right_answers(table.first(output)):
        answers = output
    if answers and right_answers(table.first(answers)) is None:
        answers = ""
    return Reading(inputs, output, system=system, history=history, answers=answers, same=same)


def _by_name(table: Table) -> dict[str, str]:
    """Columns by their normal names; a part of an opened object also by its own name alone."""
    names = {normal(name): name for name in reversed(table.columns)}
    for name in table.columns:
        if (part := normal(name.rpartition(".")[2])) in ANSWERS:
            names.setdefault(part, name)
    return without_language(table.columns) | names


def _answer_apart(
    table: Table,
    names: dict[str, str],
    where: str,
    outputs: str,
    choice: Choice,
    spoken: Sequence[str],
) -> str:
    """The column with the answer to conversations that end with what the user says; else ""."""
    if choice.output is not None:
        return _chosen(table, choice.output, where) if choice.output else ""
    if outputs == NONE or is_answered(table.first(spoken[-1])):
        return ""
    there = dict.fromkeys(names[name] for name in OUTPUTS if name in names)
    found = [name for name in there if name not in spoken]
    if len(found) > 1:
        raise unclear(table, where, "the output", tuple(spoken))
    return found[0] if found else ""


def chosen_parts(choice: Choice) -> tuple[str, ...]:
    """Columns that a person named, in lower case."""
    return tuple(name.lower() for name in (*choice.inputs, choice.output or "") if name)


def chosen_names(choice: Choice) -> tuple[str, ...]:
    """All columns that will be read, in lower case, where a person named them all; else ()."""
    if not choice.inputs or choice.output is None:
        return ()
    return chosen_parts(choice)


def _chosen(table: Table, name: str, where: str) -> str:
    """A column by its name, in any letter case, or by its number from 1."""
    if name in table.columns:
        return name
    found = [column for column in table.columns if normal(column) == normal(name)]
    if len(found) == 1:
        return found[0]
    by_number = f"column {name}"
    if by_number in table.columns:
        return by_number
    raise ColumnsUnclear(
        f"{where} has no column {shown(name)}. It has {names_listed(table.columns)}.",
        question_about(table, where),
    )


def _conversation(table: Table, names: dict[str, str]) -> tuple[str, ...]:
    """Columns whose cells are lists of turns, whatever they are called; () without one."""
    spoken = [name for name in table.columns if is_conversation(table.first(name))]
    for name in CONVERSATIONS:
        if (talk := names.get(name)) in spoken:
            chosen = names.get("chosen")
            if chosen is not None and isinstance(table.first(chosen), dict):
                return (talk, chosen)  # the answer stands apart
            return (talk,)
    asked = names.get("prompt") or names.get("input")
    for name in ("completion", "chosen", "response", "preferred_output"):
        if (answer := names.get(name)) in spoken:
            whole = len(table.first(answer)) > 1
            return (answer,) if whole or asked is None else (asked, answer)
    return tuple(spoken) if len(spoken) == 1 else ()


def _inputs(
    table: Table, names: dict[str, str], where: str, outputs: str, choice: Choice
) -> tuple[str, ...]:
    there = [name for name in INPUTS if name in names and not _is_rendering(table, names, name)]
    has_output = bool(choice.output) or any(name in names for name in OUTPUTS)
    if pair := _pair(names):
        return pair
    there = [name for name in there if not _is_provenance(table, names[name])]
    if "data" in names and isinstance(table.first(names["data"]), str):
        there.append("data")
    if any(name in CONTENT for name in there):
        there = [name for name in there if name not in SPEAKERS]
    if "input" in there:  # the name of our own files: no other content has a say
        there = [name for name in there if name == "input" or name in INSTRUCTION]
    by_kind = [
        [name for name in there if name in kind] for kind in (INSTRUCTION, QUESTION, CONTENT)
    ]
    if any(name in names for name in CHANGED):
        by_kind[2] += [name for name in there if name in ORIGINALS]
    if not any(by_kind[1:]):
        by_kind[2] = [name for name in there if name in (*LESSER, "data")]
    if not any(by_kind):
        by_kind[2] = [name for name in HEADING if name in names]
    if by_kind[2] and not by_kind[1] and has_output:
        by_kind.insert(2, [n for n in HEADING if n in names and n not in by_kind[2]])
    if any(by_kind) and all(len(kind) <= 1 for kind in by_kind):
        listed = [
            n for n in CHOICES if n in names and isinstance(table.first(names[n]), list | dict)
        ]
        found = tuple(names[name] for kind in (*by_kind, listed) for name in kind)
        return (*found, *(name for name in choice_marks(table.columns) if name not in found))
    if len(table.columns) == 1 and not has_output:
        return table.columns
    raise unclear(table, where, "the input" if outputs == NONE else "the input, which the output")


def _is_provenance(table: Table, name: str) -> bool:
    """Whether a column called source says where rows come from: the same of many of them."""
    values = [as_text(value) for value in table.values(name, _LOOKED_AT)]
    return normal(name) in ABOUT and len(values) > 1 and 2 * len(set(values)) <= len(values)


def _pair(names: dict[str, str]) -> tuple[str, ...]:
    """Two columns of one kind, as in tasks that compare: sentence1 and sentence2."""
    if "premise" in names and "hypothesis" in names:
        return names["premise"], names["hypothesis"]
    for name in names:
        if match := FIRST.fullmatch(name):
            other = name[: -len(match[2])] + {"1": "2", "a": "b"}[match[2]]
            if other in names:
                return names[name], names[other]
    return ()


def _is_rendering(table: Table, names: dict[str, str], name: str) -> bool:
    """Whether a column repeats input and output of the same row, as a prompt made for training."""
    if name not in ("text", "prompt", "content", "inputs", "input_text"):
        return False
    parts = [names[n] for n in (*INPUTS, *ANSWERS) if n in names and n != name]
    answers = [names[n] for n in ANSWERS if n in names]
    if len(parts) < 2 or not answers:
        return False
    rows = [record.cells for record in table.records[:_LOOKED_AT] if not record.problem]
    return bool(rows) and all(
        all(
            (as_text(row.get(part)) or "") in (as_text(row.get(names[name])) or "")
            for part in parts
        )
        for row in rows
    )


def _output(
    table: Table, names: dict[str, str], where: str, outputs: str, inputs: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The output's column, or ""; and columns that say the same in numbers."""
    there = [names[name] for name in OUTPUTS if name in names and names[name] not in inputs]
    if names.get("output") in there:
        return names["output"], ()
    same: list[str] = []
    for number in [name for name in there if _is_number(table, name)]:
        if text := _in_words(table, number, inputs):
            there = [name for name in there if name not in (number, text)] + [text]
            same.append(number)
    if len(there) > 1 and _asks(inputs):
        there = [name for name in there if normal(name) in ANSWERS] or there
    if len(there) == 1:
        return there[0], tuple(same)
    others = [
        name
        for name in table.columns
        if name not in inputs and not is_about(name) and normal(name) not in HEADING
    ]
    if there or (others and (outputs in (REQUIRED, EITHER) or not _is_ours(inputs))):
        raise unclear(table, where, "the output", tuple(inputs))
    if outputs == REQUIRED:
        raise IntakeError(
            f"{where} has no outputs: its columns are {names_listed(table.columns)}. "
            "Give rows with the right answers in a column that is called output."
        )
    return "", ()


def _is_ours(inputs: Sequence[str]) -> bool:
    """Whether the file keeps to our own names, in which case its other columns are no outputs."""
    return [normal(name) for name in inputs] == ["input"]


def _asks(inputs: Sequence[str]) -> bool:
    return any(normal(name) in (*INSTRUCTION, *QUESTION) for name in inputs)


def _is_number(table: Table, name: str) -> bool:
    return all(
        re.fullmatch(r"-?\d+(\.0)?", as_text(value) or "")
        for value in table.values(name, _LOOKED_AT)
    )


def _in_words(table: Table, number: str, inputs: Sequence[str]) -> str:
    """The column that has a text for each number of this one, and a number for each text."""
    for name in table.columns:
        related = normal(name) in CLASSES or normal(name).startswith(normal(number))
        if name == number or name in inputs or not related or _is_number(table, name):
            continue
        pairs = {
            (as_text(record.cells.get(number)), as_text(record.cells.get(name)))
            for record in table.records
            if not record.problem
        }
        if len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
            return name
    return ""
