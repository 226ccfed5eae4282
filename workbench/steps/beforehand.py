"""What can be told before anything is written: rows that do not fit, adapters that cannot be made.

Both bases are looked at without their weights, so that no run fails after an hour for a reason
that was there at the start.
"""

import math
from collections.abc import Iterator, Sequence

import torch

from workbench.errors import RunError
from workbench.events import Event, Warned
from workbench.models import references
from workbench.models.answer_room import MOST
from workbench.models.formats import bind
from workbench.models.resident import Resident, outline
from workbench.recipe import PromptFormat
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.stages import Stage
from workbench.students import STUDENTS

_NAMED = 3
_ROWS = {"seeds": "seed", "evaluation": "evaluation row", "unlabelled": "own input"}


def look_ahead(run: Run) -> Iterator[Event]:
    """Warn of what will be lost; weights that are not on this machine yet are not looked at.

    Raises:
        RunError: a row that a base cannot read, answers that are mostly longer than they may be,
            or a new adapter that cannot be made on the target.
    """
    recipe = run.recipe
    sides = ((recipe.source_base, recipe.source_format), (recipe.target_base, recipe.target_format))
    for reference, form in sides:
        folder = references.ready(reference)
        if folder is None:
            continue
        base = outline(folder)
        require_readable_rows(run, base, form)
        if reference == recipe.target_base:
            require_student(run, base)
            yield from moved_blocks(run, base)
        else:
            yield from long_answers(run, base, form)


def require_readable_rows(run: Run, base: Resident, form: PromptFormat) -> None:
    """RunError with the rows whose prompt a base has no positions for."""
    positions, bound = base.positions, bind(form, base.tokenizer)
    if positions is None:
        return
    found = []
    around = len(form.template.encode()) + len((form.system or "").encode())
    for role, words in _ROWS.items():
        for number, row in enumerate(getattr(run.inputs, role), start=1):
            if len(row.input.encode()) + around < positions // 2:  # a token is a byte at least
                continue
            if (tokens := len(bound.prompt_ids(row.input))) >= positions:
                found.append(f"{words} {number} ({tokens:,} tokens)")
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise RunError(
            f"{base.folder.name} reads {positions:,} tokens at most, the answer included. Longer: "
            f"{', '.join(found[:_NAMED])}{more}. Shorten or remove these, or choose another base."
        )


def long_answers(run: Run, base: Resident, form: PromptFormat) -> Iterator[Event]:
    """Warn of known answers that are longer than an answer may be; RunError where most are."""
    chosen, bound = run.recipe.evaluation.answer_tokens, bind(form, base.tokenizer)
    most = chosen or MOST
    rows: Sequence[Example] = [
        row for row in (*run.inputs.seeds, *run.inputs.evaluation) if row.output
    ]
    lengths = [
        len(bound.answer_ids(row.output)) for row in rows
        if row.output and len(row.output.encode()) > most // 2
    ]  # fmt: skip
    longer = [length for length in lengths if length > most]
    if not longer:
        return
    told = (
        f"{len(longer):,} of {len(rows):,} known answers have more tokens than the {most:,} that "
        f"one may have, the longest {max(longer):,}"
    )
    remedy = "Set evaluation.answer_tokens to 0 (automatic), or higher." if chosen else ""
    if 2 * len(longer) >= len(rows):
        raise RunError(
            f"{told}: they would be cut. {remedy or 'Choose a task of shorter answers.'}"
        )
    yield Warned(Stage.SYNTHESIZE, f"{told}: these will be counted as wrong. {remedy}".strip())


def require_student(run: Run, base: Resident) -> None:
    """RunError where the recipe's adapter does not fit the target's layers."""
    student = run.recipe.student
    try:
        with torch.device("meta"):
            base.attach_new("student", student, run.recipe.seed)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RunError(
            f"The new adapter ({STUDENTS[student.method].title}, rank {student.rank}) cannot be "
            f"made on {base.folder.name}: {reason[:300]}. Change student.rank or "
            "student.target_modules."
        ) from error


def moved_blocks(run: Run, base: Resident) -> Iterator[Event]:
    """Warn where OFT's blocks (of the student that was just tried) are not of the size asked for.

    A layer's blocks divide its width; PEFT takes the nearest size that does.
    """
    student = run.recipe.student
    if student.method != "oft":
        return
    # A block of n numbers a side is turned by n (n - 1) / 2 of them.
    turns = {tensor.shape[-1] for tensor in base.attachment("student").tensors.values()}
    sizes = sorted((1 + math.isqrt(1 + 8 * count)) // 2 for count in turns)
    if others := [f"{size:,}" for size in sizes if size != student.rank]:
        yield Warned(
            Stage.DISTIL,
            f"OFT's blocks divide a layer's width. Where {student.rank} does not, they have "
            f"{' or '.join(others)} numbers a side instead.",
        )
