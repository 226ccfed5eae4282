"""What a file of rows says about the prompt: its system turn, and an instruction that all share.

An adapter only works with the prompt that it was trained with, so both belong to the prompt format
and not to the single input: a writer then writes inputs and does not repeat the instruction.
"""

from collections.abc import Sequence
from dataclasses import replace

from workbench.intake.rows import JOIN, Rows
from workbench.intake.wording import shown
from workbench.recipe import PromptFormat
from workbench.recipe.prompt_format import alpaca_with_input
from workbench.samples import Example

_MARK = "{input}"
_LONGEST = 15_000  # characters; a template has room for 20,000
_LONGEST_COLUMNS = 2_000


def proposed_format(rows: Rows, form: PromptFormat) -> PromptFormat:
    """``form`` with what the file says: system turn, instruction, the columns of an input.

    What the format says already stays as it is.
    """
    if rows.template and form == PromptFormat():
        return PromptFormat(kind="text", template=rows.template)
    if _fits(rows.system) and not _says(form, rows.system):
        if form.kind == "text":
            form = replace(form, template=f"{rows.system}\n\n{form.template}")
        elif form.system is None:
            form = replace(form, system=rows.system)
    if _fits(rows.instruction) and not _has_instruction(rows, form):
        form = replace(form, template=form.template.replace(_MARK, rows.instruction + _MARK))
    columns = rows.input_columns[1 if rows.instruction else 0 :]
    if len(columns) > 1 and not form.input_columns:
        joined = JOIN.join(f"{{{name}}}" for name in columns)
        form = replace(form, input_columns=joined[:_LONGEST_COLUMNS])
    return form


def fitted_rows(rows: Rows, form: PromptFormat, where: str) -> tuple[tuple[Example, ...], str]:
    """(rows as ``form`` takes them, a note or "").

    An instruction that the format says already is taken out of the inputs; in any other format it
    stays there, so that nothing that the model must read is lost.
    """
    examples: Sequence[Example] = rows.examples
    if rows.instruction and _has_instruction(rows, form):
        examples = [replace(e, input=e.input.removeprefix(rows.instruction)) for e in examples]
    note = ""
    if rows.system and not _says(form, rows.system):
        note = (
            f"The system turn of {where} is not that of the prompt format, which is used: "
            f"{shown(rows.system, 80)}."
        )
    return tuple(examples), note


def _fits(words: str) -> bool:
    """Whether there are words that a prompt format can hold."""
    return bool(words) and _MARK not in words and len(words) <= _LONGEST


def _says(form: PromptFormat, words: str) -> bool:
    return words in (form.system or "") or words in form.template


def _has_instruction(rows: Rows, form: PromptFormat) -> bool:
    in_alpaca = form.template == alpaca_with_input(rows.instruction.strip())
    return in_alpaca or rows.instruction + _MARK in form.template
