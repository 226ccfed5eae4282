"""What a person is asked when the names of columns do not say which one is which."""

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import IntakeError
from workbench.intake.cells import as_text
from workbench.intake.column_names import INPUTS, OUTPUTS, is_about, normal
from workbench.intake.records import Table
from workbench.intake.wording import shown

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


def unclear(table: Table, where: str, what: str, inputs: tuple[str, ...] = ()) -> ColumnsUnclear:
    """The question for a table.

    Args:
        what: "the output", or what else is not known.
        inputs: columns of the input, where only the output has to be asked for.
    """
    named = names_listed(table.columns)
    if not table.has_names:
        sentence = f"{where} does not name its columns. Say which of {named} is {what}."
    else:
        sentence = f"{where}: which column is {what}? It has {named}."
    return ColumnsUnclear(sentence, question_about(table, where, inputs))


def names_listed(names: Sequence[str]) -> str:
    """The names in one sentence; not more than a person reads."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(shown(name, 40) for name in names[:20]) + more


def question_about(table: Table, where: str, inputs: tuple[str, ...] = ()) -> Question:
    rows = [record.cells for record in table.records if not record.problem][:_ROWS_SHOWN]
    cells = tuple(
        tuple((as_text(row.get(name)) or "")[:_CELL_SHOWN] for name in table.columns)
        for row in rows
    )
    return Question(where, table.columns, cells, _proposal(table, inputs))


def _proposal(table: Table, inputs: tuple[str, ...]) -> Choice:
    """A guess: what asks or is longest is likely the input, what differs least the output."""
    texts = {
        name: [as_text(value) or "" for value in table.values(name, _LOOKED_AT)]
        for name in table.columns
        if not is_about(name)
    }
    if not texts:
        return Choice(output="")
    inputs = inputs or (_likely_input(texts),)
    rest = [name for name in texts if name not in inputs]
    known = [name for known in OUTPUTS for name in rest if normal(name) == known]
    fewest = min(rest, key=lambda name: len(set(texts[name])), default="")
    return Choice(inputs, (known or [fewest])[0])


def _likely_input(texts: dict[str, list[str]]) -> str:
    for known in INPUTS:
        for name in texts:
            if normal(name) == known:
                return name
    names = [name for name in texts if normal(name) not in OUTPUTS] or list(texts)
    for name in names:
        if 2 * sum(text.strip().endswith(("?", "？")) for text in texts[name]) > len(texts[name]):
            return name
    length = {name: sum(map(len, texts[name])) / max(len(texts[name]), 1) for name in names}
    # Of several long texts that are all different the first is answered by the others.
    different = [name for name in names if len(set(texts[name])) == len(texts[name])]
    return next(
        (name for name in different if 4 * length[name] >= 3 * max(length.values())),
        max(names, key=length.__getitem__),
    )
