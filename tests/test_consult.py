"""Short questions to the models of a run, on tiny random models."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests import tiny
from tests.test_pipeline import MakeRun, finish, make_run  # noqa: F401  a fixture
from workbench import consult
from workbench.consult import answer_question
from workbench.errors import WorkbenchError
from workbench.events import RoundFinished
from workbench.export.bundle import write_bundle
from workbench.models.format_choice import CANDIDATES
from workbench.models.resident import load
from workbench.recipe import PromptFormat, TransferRecipe
from workbench.runs.folder import Run, create
from workbench.samples import KEPT, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.steps import format_proposal
from workbench.steps.format_discovery import Found
from workbench.synthesis_plan import CHOICE
from workbench.synthesize.per_label import Text


def ask(run: Run, question: str, **arguments: object) -> dict:
    return answer_question(question, {"run": str(run.folder), **arguments})


def test_draft_can_be_previewed_inspected_and_drawn(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The clock chooses what is written, and random weights once in a while write nothing.
    monkeypatch.setattr(consult.time, "time_ns", itertools.count(1).__next__)
    run = make_run(evaluation=[], synthesis__new_tokens=64)
    before = run.samples.all()
    preview = ask(run, "preview", count=3)
    assert 1 <= len(preview["samples"]) <= 3
    # Only an answer that was cut at the limit is none.
    assert all(
        sample["teacher_output"] is not None or "did not end" in sample["reason"]
        for sample in preview["samples"]
    )
    assert run.samples.all() == before  # a preview leaves no trace
    again = ask(run, "preview", count=3)
    assert [s["input"] for s in again["samples"]] != [s["input"] for s in preview["samples"]]
    checks = ask(run, "inspect")["checks"]
    assert [check["ok"] for check in checks] == [True, True, True]
    assert "coins" in checks[1]["sentence"]
    assert "nats per token against its base" in checks[2]["sentence"]
    assert len(ask(run, "own_inputs", count=3)["texts"]) <= 3
    assert run.samples.all() == before  # what it writes itself is stored nowhere
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


def test_more_for_an_answer_keeps_what_is_answered_so(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(synthesis__new_tokens=24)
    before = run.samples.all()
    written = [
        Sample(sample_id(text), text, "target", 0, "three", KEPT, teacher_output=given)
        for text, given in (("put 1", "three"), ("put 2", "four"), ("put 3", "three"))
    ]
    written[0] = replace(written[0], confidence=0.9)
    written[2] = replace(written[2], confidence=0.2)
    targets: list[object] = []

    def write_texts(_run: Run, _pair: object, _choice: object, *given: object) -> list[Text]:
        targets.append(given[1])
        return [Text(sample.input) for sample in written]

    monkeypatch.setattr(consult, "write_texts", write_texts)
    finished = RoundFinished(0, 5, 3, 0, 1, 1, 0)
    monkeypatch.setattr(consult, "judge_round", lambda *_given: (written, finished))
    for writer, tries in (("label", 5), ("own", 5 * consult.UNASKED_TRIES)):
        run.change_recipe({"synthesis.writer": writer})
        run.remember(CHOICE, None)
        answer = ask(run, "write_for", label="three", count=5)
        assert targets.pop() == ["three"] * tries, "a writer that knows no labels tries more"
        assert [sample["status"] for sample in answer["samples"]] == [KEPT, REJECTED, REJECTED]
        assert "otherwise than asked" in answer["samples"][1]["reason"]
        assert (answer["round"]["kept"], answer["round"]["rejected"]) == (1, 2)
        assert run.samples.all() == before  # the page stores it


def test_merged_model_is_measured_beside_the_4_bit_one(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(evaluation__answer_tokens=12)
    with pytest.raises(WorkbenchError, match="Merge base and adapter first"):
        ask(run, "measure_merged")
    finish(run)
    ask(run, "merge")
    assert ask(run, "measure_merged") == {"rows": len(run.inputs.evaluation)}
    answers = run.answers.get("merged")
    assert [row.index for row in answers] == list(range(len(run.inputs.evaluation)))
    run.reopen_from(Stage.DISTIL)
    assert not run.answers.get("merged"), "it is another adapter's by then"


def test_merged_model_answers_like_base_and_adapter(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(synthesis__new_tokens=64)
    with pytest.raises(WorkbenchError, match="not packed yet"):
        ask(run, "merge")
    base = load(Path(run.recipe.target_base.removeprefix("folder:")), device="cpu")
    base.attach_new("student", run.recipe.student, 0)
    for key, parameter in base.trainable("student").items():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.5)
    base.save_adapter("student", run.folder / "saved", "")
    saved = run.folder / "saved"
    write_bundle(run.exports, adapter_folder=saved, recipe=run.recipe, result={}, samples=[])
    size = ask(run, "merge")["bytes"]
    merged = run.exports / "merged"
    assert size == sum(path.stat().st_size for path in merged.iterdir())
    ids = torch.tensor([[40, 41, 42, 50, 60, 70, 80, 90]])
    model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.bfloat16)
    with torch.no_grad(), base.using("student"):
        expected = base.model(input_ids=ids).logits.float()
    with torch.no_grad(), base.using(None):
        plain = base.model(input_ids=ids).logits.float()
    with torch.no_grad():
        away = (model(input_ids=ids).logits.float() - expected).abs().mean()
    assert away < 0.1 * (plain - expected).abs().mean()
    for path in merged.iterdir():
        assert str(run.folder.parent.parent) not in path.read_text(errors="replace"), path
    assert "# coins, merged" in (merged / "README.md").read_text()
    assert AutoTokenizer.from_pretrained(merged)("put 3 coins")["input_ids"]


def test_formats_are_ranked_by_the_likelihood_of_the_outputs(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    formats = ask(run, "propose_format")["formats"]
    likelihoods = [entry["score"] for entry in formats]
    assert likelihoods == sorted(likelihoods, reverse=True)
    assert len({(entry["kind"], entry["template"]) for entry in formats}) == len(formats) >= 5


def test_an_instruction_that_all_rows_share_is_tried_in_every_format(make_run: MakeRun) -> None:  # noqa: F811
    """And in its own place in Alpaca; an adapter may have been trained without it, too."""
    run = make_run(source_format=PromptFormat(template="Say the box.\n\n{input}"))
    templates = {entry["template"] for entry in ask(run, "propose_format")["formats"]}
    assert "### Human: Say the box.\n\n{input}\n### Assistant:" in templates
    assert "### Human: {input}\n### Assistant:" in templates
    assert any("### Instruction:\nSay the box.\n\n### Input:\n{input}" in t for t in templates)


def test_without_outputs_formats_are_ranked_by_what_the_adapter_writes(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run()
    run.put_examples("seeds", [Example(f"input {n}") for n in range(4)])
    human = next(form for form in CANDIDATES if "### Human" in form.template)
    found: list[Found] = []
    monkeypatch.setattr(format_proposal, "formats_by_writing", lambda *_given: found)
    for unsure in ([], [Found(human, 0.1, ["a text"])]):  # an answer-only adapter, and base
        found[:] = unsure
        with pytest.raises(WorkbenchError, match="No seed has an output, and under no known"):
            ask(run, "propose_format")
    found[:] = [Found(human, 2.0, ["a text"]), Found(CANDIDATES[0], 0.5, ["a text"])]
    answer = ask(run, "propose_format")
    assert [entry["score"] for entry in answer["formats"]] == [2.0, 0.5]
    assert answer["formats"][0]["template"].startswith("### Human")
    assert "### Human: a text" in answer["preview"]
    assert "inputs that it writes" in answer["by"]


def test_wrong_base_is_one_failed_check(make_run: MakeRun, tmp_path: Path) -> None:  # noqa: F811
    deeper = tiny.write_source(tmp_path / "deeper", layers=3)
    run = make_run(source_base=f"folder:{deeper}")
    checks = ask(run, "inspect")["checks"]
    assert not checks[-1]["ok"]
    assert checks[-1]["sentence"]


def test_what_a_base_cannot_do_is_known_before_the_run(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("no vocab_size")

    monkeypatch.setattr(consult, "train", fail)
    last = ask(make_run(), "inspect")["checks"][-1]
    assert not last["ok"]
    assert last["sentence"].startswith("These bases cannot train, which a transfer needs: no vocab")


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    bare = create(tmp_path / "runs", TransferRecipe(), id="bare")
    with pytest.raises(WorkbenchError, match="no question"):
        ask(bare, "dance")
    with pytest.raises(WorkbenchError, match="no source adapter"):
        ask(bare, "preview")
