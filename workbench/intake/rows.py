"""Rows of text from strangers: seeds, evaluation rows, training rows, unlabelled inputs.

A file becomes a table (``tables``), its columns get a meaning (``columns``), each row becomes an
``Example``. A few bad rows are skipped, counted and named; where most are bad nothing is taken.
Nothing is dropped in silence: ``Rows.notes`` says what was read as what and what was left out.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.errors import IntakeError
from workbench.intake import conversations, delimited, rendered
from workbench.intake.cells import as_text, is_empty, right_answers
from workbench.intake.column_names import APART, KNOWN, choice_marks
from workbench.intake.columns import (
    EITHER,
    NONE,
    OPTIONAL,
    REQUIRED,
    Choice,
    Reading,
    chosen_names,
    chosen_parts,
    read_columns,
)
from workbench.intake.copying import read_small
from workbench.intake.opening import opened
from workbench.intake.records import Record, Table
from workbench.intake.row_checks import BAD_ROWS_NAMED, BadRow, Raw, accept, clean
from workbench.intake.row_notes import Seen, left_out_notes, reading_notes, skipped_note
from workbench.intake.tables import (
    KINDS,
    PARQUET,
    decode_rows,
    is_table_of_tabs,
    read_parquet,
    read_table,
    unpacked,
)
from workbench.intake.wording import shown
from workbench.limits import LIMITS
from workbench.samples import Example

FILE_TYPES = (*KINDS, PARQUET)
_SPREADSHEET = 'is a spreadsheet. Save it as "CSV UTF-8" and hand that over.'
_ARROW = (
    "is a part of a saved data set. Write it as a file of rows: "
    'datasets.load_from_disk("FOLDER")["train"].to_json("rows.jsonl")'
)
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), _SPREADSHEET),
    **dict.fromkeys((".arrow", ".feather"), _ARROW),
    **dict.fromkeys(
        (".pkl", ".pickle"),
        "is a pickle, which can run code when it is read and is never opened. Write it as .jsonl.",
    ),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "is a database. Export the table as .csv."),
    **dict.fromkeys((".yml", ".yaml", ".xml"), "cannot be read. Write its rows as .jsonl or .csv."),
}
_FEWEST_WITH_INSTRUCTION = 3  # rows that make an instruction one of the task
NO_OUTPUTS = "No right answers are in it: the verdict compares with the source's own answers."
JOIN = "\n\n"  # between the columns of one input


@dataclass(frozen=True)
class Rows:
    """Rows that were accepted, and what a person is told about how they were read.

    Attributes:
        notes: sentences: what was read as what, left out, skipped or changed.
        input_columns: of the file, joined in this order with ``JOIN`` between; empty for plain
            lines and conversations.
        output_column: "" without one.
        left_out: columns that hold something and were not read.
        skipped: bad rows.
        system: the system turn of all rows, for the prompt format; it is in no input.
        instruction: the text with which every input begins where a column with an instruction is
            the same in all rows; "" else.
        template: the prompt in which a trainer wrote every row, with "{input}"; "" else.
    """

    examples: tuple[Example, ...]
    notes: tuple[str, ...] = ()
    input_columns: tuple[str, ...] = ()
    output_column: str = ""
    left_out: tuple[str, ...] = ()
    skipped: int = 0
    system: str = ""
    instruction: str = ""
    template: str = ""


def read_rows(
    path: Path,
    at_most: int = LIMITS.rows,
    outputs: str = OPTIONAL,
    choice: Choice = Choice(),  # noqa: B008  frozen
) -> Rows:
    """Rows of a file, and notes.

    Args:
        at_most: number of rows that may be in it.
        outputs: ``columns.NONE`` (unlabelled inputs), OPTIONAL (seeds), REQUIRED (training rows: a
            row without one is a bad row), or EITHER (evaluation rows: so where any has one).
        choice: what a person said about the columns.

    Raises:
        columns.ColumnsUnclear: a person has to choose columns; its ``question`` has what to show
            (names, first rows, a proposal). Call again with the ``choice``.
        IntakeError: what is wrong, in which rows, and what to do.
    """
    packed = path.suffix.lower() == ".gz"
    kind, name = Path(path.stem if packed else path).suffix.lower(), shown(path.name)
    if os.path.isdir(path):  # says no to impossible names, where Path.is_dir raises
        raise IntakeError(f"{name} is a folder. Hand over the file of rows that is in it.")
    if kind in _REMEDIES:
        raise IntakeError(f"{name} {_REMEDIES[kind]}")
    if kind not in FILE_TYPES:
        raise IntakeError(
            f"{name} is of an unknown kind. Hand over .jsonl, .json, .csv, .tsv, .parquet or .txt"
            + (", unpacked." if kind in (".zip", ".zst", ".bz2", ".xz", ".tar") else ".")
        )
    raw = read_small(path, LIMITS.rows_file_bytes)
    if packed:
        raw = unpacked(raw, name)
    if kind == PARQUET:
        table = read_parquet(raw, name, chosen_names(choice))
    else:
        text, note = decode_rows(raw, name)
        table = read_table(text, _kind(text, kind, outputs), name, KNOWN, outputs != "none")
        table.notes = (*filter(None, [note]), *table.notes)
    return _rows(table, at_most, name, outputs, choice)


def _kind(text: str, suffix: str, outputs: str) -> str:
    """By the name, but for a table or JSON lines that somebody called .txt."""
    if suffix != ".txt":
        return KINDS[suffix]
    guess = _guess(text)
    first = text.strip().partition("\n")[0].strip()
    whole = guess == "jsonl" and first.endswith("}")
    names = [cell.strip().lower() for cell in delimited.split(first)]
    if whole:
        return guess
    table = guess == "csv" and len(KNOWN.intersection(names)) > 1
    return "csv" if outputs != NONE and (table or is_table_of_tabs(text)) else "text"


def parse_rows(
    text: str,
    kind: str = "auto",
    at_most: int = LIMITS.rows,
    where: str = "The text",
    outputs: str = OPTIONAL,
    choice: Choice = Choice(),  # noqa: B008  frozen
) -> Rows:
    """Rows of ``text``; see ``read_rows``.

    Args:
        kind: "jsonl", "json", "csv", "text" (one input per line, optionally a tab or " => " and the
            output), or "auto", which looks at the first line.
        where: what error sentences call the source.
    """
    if len(text) > LIMITS.rows_file_bytes:
        raise IntakeError(f"{where} is too long. Hand over fewer rows.")
    kind = _guess(text) if kind == "auto" else kind
    if kind not in KINDS.values():
        raise IntakeError(
            f'Rows are of the kind "jsonl", "json", "csv" or "text", not "{shown(kind)}".'
        )
    table = read_table(text.removeprefix("\ufeff"), kind, where, KNOWN, outputs != "none")
    return _rows(table, at_most, where, outputs, choice)


def table_rows(table: Iterable[Sequence[Any]], at_most: int = LIMITS.rows) -> Rows:
    """Rows of an editable table: input, then optionally output. Empty lines are passed over.

    Unlike a file it is refused for a single bad row: the person is at it and can mend it.
    """
    raw = []
    for number, row in enumerate(table, start=1):
        # An empty cell comes as None or NaN, the only value that differs from itself.
        cells = ["" if cell is None or cell != cell else str(cell) for cell in row[:2]]
        if any(cell.strip() for cell in cells):
            raw.append(Raw(number, cells[0], cells[1] if len(cells) > 1 else None))
    examples, skipped, notes = accept(raw, at_most, "The table", OPTIONAL)
    if skipped:
        raise IntakeError(f"The table: {'; '.join(skipped[:BAD_ROWS_NAMED])}. Correct it.")
    return Rows(tuple(examples), tuple(notes))


def _guess(text: str) -> str:
    first = next((line for line in text.split("\n", 20)[:20] if line.strip()), "").strip()
    if first.startswith("{"):
        return "jsonl"
    if first in ("[", "[{") or (first.startswith("[{") and first.endswith(("}", "},", "}]"))):
        return "json"
    header = [cell.strip().strip('"').lower() for cell in re.split("[,;\t]", first)]
    return "csv" if len(header) > 1 and any(name in KNOWN for name in header) else "text"


def _rows(table: Table, at_most: int, where: str, outputs: str, choice: Choice) -> Rows:
    if not any(not record.problem for record in table.records):
        accept((Raw(r.number, problem=r.problem) for r in table.records), at_most, where, outputs)
    table = opened(table, chosen_parts(choice))
    if table.records and not table.columns:
        raise IntakeError(f"{where}: its rows are empty. Give at least one input.")
    dialogues = rendered.Dialogues() if choice.inputs else rendered.take_apart(table, APART)
    reading = read_columns(table, where, outputs, choice)
    notes = [*table.notes, *filter(None, [dialogues.note, *_without_bad_examples(table, reading)])]
    seen = Seen()
    as_written = bool(choice.inputs) or _holds_objects(table, reading)
    raw = list(_raw_rows(table, reading, as_written, seen))
    if outputs == EITHER:
        outputs = REQUIRED if any(row.target for row in raw) else NONE
        notes += [] if outputs == REQUIRED else [NO_OUTPUTS]
    examples, bad, changes = accept(raw, at_most, where, outputs)
    left_out = tuple(
        name for name in (*table.columns, *table.unreadable) if name not in reading.used
    )
    notes += [*reading_notes(table, reading, seen), *left_out_notes(left_out, reading)]
    if bad:
        notes.append(skipped_note(bad, len(raw)))
    system = seen.systems[0] if seen.systems and len(set(seen.systems)) == 1 else ""
    return Rows(
        examples=tuple(examples),
        notes=(*notes, *changes),
        input_columns=() if reading.conversation else reading.inputs,
        output_column=reading.output,
        left_out=left_out,
        skipped=len(bad),
        system=system,
        instruction=_shared_instruction(examples, table, reading),
        template=dialogues.template if reading.conversation else "",
    )


def _holds_objects(table: Table, reading: Reading) -> bool:
    """Whether the inputs are objects or lists throughout, as of a task that puts data in words."""
    cells = [r.cells.get(reading.inputs[0]) for r in table.records] if reading.inputs else []
    return all(is_empty(cell) or isinstance(cell, list | dict) for cell in cells)


def _without_bad_examples(table: Table, reading: Reading) -> Iterator[str]:
    """Leave out the answers that a file for KTO marks as bad; a sentence where there are any."""
    label = next((name for name in table.columns if name.lower() == "label"), "")
    asks = any(name.lower() == "prompt" for name in (*reading.inputs, *reading.conversation))
    values = [record.cells.get(label) for record in table.records if record.cells]
    if not label or label in reading.used or not asks or not all(type(v) is bool for v in values):
        return
    good = [record for record in table.records if record.cells.get(label) is not False]
    if bad := len(table.records) - len(good):
        yield f"Left out: {bad:,} rows whose label is false, as their answers are the wrong ones."
    table.records[:] = good


def _raw_rows(table: Table, reading: Reading, as_written: bool, seen: Seen) -> Iterator[Raw]:
    rows = []
    for record in table.records:
        if record.problem:
            rows.append((record, None, ""))
            continue
        try:
            rows.append((record, *_read_row(record, reading, as_written, seen)))
        except (BadRow, conversations.NotText) as error:
            rows.append((Record(record.number, problem=str(error)), None, ""))
    # A system turn that differs from row to row is part of what is asked.
    differs = len(set(seen.systems)) > 1
    for record, row, system in rows:
        if row is None:
            yield Raw(record.number, problem=record.problem)
        elif differs and system:
            yield replace(row, source=f"{system}{JOIN}{row.source}")
        else:
            yield row


def _read_row(record: Record, reading: Reading, as_written: bool, seen: Seen) -> tuple[Raw, str]:
    """The row, and its system turn."""
    system = conversations.plain_text(_cell(record, reading.system))
    references: list[str] = []
    if reading.conversation:
        talk = conversations.read(list(_turns(record, reading, seen)), bool(reading.output))
        target = _cell(record, reading.output) if reading.output else talk.output
        source, system = talk.input, talk.system or system
        seen.earlier += talk.earlier > 0
    else:
        source, target = _source(record, reading, as_written), _cell(record, reading.output)
        if reading.history and (turns := list(_history(record, reading))):
            talk = conversations.read([*turns, conversations.Turn(conversations.USER, source)])
            source, seen.earlier = talk.input, seen.earlier + 1
        found = right_answers(_cell(record, reading.answers))
        references = found or []
        if found is not None and reading.answers == reading.output:
            target = next(iter(found), None)  # a question that the text does not answer has none
        seen.several += bool(references) and len({*references, as_text(target)}) > 1
    seen.systems.append(system.strip())
    return Raw(record.number, source, as_text(target), tuple(references)), system.strip()


def _cell(record: Record, name: str) -> Any:
    """The cell of a column that may be none: "" is the name of an index, too."""
    return record.cells.get(name) if name else None


def _turns(record: Record, reading: Reading, seen: Seen) -> Iterator[conversations.Turn]:
    for name in reading.conversation:
        value = record.cells.get(name)
        value = [value] if isinstance(value, dict) else value
        if conversations.is_conversation(value):
            seen.beside |= conversations.beside(value)
            turns = conversations.turns_of(value)
            seen.calls += any("<tool_call>" in turn.text for turn in turns)
            yield from turns
        elif isinstance(value, str):
            yield conversations.Turn(conversations.USER, value)
        else:
            raise BadRow(f'there is no conversation in "{shown(name)}"')


def _history(record: Record, reading: Reading) -> Iterator[conversations.Turn]:
    value = _cell(record, reading.history)
    if not isinstance(value, list | None):
        raise BadRow("the history is not a list of pairs of texts")
    yield from conversations.history_turns(value)


def _source(record: Record, reading: Reading, as_written: bool) -> Any:
    """The input: one cell, or several with a blank line between."""
    if not any(name in record.cells for name in reading.inputs):
        raise BadRow(f'there is no "{shown(reading.inputs[0])}"')
    cells = [record.cells.get(name) for name in reading.inputs]
    if len(cells) == 1 and not as_written:
        return cells[0]  # a number or an object is no text, unless that is what the column holds
    marks = choice_marks(reading.inputs)
    return JOIN.join(
        f"{marks.get(name, '')}{(as_text(cell) or '').strip()}"
        for name, cell in zip(reading.inputs, cells, strict=True)
        if not is_empty(cell)
    )


def _shared_instruction(examples: list[Example], table: Table, reading: Reading) -> str:
    """The beginning of all inputs, where the first of their columns is the same in every row."""
    if len(reading.inputs) < 2 or len(examples) < _FEWEST_WITH_INSTRUCTION:
        return ""
    first = {
        as_text(record.cells.get(reading.inputs[0])) for record in table.records if record.cells
    }
    if len(first) != 1 or not (words := clean(first.pop() or "", "input")[0]):
        return ""
    start = words + JOIN
    return start if all(e.input.startswith(start) and e.input != start for e in examples) else ""
