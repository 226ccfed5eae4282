"""The options of commands that say what a recipe is."""

import argparse
from pathlib import Path

from workbench import recipe as recipes
from workbench.errors import RecipeError
from workbench.recipe import PromptFormat, TransferRecipe
from workbench.transfer_inputs import chosen_recipe


def recipe_options(parser: argparse.ArgumentParser) -> None:
    """A file, a preset, single fields; and whether the result is JSON."""
    parser.add_argument("--recipe", type=Path, help="recipe file to start from")
    parser.add_argument("--preset", help=f"one of: {', '.join(recipes.PRESETS)}")
    parser.add_argument("--task-name", help='short name of the data set, e.g. "banking requests"')
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE",
        help="override a recipe field, e.g. --set training.epochs=5 (repeatable); "
        "`python -m workbench recipe` lists them",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON only")


def read_recipe(options: argparse.Namespace, start: TransferRecipe) -> TransferRecipe:
    """What --recipe, --preset, --task-name and --set say, over ``start``."""
    changes = {"task_name": options.task_name} if options.task_name else {}
    changes |= dict(map(assigned, options.set))
    return chosen_recipe(start, options.recipe, options.preset, changes)


def format_option(parser: argparse.ArgumentParser, words: str, more: str = "") -> None:
    """The option that names a prompt format, see ``format_of``."""
    parser.add_argument("--format", metavar=f"chat|TEXT{more}", help=words)


def format_of(text: str) -> PromptFormat:
    """The prompt format that a person names: "chat", or a text around {input}.

    Raises:
        RecipeError: the text does not hold {input} once.
    """
    if text == "chat":
        return PromptFormat()
    try:
        return PromptFormat(kind="text", template=text.replace("\\n", "\n"))
    except RecipeError as error:
        raise RecipeError(f"--format: {error.message}") from error


def assigned(text: str) -> tuple[str, str]:
    """(field, value) of FIELD=VALUE.

    Raises:
        RecipeError: it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f'--set needs FIELD=VALUE, not "{text}".')
    return name, value.replace("\\n", "\n")
