"""Creating, opening, naming, deleting, duplicating and archiving runs; recipe and inputs."""

import dataclasses
import hashlib
import json
import os
import stat
import time
import zipfile
from pathlib import Path

import pytest

from tests.runs.making import a_round, a_run, a_sample, with_samples
from workbench.adapter_settings import adapter_settings
from workbench.errors import BusyError, ConflictError, RecipeError, RunError
from workbench.events import StageFinished, StageStarted
from workbench.inputs import AdapterFiles
from workbench.recipe import LoraSettings, TransferRecipe
from workbench.runs import checkpoints
from workbench.runs.folder import create, find_run, open_run
from workbench.runs.lease import Lease
from workbench.runs.listing import archive, duplicate, empty_trash, list_runs, restore
from workbench.runs.recipe_rules import fixed_by
from workbench.runs.results import Answer
from workbench.samples import Example
from workbench.stages import ORDER, Stage


def an_adapter(folder: Path, content: bytes = b"weights") -> AdapterFiles:
    path = folder / "uploaded.safetensors"
    path.write_bytes(content)
    lora = LoraSettings(rank=4, target_modules=("q_proj",), rank_pattern={"a.b": 2})
    return AdapterFiles(
        adapter_settings(lora), path, hashlib.sha256(content).hexdigest(), "base/hint", 12
    )


def test_a_draft_is_private_and_complete(tmp_path: Path) -> None:
    run = create(tmp_path / "runs", TransferRecipe(task_name="my task"))
    assert len(run.id) == 32 and run.name == "my task"
    assert abs(run.created_at - time.time()) < 60
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o700
    assert run.recipe == TransferRecipe(task_name="my task")
    assert [line.phase for line in list_runs(tmp_path / "runs")] == ["Draft"]


def test_a_chosen_folder_is_used_once(tmp_path: Path) -> None:
    assert create(tmp_path, TransferRecipe(), id="demo").folder == tmp_path / "demo"
    with pytest.raises(RunError, match="already"):
        create(tmp_path, TransferRecipe(), id="demo")


@pytest.mark.parametrize("id", ["../x", "a/b", "", ".hidden", "x" * 65, "a\0b", "/etc", "a.part"])
def test_ids_from_an_address_stay_inside(tmp_path: Path, id: str) -> None:
    (tmp_path / "root").mkdir()
    a_run(tmp_path)
    with pytest.raises(RunError):
        find_run(tmp_path / "root", id)
    with pytest.raises(RunError):
        create(tmp_path / "root", TransferRecipe(), id=id or "..")


def test_links_are_no_runs(tmp_path: Path) -> None:
    run = a_run(tmp_path / "elsewhere")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(run.folder)
    with pytest.raises(RunError):
        open_run(root / "linked")
    with pytest.raises(RunError, match="no such run"):
        find_run(root, "linked")
    assert list_runs(root) == []


def test_unknown_folders_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        open_run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="missing"):
        open_run(tmp_path / "empty")


def test_names(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.rename("  two\n words ")
    assert open_run(run.folder).name == "two words"
    for bad in ("", "   ", "x" * 81):
        with pytest.raises(RunError):
            run.rename(bad)


class TestTrash:
    def test_delete_and_take_back(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, a_sample("a"))
        token = run.delete()
        assert list_runs(tmp_path) == []
        with pytest.raises(RunError):
            find_run(tmp_path, run.id)
        assert restore(tmp_path, token).samples.count() == 1
        with pytest.raises(RunError, match="no longer"):
            restore(tmp_path, token)

    def test_a_working_run_is_not_deleted(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        with Lease(run.folder, "job"), pytest.raises(BusyError):
            run.delete()
        run.delete()

    def test_emptying_takes_what_is_old_enough(self, tmp_path: Path) -> None:
        token = a_run(tmp_path).delete()
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "keep").write_text("x")
        (tmp_path / ".trash" / "link").symlink_to(outside)
        assert empty_trash(tmp_path, older_than_seconds=3600) == 0
        assert empty_trash(tmp_path) == 1
        assert (outside / "keep").exists()
        with pytest.raises(RunError):
            restore(tmp_path, token)

    @pytest.mark.parametrize("token", ["../x", "", "/", "..", "a/b"])
    def test_tokens_stay_inside(self, tmp_path: Path, token: str) -> None:
        with pytest.raises(RunError):
            restore(tmp_path, token)


class TestRecipe:
    def test_free_until_the_stage_that_uses_it(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        run.change_recipe({"source_base": "package:x", "training.epochs": 5})
        run.journal.append(StageStarted(Stage.SYNTHESIZE))
        with pytest.raises(ConflictError, match="source_base"):
            run.change_recipe({"source_base": "package:y"})
        run.change_recipe({"training.epochs": 7, "student.rank": 4, "evaluation.metric": "number"})
        run.journal.append(StageStarted(Stage.DISTIL))
        with pytest.raises(ConflictError, match=r"student\.rank"):
            run.change_recipe({"student.rank": 8})
        run.change_recipe({"evaluation.margin_points": 5})
        recipe = open_run(run.folder).recipe
        assert (recipe.training.epochs, recipe.student.rank) == (7, 4)
        assert recipe.evaluation.margin_points == 5

    def test_the_same_value_is_no_change(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        run.journal.append(StageStarted(Stage.EXPORT))
        before = run.recipe
        assert run.change_recipe({"lora.target_modules": ("all-linear",), "seed": 0}) == before

    def test_more_samples_open_the_synthesis_again(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        for stage in (Stage.SYNTHESIZE, Stage.LABEL):
            run.journal.append(StageStarted(stage))
            run.finish_stage(stage, StageFinished(stage, 1.0))
        run.change_recipe({"synthesis.samples": 2000})
        assert not run.stage_done(Stage.SYNTHESIZE) and not run.stage_done(Stage.LABEL)
        run.journal.append(StageStarted(Stage.DISTIL))
        with pytest.raises(ConflictError):
            run.change_recipe({"synthesis.samples": 3000})

    def test_answers_under_another_metric_are_forgotten(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        run.answers.put("source_base", [Answer(0, "x", True)])
        run.change_recipe({"evaluation.margin_points": 4})
        assert run.answers.counts()
        run.change_recipe({"evaluation.metric": "json"})
        assert not run.answers.counts()

    def test_wrong_values_change_nothing(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        for changes in ({"student.rank": 0}, {"nothing": 1}, {"training.epochs": "many"}):
            with pytest.raises(RecipeError):
                run.change_recipe(changes)
        assert run.recipe == TransferRecipe()

    def test_a_field_that_nobody_thought_of_is_fixed_first(self, tmp_path: Path) -> None:
        assert fixed_by("brand_new.field") is Stage.SYNTHESIZE
        for field in dataclasses.fields(TransferRecipe):
            assert field.name == "schema" or fixed_by(field.name) is not None


class TestInputs:
    def test_the_adapter_of_an_older_run_is_read(self, tmp_path: Path) -> None:
        run = create(tmp_path / "runs", TransferRecipe())
        files = an_adapter(tmp_path)
        run.put_adapter(files, role="adapter")
        listing = run.folder / "inputs" / "inputs.json"
        stored = json.loads(listing.read_text())
        lora = LoraSettings(rank=4, target_modules=("q_proj",), rank_pattern={"a.b": 2})
        stored["adapter"]["settings"] = dataclasses.asdict(lora)
        listing.write_text(json.dumps(stored))
        adapter = open_run(run.folder).inputs.adapter
        assert adapter is not None and adapter.settings == files.settings

    def test_copies_survive_the_original(self, tmp_path: Path) -> None:
        run = a_run(tmp_path / "runs")
        files = an_adapter(tmp_path)
        run.put_adapter(files)
        run.put_adapter(files, "discriminator")
        rows = [Example("a\nb ü", "x"), Example("c")]
        run.put_examples("seeds", rows)
        run.put_examples("evaluation", [Example("e", "f")])
        files.weights.unlink()
        inputs = open_run(run.folder).inputs
        assert inputs.adapter is not None and inputs.discriminator is not None
        assert inputs.adapter.weights.read_bytes() == b"weights"
        assert inputs.adapter.settings == files.settings
        assert (inputs.adapter.base_hint, inputs.adapter.parameters) == ("base/hint", 12)
        assert inputs.seeds == tuple(rows) and inputs.evaluation == (Example("e", "f"),)
        assert inputs.unlabelled == ()

    def test_replacing_and_removing_leave_no_files(self, tmp_path: Path) -> None:
        run = a_run(tmp_path / "runs")
        run.put_adapter(an_adapter(tmp_path))
        run.put_adapter(an_adapter(tmp_path, b"other weights"))
        run.put_examples("seeds", [Example("a")])
        run.put_examples("seeds", [])
        assert run.inputs.seeds == ()
        assert len(list((run.folder / "inputs").iterdir())) == 2
        run.put_adapter(None)
        assert run.inputs.adapter is None
        assert [path.name for path in (run.folder / "inputs").iterdir()] == ["inputs.json"]

    def test_a_file_that_changed_while_copied_is_refused(self, tmp_path: Path) -> None:
        run = a_run(tmp_path / "runs")
        files = an_adapter(tmp_path)
        files.weights.write_bytes(b"swapped")
        with pytest.raises(RunError, match="changed"):
            run.put_adapter(files)
        assert run.inputs.adapter is None

    @pytest.mark.parametrize("name", ["seeds", "adapter"])
    def test_a_changed_copy_is_noticed(self, tmp_path: Path, name: str) -> None:
        run = a_run(tmp_path / "runs")
        run.put_adapter(an_adapter(tmp_path))
        run.put_examples("seeds", [Example("a", "b")])
        next((run.folder / "inputs").glob(f"{name}-*")).write_bytes(b"{}\n")
        with pytest.raises(RunError, match="changed"):
            _ = open_run(run.folder).inputs

    def test_fixed_once_the_synthesis_began(self, tmp_path: Path) -> None:
        run = a_run(tmp_path / "runs")
        run.journal.append(StageStarted(Stage.SYNTHESIZE))
        with pytest.raises(ConflictError, match="Duplicate"):
            run.put_adapter(an_adapter(tmp_path))
        with pytest.raises(ConflictError):
            run.put_examples("seeds", [Example("a")])

    def test_unknown_roles_are_refused(self, tmp_path: Path) -> None:
        run = a_run(tmp_path / "runs")
        with pytest.raises(RunError):
            run.put_adapter(None, "../seeds")
        with pytest.raises(RunError):
            run.put_examples("../x", [Example("a")])


def test_a_duplicate_has_recipe_and_inputs_and_nothing_else(tmp_path: Path) -> None:
    run = with_samples(tmp_path / "runs", a_sample("a"))
    run.put_adapter(an_adapter(tmp_path))
    run.put_examples("seeds", [Example("s", "t")])
    run.change_recipe({"training.epochs": 9})
    run.journal.append(StageStarted(Stage.DISTIL))
    copy = duplicate(run)
    assert copy.name == "a run (copy)" and copy.id != run.id
    assert copy.recipe == run.recipe and copy.inputs.seeds == run.inputs.seeds
    assert copy.inputs.adapter is not None and copy.folder in copy.inputs.adapter.weights.parents
    assert copy.samples.count() == 0 and copy.journal.cursor() == 0
    copy.change_recipe({"training.epochs": 3})
    assert duplicate(copy, "named").name == "named"


def test_history_lists_the_newest_change_first(tmp_path: Path) -> None:
    first, second = a_run(tmp_path), a_run(tmp_path)
    second.rename("second")
    (tmp_path / "notes").mkdir()
    os.utime(second.folder / "recipe.json", (1, 1))
    measured = {"accuracy": 0.9, "n": 10, "low": 0.8, "high": 1.0}
    first.write_result({"arms": {"transferred": measured}})
    for stage in ORDER:
        first.finish_stage(stage, StageFinished(stage, 1.0))
    lines = list_runs(tmp_path)
    assert [line.name for line in lines] == ["a run", "second"]
    assert (lines[0].phase, lines[1].phase) == ("Finished", "Draft")
    assert lines[0].accuracies == {"transferred": 0.9} and lines[0].size_bytes > 1000
    assert list_runs(tmp_path / "nothing") == []


def test_an_archive_opens_as_a_run(tmp_path: Path) -> None:
    run = with_samples(tmp_path / "runs", a_sample("a"))
    run.put_examples("seeds", [Example("s", "t")])
    checkpoints.write(run.checkpoints, 5, {}, {})
    (run.folder / "lease.json").write_text("{}")
    (run.folder / "link").symlink_to("/etc/passwd")
    target = archive(run, tmp_path / "run.zip")
    run.samples.commit_round(1, [a_sample("later")], a_round(1))
    with zipfile.ZipFile(target) as packed:
        names = {name.removeprefix(f"{run.id}/") for name in packed.namelist()}
        packed.extractall(tmp_path / "out")
    assert {"run.db", "recipe.json", "inputs/inputs.json"} <= names
    assert "checkpoints/step-000005/manifest.json" in names
    assert not names & {"lease.json", "lease.lock", "run.db-wal", "link"}
    again = open_run(tmp_path / "out" / run.id)
    assert [sample.input for sample in again.samples.all()] == ["a"]
    assert again.inputs.seeds == (Example("s", "t"),)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "run.zip", "out"}


def test_an_archive_of_a_finished_run_needs_no_checkpoints(tmp_path: Path) -> None:
    run = a_run(tmp_path / "runs")
    checkpoints.write(run.checkpoints, 5, {}, {})
    run.finish_stage(Stage.EXPORT, StageFinished(Stage.EXPORT, 1.0))
    with zipfile.ZipFile(archive(run, tmp_path / "run.zip")) as packed:
        assert not any("checkpoints" in name for name in packed.namelist())


def test_facts_and_results(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.remember("micro_rows", {"train": 4})
    assert open_run(run.folder).recall("micro_rows") == {"train": 4}
    assert run.recall("missing", 7) == 7
    assert run.result() is None
    path = run.write_result({"task_name": "coins"})
    assert json.loads(path.read_text()) == run.result() == {"task_name": "coins"}
