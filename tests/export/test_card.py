"""The model card says what was done and measured, and cannot be turned into something else."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.export.card import model_card
from workbench.recipe import PromptFormat, TransferRecipe, override

RESULT: dict[str, Any] = {
    "filter": "excess",
    "measure": "accuracy",
    "arms": {
        "source_adapter": {"accuracy": 0.935, "n": 300, "low": 0.9, "high": 0.958},
        "transferred": {"accuracy": 0.93, "n": 300, "low": 0.895, "high": 0.954},
    },
    "difference": {"mean": -0.005, "low": -0.023, "high": 0.013},
    "verdict": {"kind": "inside", "sentence": "93.0 % against 93.5 % on 300 rows."},
    "counts": {"seeds": 15, "samples": 612, "kept": 300, "edited": 2, "evaluation_rows": 300},
    "versions": {"torch": "2.13.0", "peft": "0.21.2"},
    "recipe_hash": "0123456789abcdef",
    "adapter_sha256": "f" * 64,
}
HASHES = {"adapter_model.safetensors": "a" * 64, "samples.jsonl": "b" * 64}


def front_matter(card: str) -> list[str]:
    assert card.startswith("---\n")
    return card.split("---\n")[1].splitlines()


def test_the_front_matter_is_what_the_hub_reads() -> None:
    lines = front_matter(model_card(TransferRecipe(), RESULT, HASHES))
    assert "library_name: peft" in lines
    assert 'base_model: "google/gemma-3-270m"' in lines
    assert "base_model_relation: adapter" in lines
    assert "license: gemma" in lines
    assert "- trans-lora" in lines


def test_scores_come_with_n_and_intervals() -> None:
    card = model_card(TransferRecipe(), RESULT, HASHES)
    assert "| Target + this adapter | 93.0 % | 89.5 % to 95.4 % | 300 |" in card
    assert "−0.5 points, 95 % interval −2.3 to +1.3 (paired)" in card
    assert "300 of them kept" in card
    assert "contrastive excess" in card
    assert "a" * 64 in card and "f" * 64 in card and "0123456789abcdef" in card
    assert "Gemma Terms of Use" in card


def test_the_rate_and_batches_are_those_of_the_training() -> None:
    recipe = override(TransferRecipe(), {"training.batch_rows": 0})
    settled = {"training": {"batch_rows": 64, "learning_rate": 5e-4 * 2}}
    card = model_card(recipe, RESULT | settled, HASHES)
    assert "rate 0.001, 64 rows per step" in card
    given = override(recipe, {"training.batch_rows": 8, "training.learning_rate": 2e-4})
    assert "rate 0.0002, 8 rows per step" in model_card(given, RESULT, HASHES)


def test_similarity_is_not_called_accuracy() -> None:
    card = model_card(TransferRecipe(), RESULT | {"measure": "similarity to the teacher"}, HASHES)
    assert "| model | similarity to the teacher |" in card


def test_a_run_without_comparison_has_a_card() -> None:
    card = model_card(TransferRecipe(), {"arms": {}, "difference": None, "verdict": None}, {})
    assert "Nothing was measured" in card


@pytest.mark.parametrize("prefix", ["folder:", ""])
def test_a_local_path_is_never_in_it(tmp_path: Path, prefix: str) -> None:
    folder = tmp_path / "ann" / "llama-7b"
    folder.mkdir(parents=True)
    base = f"{prefix}{folder}"
    card = model_card(TransferRecipe(source_base=base, target_base=base), RESULT, HASHES)
    assert "ann/" not in card and str(tmp_path) not in card
    assert "llama-7b" in card
    assert not any(line.startswith("base_model") for line in front_matter(card))


NASTY = [
    'x"\nlicense: mit',
    "a\n---\n# b",
    "<script>alert(1)</script>",
    "![x](http://evil/beacon)",
    "[click](javascript:alert(1))",
    "| a | b |\n|---|---|",
    "`code`",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_stay_text(name: str) -> None:
    card = model_card(replace(TransferRecipe(), task_name=name), RESULT, HASHES)
    plain = model_card(replace(TransferRecipe(), task_name="x"), RESULT, HASHES)
    assert front_matter(card) == front_matter(plain)
    assert card.count("\n") == plain.count("\n")
    assert not re.search(r"(?<!\\)<script|(?<!\\)!\[|(?<!\\)\[click", card)


FORMATS = [
    PromptFormat(kind="text", template="{input}\n\nAnswer:"),
    PromptFormat(kind="text", template="\"\"\"{input}```\n```\n'''"),
    PromptFormat(kind="chat", template="Route: {input}", system='Be "brief".\n'),
    PromptFormat(),
]


@pytest.mark.parametrize("form", FORMATS)
def test_the_snippet_is_python_with_the_template_in_it(form: PromptFormat) -> None:
    card = model_card(TransferRecipe(target_format=form), RESULT, HASHES)
    code = re.search(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    assert code is not None
    texts = [n.value for n in ast.walk(ast.parse(code[1])) if isinstance(n, ast.Constant)]
    assert form.template in texts and "google/gemma-3-270m" in texts
    assert form.system is None or form.system in texts
    assert card.count("\n## ") == 5


def test_every_arm_of_the_comparison_has_words() -> None:
    arms = ("source_base", "source_adapter", "target_base", "target_few_shot", "transferred")
    result = RESULT | {"arms": dict.fromkeys(arms, RESULT["arms"]["transferred"])}
    card = model_card(TransferRecipe(), result, HASHES)
    assert not any(f"| {arm} |" in card for arm in arms)
    assert json.dumps(result)


def test_scores_of_free_text_have_no_percent_signs_and_are_not_called_agreement() -> None:
    card = model_card(TransferRecipe(), RESULT | {"measure": "chrF"}, HASHES)
    assert "| model | chrF |" in card
    row = next(line for line in card.splitlines() if line.startswith("| Target + this"))
    assert "%" not in row


def test_every_hop_of_a_chain_is_listed_without_local_paths() -> None:
    hop = {
        "source_base": "folder:/home/me/models/first-base", "target_base": "package:gemma-3-270m",
        "method": "lora", "samples": 600, "measure": "accuracy", "source": 0.95,
        "transferred": 0.94,
    }  # fmt: skip
    first = {"mean": -0.01, "low": -0.02, "high": 0.0}
    card = model_card(
        TransferRecipe(), RESULT | {"lineage": [hop], "against_first_source": first}, HASHES
    )
    assert "first-base → " in card
    assert "/home/me" not in card
    assert "94.0 % against 95.0 %" in card
    scored = model_card(TransferRecipe(), RESULT | {"lineage": [hop | {"measure": "chrF"}]}, {})
    assert "chrF 94.0 against 95.0 of its source" in scored
    assert "minus the first source: −1.0 points" in card
