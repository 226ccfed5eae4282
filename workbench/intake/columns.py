"""Which columns of a table are the input and the output.

Known names are understood, in any letter case; two columns that make one input are joined in one
stated way. What is not understood is asked: ``ColumnsUnclear`` carries what a person must see to
choose. The names come from the data sets and trainers that people use.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.cells import as_text, is_empty, right_answers
from workbench.intake.conversations import is_conversation
from workbench.intake.tables import Table
from workbench.intake.wording import shown

# How much an output is wanted.
NONE = "none"  # unlabelled inputs
OPTIONAL = "optional"  # seeds
REQUIRED = "required"  # evaluation rows, training rows

# An input is an instruction, a question and a content, in this order, where a file has several.
_INSTRUCTION = ("instruction", "instructions")
_SPEAKERS = ("user", "human")  # beside a text it is who wrote it
_QUESTION = ("question", "query", "prompt", "user_query", "user_input", *_SPEAKERS, "problem")
_CONTENT = (
    *("input", "inputs", "input_text", "text", "sentence", "utterance", "context", "document"),
    *("passage", "article", "dialogue", "dialog", "schema", "table_schema", "story", "evidence"),
    *("review", "tweet", "message", "comment", "sentence_text", "transcript", "comment_text"),
)
# Possible answers, put behind a question whose answer is one of them.
_CHOICES = ("choices", "options", "endings", "candidates")
# Inputs where nothing above is there; beside one of the above they are about it.
_LESSER = ("source", "src", "source_text", "content", "body", "description", "abstract")
_HEADING = ("title", "subject", "headline")
_SYSTEM = ("system", "system_prompt", "system_message")
_ANSWERS = (
    *("output", "outputs", "answer", "answers", "response", "completion", "target", "summary"),
    *("sql", "highlights", "chosen", "reply", "output_text", "target_text", "final_answer"),
    *("expected", "expected_output", "reference", "ground_truth", "solution", "best_answer"),
    *("targets", "tgt", "assistant", "bot", "canonical_solution", "code", "chosen_response"),
)
_CLASSES = (
    *("label", "labels", "category", "intent", "class", "class_label", "class_name"),
    *("sentiment", "emotion", "topic", "label_text", "label_name", "intent_name", "category_name"),
)
_INPUTS = (*_INSTRUCTION, *_QUESTION, *_CONTENT, *_LESSER)
_OUTPUTS = (*_ANSWERS, *_CLASSES)
APART = frozenset(name for name in _OUTPUTS if name != "chosen")  # where an answer stands apart
KNOWN = frozenset((*_INPUTS, *_OUTPUTS, *_HEADING))
# Of these nobody has to be asked whether they are the output.
_ABOUT = (
    *("", "id", "idx", "index", "uid", "uuid", "guid", "row", "split", "url", "lang", "language"),
    *("__index_level_0__", "date", "timestamp", "created_at", "dataset", "source", "rejected"),
    *("user_id", "example_id", "prompt_id", "tools", "weight", "license", "licence"),
    *("written_for", "origin", "status", "confidence", "model", "domain"),
)
_CONVERSATIONS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns")
_FIRST = re.compile(r"(text|sentence|question|input|document|paragraph|premise)_?(1|a)")
_LOOKED_AT = 1000  # rows by which columns are compared
_ROWS_SHOWN = 5
_CELL_SHOWN = 200


@dataclass(frozen=True)
class Choice:
    """What a person says about the columns of a file.

    Attributes:
        inputs: columns that make the input, in order; () leaves it to their names.
        output: its column, "" for none; None leaves it to the names.
    """

    inputs: tuple[str, ...] = ()
    output: str | None = None


@dataclass(frozen=True)
class Question:
    """What a person is shown to choose columns: plain data.

    Attributes:
        where: name of the file.
        columns: all that are not empty, in the order of the file.
        first_rows: cells of the first rows as text, cut short, in the order of ``columns``.
        proposal: a guess to begin with; its input may be () and its output "".
    """

    where: str
    columns: tuple[str, ...]
    first_rows: tuple[tuple[str, ...], ...]
    proposal: Choice


class ColumnsUnclear(IntakeError):
    """The names do not say which column is which; ``question`` is what to ask, if it is known."""

    def __init__(self, message: str, question: Question | None = None) -> None:
        super().__init__(message)
        self.question = question


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
        outputs: NONE, OPTIONAL or REQUIRED.
        choice: what a person says; it is believed.

    Raises:
        ColumnsUnclear: a person has to say it.
        IntakeError: a chosen column is not there, or there are no outputs at all.
    """
    names = {_normal(name): name for name in reversed(table.columns)}
    system = next((names[name] for name in _SYSTEM if name in names), "")
    if choice.inputs:
        inputs = tuple(_chosen(table, name, where) for name in choice.inputs)
    else:
        spoken = _conversation(table, names)
        if spoken:
            return Reading(conversation=spoken, system=system)
        inputs = _inputs(table, names, where, outputs, choice)
    if choice.output:
        return Reading(inputs, _chosen(table, choice.output, where), system=system)
    if choice.output == "" or outputs == NONE:
        return Reading(inputs, system=system)
    output, same = _output(table, names, where, outputs, inputs)
    history = names.get("history", "")
    if history and not isinstance(_first(table, history), list):
        history = ""
    answers = names.get("references", "")
    if _normal(output) in ("answer", "answers") and right_answers(_first(table, output)):
        answers = output
    if answers and right_answers(_first(table, answers)) is None:
        answers = ""
    return Reading(inputs, output, system=system, history=history, answers=answers, same=same)


def _normal(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def chosen_names(choice: Choice) -> tuple[str, ...]:
    """All columns that will be read, in lower case, where a person named them all; else ()."""
    if not choice.inputs or choice.output is None:
        return ()
    return tuple(name.lower() for name in (*choice.inputs, choice.output) if name)


def _chosen(table: Table, name: str, where: str) -> str:
    """A column by its name, in any letter case, or by its number from 1."""
    if name in table.columns:
        return name
    found = [column for column in table.columns if _normal(column) == _normal(name)]
    if len(found) == 1:
        return found[0]
    by_number = f"column {name}"
    if by_number in table.columns:
        return by_number
    raise ColumnsUnclear(
        f"{where} has no column {shown(name)}. It has {_listed(table.columns)}.",
        _question(table, where),
    )


def _conversation(table: Table, names: dict[str, str]) -> tuple[str, ...]:
    """Columns whose cells are lists of turns, whatever they are called; () without one."""
    spoken = [name for name in table.columns if is_conversation(_first(table, name))]
    for name in _CONVERSATIONS:
        if (talk := names.get(name)) in spoken:
            chosen = names.get("chosen", "")
            goes_on = isinstance(_first(table, chosen), dict)  # the answer stands apart
            return (talk, chosen) if goes_on else (talk,)
    for name in ("completion", "chosen", "response"):
        if (answer := names.get(name)) in spoken:
            whole = len(_first(table, answer)) > 1
            return (answer,) if whole or "prompt" not in names else (names["prompt"], answer)
    return tuple(spoken) if len(spoken) == 1 else ()


def _inputs(
    table: Table, names: dict[str, str], where: str, outputs: str, choice: Choice
) -> tuple[str, ...]:
    there = [name for name in _INPUTS if name in names and not _is_rendering(table, names, name)]
    has_output = bool(choice.output) or any(name in names for name in _OUTPUTS)
    if pair := _pair(names):
        return pair
    if any(name in _CONTENT for name in there):
        there = [name for name in there if name not in _SPEAKERS]
    if "input" in there:  # the name of our own files: no other content has a say
        there = [name for name in there if name == "input" or name in _INSTRUCTION]
    by_kind = [
        [name for name in there if name in kind] for kind in (_INSTRUCTION, _QUESTION, _CONTENT)
    ]
    if not any(by_kind[1:]):
        by_kind[2] = [name for name in there if name in _LESSER]
    if by_kind[2] and not by_kind[1] and has_output:
        by_kind.insert(2, [name for name in _HEADING if name in names])
    if any(by_kind) and all(len(kind) <= 1 for kind in by_kind):
        by_kind.append(
            [name for name in _CHOICES if isinstance(_first(table, names.get(name, "")), list)]
        )
        return tuple(names[name] for kind in by_kind for name in kind)
    if len(table.columns) == 1 and not has_output:
        return table.columns
    raise _unclear(table, where, "the input" if outputs == NONE else "the input, which the output")


def _pair(names: dict[str, str]) -> tuple[str, ...]:
    """Two columns of one kind, as in tasks that compare: sentence1 and sentence2."""
    if "premise" in names and "hypothesis" in names:
        return names["premise"], names["hypothesis"]
    for name in names:
        if match := _FIRST.fullmatch(name):
            other = name[: -len(match[2])] + {"1": "2", "a": "b"}[match[2]]
            if other in names:
                return names[name], names[other]
    return ()


def _is_rendering(table: Table, names: dict[str, str], name: str) -> bool:
    """Whether a column repeats input and output of the same row, as a prompt made for training."""
    if name not in ("text", "prompt", "content", "inputs", "input_text"):
        return False
    parts = [names[n] for n in (*_INPUTS, *_ANSWERS) if n in names and n != name]
    answers = [names[n] for n in _ANSWERS if n in names]
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
    there = [names[name] for name in _OUTPUTS if name in names and names[name] not in inputs]
    if names.get("output") in there:
        return names["output"], ()
    same: list[str] = []
    for number in [name for name in there if _is_number(table, name)]:
        if text := _in_words(table, number, inputs):
            there = [name for name in there if name not in (number, text)] + [text]
            same.append(number)
    if len(there) > 1 and _asks(inputs):
        there = [name for name in there if _normal(name) in _ANSWERS] or there
    if len(there) == 1:
        return there[0], tuple(same)
    others = [
        name
        for name in table.columns
        if name not in inputs and not _is_about(name) and _normal(name) not in _HEADING
    ]
    if there or (others and (outputs == REQUIRED or not _is_ours(inputs))):
        raise _unclear(table, where, "the output")
    if outputs == REQUIRED:
        raise IntakeError(
            f"{where} has no outputs: its columns are {_listed(table.columns)}. "
            "Give rows with the right answers in a column that is called output."
        )
    return "", ()


def _is_about(name: str) -> bool:
    """Whether a name is of a column that is neither input nor output."""
    name = _normal(name)
    return name in (*_ABOUT, *_SYSTEM, "history", "references") or name.startswith("unnamed:")


def _is_ours(inputs: Sequence[str]) -> bool:
    """Whether the file keeps to our own names, in which case its other columns are no outputs."""
    return [_normal(name) for name in inputs] == ["input"]


def _asks(inputs: Sequence[str]) -> bool:
    return any(_normal(name) in (*_INSTRUCTION, *_QUESTION) for name in inputs)


def _values(table: Table, name: str) -> Iterator[Any]:
    for record in table.records[:_LOOKED_AT]:
        if not is_empty(record.cells.get(name)):
            yield record.cells[name]


def _first(table: Table, name: str) -> Any:
    return next(
        (r.cells[name] for r in table.records if not is_empty(r.cells.get(name))),
        None,
    )


def _is_number(table: Table, name: str) -> bool:
    return all(re.fullmatch(r"-?\d+(\.0)?", as_text(value) or "") for value in _values(table, name))


def _in_words(table: Table, number: str, inputs: Sequence[str]) -> str:
    """The column that has a text for each number of this one, and a number for each text."""
    for name in table.columns:
        related = _normal(name) in _CLASSES or _normal(name).startswith(_normal(number))
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


# ------------------------------------------------------------------------------ questions


def _unclear(table: Table, where: str, what: str) -> ColumnsUnclear:
    listed = _listed(table.columns)
    if not table.has_names:
        sentence = f"{where} does not name its columns. Say which of {listed} is {what}."
    else:
        sentence = f"{where}: which column is {what}? It has {listed}."
    return ColumnsUnclear(sentence, _question(table, where))


def _listed(names: Sequence[str]) -> str:
    """The names in one sentence; not more than a person reads."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(shown(name, 40) for name in names[:20]) + more


def _question(table: Table, where: str) -> Question:
    rows = [record.cells for record in table.records if not record.problem][:_ROWS_SHOWN]
    cells = tuple(
        tuple((as_text(row.get(name)) or "")[:_CELL_SHOWN] for name in table.columns)
        for row in rows
    )
    return Question(where, table.columns, cells, _proposal(table))


def _proposal(table: Table) -> Choice:
    """The longest text is likely the input, what differs least among rows the output."""
    texts = {
        name: [as_text(value) or "" for value in _values(table, name)] for name in table.columns
    }
    texts = {name: values for name, values in texts.items() if not _is_about(name)}
    if not texts:
        return Choice(output="")
    known_input = [name for known in _INPUTS for name in texts if _normal(name) == known]
    longest = max(texts, key=lambda name: sum(map(len, texts[name])) / max(len(texts[name]), 1))
    source = (known_input or [longest])[0]
    rest = [name for name in texts if name != source]
    known = [name for known in _OUTPUTS for name in rest if _normal(name) == known]
    fewest = min(rest, key=lambda name: len(set(texts[name])), default="")
    return Choice((source,), (known or [fewest])[0])
