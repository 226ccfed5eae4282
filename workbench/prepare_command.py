"""``python -m workbench prepare``: the data owner makes a transfer kit from real data."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import recipe as recipes
from workbench.inputs import Memorised
from workbench.recipe_options import read_recipe, recipe_options
from workbench.terminal import column_options, print_summary, say

DONE = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--base", required=True, help="source base: package:NAME, hub:… or folder")
    parser.add_argument(
        "--data", type=Path, required=True, help="training rows: JSONL, JSON, CSV, Parquet"
    )
    parser.add_argument("--evaluation", type=Path, help="held-out rows that may go into the kit")
    parser.add_argument("--seeds", type=int, default=15, help="seed examples in the kit, 1 to 15")
    parser.add_argument("--template", help="prompt text around {input}")
    parser.add_argument("--kit", type=Path, default=Path("kit.zip"), help="zip to write")
    parser.add_argument("--attribution", default="", help="licence and source of the data")
    parser.add_argument(
        "--writer", choices=("yes", "no"),
        help="put an adapter that writes inputs into the kit; asked on a terminal, else no",
    )  # fmt: skip
    column_options(parser)
    recipe_options(parser)
    parser.set_defaults(command=prepare)


def prepare(options: argparse.Namespace) -> int:
    """Make the kit, and print what came out."""
    recipe = read_recipe(options, recipes.for_preparing())
    # Models are imported where a command needs them: --help stays instant.
    say(options, "Starting …")
    from workbench.intake.columns import REQUIRED  # noqa: PLC0415
    from workbench.intake.row_format import fitted_rows, proposed_format  # noqa: PLC0415
    from workbench.models import references  # noqa: PLC0415
    from workbench.prepare import prepare as make_kit  # noqa: PLC0415
    from workbench.terminal import Bars, tell, told_rows  # noqa: PLC0415

    changes: dict[str, Any] = {"source_base": str(references.parse(options.base))}
    if options.template:
        changes["source_format.template"] = options.template.replace("\\n", "\n")
    recipe = recipes.override(recipe, changes)
    data = told_rows(options.data, REQUIRED, options)
    recipe = replace(recipe, source_format=proposed_format(data, recipe.source_format))
    rows, evaluation = fitted_rows(data, recipe.source_format, options.data.name)[0], ()
    if options.evaluation:
        held_out = told_rows(options.evaluation, REQUIRED, options)
        evaluation, note = fitted_rows(held_out, recipe.source_format, options.evaluation.name)
        tell(options.evaluation, *filter(None, [note]))
    consent = _writer_consent(options)
    with Bars(options.json) as bars:
        bars.draw("loading the source base", 0, 0)

        def report(phase: str, done: int, total: int) -> None:
            bars.draw(phase, done, total, "it")
            if done >= total:
                bars.close()

        made = make_kit(
            recipe,
            rows,
            evaluation,
            options.kit,
            seed_count=options.seeds,
            report=report,
            attribution=options.attribution,
            consent=consent,
        )
    summary = {
        "kit": str(made.kit),
        "kit_bytes": made.kit.stat().st_size,
        made.measure: made.source.mean if made.source else None,
        "evaluation_rows": len(evaluation),
        "discriminator_auc": made.discriminator_auc,
        "training_rows": made.training_rows,
        "negatives": made.negatives,
        "writer": made.writer_packed,
    }
    if made.writer is not None:
        summary |= {
            "writer_distinct": made.writer.distinct,
            "writer_copied": made.writer.copied,
            "writer_near": made.writer.near,
        }
    print_summary(summary, options.json)
    return DONE


def _writer_consent(options: argparse.Namespace) -> Callable[[Memorised], bool] | None:
    """Whether a writer may leave the house: as --writer says, else the person who sees it."""
    asks = options.writer is None and not options.json and sys.stdin.isatty()
    if options.writer == "no" or (options.writer is None and not asks):
        return None

    def consent(repeats: Memorised) -> bool:
        print(f"\n{repeats.sentence()}", file=sys.stderr)
        for text, row, similarity in repeats.closest:
            print(f"  {similarity:3.0f} %  {text!r}  <-  {row!r}", file=sys.stderr)
        if not asks:
            return True
        return input("Put the writer into the kit? [y/N] ").strip().lower() in ("y", "yes")

    return consent
