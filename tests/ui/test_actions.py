"""Handlers called as Gradio calls them, without a browser and without models."""

import json
import re
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from tests.ui import fake_run
from workbench import jobs, machine
from workbench.errors import IntakeError, RunError, WorkbenchError
from workbench.evaluate.outcome import ASKED, asked_rows, drawn_rows
from workbench.events import RoundFinished, Stopped
from workbench.export.bundle import find_bundle
from workbench.intake.kit import write_kit
from workbench.jobs import RunState
from workbench.limits import LIMITS
from workbench.machine import Gpu
from workbench.runs.folder import Run, find_run
from workbench.runs.listing import list_runs
from workbench.samples import KEPT, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.ui import (
    compare_tab,
    compare_views,
    failures,
    fields,
    review_actions,
    row_uploads,
    runs_tab,
    saves,
    settings_part,
    snapshot,
    takehome_tab,
    train_tab,
    transfer_actions,
    transfer_views,
    workspace,
    write_actions,
    write_views,
)  # fmt: skip

FINDER = ("", "", "", "", None, None, False, "-made")


PAGE = "the page of this test"


def take(run: Run) -> snapshot.Snapshot:
    return snapshot.take(run.id, fresh=True)


def drawn(run: Run | None) -> str:
    """What the form's hidden box holds on a page that shows this run."""
    if run is None:
        return saves.drawn_for("", {"seeds": [["", ""]] * 3})
    return saves.drawn_for(run.id, {"seeds": transfer_views.seed_table(run)})


def type_seeds(run: Run | None, table: list[list[str]], shown: str | None = None) -> tuple:
    """A page that shows the run sends its table."""
    told = drawn(run) if shown is None else shown
    return transfer_actions.take_seed_table(run.id if run else "", table, told, PAGE)


def save(run: Run, name: str, value: Any) -> tuple:
    """A page that shows the run sends one field."""
    return transfer_actions.save_fields([name])(run.id, drawn(run), PAGE, "", value)


# Source ----------------------------------------------------------------------------------------


def test_first_seed_makes_a_draft_and_says_what_is_missing(runs: Path) -> None:
    run_id, _ = type_seeds(None, [["how are you", ""], ["", ""]])
    run = find_run(runs, run_id)
    assert [seed.input for seed in run.inputs.seeds] == ["how are you"]
    assert transfer_views.missing(take(run)) == "Add an adapter first"


def test_the_example_is_that_of_make_demo(runs: Path) -> None:
    recipe = find_run(runs, transfer_actions.load_example("")).recipe
    command = (Path(__file__).parents[2] / "Makefile").read_text().split("\ndemo:")[1]
    options = command.split("\n\n")[0].split("-m workbench ")[1].split()
    assert options == ["transfer", "--kit", "$(EXAMPLE)", "--preset", recipe.preset], (
        "and no setting of its own"
    )
    changed = [field.name for field in settings_part.changes(recipe)]
    assert changed == ["evaluation.metric"], "which the kit names"


def test_empty_table_makes_no_draft(runs: Path) -> None:
    assert type_seeds(None, [["", ""]]) == (gr.skip(), gr.skip())
    assert not list(runs.iterdir())


def test_a_table_that_was_drawn_for_another_run_or_an_older_one_is_not_saved(
    runs: Path, draft: Run
) -> None:
    """One cell typed into a table that was drawn empty replaced 12 seeds by 1."""
    other = fake_run.draft(runs, "Another")
    for empty in (drawn(None), drawn(other), ""):
        with pytest.raises(RunError, match="still showed another run"):
            transfer_actions.take_seed_table(draft.id, [["typed", ""]], empty, PAGE)
    assert len(draft.inputs.seeds) == 12
    before = drawn(draft)
    draft.put_examples("seeds", draft.inputs.seeds[:7])
    with pytest.warns(UserWarning, match="changed elsewhere"):
        _, table = type_seeds(draft, [["typed", ""]], before)
    assert len(draft.inputs.seeds) == len(table["value"]) == 7


def test_a_page_goes_on_typing_before_its_form_is_drawn_again(runs: Path) -> None:
    empty = drawn(None)
    run_id, _ = transfer_actions.take_seed_table("", [["one", ""]], empty, PAGE)
    transfer_actions.take_seed_table(run_id, [["one", ""], ["two", ""]], empty, PAGE)
    run = find_run(runs, run_id)
    assert [seed.input for seed in run.inputs.seeds] == ["one", "two"]
    with pytest.raises(RunError, match="another run"):
        transfer_actions.take_seed_table(run_id, [["three", ""]], empty, "another page")


def test_a_field_that_another_page_changed_is_not_saved_over(draft: Run) -> None:
    name = fields.element("target_base")
    before = saves.drawn_for(draft.id, {name: draft.recipe.target_base})
    save = transfer_actions.save_fields(["target_base", "teacher"])

    def save_base(base: str, page: str) -> tuple:
        return save(draft.id, before, page, "", f"hub:models/{base}", draft.recipe.teacher)

    save_base("one", "one page")
    with pytest.warns(UserWarning, match="changed elsewhere"):
        _, shown, _ = save_base("two", "another page")
    assert shown["value"] == draft.recipe.target_base == "hub:models/one"
    save_base("three", "one page")
    assert draft.recipe.target_base == "hub:models/three"


def test_of_a_form_only_what_a_person_changed_is_saved(draft: Run) -> None:
    """A form sends all of its fields; those that it still shows as drawn are nobody's wish."""
    names = ["seed", "task_name", "training.epochs"]
    marks = {fields.element(name): fields.shown(draft.recipe, name) for name in names}
    before = saves.drawn_for(draft.id, marks)
    stale = fields.shown(draft.recipe, "task_name")
    draft.change_recipe({"task_name": "By another page"})
    epochs = draft.recipe.training.epochs
    transfer_actions.save_fields(names)(draft.id, before, PAGE, "", 7, stale, float(epochs))
    assert draft.recipe.seed == 7 and draft.recipe.task_name == "By another page"
    assert draft.recipe.training.epochs == epochs


def test_button_counts_the_missing_seeds(draft: Run) -> None:
    draft.put_examples("seeds", draft.inputs.seeds[:1])
    assert transfer_views.missing(take(draft)) == "Add at least 2 more examples"
    draft.put_examples("seeds", ())
    assert transfer_views.missing(take(draft)) == "Add at least 3 examples"


def test_adapter_and_kit_are_told_apart(runs: Path, draft: Run, tmp_path: Path) -> None:
    adapter = fake_run.write_adapter(tmp_path / "two-files")
    paths = [str(path) for path in sorted(adapter.iterdir())]
    alone = find_run(runs, transfer_actions.take_files("", paths))
    assert alone.inputs.adapter is not None and not alone.inputs.seeds
    kit = write_kit(tmp_path / "kit.zip", draft.inputs, draft.recipe)
    whole = find_run(runs, transfer_actions.take_files("", [str(kit)]))
    assert len(whole.inputs.seeds) == 12 and whole.inputs.discriminator is not None
    assert whole.name == whole.recipe.task_name == "Banking requests"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("adapter_model.bin", b"\x80\x04", "pickle"),
        ("broken.zip", b"PK\x03\x04nothing", "cut off or damaged"),
        ("adapter_config.json", b"{}", "adapter_model.safetensors is missing"),
    ],
)
def test_bad_files_get_their_sentence(
    runs: Path, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(IntakeError, match=words):
        transfer_actions.take_files("", [str(path)])
    assert not list(runs.iterdir())  # a refused file leaves no draft behind


def test_a_run_is_called_after_its_adapter_and_takes_the_base_that_this_names(
    runs: Path, tmp_path: Path
) -> None:
    folder = fake_run.write_adapter(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "Qwen/Qwen2.5-0.5B-Instruct"
    with zipfile.ZipFile(tmp_path / "ticket router.zip", "w") as archive:
        archive.writestr("adapter_config.json", json.dumps(config))
        archive.write(folder / "adapter_model.safetensors", "adapter_model.safetensors")
    run_id = transfer_actions.take_files("", [str(tmp_path / "ticket router.zip")])
    run = find_run(runs, run_id)
    assert run.name == run.recipe.task_name == "ticket router"
    assert run.recipe.source_base == "hub:Qwen/Qwen2.5-0.5B-Instruct"
    run.rename("mine")
    transfer_actions.take_files(run_id, [str(path) for path in sorted(folder.iterdir())])
    assert run.name == "mine"
    assert run.recipe.source_base == "package:smollm2-135m-instruct"


def test_adapter_that_changes_nothing_is_refused(runs: Path, tmp_path: Path) -> None:
    folder = fake_run.write_adapter(tmp_path / "zero", zero=True)
    with pytest.raises(IntakeError):
        transfer_actions.take_files("", [str(path) for path in folder.iterdir()])


def test_refused_adapter_is_shown_with_what_it_passed(
    runs: Path, draft: Run, tmp_path: Path
) -> None:
    """The sentence went with its toast; nothing on the page said why there was no adapter."""
    handler = transfer_actions.taking_adapter(transfer_actions.take_files)
    zero = fake_run.write_adapter(tmp_path / "zero", zero=True)
    with pytest.warns(UserWarning, match="every B matrix is zero"):
        run_id, card, box, *_ = handler("", [str(path) for path in zero.iterdir()])
    assert run_id == gr.skip() and box is None  # else it came along with the next file
    assert "This adapter was not taken" in card and card.count("passed: ") == 3
    assert "failed: " in card and "every B matrix is zero" in card
    good = fake_run.write_adapter(tmp_path / "good")
    run_id, card, *_ = handler("", [str(path) for path in good.iterdir()])
    assert find_run(runs, run_id).inputs.adapter is not None and card == ""


def test_one_of_several_adapters_is_chosen(runs: Path, tmp_path: Path) -> None:
    archive = tmp_path / "out.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for step, rank in ((10, 2), (20, 4)):
            for file in fake_run.write_adapter(tmp_path / str(step), rank).iterdir():
                packed.write(file, f"checkpoint-{step}/{file.name}")
    handler = transfer_actions.taking_adapter(transfer_actions.take_files)
    run_id, said, box, shown, which, waiting = handler("", [str(archive)])
    assert run_id == gr.skip() and "2 adapters" in said and box is None and shown["visible"]
    assert [value for _, value in which["choices"]] == ["checkpoint-10", "checkpoint-20"]
    run_id, said, _, shown, _, left = handler("", waiting, "", "checkpoint-10")
    adapter = find_run(runs, run_id).inputs.adapter
    assert adapter is not None and adapter.settings.fields["r"] == 2
    assert (said, shown["visible"], left) == ("", False, ())


def test_more_lines_than_seeds_are_inputs_for_the_teacher(draft: Run) -> None:
    transfer_actions.add_pasted(draft.id, "one\ntwo\nthree\nfour")
    assert len(draft.inputs.seeds) == LIMITS.seeds
    known = {row.input for row in (*draft.inputs.seeds, *draft.inputs.unlabelled)}
    assert len(known) == 12 + 4


def test_form_is_stored_at_once(draft: Run) -> None:
    save(draft, "target_base", "hub:models/other")
    assert draft.recipe.target_base == "hub:models/other"
    with pytest.warns(UserWarning, match="is no model reference"):
        save(draft, "target_base", "")  # of a box that was cleared
    assert draft.recipe.target_base == "hub:models/other"


def test_a_recipe_comes_back_whole(runs: Path, finished: Run, tmp_path: Path) -> None:
    finished_recipe = Path(takehome_tab._recipe_file(finished.id)["value"])
    run = find_run(runs, transfer_actions.take_recipe("", str(finished_recipe)))
    assert run.recipe == finished.recipe and run.name == finished.recipe.task_name
    other = json.loads(finished_recipe.read_text())
    other |= {"source_base": "folder:/etc", "seed": 7}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(other))
    transfer_actions.take_recipe(run.id, str(path))
    assert run.recipe.seed == 7 and run.recipe.source_base == finished.recipe.source_base
    for text, words in (
        ('{"seed": 1, "seed": 2}', "occurs twice"),
        ('{"sed": 1}', 'no field "sed"'),
        ("[]", "must be an object"),
        ('{"seed": "x"}', "seed"),
        ("{" * (LIMITS.recipe_bytes + 1), "recipe.json"),
    ):
        path.write_text(text)
        with pytest.raises(WorkbenchError, match=words):
            transfer_actions.take_recipe(run.id, str(path))
    assert run.recipe.seed == 7


def test_strangers_name_no_folders_of_the_server(
    draft: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    before = draft.recipe.target_base
    for text in ("folder:/etc", "/etc", "~", ".", "../x", "folder:x", "hub:../x"):
        with pytest.warns(UserWarning, match="one of the list, or a Hub id"):
            save(draft, "target_base", text)
        assert draft.recipe.target_base == before
    save(draft, "target_base", "org/model")
    assert draft.recipe.target_base == "hub:org/model"
    save(draft, "target_base", "package:gemma-3-270m")
    assert draft.recipe.target_base == "package:gemma-3-270m"
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"target_base": "org/other", "source_base": "/etc"}))
    transfer_actions.take_recipe(draft.id, str(path))
    assert draft.recipe.target_base == "hub:org/other" and "package:" in draft.recipe.source_base


def test_uploaded_rows_are_shown_as_they_were_read(runs: Path, tmp_path: Path) -> None:
    """A file whose columns were taken wrongly is seen at once, not after the transfer."""
    path = tmp_path / "rows.csv"
    path.write_text("label,text,note\n" + "".join(f"l{n},text {n},x\n" for n in range(9)))
    run_id, *_ = row_uploads.take_file("evaluation")("", str(path))
    row_uploads.take_file("unlabelled")(run_id, str(path))
    run = find_run(runs, run_id)
    shown = transfer_views.uploaded_rows(take(run))
    assert shown[0] == ["evaluation", "text 0", "l0"] and len(shown) == 10
    assert shown[5][0] == "own input"


def test_columns_that_are_not_understood_are_chosen_on_the_page(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("Frage,Antwort,Nummer\nwo?,da,1\nwann?,bald,2\n")
    run_id, _, group, rows, inputs, output, waiting = row_uploads.take_file("seeds")("", str(path))
    assert group["visible"] and rows["value"]["data"][1] == ["wann?", "bald", "2"]
    assert inputs["value"] == ["Frage"] and output["value"] == "Antwort"
    assert not list(runs.iterdir()), "nothing is stored before it is understood"
    run_id, group, *_, done = row_uploads.take_chosen("", waiting, ["Frage"], "Antwort")
    assert not group["visible"] and done == ()
    assert find_run(runs, run_id).inputs.seeds == (Example("wo?", "da"), Example("wann?", "bald"))


def test_evaluation_rows_have_outputs_all_or_none(runs: Path, tmp_path: Path) -> None:
    """Without any the verdict compares with the source; a row that lacks one is left out."""
    path = tmp_path / "rows.csv"
    path.write_text("text\nhello\nhm\n")
    run_id, *_ = row_uploads.take_file("evaluation")("", str(path))
    now = take(find_run(runs, run_id))
    assert now.inputs.evaluation == (Example("hello"), Example("hm"))
    assert "2 evaluation rows without right answers" in transfer_views.examples_sentence(now)
    path.write_text("text,label\nhello,a\nhm,\nhi,b\n")
    row_uploads.take_file("evaluation")(run_id, str(path))
    now = take(find_run(runs, run_id))
    assert now.inputs.evaluation == (Example("hello", "a"), Example("hi", "b"))


def test_more_examples_than_seeds_are_inputs_and_an_instruction_goes_to_the_prompt(
    runs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"Which one?,text {n},label {n % 20}\n" for n in range(40)]
    path.write_text("instruction,input,output\n" + "".join(lines))
    run_id, *_ = row_uploads.take_file("seeds")("", str(path))
    run = find_run(runs, run_id)
    assert run.recipe.source_format.template == "Which one?\n\n{input}"
    assert len({seed.output for seed in run.inputs.seeds}) == LIMITS.seeds
    assert len(run.inputs.unlabelled) == 40 - LIMITS.seeds
    assert all(row.input.startswith("text ") for row in run.inputs.unlabelled)


def test_card_names_what_was_found(draft: Run) -> None:
    card = transfer_views.adapter_card(take(draft))
    for words in ("q_proj, v_proj", "r 8", "61,440", "labels, 12 of them seen"):
        assert words in card
    assert "chat template of the base" in card
    draft.change_recipe({"source_format.kind": "text", "source_format.template": "{input}\n<b>"})
    assert "plain text: &#x27;{input}\\n&lt;b&gt;&#x27;" in transfer_views.adapter_card(take(draft))
    assert "not that of" not in card and "Base model matches" in card


def test_fit_tells_memory_of_a_gpu_where_there_is_one(
    draft: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = transfer_views.plan(take(draft))
    assert "GPU" not in told and "GB memory" in told and "rough guess" in told
    monkeypatch.setattr(machine, "first_gpu", lambda: Gpu("L4 <24>", 20 * 10**9, 24 * 10**9))
    told = transfer_views.plan(take(draft))
    assert "GB GPU memory" in told and "time not known" in told
    monkeypatch.setattr(machine, "first_gpu", lambda: Gpu("L4 <24>", 10**8, 24 * 10**9))
    told = transfer_views.plan(take(draft))
    assert "0.1 of 24.0 GB free (L4 &lt;24&gt;)" in told
    assert "failed: " in told and not transfer_views.missing(take(draft))  # said, not forbidden


def test_an_adapter_of_another_base_is_said_and_does_not_start(draft: Run) -> None:
    """It was a grey dash beside a button that went on."""
    draft.change_recipe({"source_base": "package:gemma-3-270m"})
    card = transfer_views.adapter_card(take(draft))
    assert "failed: " in card and "reads 576 values; this base" in card
    assert "Choose the base" in transfer_views.missing(take(draft))
    with pytest.raises(RunError, match="Choose the base"):
        transfer_actions.start(draft.id)


# Write -----------------------------------------------------------------------------------------


def test_line_shows_what_it_keeps_and_spares_people(reviewable: Run) -> None:
    now = take(reviewable)
    sample = reviewable.samples.kept()[0]
    reviewable.samples.edit(sample.id, sample.version, status=KEPT)
    _, sentence, button = write_views.threshold(now, 0.999)
    kept = reviewable.samples.status_counts()[KEPT]
    assert f"rejects {kept - 1}" in sentence and button["interactive"]
    write_actions.apply_threshold(reviewable.id, 0.999)
    assert reviewable.samples.status_counts()[KEPT] == 1
    reviewable.samples.undo()
    assert reviewable.samples.status_counts()[KEPT] == kept


def test_scores_without_discriminator_are_the_teachers(runs: Path) -> None:
    """The section stayed empty for the preset "best": it looked for a score that nobody gives."""
    run = fake_run.synthesize(fake_run.draft(runs, discriminator=False), for_labels=True)
    now = take(run)
    chart, slider, sentence, _ = write_views.scores(now)
    assert chart["visible"] and (slider["minimum"], slider["maximum"]) == (0.0, 1.0)
    assert "How sure the source is" in sentence and "of 480 scored" in sentence
    asked, table = write_views.consistency(now)
    assert "Of 480 samples written for a label" in asked and len(table["value"]) == 12
    shares = [float(row[3].removesuffix(" %")) for row in table["value"]]
    assert shares == sorted(shares) and shares[0] < 100
    assert all(write_views.row(sample)[2] for sample in run.samples.page())


def test_no_consistency_without_answers_asked_for(reviewable: Run) -> None:
    sentence, table = write_views.consistency(take(reviewable))
    assert sentence == "" and not table["visible"]


def test_more_for_a_thin_answer(reviewable: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = take(reviewable)
    shown, choices = write_views.write_for(now)
    assert choices["value"] == "routing" and shown["visible"]
    asked: list[Any] = []
    fresh = [
        Sample(sample_id(text), text, "target", 12, "routing", status, teacher_output="routing")
        for text, status in (("routing of my bank", KEPT), ("which way", REJECTED))
    ]
    answer = {
        "samples": [asdict(sample) for sample in fresh],
        "round": asdict(RoundFinished(12, 3, 1, 1, 1, 0, 0)),
    }
    monkeypatch.setattr(jobs, "consult", lambda *given: asked.append(given) or answer)
    before = reviewable.samples.label_counts()["routing"]
    write_actions.write_for(reviewable.id, "routing", 3)
    assert asked[0][1:] == ("write_for", {"label": "routing", "count": 3})
    assert reviewable.samples.label_counts()["routing"] == before + 1
    assert reviewable.samples.get(fresh[0].id) == fresh[0]
    with pytest.raises(RunError, match="Another page"):
        write_actions.write_for(reviewable.id, "routing", 3)
    for label, count, words in (("", 3, "Choose an answer"), ("routing", 0, "from 1 to 200")):
        with pytest.raises(RunError, match=words):
            write_actions.write_for(reviewable.id, label, count)


def test_nothing_more_is_written_once_trained_on(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not write_views.write_for(take(finished))[0]["visible"]
    answer = {"samples": [], "round": asdict(RoundFinished(12, 0, 0, 0, 0, 0, 0))}
    monkeypatch.setattr(jobs, "consult", lambda *given: answer)
    with pytest.raises(RunError, match="went on meanwhile"):
        write_actions.write_for(finished.id, "routing", 3)


@pytest.mark.parametrize(("pause", "until"), [(False, Stage.EXPORT), (True, Stage.LABEL)])
def test_one_button_goes_to_the_verdict_or_to_the_review(
    draft: Run, monkeypatch: pytest.MonkeyPatch, pause: bool, until: Stage
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(jobs, "start", lambda run, until: started.append((run.id, until)))
    draft.change_recipe({"pause_for_review": pause})
    transfer_actions.start(draft.id)
    assert started == [(draft.id, until)]


def test_refused_value_comes_back(reviewable: Run) -> None:
    with pytest.warns(UserWarning, match="fixed since"):
        _, shown = save(reviewable, "synthesis.temperature", 1.5)
    assert shown["value"] == reviewable.recipe.synthesis.temperature != 1.5


def test_settings_show_what_is_read_and_may_be_changed(draft: Run, reviewable: Run) -> None:
    """Locked fields looked like others; what the chosen method ignores was offered."""
    offered = {name for name in fields.FIELDS if settings_part.offered(take(draft), name)}
    assert "synthesis.seeds_per_prompt" in offered and "student.virtual_tokens" not in offered
    draft.change_recipe({"synthesis.writer": "label", "student.method": "dora"})
    offered = {name for name in fields.FIELDS if settings_part.offered(take(draft), name)}
    assert "synthesis.seeds_per_prompt" not in offered and "synthesis.mixed" in offered
    later = {name for name in fields.FIELDS if settings_part.offered(take(reviewable), name)}
    assert "student.rank" in later and not any(name.startswith("synthesis") for name in later)


def test_changed_settings_are_named_and_taken_back(draft: Run) -> None:
    assert settings_part.changes(draft.recipe) == []
    draft.change_recipe({"student.rank": 4, "training.epochs": 1})
    names = [one.name for one in settings_part.changes(draft.recipe)]
    assert names == ["student.rank", "training.epochs"]
    settings_part.undo_changes(draft.id)
    assert settings_part.changes(draft.recipe) == []


def test_coverage_names_thin_labels(reviewable: Run) -> None:
    sentence, chart, openings, groups = write_views.coverage(take(reviewable))
    assert "12 different answers" in sentence and chart["visible"]
    assert not openings["visible"] and not groups["visible"]


def test_coverage_of_free_text_is_lengths_opening_words_and_groups(draft: Run) -> None:
    """There was no coverage to show."""
    draft.put_examples("seeds", [Example("a room", "the room has 3 beds and 2 baths")])
    draft.put_examples("evaluation", ())
    words = ("beds", "baths")
    rows = [Example(f"input {n}", f"the room has {n} {words[n % 2]}") for n in range(40)]
    draft.samples.add(rows, "hand")
    sentence, chart, openings, groups = write_views.coverage(take(draft))
    assert "40 of 40 answers differ" in sentence and "the longest 5" in sentence
    assert not chart["visible"] and openings["value"][0] == ["the room", "40"]
    assert groups["visible"] and {row[0] for row in groups["value"]} >= {"beds", "baths"}


# Review ----------------------------------------------------------------------------------------


def test_page_turns_and_keeps_its_bounds(reviewable: Run) -> None:
    table, sentence, number, ids, keep, *_ = review_actions.page_forward(
        reviewable.id, *FINDER, 1, ""
    )
    assert number == 2 and "51–100 of 480" in sentence and len(table) == len(ids) == 50
    assert keep["value"] == "Keep all 480"
    last = review_actions.page_forward(reviewable.id, *FINDER, 99, "")
    assert last[2] == 10 and len(last[0]) == 30


def test_score_means_the_one_that_decides(runs: Path) -> None:
    """In a run without discriminator a bound on the score showed nothing, and ordering by it did
    not order."""
    run = fake_run.synthesize(fake_run.draft(runs, discriminator=False), for_labels=True)
    finder = ("", "", "", "", 0.9, None, False, "score")
    table, _, _, ids, keep, *_ = review_actions.same_page(run.id, *finder, 1, "")
    scores = [run.samples.get(name).confidence for name in ids]  # type: ignore[union-attr]
    assert scores == sorted(scores) and scores[0] >= 0.9  # type: ignore[type-var]
    assert review_actions.same_page(run.id, *finder[:4], "0,9", " ", *finder[6:], 1, "")[3] == ids
    with pytest.raises(RunError, match='"high" is no number'):
        review_actions.same_page(run.id, *finder[:4], "high", "", *finder[6:], 1, "")
    total = sum((sample.confidence or 0) >= 0.9 for sample in run.samples.all())
    assert keep["value"] == f"Keep all {total}" and len(table) == min(50, total) > 0


def test_step_goes_over_the_end_of_a_page(reviewable: Run) -> None:
    ids = review_actions.same_page(reviewable.id, *FINDER, 1, "")[3]
    sample = reviewable.samples.get(ids[-1])
    assert sample is not None
    written = (sample.version, "and what was typed", sample.teacher_output or "")
    shown = review_actions.step_on(reviewable.id, *FINDER, 1, ids[-1], ids, *written)
    assert shown[2] == 2 and shown[-2] == shown[3][0]
    edited = reviewable.samples.get(ids[-1])
    assert edited is not None and edited.input == "and what was typed"
    back = review_actions.step_back(
        reviewable.id, *FINDER, 2, shown[-2], shown[3], shown[-1], *shown[9:11]
    )
    assert back[-2] == ids[-1] and back[9] == "and what was typed"
    assert reviewable.samples.undo() == "edit"  # that of the other one: nothing was typed there


def test_samples_are_fixed_once_trained_on(finished: Run) -> None:
    ids = review_actions.same_page(finished.id, *FINDER, 1, "")[3]
    with pytest.raises(RunError, match="fixed since the training began"):
        review_actions.reject(finished.id, *FINDER, 1, ids[0], ids, 0, "", "")


def fresh_sample(text: str, status: str = KEPT) -> dict[str, Any]:
    """What a generator and the teacher hand back."""
    return asdict(Sample(sample_id(text), text, "target", status=status, teacher_output="balance"))


def test_undone_regeneration_brings_the_former_text(
    reviewable: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = {"sample": fresh_sample("a new text")}
    monkeypatch.setattr(jobs, "consult", lambda folder, question, arguments: fresh)
    sample = reviewable.samples.kept()[0]
    review_actions.regenerate(reviewable.id, sample.id, sample.version)
    after = reviewable.samples.get(sample.id)
    assert after is not None and after.input == "a new text" and after.answered_by == "teacher"
    with pytest.raises(RunError, match="changed meanwhile"):
        review_actions.regenerate(reviewable.id, sample.id, sample.version)
    review_actions.undo(reviewable.id, sample.id)
    assert reviewable.samples.get(sample.id).input == sample.input  # type: ignore[union-attr]


def test_what_a_filter_shows_is_regenerated_without_what_a_person_touched(
    reviewable: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = ("kept", "limit", "", "", None, None, False, "-made")
    shown = reviewable.samples.page(review_actions.asked_for(reviewable, finder)[0], "-made")
    mine, *others = shown
    assert 1 < len(others) < review_actions.PAGE_ROWS
    reviewable.samples.edit(mine.id, mine.version, status=KEPT)
    button = review_actions.same_page(reviewable.id, *finder, 1, "")[7]
    assert button["value"] == f"Regenerate {len(others)}" and button["interactive"]
    asked: list[Any] = []
    texts = [fresh_sample(f"which number {n}") for n in range(len(others) - 1)]
    answer = {"samples": [fresh_sample("no", REJECTED), *texts]}
    monkeypatch.setattr(jobs, "consult", lambda *given: asked.append(given) or answer)
    before = reviewable.samples.all()
    review_actions.regenerate_all(reviewable.id, *finder)
    assert asked[0][1:] == ("preview", {"count": len(others)})
    after = reviewable.samples.all()
    new = {one.id for one, other in zip(before, after, strict=True) if one.input != other.input}
    assert new == {sample.id for sample in others[:-1]}
    assert reviewable.samples.undo() == f"regenerated {len(texts)}"
    assert [sample.input for sample in reviewable.samples.all()] == [s.input for s in before]
    button = review_actions.same_page(reviewable.id, *FINDER, 1, "")[7]
    assert not button["interactive"] and "50 at most" in button["value"]
    with pytest.raises(RunError, match="Narrow the filter"):
        review_actions.regenerate_all(reviewable.id, *FINDER)
    answer["samples"] = []
    with pytest.raises(RunError, match="Nothing new was written"):
        review_actions.regenerate_all(reviewable.id, *finder)


def test_bulk_counts_what_the_filter_shows(reviewable: Run) -> None:
    finder = ("kept", "card", "", "", None, None, False, "-made")
    words = review_actions.same_page(reviewable.id, *finder, 1, "")[5]["value"]
    give = review_actions.same_page(reviewable.id, *finder, 1, "")[6]["value"]
    assert give == f"Give it to all {words.split()[-1]}"
    before = reviewable.samples.status_counts()[REJECTED]
    review_actions.reject_all(reviewable.id, *finder)
    assert reviewable.samples.status_counts()[REJECTED] == before + int(words.split()[-1])


def test_one_repair_for_all_that_the_filter_shows(reviewable: Run) -> None:
    """Errors of a teacher are systematic: one answer is right for all that it took for another."""
    counts = reviewable.samples.label_counts()
    wrong, number = next(iter(counts.items()))
    finder = ("", "", wrong, "", None, None, False, "-made")
    assert review_actions.relabel_all(reviewable.id, "refund", *finder) == ""
    assert reviewable.samples.label_counts()["refund"] == number
    assert wrong not in reviewable.samples.label_counts()
    reviewable.samples.undo()
    assert reviewable.samples.label_counts() == counts


# Train and Compare -----------------------------------------------------------------------------


def test_it_is_said_how_good_the_estimate_was(
    draft: Run, finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what was told before the start: later estimates know what the run itself has taken."""
    monkeypatch.setattr(machine, "first_gpu", lambda: None)
    monkeypatch.setattr(jobs, "start", lambda run, until: None)
    assert "Estimated" in train_tab._need(take(draft))
    assert "off by" not in train_tab._need(take(finished))  # it was not started on the page
    transfer_actions.start(draft.id)
    memory, seconds = draft.recall(train_tab.TOLD)
    assert memory > 0 and seconds > 0
    finished.remember(train_tab.TOLD, [memory, seconds])
    assert re.search(r"memory [+−]\d+ %, time [+−]\d+ %", train_tab._need(take(finished)))


def test_preset_changes_only_the_training(reviewable: Run) -> None:
    before = reviewable.recipe.synthesis
    settings_part.take_preset(reviewable.id, "paper")
    assert reviewable.recipe.training.epochs == 20 and reviewable.recipe.student.rank == 8
    assert reviewable.recipe.synthesis == before


def test_verdict_follows_the_margin(finished: Run) -> None:
    compared = compare_views.read(take(finished))
    assert compared is not None
    tight = compare_views.verdict(take(finished), compared)
    compare_tab._set_margin(finished.id, 20.0)
    wide = compare_views.verdict(take(finished), compared)
    assert tight != wide and wide[1] == "inside" and "240 rows" in wide[0]


def test_rows_show_both_answers_the_worst_first(finished: Run) -> None:
    compared = compare_views.read(take(finished))
    assert compared is not None and not compared.texts
    for row in compare_views.compared_rows(compared, "lost"):
        assert row[1] == row[2] != row[3]
    for row in compare_views.compared_rows(compared, "gained"):
        assert row[1] == row[3] != row[2]
    for row in compare_views.compared_rows(compared, "missed"):
        assert row[1] not in row[2:]
    rows = compare_views.compared_rows(compared, "all")
    assert rows[0] in compare_views.compared_rows(compared, "lost") and len(rows) == 200
    pairs = compare_views.confused(compared)
    assert len(pairs) == 240 and sum(a == b for a, b in pairs) == sum(compared.right["transferred"])


def test_rows_are_those_that_were_asked_where_fewer_are_drawn(finished: Run) -> None:
    """With 40 of 240 rows the first 40 were shown, beside answers to others."""
    compared, rows = compare_views.read_run(finished), finished.inputs.evaluation
    assert compared is not None and compared.rows == tuple(asked_rows(finished)) == rows
    fewer = SimpleNamespace(max_rows=40)
    told = SimpleNamespace(
        inputs=finished.inputs, recipe=SimpleNamespace(evaluation=fewer), recall=finished.recall
    )
    asked = asked_rows(told)  # type: ignore[arg-type]
    assert asked == drawn_rows(rows, 40) != list(rows[:40]) and len(asked) == 40
    told.inputs = replace(finished.inputs, evaluation=())
    finished.remember(ASKED, ["one", "two"])
    assert [row.input for row in asked_rows(told)] == ["one", "two"]  # type: ignore[arg-type]


def test_a_difference_of_texts_is_marked_with_signs(finished: Run) -> None:
    compared = replace(compare_views.read(take(finished)), texts=True)  # type: ignore[type-var]
    compared.answers["source_adapter"][0] = "the <b>cat</b> sat"
    compared.answers["transferred"][0] = "the dog sat"
    cells = [row[4] for row in compare_views.compared_rows(compared, "all")]
    assert any("the [−<b>cat</b>−]" in cell or "[+dog+]" in cell for cell in cells)
    assert "word by word" in list(compare_views.row_columns(compared))[4]
    assert "90–100" in compare_views.score_table(compared)


def test_without_labelled_rows_nothing_pretends_to_be_right(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"transferred": {"accuracy": 0.8, "n": 30, "low": 0.63, "high": 0.9}}
    bare = compare_views.Compared(
        arms, False, "Agreement with the teacher", (), {"transferred": []}, {"transferred": []},
        {"transferred": []}, False,
    )  # fmt: skip
    monkeypatch.setattr(compare_views, "read", lambda now: bare)
    names = (
        *("verdict", "bars", "margin", "by_label", "labels", "by_confusion", "confusion"),
        *("rows", "which", "row_by_row", "no_rows", "beside", "ask"),
    )
    drawn = compare_tab._draw(take(finished), SimpleNamespace(**{name: name for name in names}))
    assert "Agrees with the teacher on 80.0\N{NO-BREAK SPACE}%" in drawn["verdict"]
    assert not drawn["rows"]["visible"] and not drawn["which"]["visible"]
    assert "has not kept" in drawn["no_rows"]
    monkeypatch.undo()


def test_the_next_round_writes_for_the_weakest_label_and_keeps_the_adapter(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    label, shares = transfer_views.weakest(take(finished))
    assert label and "against" in shares
    asked: list[Any] = []
    sample = asdict(Sample(sample_id("new"), "new", "target", 99, KEPT, teacher_output=label))
    round_ = asdict(RoundFinished(99, 1, 1, 0))
    monkeypatch.setattr(
        jobs,
        "consult",
        lambda *given: asked.append(given) or {"samples": [sample], "round": round_},
    )
    monkeypatch.setattr(jobs, "start", lambda *given: asked.append(given))
    write_actions.next_round(finished.id)
    assert asked[0][1:] == ("write_for", {"label": label, "count": 100})
    assert (asked[1][0].id, asked[1][1]) == (finished.id, Stage.EXPORT)
    assert finished.samples.get(sample_id("new")) is not None
    assert len(list((finished.exports / "earlier").glob("*-round-1.zip"))) == 1
    assert not finished.stage_done(Stage.DISTIL) and finished.stage_done(Stage.LABEL)
    assert "Round 2" in transfer_views.aimed_at(take(finished))


# Take home and Runs ----------------------------------------------------------------------------


def test_take_home_says_what_is_missing(draft: Run, reviewable: Run) -> None:
    """It said "Not there yet" until the adapter was there."""
    assert takehome_tab._draw(take(draft), Boxes())["zip"]["label"] == "Train the adapter first"
    fake_run.distil(reviewable, upto=5)
    half = replace(take(reviewable), state=RunState("running", phase="Training"))
    assert takehome_tab._draw(half, Boxes())["zip"]["label"] == "Not there yet: the run is at work"
    fake_run.distil(reviewable)
    trained = takehome_tab._draw(take(reviewable), Boxes())["zip"]
    assert trained["label"].startswith("Continue the run") and not trained["interactive"]


def test_edited_card_is_in_the_zip(finished: Run, tmp_path: Path) -> None:
    update = takehome_tab._save_card(finished.id, "# My card")
    with zipfile.ZipFile(update["value"]) as archive:
        card = next(name for name in archive.namelist() if name.endswith("README.md"))
        assert archive.read(card).decode() == "# My card\n"


def test_recipe_and_kit_repeat_the_run(finished: Run) -> None:
    recipe = json.loads(Path(takehome_tab._recipe_file(finished.id)["value"]).read_text())
    assert recipe["task_name"] == "Banking requests"
    kit = Path(takehome_tab._inputs_file(finished.id)["value"])
    assert kit.name in takehome_tab.command(take(finished))


def test_downloads_work_wherever_runs_are_kept(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With runs on a disk of their own, Gradio refused the zip and Take home stayed empty."""
    archive = next(finished.exports.glob("*.zip"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    inside = tmp_path / "temporary"
    inside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    workspace._outlet.cache_clear()
    for _ in range(2):
        given = Path(takehome_tab._draw(take(finished), Boxes())["zip"]["value"])
        assert given.is_relative_to(inside) and given.name == archive.name
        assert given.read_bytes() == archive.read_bytes()
    workspace._outlet.cache_clear()


class Boxes(dict[str, str]):
    """Stands for the tab's components: each is its own name."""

    def __missing__(self, name: str) -> str:
        return name


def test_merged_model_is_offered(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = finished.exports / "merged"
    merged.mkdir()
    (merged / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(jobs, "consult", lambda folder, question: {"bytes": 7})
    (merged / "config.json").write_text("{}")
    sentence, files, measure = takehome_tab._merge(finished.id)
    assert measure["visible"] and not takehome_tab._measured(finished)
    assert finished.id in sentence and [Path(p).name for p in files["value"]] == [
        "config.json",
        "model.safetensors",
    ]
    monkeypatch.setattr(jobs, "consult", lambda folder, question: {"bytes": 14_000_000_000})
    assert not takehome_tab._merge(finished.id)[1]["visible"]
    answers = finished.answers.get("transferred")
    other = replace(answers[0], prediction="something else", correct=False)
    finished.answers.put("merged", [other, *answers[1:]])
    shown = takehome_tab._measured(finished)
    assert "Merged, in 16 bit" in shown and f"1 of {len(answers)}" in shown


def test_runs_are_listed_with_what_they_wait_for(
    draft: Run, reviewable: Run, finished: Run
) -> None:
    """A run whose samples waited for a person was listed as "Train"."""
    half = fake_run.distil(fake_run.synthesize(fake_run.draft(draft.folder.parent)), upto=5)
    half.journal.append(Stopped(Stage.DISTIL, "stopped", "Stopped by request.", ""))
    rows, ids, *_ = runs_tab._list("")
    phases = dict(zip(ids, (row[1] for row in rows), strict=True))
    assert phases == {
        draft.id: "Draft: nothing started yet",
        reviewable.id: "Samples are ready: review them, then train",
        half.id: "Stopped at: Train",
        finished.id: "Finished",
    }
    listed = {line.id: line.phase for line in list_runs(draft.folder.parent)}
    assert listed[reviewable.id] == "Samples are ready for review"


def test_deleted_run_comes_back(finished: Run) -> None:
    open_id, trash, _, chosen = runs_tab._delete(finished.id, finished.id, [])
    assert chosen is None  # a second press would delete another run
    assert open_id == "" and not finished.folder.exists()
    runs_tab._restore(trash)
    assert finished.folder.exists()


def test_comparing_two_runs_shows_what_differs(finished: Run, draft: Run) -> None:
    draft.change_recipe({"student.rank": 4})
    table = runs_tab._compare(finished.id, draft.id)
    assert "Rank" in table and "Target + new adapter" in table


# Failures --------------------------------------------------------------------------------------


def test_expected_and_unexpected_failures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: shown.append(text))

    @failures.told
    def expected() -> str:
        raise RunError('The name "<b>" is taken.')

    @failures.told
    def unexpected() -> str:
        raise KeyError("a secret detail")

    assert expected() == gr.skip() and shown[0] == 'The name "&lt;b&gt;" is taken.'
    assert unexpected() == gr.skip()
    error_id = shown[1].split()[-1].rstrip(".")
    assert "secret" not in shown[1] and error_id in caplog.text


def test_where_the_adapter_is_is_said_except_to_strangers(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = find_bundle(finished.exports)
    assert bundle is not None
    facts = dict(takehome_tab._bundle_facts(bundle, take(finished)))
    assert facts["Folder"] == str(bundle.folder) and bundle.folder.is_dir()
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    assert "Folder" not in dict(takehome_tab._bundle_facts(bundle, take(finished)))
