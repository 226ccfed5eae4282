"""From files on the command line to a run folder; the same command finds the same run again."""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from workbench import recipe as recipes
from workbench.errors import IntakeError, RunError
from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.intake.kit import read_kit
from workbench.intake.rows import read_examples
from workbench.recipe import TransferRecipe, recipe_hash
from workbench.runs.folder import Run, create, open_run

ReadRecipe = Callable[[TransferRecipe], TransferRecipe]


def open_or_create(options: argparse.Namespace, read_recipe: ReadRecipe) -> Run:
    """The run that these options describe: found by the hash of inputs and recipe, or new.

    Raises:
        IntakeError, RecipeError, RunError: with a sentence.
    """
    with tempfile.TemporaryDirectory() as scratch:
        inputs, recipe = gather(options, read_recipe, Path(scratch))
        name = options.run or f"transfer-{_fingerprint(inputs, recipe)}"
        folder = options.runs / name
        if folder.exists():
            run = open_run(folder)
            if recipe_hash(run.recipe) != recipe_hash(recipe):
                raise RunError(
                    f'The run "{name}" was made with another recipe. Choose another --run name.'
                )
            return run
        return _create(options.runs, name, recipe, inputs)


def _create(root: Path, name: str, recipe: TransferRecipe, inputs: Inputs) -> Run:
    run = create(root, recipe, id=name)
    if inputs.adapter:
        run.put_adapter(inputs.adapter, role="adapter")
    if inputs.discriminator:
        run.put_adapter(inputs.discriminator, role="discriminator")
    for role in ("seeds", "evaluation", "unlabelled"):
        if rows := getattr(inputs, role):
            run.put_examples(role, rows)
    return run


def gather(
    options: argparse.Namespace, read_recipe: ReadRecipe, workspace: Path
) -> tuple[Inputs, TransferRecipe]:
    """Kit first, single files over it; the recipe starts from what the kit says."""
    start, inputs = recipes.recommended(), Inputs()
    if options.kit:
        kit = read_kit(options.kit, workspace)
        inputs, start = kit.inputs, kit.recipe_from(start)
    parts = {
        "adapter": options.adapter and read_adapter(options.adapter, workspace),
        "discriminator": options.discriminator and read_adapter(options.discriminator, workspace),
        "seeds": options.seeds and tuple(read_examples(options.seeds)),
        "evaluation": options.evaluation and tuple(read_examples(options.evaluation)),
        "unlabelled": options.unlabelled and tuple(read_examples(options.unlabelled)),
    }
    inputs = Inputs(**{role: part or getattr(inputs, role) for role, part in parts.items()})
    if inputs.adapter is None:
        raise IntakeError("Nothing to move: give --kit FILE, or --adapter and --seeds.")
    recipe = read_recipe(start)
    bases = {"source_base": options.source_base, "target_base": options.target_base}
    return inputs, recipes.override(recipe, {key: ref for key, ref in bases.items() if ref})


def _fingerprint(inputs: Inputs, recipe: TransferRecipe) -> str:
    parts = [
        recipe_hash(recipe),
        inputs.adapter.sha256 if inputs.adapter else "",
        inputs.discriminator.sha256 if inputs.discriminator else "",
        *(
            json.dumps([[row.input, row.output] for row in rows])
            for rows in (inputs.seeds, inputs.evaluation, inputs.unlabelled)
        ),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]
