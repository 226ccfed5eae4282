"""Short questions to the models of a run, on tiny random models."""

from pathlib import Path

import pytest

from tests import tiny
from tests.test_pipeline import MakeRun, finish, make_run  # noqa: F401  a fixture
from workbench.consult import answer_question
from workbench.errors import WorkbenchError
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run, create
from workbench.samples import Example


def ask(run: Run, question: str, **arguments: object) -> dict:
    return answer_question(question, {"run": str(run.folder), **arguments})


def test_draft_can_be_previewed_inspected_and_drawn(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(evaluation=[], synthesis__new_tokens=64)
    before = run.samples.all()
    preview = ask(run, "preview", count=3)
    assert 1 <= len(preview["samples"]) <= 3
    assert all(sample["teacher_output"] is not None for sample in preview["samples"])
    assert run.samples.all() == before  # a preview leaves no trace
    checks = ask(run, "inspect")["checks"]
    assert [check["ok"] for check in checks] == [True, True]
    assert "coins" in checks[1]["sentence"]
    points = ask(run, "map")["points"]
    assert {point["group"] for point in points} == {"seed"}
    assert ask(run, "answer", input="put 3 coins")["transferred"] is None


def test_finished_run_answers_with_both_sides(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(synthesis__new_tokens=64)
    finish(run)
    both = ask(run, "answer", input="put 3 coins into box 3")
    assert isinstance(both["source"], str)
    assert isinstance(both["transferred"], str)
    sample = run.samples.kept()[0]
    fresh = ask(run, "regenerate", id=sample.id)["sample"]
    assert fresh["input"] not in {other.input for other in run.samples.all()}
    assert {"kept", "seed"} <= {point["group"] for point in ask(run, "map")["points"]}


def test_formats_are_ranked_by_the_likelihood_of_the_outputs(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    formats = ask(run, "propose_format")["formats"]
    likelihoods = [entry["mean_log_prob"] for entry in formats]
    assert likelihoods == sorted(likelihoods, reverse=True)
    assert len({(entry["kind"], entry["template"]) for entry in formats}) == len(formats) >= 5
    run.put_examples("seeds", [Example(f"input {n}") for n in range(4)])
    with pytest.raises(WorkbenchError, match="No seed has an output"):
        ask(run, "propose_format")


def test_wrong_base_is_one_failed_check(make_run: MakeRun, tmp_path: Path) -> None:  # noqa: F811
    deeper = tiny.write_source(tmp_path / "deeper", layers=3)
    run = make_run(source_base=f"folder:{deeper}")
    checks = ask(run, "inspect")["checks"]
    assert not checks[-1]["ok"]
    assert checks[-1]["sentence"]


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    bare = create(tmp_path / "runs", TransferRecipe(), id="bare")
    with pytest.raises(WorkbenchError, match="no question"):
        ask(bare, "dance")
    with pytest.raises(WorkbenchError, match="no source adapter"):
        ask(bare, "preview")
