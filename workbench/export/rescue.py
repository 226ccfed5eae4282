"""Takes what can still be taken from a run, however damaged, out into files."""

import shutil
from pathlib import Path

from workbench import recipe as recipes
from workbench.export.bundle import public_recipe
from workbench.export.dataset import write_jsonl
from workbench.runs.damage import Left


def rescue(left: Left, target: Path, samples: bool = True) -> list[Path]:
    """Write the adapter's zip, recipe.json and samples.jsonl, as far as they are there.

    Args:
        target: a folder; made when it is missing, files of these names in it are replaced.
        samples: whether the samples are taken too.
    """
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    if left.adapter is not None:
        written.append(Path(shutil.copyfile(left.adapter, target / left.adapter.name)))
    if left.recipe is not None:
        path = target / "recipe.json"
        path.write_text(recipes.to_json(public_recipe(left.recipe)), encoding="utf-8")
        written.append(path)
    if left.samples and samples:
        write_jsonl(target / "samples.jsonl", left.samples)
        written.append(target / "samples.jsonl")
    return written
