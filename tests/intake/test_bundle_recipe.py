"""The recipe beside an adapter of ours is read, however long its texts are."""

from pathlib import Path

from workbench.intake.bundle_recipe import recipe_beside
from workbench.recipe import TransferRecipe, override, to_json


def test_the_longest_texts_are_read(tmp_path: Path) -> None:
    texts = {
        f"{side}_format.{name}": "🙂" * 19_000 + end
        for side in ("source", "target")
        for name, end in (("template", "{input}"), ("system", ""))
    }
    recipe = override(TransferRecipe(), {**texts, "evaluation.json_schema": "🙂" * 20_000})
    (tmp_path / "recipe.json").write_text(to_json(recipe), encoding="utf-8")
    assert recipe_beside(tmp_path) == recipe
