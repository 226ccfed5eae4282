"""A model that was fine-tuned as a whole is the teacher by itself; on tiny random models."""

import json
from pathlib import Path

import pytest

from tests.test_pipeline import BALANCED, ROWS, SEEDS, SMALL, adapter_of, finish
from workbench import chains, fit, recipe
from workbench.__main__ import DONE, FAILED, main
from workbench.errors import RunError
from workbench.intake.adapter import read_adapter
from workbench.models.pair import Pair
from workbench.pipeline import advance, require_inputs
from workbench.runs.damage import problems
from workbench.runs.folder import Run, create, open_run
from workbench.samples import Example
from workbench.stages import Stage

SETS = ("synthesis.filter=none", "synthesis.samples=12", "synthesis.mixed=0", "training.epochs=1",
        "synthesis.prompts_per_round=24", "synthesis.writer=list", "synthesis.new_tokens=24",
        "training.batch_rows=4", "student.rank=4", "evaluation.answer_tokens=12")  # fmt: skip


@pytest.fixture
def whole(tmp_path: Path, tiny_source: Path, tiny_target: Path) -> Run:
    """A run without an adapter: its source base is the teacher."""
    changes = {
        **SMALL,
        "teacher": "model",
        "source_base": f"folder:{tiny_source}",
        "target_base": f"folder:{tiny_target}",
    }
    run = create(tmp_path / "runs", recipe.override(BALANCED, changes), id="whole")
    run.put_examples("seeds", SEEDS)
    run.put_examples("evaluation", ROWS[:8])
    return run


def test_the_base_is_asked_once_and_the_same_whoever_it_is_called(whole: Run) -> None:
    pair = Pair(whole.recipe, whole.inputs)
    with pair.source.using("teacher"):
        assert pair.source.in_use is None
        with pair.source.using(None):
            pass
        assert pair.source.active == "teacher"
    result = finish(whole)
    assert result["source"] == "model" and result["adapter_sha256"] is None
    arms = {name for name, arm in result["arms"].items() if arm}
    assert arms == {"source_adapter", "target_base", "target_few_shot", "transferred"}
    card = (whole.exports / "adapter" / "README.md").read_text()
    assert "transferred from the fine-tuned model tiny-source" in card
    assert "| Source model |" in card and "source adapter" not in card
    assert not list(problems(whole.folder))


def test_it_goes_on_where_it_was_stopped(whole: Run) -> None:
    stops = iter([""] * 4 + ["pause"] * 3)
    for _ in advance(whole, stop_reason=lambda: next(stops, "")):
        pass
    again = open_run(whole.folder)
    assert not again.stage_done(Stage.EXPORT)
    finish(again)
    assert adapter_of(again)


def test_what_does_not_go_together_is_said_before_anything_is_loaded(
    whole: Run, tiny_adapter: Path, tmp_path: Path
) -> None:
    whole.change_recipe({"synthesis.filter": "excess"})
    with pytest.raises(RunError, match="asks what an adapter changes"):
        require_inputs(whole.recipe, whole.inputs)
    whole.change_recipe({"synthesis.filter": "none", "synthesis.writer": "auto"})
    require_inputs(whole.recipe, whole.inputs)
    whole.put_examples("seeds", [])
    with pytest.raises(RunError, match="add at least 3 inputs"):
        require_inputs(whole.recipe, whole.inputs)
    whole.put_adapter(read_adapter(tiny_adapter, tmp_path), role="adapter")
    with pytest.raises(RunError, match=r"is the teacher by itself\. Remove the adapter"):
        require_inputs(whole.recipe, whole.inputs)


def test_without_right_answers_only_what_a_base_can_tell_is_told(whole: Run) -> None:
    whole.put_examples("evaluation", [Example(row.input) for row in ROWS[:6]])
    teacher = finish(whole)["teacher"]
    assert set(teacher) == {"agreement", "likelihood"}


def test_its_memory_is_counted_once(whole: Run) -> None:
    with_adapter = recipe.override(whole.recipe, {"teacher": "adapter"})
    alone, beside = (fit.estimate(r, whole.inputs) for r in (whole.recipe, with_adapter))
    assert alone.memory == beside.memory
    assert (alone.stages[-1].seconds or 0) < (beside.stages[-1].seconds or 0)


def test_the_terminal_takes_it_finds_it_again_and_serves_another_target(
    tmp_path: Path, tiny_source: Path, tiny_target: Path, tiny_adapter: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(
        "".join(json.dumps({"input": s.input, "output": s.output}) + "\n" for s in SEEDS)
    )
    root = tmp_path / "runs"
    sets = [part for assignment in SETS for part in ("--set", assignment)]
    rest = ["--target-base", f"folder:{tiny_target}", "--runs", str(root), "--json", *sets]
    whole = ["transfer", "--source-model", str(tiny_source), "--seeds", str(seeds), *rest]
    whole += ["--format", "chat"]
    assert main([*whole, "--until", "label"]) == DONE
    assert main([*whole, "--until", "label"]) == DONE
    (run,) = [open_run(folder) for folder in root.iterdir() if (folder / "run.db").is_file()]
    assert run.recipe.teacher == "model" and run.inputs.adapter is None
    # Its answers serve another target.
    other = ["transfer", "--samples-from", run.id, "--run", "other", *rest[:4], "--until", "label"]
    assert main([*other, "--set", "student.rank=8"]) == DONE
    assert chains._teacher(open_run(root / "other")) == run.recipe.source_base
    capsys.readouterr()
    assert main([*whole, "--adapter", str(tiny_adapter)]) == FAILED
    assert "is the teacher by itself: leave out --adapter" in capsys.readouterr().err


def test_inspect_tells_what_a_folder_of_a_model_is(
    tiny_source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "config.json").write_text('{"model_type": "llama", "auto_map": {}}')
    assert main(["inspect", "--json", str(tiny_source), str(tmp_path / "no")]) == FAILED
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["kind"], good["problem"], good["layers"]) == ("model", "", 2)
    assert good["architecture"] == "LlamaForCausalLM" and good["parameters"] > 10_000
    assert "run code of its own" in bad["problem"]
