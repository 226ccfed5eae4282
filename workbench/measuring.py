"""The command ``evaluate``: how well one adapter, or a bare base, answers the rows of a file.

An adapter only works with the prompt format that it was trained with, so the format is that of
what is evaluated: the one that was given, else the one beside the adapter, else the likeliest.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.evaluate.arms import answer_rows
from workbench.evaluate.checkers import metric_checker, require_usable
from workbench.evaluate.intervals import Interval
from workbench.evaluate.kinds import metric_for
from workbench.evaluate.metrics import MEASURES
from workbench.evaluate.outcome import graded, mean_of
from workbench.inputs import AdapterFiles
from workbench.intake.archive import holds
from workbench.intake.bundle_recipe import recipe_beside
from workbench.intake.columns import REQUIRED
from workbench.intake.hub import read_given
from workbench.intake.kit import read_kit
from workbench.intake.row_format import fitted_rows, proposed_format
from workbench.intake.rows import Rows
from workbench.models import references
from workbench.models.answer_room import answer_room
from workbench.models.format_choice import instruction_of, known_formats, ranked_formats
from workbench.models.formats import bind
from workbench.models.resident import Resident, load
from workbench.recipe import CHECKER, PromptFormat, TransferRecipe
from workbench.recipe_options import format_of
from workbench.runs.results import Answer
from workbench.terminal import Bars, tell, told_rows

ADAPTER = "adapter"
SIDES = ("source", "target")
ROWS_FOR_FORMAT = 24  # that tell formats apart

Say = Callable[[str], object]


@dataclass(frozen=True)
class Measured:
    """What came out: the measure's name, its mean with a 95 % interval, and the prompt format."""

    measure: str
    interval: Interval
    format: PromptFormat


def measure(options: argparse.Namespace, recipe: TransferRecipe, say: Say) -> Measured:
    """Answer all rows and compare.

    Args:
        options: of the command ``evaluate``.
        recipe: of the options, for metric, length of answers and, where one is named, the format.
        say: is told what is being done.

    Raises:
        IntakeError, ModelError: with a sentence.
    """
    if recipe.evaluation.metric == CHECKER:
        require_usable(recipe.evaluation)
    given = told_rows(options.rows, REQUIRED, options)
    with tempfile.TemporaryDirectory() as scratch:
        files, own = _adapter(options, Path(scratch))
        say(f"Loading {options.base} …")
        resident = load(references.fetch(options.base), quantize=options.quantize)
        name = None
        if files is not None:
            name = ADAPTER
            resident.attach(name, files.settings, files.weights)
        chosen = _given_format(options, recipe) or own or _likeliest(resident, name, given, say)
        form, reason = proposed_format(given, chosen[0]), chosen[1]
        rows, note = fitted_rows(given, form, options.rows.name)
        tell(options.rows, *filter(None, [note]))
        say(f"Prompt format: {described(form)} ({reason})")
        answers = [row.output or "" for row in rows]
        metric = metric_for(recipe.evaluation.metric, answers)
        tokens = answer_room(
            recipe.evaluation.answer_tokens, answers, bind(form, resident.tokenizer)
        )
        inputs = [row.input for row in rows]
        answered = answer_rows(resident, name, form, inputs, tokens)
        graded_rows: list[Answer] = []
        with metric_checker(recipe.evaluation) as checker, Bars(options.json) as bars:
            bars.draw("Answering", 0, len(rows), "rows")
            for index, text in answered:
                expected = rows[index].answers or ("",)
                graded_rows.append(graded(metric, index, text, expected, True, checker))
                bars.draw("Answering", len(graded_rows), len(rows), "rows")
    return Measured(MEASURES[metric], mean_of(metric, graded_rows), form)


def described(form: PromptFormat) -> str:
    """A format in a line."""
    kind = "chat template of the base" if form.kind == "chat" else "plain text"
    system = f", system {form.system!r}" if form.system else ""
    return f"{kind}, {form.template!r}{system}"


def _adapter(
    options: argparse.Namespace, scratch: Path
) -> tuple[AdapterFiles | None, tuple[PromptFormat, str] | None]:
    """The adapter and the format that lies beside it; a kit stands for its source adapter."""
    if not options.adapter:
        return None, None
    first = options.adapter[0]
    if first.suffix.lower() == ".zip" and holds(first, "kit.json"):
        kit = read_kit(first, scratch)
        return kit.inputs.adapter, (kit.source_format, "of the kit")
    files = read_given(options.adapter, scratch, options.adapter_part)
    bundled = None if options.format else recipe_beside(first)
    return files, bundled and (bundled.target_format, "of the recipe.json beside the adapter")


def _given_format(
    options: argparse.Namespace, recipe: TransferRecipe
) -> tuple[PromptFormat, str] | None:
    if options.format:
        return format_of(options.format), "as given"
    side = options.side or next(
        (side for side in SIDES if any(a.startswith(f"{side}_format.") for a in options.set)), None
    )
    if side is None and options.recipe:
        at_home = recipe.source_base in (options.base, f"hub:{options.base}")
        side = "source" if at_home else "target"
    if side is None:
        return None
    form = recipe.source_format if side == "source" else recipe.target_format
    return form, f"{side} format of the recipe"


def _likeliest(
    resident: Resident, adapter: str | None, given: Rows, say: Say
) -> tuple[PromptFormat, str]:
    say("Trying prompt formats …")
    instruction = instruction_of(proposed_format(given, PromptFormat()))
    formats = [proposed_format(given, form) for form in known_formats(instruction)]
    rows = fitted_rows(given, formats[0], "")[0][:ROWS_FOR_FORMAT]
    return ranked_formats(resident, adapter, formats, rows)[0][0], (
        f"likeliest of {len(formats)} for {len(rows)} outputs; --format says another"
    )
