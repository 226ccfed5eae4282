"""The recipe that lies beside an adapter of ours, which says how it is asked."""

import zipfile
from pathlib import Path
from typing import IO

from workbench import recipe as recipes
from workbench.errors import IntakeError, WorkbenchError
from workbench.limits import LIMITS
from workbench.recipe import TransferRecipe


def recipe_beside(adapter: Path) -> TransferRecipe | None:
    """The recipe.json of a bundle that was given as folder, zip or one of its files; else None.

    Raises:
        IntakeError: it cannot be read.
    """
    text = _beside(adapter)
    if text is None:
        return None
    try:
        return recipes.from_json(text)
    except WorkbenchError as error:
        raise IntakeError(
            f"The recipe.json beside the adapter cannot be read: {error.message} Say the prompt "
            "format with --format."
        ) from error


def _beside(adapter: Path) -> str | None:
    """The text of the recipe.json that our bundles hold; None where there is none."""
    try:
        if adapter.suffix.lower() == ".zip":
            with zipfile.ZipFile(adapter) as archive:
                members = [name for name in archive.namelist() if Path(name).name == "recipe.json"]
                if not members:
                    return None
                with archive.open(members[0]) as member:
                    return _bounded(member)
        folder = adapter if adapter.is_dir() else adapter.parent
        with (folder / "recipe.json").open("rb") as file:
            return _bounded(file)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None


def _bounded(file: IO[bytes]) -> str:
    return file.read(LIMITS.recipe_bytes).decode("utf-8", "replace")
