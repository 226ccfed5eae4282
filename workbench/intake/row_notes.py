"""What a person is told about how a file was read: nothing is dropped in silence."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from workbench.intake.columns import Reading
from workbench.intake.records import Table
from workbench.intake.wording import shown

_SKIPPED_ROWS_NAMED = 3
_COLUMNS_NAMED = 30


@dataclass
class Seen:
    """What was met while rows were read, for the notes."""

    systems: list[str] = field(default_factory=list)
    earlier: int = 0
    several: int = 0
    beside: set[str] = field(default_factory=set)
    calls: int = 0


def reading_notes(table: Table, reading: Reading, seen: Seen) -> Iterator[str]:
    if reading.conversation:
        listed = _quoted(reading.conversation)
        if reading.output:
            yield f"The turns in {listed} were read as the input."
        else:
            said = "was read as the output, what was asked as the input."
            yield f"The last answer in {listed} {said}"
    elif len(reading.inputs) > 1:
        yield f"{_quoted(reading.inputs)} were joined into one input, with a blank line between."
    elif reading.inputs and reading.inputs[0] != "input":
        yield f"{_quoted(reading.inputs)} was read as the input."
    if reading.output and reading.output != "output":
        yield f"{_quoted([reading.output])} was read as the output."
    for name in reading.same:
        yield f'"{shown(name, 30)}" says the same in numbers and was left out.'
    if reading.output in table.names:
        yield f'The numbers of "{shown(reading.output, 30)}" became the names that the file has.'
    if seen.earlier:
        yield (
            "Where a row has several turns, the last answer is the output; the turns before are in "
            f'the input, after "User:" and "Assistant:" ({_rows(seen.earlier)}).'
        )
    if seen.calls:
        yield (
            f'Calls of tools stand as "<tool_call>" with JSON ({_rows(seen.calls)}); where the '
            "adapter's template writes them otherwise, change the rows."
        )
    if seen.beside:
        listed = ", ".join(shown(name, 30) for name in sorted(seen.beside)[:_COLUMNS_NAMED])
        yield f"Left out of the turns: {listed}."
    if seen.several:
        yield f"Where a row has several right answers, each counts ({_rows(seen.several)})."
    if any(seen.systems):
        if len(set(seen.systems)) == 1:
            yield "The system turn is the same in all rows: it belongs to the prompt format."
        else:
            yield "The system turn differs among rows: it was put before the input."
    for mark, count in table.arrows.items():
        word = "a tab" if mark == "\t" else '"=>"'
        yield f"{count} of {len(table.records)} lines were split at {word} into input and output."


def left_out_notes(left_out: Sequence[str], reading: Reading) -> Iterator[str]:
    names = [name for name in left_out if name not in reading.same]
    if names:
        more = f" and {len(names) - _COLUMNS_NAMED} more" if len(names) > _COLUMNS_NAMED else ""
        listed = ", ".join(shown(name, 30) or "(no name)" for name in names[:_COLUMNS_NAMED])
        yield f"Other columns were left out: {listed}{more}."


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(f'"{shown(name, 30)}"' for name in names)


def skipped_note(bad: Sequence[str], total: int) -> str:
    named = "; ".join(bad[:_SKIPPED_ROWS_NAMED])
    more = "; …" if len(bad) > _SKIPPED_ROWS_NAMED else ""
    were = "was" if len(bad) == 1 else "were"
    return f"{len(bad):,} of {total:,} rows {were} skipped: {named}{more}."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
