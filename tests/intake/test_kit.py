"""A kit is written, moved and read back; a kit that was touched is refused."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.intake import builders
from workbench.errors import IntakeError
from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.intake.archive import holds
from workbench.intake.kit import read_kit, write_kit
from workbench.recipe import EvaluationSettings, PromptFormat, TransferRecipe
from workbench.samples import Example

SEEDS = (
    Example("zwei Zeilen\nund ein Ümlaut", "ja"),
    Example("ohne Antwort"),
    Example("mehrere", "eins", ("eins", "1")),
)
ROWS = tuple(Example(f"row {index}", "yes") for index in range(200))
RECIPE = TransferRecipe(
    task_name="Routing: bank & travel",
    source_base="package:smollm2-135m-instruct",
    source_format=PromptFormat(
        kind="chat",
        template="Route this: {input}",
        system="Be brief.",
        stop_text="###",
        input_columns="{a}\n\n{b}",
    ),
    evaluation=EvaluationSettings(metric="json"),
)


def make(tmp_path: Path, recipe: TransferRecipe = RECIPE, **parts: Any) -> Path:
    adapter = read_adapter(builders.adapter_folder(tmp_path / "in"), tmp_path / "w")
    inputs = Inputs(**{"adapter": adapter, "seeds": SEEDS, **parts})
    return write_kit(
        tmp_path / "kit.zip", inputs, recipe, discriminator_auc=0.75, attribution="CC BY 3.0, ann"
    )


def full(tmp_path: Path) -> Path:
    judge = builders.adapter_folder(tmp_path / "judge", builders.config(use_rslora=True))
    discriminator = read_adapter(judge, tmp_path / "w")
    return make(tmp_path, discriminator=discriminator, evaluation=ROWS)


def test_a_kit_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = full(tmp_path)
    assert holds(path, "kit.json")
    kit = read_kit(path, tmp_path / "new")
    adapter = read_adapter(builders.adapter_folder(tmp_path / "in"), tmp_path / "w")
    assert kit.inputs.adapter is not None and kit.inputs.discriminator is not None
    assert kit.inputs.adapter.settings == adapter.settings
    assert kit.inputs.adapter.sha256 == adapter.sha256
    assert kit.inputs.adapter.base_hint == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert kit.inputs.discriminator.settings.title == "rsLoRA"
    assert (kit.inputs.seeds, kit.inputs.evaluation) == (SEEDS, ROWS)
    assert (kit.discriminator_auc, kit.attribution) == (0.75, "CC BY 3.0, ann")
    assert kit.recipe_from(TransferRecipe()) == RECIPE


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first = full(tmp_path).read_bytes()
    assert full(tmp_path).read_bytes() == first
    with zipfile.ZipFile(full(tmp_path)) as archive:  # the earliest time that a zip can say
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert not list(tmp_path.glob("*.part"))


def test_the_smallest_kit(tmp_path: Path) -> None:
    kit = read_kit(make(tmp_path), tmp_path / "new")
    assert kit.inputs.discriminator is None
    assert kit.inputs.evaluation == ()


@pytest.mark.parametrize("base", ["folder:/home/ann/models/llama", "/home/ann/llama", "../llama"])
def test_a_local_path_does_not_travel(tmp_path: Path, base: str) -> None:
    recipe = TransferRecipe(source_base=base)
    path = make(tmp_path, recipe)
    with zipfile.ZipFile(path) as archive:
        assert b"ann" not in archive.read("kit.json").replace(b"CC BY 3.0, ann", b"")
    kit = read_kit(path, tmp_path / "new")
    assert kit.source_base == ""
    assert kit.recipe_from(recipe).source_base == base


def test_a_plain_name_is_of_the_hub_on_every_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = TransferRecipe(source_base="models/llama")
    assert read_kit(make(tmp_path, recipe), tmp_path / "new").source_base == "hub:models/llama"
    (tmp_path / "models" / "llama").mkdir(parents=True)  # the owner's own, of this machine
    path = make(tmp_path, recipe)
    assert read_kit(path, tmp_path / "new").source_base == ""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("adapter/adapter_config.json"))
    assert config["base_model_name_or_path"] is None


def test_a_prompt_of_any_length_travels(tmp_path: Path) -> None:
    form = PromptFormat(template="🙂" * 19_000 + "{input}", system="🙂" * 19_000)
    path = make(tmp_path, TransferRecipe(source_format=form))
    assert read_kit(path, tmp_path / "new").source_format == form


def test_weights_of_any_size_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # as if the adapter had over 2 GiB
    kit = read_kit(full(tmp_path), tmp_path / "new")
    assert kit.inputs.discriminator is not None


def test_a_kit_needs_adapter_and_seeds(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="1 to 15 seeds"):
        make(tmp_path, seeds=())
    with pytest.raises(IntakeError, match="needs an adapter"):
        make(tmp_path, adapter=None)


Change = Callable[[dict[str, bytes]], dict[str, bytes]]


def about(**changes: Any) -> Change:
    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        data = json.loads(members["kit.json"]) | changes
        return members | {"kit.json": json.dumps(data).encode()}

    return change


def without(name: str) -> Change:
    return lambda members: {key: value for key, value in members.items() if key != name}


def with_member(name: str, content: bytes) -> Change:
    return lambda members: members | {name: content}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_member("seeds.jsonl", b'{"input": "another"}\n'), "SHA-256 differs"),
        (with_member("adapter/adapter_model.safetensors", builders.weights()[:-1]), "differs"),
        (without("seeds.jsonl"), "seeds.jsonl is missing"),
        (without("kit.json"), "kit.json is missing"),
        (without("adapter/adapter_config.json"), "is missing"),
        (with_member("evaluation.jsonl", b'{"input": "planted"}\n'), "not listed"),
        (with_member("adapter/adapter_model.bin", b"\x80\x04"), "pickle"),
        (with_member("run.sh", b"rm -rf"), "does not belong"),
        (with_member("seeds/../../evil", b""), "unsafe name"),
        (about(kind="something else"), "not a kit"),
        (about(schema=2), "Upgrade"),
        (about(schema="1"), '"schema"'),
        (about(task_name="x" * 81), '"task_name"'),
        (about(task_name="a\x1b[31m"), '"task_name"'),
        (about(source_base=["a"]), '"source_base"'),
        (about(metric="eval"), '"metric"'),
        (about(discriminator_auc=1.5), '"discriminator_auc"'),
        (about(discriminator_auc=True), '"discriminator_auc"'),
        (about(source_format={"kind": "chat", "template": "no input"}), "source_format"),
        (about(source_format={"kind": "jinja", "template": "{input}"}), "source_format"),
        (about(source_format={"kind": "chat", "template": "{input}", "system": 5}), '"system"'),
        (about(files={}), "not listed"),
        (about(files=None), '"files"'),
        (about(counts={"seeds": 4, "evaluation": 0}), "counts"),
        (with_member("kit.json", b"[" * 2000 + b"]" * 2000), "nested"),
        (with_member("kit.json", b"\xff\xfe{}"), "not valid JSON"),
    ],
)
def test_a_kit_that_was_touched_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    with zipfile.ZipFile(make(tmp_path)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    touched = builders.zipped(tmp_path / "touched.zip", change(members))
    with pytest.raises(IntakeError) as caught:
        read_kit(touched, tmp_path / "new")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "base", ["folder:/etc", "/etc", "hub:../../etc", "a/../b", "a/b..c", "http://a/b"]
)
def test_a_kit_cannot_name_a_path(tmp_path: Path, base: str) -> None:
    with zipfile.ZipFile(make(tmp_path)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    touched = builders.zipped(tmp_path / "touched.zip", about(source_base=base)(members))
    assert read_kit(touched, tmp_path / "new").source_base == ""


def test_too_many_seeds_are_refused(tmp_path: Path) -> None:
    """Hashes that fit do not make a kit acceptable: the owner may be the attacker."""
    with zipfile.ZipFile(make(tmp_path)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    seeds = b'{"input": "a"}\n' * 16
    files = json.loads(members["kit.json"])["files"]
    files["seeds.jsonl"] = {"sha256": hashlib.sha256(seeds).hexdigest(), "bytes": len(seeds)}
    touched = about(files=files)(members) | {"seeds.jsonl": seeds}
    with pytest.raises(IntakeError, match="more than 15 rows"):
        read_kit(builders.zipped(tmp_path / "touched.zip", touched), tmp_path / "new")
