"""From one kind of adapter to another, on tiny models: that it measures, not what."""

from pathlib import Path

import pytest

from tests.bench.test_cells import SPLIT, TASK
from workbench.bench import cells, peft
from workbench.bench.cells import Bases
from workbench.recipe import TransferRecipe, override

SMALL = {
    "synthesis.writer": "list",
    "synthesis.filter": "none",
    "synthesis.new_tokens": 16,
    "synthesis.prompts_per_round": 24,
    "training.epochs": 1,
    "student.virtual_tokens": 4,
    "student.rank": 4,
}


def test_pairs_ceilings_and_two_hops(
    tiny_source: Path, tiny_target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(*arguments: object) -> TransferRecipe:
        return override(cells.arm_recipe(*arguments), SMALL)  # type: ignore[arg-type]

    monkeypatch.setattr(peft, "arm_recipe", small)
    # Answers of a random model hardly end: few of them are samples.
    monkeypatch.setattr("workbench.steps.distillation.FEWEST_SAMPLES", 1)
    monkeypatch.setattr(peft, "split", lambda *_: SPLIT)
    bases = Bases(f"folder:{tiny_source}", f"folder:{tiny_target}", quantize=False, samples=8)
    asked = ([TASK], [0], tmp_path, tmp_path / "out", bases)
    kinds = {"teachers": ("real rows", "lora"), "students": ("lora", "prompt_tuning")}
    lines = list(peft.measure(*asked, **kinds))
    assert [(line["teacher"], line["student"]) for line in lines] == [
        ("real rows", "lora"),
        ("real rows", "prompt_tuning"),
        ("lora", "lora"),
        ("lora", "prompt_tuning"),
        ("lora", "two hops"),
    ]
    assert all(0 <= line["transferred"] <= 1 for line in lines)
    assert lines[2]["source"] == lines[3]["source"] == lines[4]["source"]
    assert list(peft.measure(*asked, **kinds)) == []  # nothing is owed any more
    written = peft.read_lines(tmp_path / "out" / peft.RESULTS)
    assert written == lines
    assert "| lora | two hops |" in peft.table(written)
