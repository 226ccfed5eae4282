"""The bundle loads with plain PEFT, appears whole, and carries nothing of this machine."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.export.samples import hard_samples
from tests.export.test_card import RESULT
from tests.intake import builders
from workbench import recipe as recipes
from workbench.errors import StageError
from workbench.export.bundle import find_bundle, write_bundle
from workbench.intake.adapter import read_adapter
from workbench.recipe import LoraSettings, TransferRecipe
from workbench.samples import KEPT, Sample

FILES = {
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "recipe.json",
    "samples.jsonl",
}
SAMPLES = [Sample("a", "call a cab", "target", status=KEPT, teacher_output="taxi")]


def write(tmp_path: Path, recipe: TransferRecipe | None = None, **changes: Any):
    folder = builders.adapter_folder(
        tmp_path / "saved", builders.config(base_model_name_or_path=str(tmp_path))
    )
    arguments = {
        "adapter_folder": folder,
        "recipe": recipe or replace(TransferRecipe(), task_name="Bank & Travel: Routing!"),
        "result": RESULT,
        "samples": SAMPLES,
        **changes,
    }
    return write_bundle(tmp_path / "exports", **arguments)


def test_folder_and_zip_hold_the_same(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    assert {path.name for path in bundle.folder.iterdir()} == FILES
    assert bundle.archive.name == "bank-travel-routing-gemma-3-270m.zip"
    with zipfile.ZipFile(bundle.archive) as archive:
        assert archive.testzip() is None
        members = {name.split("/")[-1]: archive.read(name) for name in archive.namelist()}
        assert {name.split("/")[0] for name in archive.namelist()} == {bundle.archive.stem}
    assert members == {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    assert find_bundle(tmp_path / "exports") == bundle


def test_own_intake_takes_folder_and_zip(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    for given in (bundle.folder, bundle.archive):
        files = read_adapter(given, tmp_path / "work")
        assert files.base_hint == "google/gemma-3-270m"


def test_writing_again_replaces_and_equal_content_is_equal(tmp_path: Path) -> None:
    first = write(tmp_path).archive.read_bytes()
    assert write(tmp_path).archive.read_bytes() == first
    renamed = write(tmp_path, replace(TransferRecipe(), task_name="中文"))
    assert renamed.archive.name == "gemma-3-270m.zip"
    assert sorted(path.name for path in (tmp_path / "exports").iterdir()) == [
        "adapter",
        "gemma-3-270m.zip",
    ]


def test_local_paths_stay_here(tmp_path: Path) -> None:
    base = f"folder:{tmp_path}/models/tiny-llama"
    bundle = write(tmp_path, TransferRecipe(source_base=base, target_base=base))
    for path in bundle.folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    config = json.loads((bundle.folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None
    recipe = recipes.from_json((bundle.folder / "recipe.json").read_text())
    assert recipe.target_base == "folder:tiny-llama"


def test_the_recipe_in_it_is_the_recipe_of_the_run(tmp_path: Path) -> None:
    recipe = TransferRecipe(task_name="x", seed=7)
    bundle = write(tmp_path, recipe)
    assert recipes.from_json((bundle.folder / "recipe.json").read_text()) == recipe


def test_an_unfinished_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not saved completely"):
        write(tmp_path, adapter_folder=tmp_path)
    assert find_bundle(tmp_path / "exports") is None


def test_a_failure_half_way_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write(tmp_path)
    before = {path: path.read_bytes() for path in [*bundle.folder.iterdir(), bundle.archive]}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.export.bundle.shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, samples=hard_samples())
    assert {path: path.read_bytes() for path in before} == before


def test_the_folder_is_what_the_zip_holds_unless_a_person_wrote_into_it(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    card = (bundle.folder / "README.md").read_text()
    (bundle.folder / "adapter_config.json").unlink()
    find_bundle(tmp_path / "exports")
    assert {path.name for path in bundle.folder.iterdir()} == FILES
    shutil.rmtree(bundle.folder)
    assert find_bundle(tmp_path / "exports") == bundle
    assert {path.name for path in bundle.folder.iterdir()} == FILES
    (bundle.folder / "README.md").write_text("My own words.")
    later = bundle.archive.stat().st_mtime + 5
    os.utime(bundle.folder / "README.md", (later, later))
    find_bundle(tmp_path / "exports")
    assert (bundle.folder / "README.md").read_text() == "My own words."
    os.utime(bundle.folder / "README.md", (0, 0))  # of an older bundle, whose writer was killed
    find_bundle(tmp_path / "exports")
    assert (bundle.folder / "README.md").read_text() == card
    assert [path.name for path in (tmp_path / "exports").iterdir() if path.name[0] == "."] == []


def test_weights_of_any_size_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # as if the adapter had over 2 GiB
    with zipfile.ZipFile(write(tmp_path).archive) as archive:
        assert archive.testzip() is None


PLAIN_PEFT = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
base, adapter, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
plain = model(torch.tensor([ids])).logits[0, -1]
model = PeftModel.from_pretrained(model, adapter)
adapted = model(torch.tensor([ids])).logits[0, -1]
print(json.dumps([plain.tolist(), adapted.tolist()]))
"""


def test_plain_peft_gives_the_same_numbers_in_a_fresh_process(
    tmp_path: Path, tiny_target: Path
) -> None:
    import torch  # noqa: PLC0415  the other tests of this room do without it

    from workbench.models.resident import load  # noqa: PLC0415

    resident = load(tiny_target)
    resident.model.float()
    resident.attach_new("student", LoraSettings(method="rslora", rank=4, alpha=8), seed=1)
    for name, parameter in resident.trainable("student").items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter.data, std=0.5)
    resident.save_adapter("student", tmp_path / "student", "")
    ids = [5, 9, 40, 7]
    with torch.no_grad(), resident.using("student"):
        ours = resident.model(torch.tensor([ids])).logits[0, -1]
    recipe = TransferRecipe(target_base=f"folder:{tiny_target}")
    bundle = write(tmp_path, recipe, adapter_folder=tmp_path / "student")
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(bundle.archive, unpacked)
    (folder,) = unpacked.iterdir()
    command = [sys.executable, "-c", PLAIN_PEFT, str(tiny_target), str(folder), json.dumps(ids)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    plain, adapted = json.loads(done.stdout.splitlines()[-1])
    torch.testing.assert_close(torch.tensor(adapted), ours, rtol=1e-4, atol=1e-4)
    assert (torch.tensor(plain) - ours).abs().max() > 0.01
