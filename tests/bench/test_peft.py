"""From one kind of adapter to another, on tiny models: that it measures, not what."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.test_cells import SPLIT, TASK
from workbench.bench import cells, peft
from workbench.bench.cells import Bases
from workbench.errors import StageError
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
    path = tmp_path / "out" / peft.RESULTS
    assert peft.read_lines(path) == lines
    path.write_text(path.read_text()[:-20])  # as a crash leaves it: owed again, and nothing else
    with pytest.raises(StageError, match="other bases or sizes"):
        list(peft.measure(*asked[:-1], replace(bases, samples=9), **kinds))
    (again,) = peft.measure(*asked, **kinds)
    written = peft.read_lines(path)
    assert again["student"] == "two hops" and len(written) == len(lines)
    assert "| lora | two hops | " in peft.table(written)


def test_a_table_has_means_over_seeds_with_intervals_and_the_worst_task_first() -> None:
    def line(task: str, seed: int, moved: float, student: str = "dora") -> peft.Line:
        values = {"source": 0.9, "transferred": moved, "low": -0.1, "high": 0.02}
        return {"task": task, "seed": seed, "teacher": "lora", "student": student, **values}

    ceiling = {"task": "a", "seed": 0, "teacher": "real rows", "student": "dora",
               "source": None, "transferred": 0.8}  # fmt: skip
    lines = [line("a", 0, 0.88), line("a", 1, 0.86), line("b", 0, 0.81), ceiling]
    rows = peft.table([*lines, line("a", 0, 0.72, peft.HOPS)]).splitlines()[2:]
    assert rows == [
        "| lora | dora | b | 1 | 0.900 | 0.810 | 0.900 | -0.090 (-0.100 to +0.020) |",
        "| lora | dora | a | 2 | 0.900 | 0.870 | 0.967 | -0.030 (-0.100 to +0.020) |",
        "| real rows | dora | a | 1 | – | 0.800 | – | – |",
        # Against the first source, of whose copy the interval speaks.
        "| lora | two hops | a | 1 | 0.900 | 0.720 | 0.800 | -0.180 (-0.240 to -0.120) |",
    ]
