"""No accepted recipe fails in training for its values: one step with each on a tiny model."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.test_training import random_rows
from workbench.models.resident import Resident, load
from workbench.models.training import train
from workbench.recipe import (
    RecipeField,
    TransferRecipe,
    fields,
    from_json,
    override,
    to_json,
)

ROWS = random_rows(3)
NUMBERS = {one.name: one for one in fields() if one.name.startswith(("student.", "training."))}
EDGES = {
    "student.rank": (1, 256),
    "student.alpha": (1e-30, 4096.0),
    "student.dropout": (0.0, 0.9),
    "student.virtual_tokens": (1, 512),
    "training.learning_rate": (1e-30, 0.1),
    "training.epochs": (1e-30, 100.0),
    "training.batch_rows": (0, 1024),
    "training.warmup_fraction": (0.0, 0.999999),
    "training.weight_decay": (0.0, 1.0),
    "training.clip_norm": (0.0, 1000.0),
    "training.checkpoint_steps": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
}
# Whether their rank fits depends on the widths of the base's layers: attaching says so.
BY_WIDTH = ("oft", "miss")
LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj", "elsewhere")


def values_of(one: RecipeField) -> st.SearchStrategy[Any]:
    """Any value that the field accepts, its edges often."""
    if one.name == "student.method":
        return st.sampled_from([name for name in one.choices if name not in BY_WIDTH])
    if one.kind == "choice":
        return st.sampled_from(list(one.choices))
    if one.kind == "switch":
        return st.booleans()
    low, high = EDGES[one.name]
    if one.kind == "whole":
        return st.sampled_from((low, high)) | st.integers(int(low), int(high))
    return st.sampled_from((low, high)) | st.floats(low, high)


def accepted() -> st.SearchStrategy[dict[str, Any]]:
    """Changes of a recipe, all within the bounds."""
    plain = {
        one.name: values_of(one)
        for one in fields()
        if one.name in EDGES or (one.name in NUMBERS and one.kind in ("choice", "switch"))
    }
    patterns = {
        "student.rank_pattern": st.dictionaries(
            st.sampled_from(LAYERS), st.integers(1, 256), max_size=2
        ),
        "student.alpha_pattern": st.dictionaries(
            st.sampled_from(LAYERS), st.floats(1e-30, 4096), max_size=2
        ),
    }
    modules = st.sampled_from((("all-linear",), ("q_proj", "v_proj"), ("down_proj",)))
    return st.fixed_dictionaries(
        {}, optional={**plain, **patterns, "student.target_modules": modules}
    )


@pytest.fixture(scope="module")
def resident(tiny_target: Path) -> Resident:
    """A tiny model that adapters come to and go from."""
    loaded = load(tiny_target, device="cpu")
    loaded.model.float()
    return loaded


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=accepted())
def test_one_step_with_any_accepted_recipe(resident: Resident, changes: dict[str, Any]) -> None:
    recipe = override(TransferRecipe(), changes)
    assert from_json(to_json(recipe)) == recipe
    takes_a_step(resident, recipe)


def takes_a_step(resident: Resident, recipe: TransferRecipe) -> None:
    resident.attach_new("student", recipe.student, recipe.seed)
    try:
        steps = train(resident, "student", ROWS, recipe.training, seed=recipe.seed)
        step = next(steps)
        steps.close()
        assert math.isfinite(step.loss) and not step.skipped
        assert all(bool(value.isfinite().all()) for value in resident.trainable("student").values())
    finally:
        resident.detach("student")
