"""Uploaded files of rows: read, put into the run, and what was done to them said.

Where the columns' names do not say which is which, the person chooses: the first rows are shown
with a proposal, and the same file is read again with the choice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.inputs import seeds_and_rest
from workbench.intake.column_questions import Choice, ColumnsUnclear, Question
from workbench.intake.columns import EITHER, NONE, OPTIONAL
from workbench.intake.row_format import fitted_rows, proposed_format
from workbench.intake.rows import Rows, read_rows
from workbench.runs.folder import Run
from workbench.ui import plain, workspace
from workbench.ui.boxes import button_row, small_button
from workbench.ui.failures import say, told, warn

OUTPUTS = {"seeds": OPTIONAL, "evaluation": EITHER, "unlabelled": NONE}
_NO_OUTPUT = "(none)"
_OF_FORMAT = ("kind", "template", "system", "input_columns")


@dataclass(frozen=True)
class ColumnsPart:
    """The choice of columns: hidden until a file needs it. ``waiting`` is (role, path) or ()."""

    group: gr.Column
    rows: gr.Dataframe
    inputs: gr.Dropdown
    output: gr.Dropdown
    waiting: gr.State
    take: gr.Button

    @property
    def drawn(self) -> tuple[Any, ...]:
        """What an upload draws."""
        return (self.group, self.rows, self.inputs, self.output, self.waiting)


def build() -> ColumnsPart:
    """Place the choice of columns."""
    with gr.Column(visible=False, elem_id="columns") as group:
        plain.block(plain.heading("Columns", "This file does not say which column is which."))
        rows = gr.Dataframe(
            interactive=False, wrap=True, max_height=240, label="Its first rows", buttons=[]
        )
        with gr.Row():
            inputs = gr.Dropdown(
                multiselect=True,
                label="Input",
                info="Several are joined in this order.",
                elem_id="input-columns",
            )
            output = gr.Dropdown(label="Output", elem_id="output-column")
        with button_row():
            take = small_button("Read these columns", "columns-take")
    return ColumnsPart(group, rows, inputs, output, gr.State(()), take)


def take_file(role: str) -> Callable[..., Any]:
    """Handler for an uploaded file; gives the run, an empty box, and ``ColumnsPart.drawn``."""

    def take(run_id: str, path: str, owner: str = "") -> tuple[Any, ...]:
        return _take(run_id, role, path, Choice(), owner)

    return told(take)


def take_chosen(
    run_id: str, waiting: tuple[str, str], inputs: list[str], output: str, owner: str = ""
) -> tuple[Any, ...]:
    """The file that waits, read with the chosen columns; gives the run and what is drawn."""
    if not waiting or not inputs:
        warn("Choose at least one column as the input.")
        return (gr.skip(), *_as_it_is())
    role, path = waiting
    choice = Choice(tuple(inputs), "" if output in (None, _NO_OUTPUT) else output)
    run_id, _, *drawn = _take(run_id, role, path, choice, owner)
    return (run_id, *drawn)


def _take(run_id: str, role: str, path: str, choice: Choice, owner: str) -> tuple[Any, ...]:
    try:
        rows = read_rows(Path(path), outputs=OUTPUTS[role], choice=choice)
        return (store(run_id, role, rows, Path(path).name, owner), None, *_hidden())
    except ColumnsUnclear as error:
        warn(error.message, "Choose the columns")
        if error.question is None:
            return (gr.skip(), None, *_as_it_is())
        return (gr.skip(), None, *_asked(error.question, role, path))
    except WorkbenchError as error:
        warn(error.message)
        return (gr.skip(), None, *_as_it_is())


def _asked(question: Question, role: str, path: str) -> tuple[Any, ...]:
    columns, proposal = list(question.columns), question.proposal
    table = {"headers": columns, "data": [list(cells) for cells in question.first_rows]}
    return (
        gr.update(visible=True),
        gr.update(value=table),
        gr.update(choices=columns, value=list(proposal.inputs)),
        gr.update(
            choices=[_NO_OUTPUT, *columns],
            value=(role != "unlabelled" and proposal.output) or _NO_OUTPUT,
        ),
        (role, path),
    )


def _hidden() -> tuple[Any, ...]:
    return (gr.update(visible=False), *(gr.skip() for _ in range(3)), ())


def _as_it_is() -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(5))


def store(run_id: str, role: str, rows: Rows, where: str, owner: str) -> str:
    """Put the rows into a run; what they say of the prompt goes to its source format."""
    size = sum(len(row.input) + len(row.output or "") for row in rows.examples)
    run = workspace.find_or_create(run_id, owner, size)
    if role == "seeds":
        _propose_format(run, rows)
    examples, note = fitted_rows(rows, run.recipe.source_format, where)
    notes = [*rows.notes, note]
    if role == "seeds":
        examples, rest, note = seeds_and_rest(examples)
        notes.append(note)
        known = {row.input for row in run.inputs.unlabelled}
        if added := [row for row in rest if row.input not in known]:
            run.put_examples(role="unlabelled", rows=(*run.inputs.unlabelled, *added))
    run.put_examples(role=role, rows=examples)
    for note in filter(None, notes):
        say(note, f"Read from {where}"[:80])
    return run.id


def _propose_format(run: Run, rows: Rows) -> None:
    before = run.recipe.source_format
    form = proposed_format(rows, before)
    changed = [name for name in _OF_FORMAT if getattr(form, name) != getattr(before, name)]
    if changed:
        run.change_recipe({f"source_format.{name}": getattr(form, name) for name in changed})
