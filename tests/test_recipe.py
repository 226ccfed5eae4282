"""Recipes: presets, bounds, words, JSON of today and of schema 1."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.adapter_settings import adapter_settings
from workbench.errors import RecipeError
from workbench.recipe import (
    PRESETS,
    LoraSettings,
    TransferRecipe,
    fields,
    from_dict,
    from_json,
    is_read,
    override,
    recipe_hash,
    recommended,
    reference,
    to_json,
    with_preset,
)
from workbench.students import STUDENTS


def test_a_preset_takes_the_place_of_the_former_one() -> None:
    """After "best" became the start, "balanced" left its method and its rates behind."""
    plain = TransferRecipe()
    best = recommended()
    assert (best.preset, best.synthesis.writer, best.synthesis.samples) == ("best", "auto", 0)
    listed = with_preset(plain, "balanced")
    assert listed.synthesis.writer == "list" and not listed.training.soft_labels
    for preset in PRESETS:
        assert with_preset(listed, preset) == with_preset(plain, preset)


def test_what_no_preset_chose_stays() -> None:
    own = {"seed": 7, "synthesis.near_duplicate": 0.8}
    chosen = with_preset(override(recommended(), own), "paper")
    assert chosen == override(with_preset(TransferRecipe(), "paper"), own)


def test_automatic_batches_grow_and_with_hard_labels_the_rate_with_their_root() -> None:
    best = with_preset(TransferRecipe(), "best").training
    few = best.settled(9600)
    assert few.batch_rows == 16
    more = best.settled(9601)
    assert more.batch_rows == 32
    assert more.learning_rate == pytest.approx(best.learning_rate * 2**0.5)
    assert best.settled(28_000).batch_rows == 64
    assert best.settled(10**7).batch_rows == 128
    assert best.settled(10**7, soft=True) == replace(best, batch_rows=128)
    assert few.settled(10**7) == few, "what was chosen stays"


def test_defaults_and_json_are_the_same_recipe() -> None:
    plain = TransferRecipe()
    assert recommended() == plain == from_json(to_json(plain))
    assert recipe_hash(plain) == recipe_hash(from_json(to_json(plain)))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("student.rank", "0", 'student.rank must be a whole number from 1 to 256, not "0".'),
        ("lora.rank", 257, "student.rank must be a whole number from 1 to 256, not 257."),
        ("seed", 2**70, "seed must be a whole number from 0 to 4,294,967,295, not 11805916207"),
        ("seed", -1, "not -1."),
        ("seed", "9" * 5000, "seed must be"),
        ("training.weight_decay", math.nan, "must be a number from 0 to 1, not NaN."),
        ("training.learning_rate", math.inf, "above 0 and at most 0.1, not infinity."),
        ("training.epochs", "many", 'above 0 and at most 100, not "many".'),
        ("student.alpha", 1e8, "above 0 and at most 4,096, not 100000000.0."),
        ("student.rank_pattern", {"a": 0}, "student.rank_pattern must be whole numbers from 1"),
        ("student.alpha_pattern", {"a": math.nan}, "student.alpha_pattern must be numbers above 0"),
        ("student.target_modules", (), "student.target_modules must be all-linear, or names"),
        ("student.method", "adapter", 'student.method must be one of "lora", "rslora", "dora"'),
        ("synthesis", 5, "synthesis must be an object of named fields, not 5."),
        ("synthesis.nothing", 5, 'The recipe has no field "synthesis.nothing".'),
        ("target_format.template", "x", "holds {input} exactly once"),
        ("task_name", " ", "task_name must be a text of 1 to 80 characters"),
        ("task_name", "\ud800", "task_name must be a text"),
        ("training.soft_labels", "maybe", 'must be true or false, not "maybe".'),
    ],
)
def test_a_bad_value_is_one_sentence_with_name_bounds_and_value(
    name: str, value: object, sentence: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        override(TransferRecipe(), {name: value})
    assert sentence in refused.value.message
    assert len(refused.value.message) < 250


def test_replacing_is_checked_as_well() -> None:
    with pytest.raises(RecipeError, match="epochs must be a number above 0"):
        replace(TransferRecipe().training, epochs=0)
    with pytest.raises(RecipeError, match="rank must be"):
        LoraSettings(rank=0)


def test_the_command_line_says_everything_in_words() -> None:
    given = {
        "lora.target_modules": "q_proj, v_proj",
        "synthesis.method": "list",
        "training.soft_labels": "no",
        "target_format.system": "none",
        "seed": "5",
    }
    recipe = override(TransferRecipe(), given)
    assert recipe.student.target_modules == ("q_proj", "v_proj")
    assert recipe.synthesis.writer == "list" and not recipe.training.soft_labels
    assert recipe.target_format.system is None and recipe.seed == 5


# As a run folder of schema 1 holds it, preset "best".
SCHEMA_1 = {
    "task_name": "Intents",
    "source_base": "package:smollm2-135m-instruct",
    "target_base": "package:gemma-3-270m",
    "source_format": {"kind": "chat", "template": "{input}", "system": None},
    "target_format": {"kind": "text", "template": "{input}\n\nAnswer:", "system": None},
    "preset": "best",
    "quantize_target": True,
    "seed": 3,
    "synthesis": {
        "method": "label",
        "generator": "target",
        "samples": 300,
        "filter": "auto",
        "seeds_per_prompt": 5,
        "prompts_per_round": 96,
        "max_rounds": 60,
        "new_tokens": 0,
        "near_duplicate": 0.9,
        "grafts": 2.0,
        "train_on_seeds": True,
        "temperature": 0.9,
        "top_k": 64,
        "top_p": 0.95,
    },
    "lora": {
        "method": "rslora",
        "rank": 8,
        "alpha": 32,
        "dropout": 0.0,
        "target_modules": ["all-linear"],
        "rank_pattern": {},
        "alpha_pattern": {},
    },
    "training": {
        "learning_rate": 0.001,
        "epochs": 2.0,
        "batch_rows": 0,
        "warmup_fraction": 0.05,
        "weight_decay": 0.0,
        "clip_norm": 1.0,
        "checkpoint_steps": 50,
        "soft_labels": True,
    },
    "evaluation": {"metric": "exact", "max_rows": 0, "answer_tokens": 32, "margin_points": 3.0},
    "schema": 1,
}


def test_a_recipe_of_schema_1_means_what_it_meant() -> None:
    recipe = from_dict(SCHEMA_1)
    assert recipe.schema == 2 and recipe.preset == "best"
    synthesis = recipe.synthesis
    assert (synthesis.writer, synthesis.samples, synthesis.top_k) == ("label", 300, 64)
    assert (recipe.student.method, recipe.student.rank) == ("rslora", 8)
    assert recipe.evaluation.metric == "exact"
    assert from_json(to_json(recipe)) == recipe


def test_what_an_old_file_leaves_out_is_what_it_was_then() -> None:
    recipe = from_dict({"lora": {"rank": 4}, "training": {"epochs": 1}})
    assert recipe.preset == "balanced" and recipe.student.rank == 4
    synthesis = recipe.synthesis
    assert (synthesis.writer, synthesis.samples, synthesis.temperature) == ("list", 300, 0.9)
    assert (recipe.training.learning_rate, recipe.training.soft_labels) == (2e-4, False)
    assert from_dict({"training": {"epochs": 1}}).synthesis.writer == "auto"


def test_what_cannot_be_read_is_said() -> None:
    for data, words in (
        ({"schema": 3}, "schema 3"),
        ({"schema": "x"}, "schema x"),
        ({**SCHEMA_1, "lora": {"rnk": 4}}, 'no field "student.rnk"'),
        ({"schema": 1, "lora": 5}, "student must be an object"),
    ):
        with pytest.raises(RecipeError, match=words):
            from_dict(data)
    for text in ("{", "[" * 100_000, "[]", "null"):
        with pytest.raises(RecipeError):
            from_json(text)


def test_the_reference_in_docs_is_made_from_the_fields() -> None:
    written = (Path(__file__).parents[1] / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert written == reference.markdown(), "python -m workbench recipe --markdown > docs/recipe.md"


def test_every_field_has_words_and_bounds_and_names_that_exist() -> None:
    told = {one.name: one for one in fields()}
    labels = [one.label for one in told.values() if "_format" not in one.name]
    assert len(set(labels)) == len(labels)
    for one in told.values():
        assert one.label and one.description and one.bounds, one.name
        assert override(TransferRecipe(), {one.name: one.default}) == TransferRecipe()
        for other, values in one.read_by.items():
            known = {True, False} if told[other].kind == "switch" else set(told[other].choices)
            assert set(values) <= known, one.name


def test_what_the_method_does_not_read_is_known() -> None:
    read = {one.name for one in fields() if is_read(TransferRecipe(), one)}
    assert "student.rank" in read and "student.virtual_tokens" not in read
    assert "evaluation.base_rows" in read
    alone = override(TransferRecipe(), {"evaluation.base_arms": False})
    assert "evaluation.base_rows" not in {one.name for one in fields() if is_read(alone, one)}
    listed = with_preset(TransferRecipe(), "paper")
    read = {one.name for one in fields() if is_read(listed, one)}
    assert "synthesis.filter" in read and "student.virtual_tokens" not in read


def test_another_kind_of_adapter_brings_its_own_rate_and_takes_it_back() -> None:
    plain = TransferRecipe()
    tuned = override(plain, {"student.method": "prompt_tuning"})
    wanted = STUDENTS["prompt_tuning"].defaults["training.learning_rate"]
    assert tuned.training.learning_rate == wanted
    assert override(plain, {"lora.method": "prompt_tuning"}) == tuned
    assert override(tuned, {"student.method": "lora"}) == plain
    given = {"student.method": "ia3", "training.learning_rate": 0.02}
    assert override(plain, given).training.learning_rate == 0.02
    assert with_preset(tuned, "quick").training.learning_rate == wanted


@pytest.mark.parametrize("method", STUDENTS)
def test_every_kind_of_adapter_may_be_asked_for(method: str) -> None:
    made = override(TransferRecipe(), {"student.method": method})
    assert made.student.method == method
    assert adapter_settings(made.student).method == STUDENTS[method].method
