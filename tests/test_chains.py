"""An adapter that is moved again, and samples that serve another target; on tiny random models."""

import json
from pathlib import Path

import pytest

from tests import tiny
from tests.test_pipeline import ROWS, MakeRun, finish, make_run  # noqa: F401  a fixture
from workbench import chains
from workbench.__main__ import main
from workbench.consult import answer_question
from workbench.errors import RunError, WorkbenchError
from workbench.evaluate.lineage import lineage
from workbench.runs.folder import Run, find_run
from workbench.stages import Stage

SET = ("synthesis.filter=none", "training.epochs=1", "training.batch_rows=4", "student.rank=4")


def transfer(root: Path, name: str, *options: str) -> int:
    sets = [part for assignment in SET for part in ("--set", assignment)]
    return main(["transfer", "--runs", str(root), "--run", name, "--json", *sets, *options])


@pytest.fixture
def moved(make_run: MakeRun) -> Run:  # noqa: F811
    """A finished transfer from the tiny source to the tiny target."""
    # Long enough that it ends its answers: one that does not gives no labels.
    run = make_run(
        "first", evaluation=ROWS[:10], training__epochs=30, training__learning_rate=0.01,
        evaluation__base_arms=False,
    )  # fmt: skip
    finish(run)
    return run


def test_an_adapter_is_moved_again_and_knows_where_it_comes_from(
    moved: Run, tiny_source: Path, capsys: pytest.CaptureFixture
) -> None:
    root = moved.folder.parent
    back = ("--target-base", f"folder:{tiny_source}", "--set", "target_format.kind=chat")
    assert transfer(root, "second", "--from-run", "first", *back) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (before,) = result["lineage"]
    assert (before["run"], before["method"]) == ("first", "lora")
    assert before["source"] == moved.result()["arms"]["source_adapter"]["accuracy"]  # type: ignore
    assert set(result["against_first_source"]) == {"mean", "low", "high"}
    run = find_run(root, "second")
    assert run.recipe.source_base == moved.recipe.target_base
    assert run.recipe.source_format == moved.recipe.target_format
    assert run.inputs.evaluation == moved.inputs.evaluation
    # What was written goes along, and is asked about anew.
    written = {sample.input for sample in moved.samples.kept()}
    assert written <= {row.input for row in run.inputs.unlabelled} | {
        row.input for row in run.inputs.seeds
    }
    assert all(row.output is None for row in run.inputs.unlabelled)
    assert {sample.origin for sample in run.samples.kept()} == {"user"}
    card = (run.exports / "adapter" / "README.md").read_text()
    assert "## Where it comes from" in card
    assert str(tiny_source.parent) not in card
    # A third hop lists both.
    assert transfer(root, "third", "--from-run", "second", *back, "--until", "synthesize") == 0
    assert [hop["run"] for hop in lineage(find_run(root, "third"))] == ["first", "second"]


def test_another_target_takes_samples_and_answers_as_they_are(
    moved: Run, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, other = moved.folder.parent, tiny.write_target(tmp_path / "other", seed=7)
    more = ("--samples-from", "first", "--target-base", f"folder:{other}")
    assert transfer(root, "else", *more) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    run = find_run(root, "else")
    told = [(s.input, s.teacher_output, s.status) for s in moved.samples.all()]
    assert [(s.input, s.teacher_output, s.status) for s in run.samples.all()] == told
    assert run.answers.get("source_adapter") == moved.answers.get("source_adapter")
    assert result["arms"]["transferred"]["n"] == 10
    assert "lineage" not in result
    # What wrote them and what decided, not what this run would have chosen.
    first = moved.result() or {}
    assert result["writer"] == first["writer"] and result["writer"]
    assert result["filter"] == first["filter"]
    assert transfer(root, "else", *more) == 0  # the same command changes nothing
    assert len(run.samples.all()) == len(told)


def test_a_run_that_is_not_ready_says_what_is_missing(
    make_run: MakeRun,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    run = make_run("draft")
    root = run.folder.parent
    assert transfer(root, "next", "--from-run", "draft") == 1
    assert "has no new adapter yet" in capsys.readouterr().err
    assert transfer(root, "next", "--from-run", "nobody") == 1
    assert 'no run "nobody"' in capsys.readouterr().err
    with pytest.raises(RunError, match="not all answered"):
        chains.take_samples(make_run("new"), run)
    assert chains.run_named(root, "draft").id == "draft"


def test_where_shapes_fit_the_copy_is_measured_too(
    make_run: MakeRun,  # noqa: F811
    tmp_path: Path,
) -> None:
    newer = tiny.write_source(tmp_path / "newer", seed=3)
    run = make_run(
        evaluation=ROWS[:6], target_base=f"folder:{newer}", training__epochs=1,
        evaluation__base_arms=False, target_format__kind="chat",
    )  # fmt: skip
    result = finish(run)
    assert result["arms"]["copied"]["n"] == 6
    assert (
        "against" in result["copied"]["sentence"] or "Cannot tell" in result["copied"]["sentence"]
    )
    assert "copied as it is" in (run.exports / "adapter" / "README.md").read_text()


@pytest.mark.parametrize("method", ["prompt_tuning", "miss"])
def test_another_kind_of_adapter_goes_all_the_way(
    make_run: MakeRun,  # noqa: F811
    method: str,
) -> None:
    run = make_run(
        evaluation=ROWS[:6], student__method=method, training__epochs=1, student__virtual_tokens=4,
        evaluation__base_arms=False,
    )  # fmt: skip
    finish(run)
    config = json.loads((run.exports / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == method.upper()
    assert run.stage_done(Stage.EXPORT)
    question = {"run": str(run.folder)}
    assert (
        answer_question("answer", {**question, "input": "put 3 coins"})["transferred"] is not None
    )
    if method == "prompt_tuning":
        with pytest.raises(WorkbenchError, match="cannot be merged"):
            answer_question("merge", question)
    else:
        assert answer_question("merge", question)["bytes"] > 10_000
