"""Folders and zips as people have them: which adapter is meant, and what is left out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.intake import builders
from workbench.errors import IntakeError
from workbench.intake.adapter import inspect_adapter, read_adapter
from workbench.intake.layout import SeveralAdapters, find
from workbench.limits import limits

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BOTH = (CONFIG, WEIGHTS)


def below(folder: str, names: tuple[str, ...] = BOTH) -> list[str]:
    return [f"{folder}/{name}" for name in names]


TRAINER = (
    *BOTH,
    *("training_args.bin", "trainer_state.json", "args.json", "config.json", "README.md"),
    *("checkpoint-500/adapter_config.json", "checkpoint-500/adapter_model.safetensors"),
    *("checkpoint-500/optimizer.pt", "checkpoint-500/rng_state.pth", "runs/events.out.tfevents.1"),
)
FOUND = {
    "the trainer's folder": (TRAINER, "", CONFIG),
    "Colab": (below("content/lora_model"), "content/lora_model", CONFIG),
    "a folder in a folder": (below("my lora/my lora"), "my lora/my lora", CONFIG),
    "macOS": (
        [*below("lora"), "__MACOSX/lora/._adapter_config.json", "lora/.DS_Store", "lora/Icon\r"],
        "lora",
        CONFIG,
    ),
    "Windows": ([*BOTH, "Thumbs.db", "desktop.ini"], "", CONFIG),
    "Chrome's second download": (
        ["adapter_config (1).json", "adapter_model (2).safetensors"],
        "",
        "adapter_config (1).json",
    ),
    "Safari's second download": (
        ["adapter_config-2.json", "adapter_model copy.safetensors"],
        "",
        "adapter_config-2.json",
    ),
    "a first and a second download": ([*BOTH, "adapter_config (1).json"], "", CONFIG),
    "one checkpoint": (below("checkpoint-20"), "checkpoint-20", CONFIG),
    "a finished folder beside checkpoints": (
        [*below("out/checkpoint-5"), *below("out/final")],
        "out/final",
        CONFIG,
    ),
    "the config alone elsewhere": ([*below("good"), f"other/{CONFIG}"], "good", CONFIG),
    "the Hub's cache": (
        ["blobs/abc", "refs/main", *below("snapshots/0123")],
        "snapshots/0123",
        CONFIG,
    ),
    "notebook leftovers": ([*BOTH, f".ipynb_checkpoints/{CONFIG}"], "", CONFIG),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_adapter_is_found(case: str) -> None:
    names, folder, config = FOUND[case]
    layout = find(names, "a.zip")
    assert layout.folder == folder
    assert layout.config == (f"{folder}/{config}" if folder else config)
    assert not any("__MACOSX" in word or "._" in word for word in layout.left_out)


def test_what_is_left_out_is_named() -> None:
    assert find(TRAINER, "a.zip").left_out == (
        *("README.md", "args.json", "config.json", "trainer_state.json", "training_args.bin"),
        *("checkpoint-500/ (4 files)", "runs/ (1 files)"),
    )


def test_several_adapters_are_a_question() -> None:
    names = [*below("b/lora_a"), *below("lora_b")]
    with pytest.raises(SeveralAdapters, match="holds 2 adapters: b/lora_a, lora_b") as caught:
        find(names, "a.zip")
    assert caught.value.choices == ("b/lora_a", "lora_b")
    assert find(names, "a.zip", "lora_b").folder == "lora_b"
    assert find(names, "a.zip", "lora_a/").folder == "b/lora_a"
    with pytest.raises(SeveralAdapters, match="no single adapter lora_c"):
        find(names, "a.zip", "lora_c")


def test_checkpoints_alone_are_named_in_order() -> None:
    names = [*below("checkpoint-1000"), *below("checkpoint-200"), "trainer_state.json"]
    with pytest.raises(SeveralAdapters) as caught:
        find(names, "out")
    assert caught.value.choices == ("checkpoint-200", "checkpoint-1000")
    assert find(names, "out", "checkpoint-200").weights == (f"checkpoint-200/{WEIGHTS}",)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "adapter_config.json is missing"),
        ([CONFIG], "adapter_model.safetensors is missing"),
        ([WEIGHTS], "adapter_config.json is missing"),
        ([f"a/{CONFIG}", f"b/{WEIGHTS}"], "beside the weights is missing"),
        (["config.json", "model.safetensors"], "looks like a whole model"),
        (["lora.tar.gz"], "holds an archive"),
        ([CONFIG, "adapter_model.bin"], "save_file"),
        ([CONFIG, CONFIG.upper(), WEIGHTS], "twice"),
        (["adapter_config (1).json", "adapter_config (2).json", WEIGHTS], "twice"),
        ([CONFIG, "adapter_model-00001-of-00002.safetensors"], "part 2 of 2"),
        ([CONFIG, "adapter_model-00002-of-00002.safetensors"], "part 1 of 2"),
    ],
)
def test_what_is_missing_has_its_sentence(names: list[str], words: str) -> None:
    with pytest.raises(IntakeError, match=words):
        find(names, "a.zip")


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_checkpoint_is_chosen(tmp_path: Path, as_zip: bool) -> None:
    for steps, rank in ((10, 2), (20, 4)):
        folder = tmp_path / "out" / f"checkpoint-{steps}"
        content = builders.weights(builders.tensors(rank=rank))
        builders.adapter_folder(folder, builders.config(r=rank), content)
        (folder / "optimizer.pt").write_bytes(b"x")
    given = tmp_path / "out"
    if as_zip:
        files = {str(p.relative_to(given)): p.read_bytes() for p in given.rglob("*") if p.is_file()}
        given = builders.zipped(tmp_path / "out.zip", files)
    inspection = inspect_adapter(given, tmp_path / "w")
    assert inspection.choices == ("checkpoint-10", "checkpoint-20")
    assert "--adapter-part" in inspection.problem
    chosen = read_adapter(given, tmp_path / "w", part="checkpoint-10")
    assert chosen.settings.fields["r"] == 2
    assert chosen.notes[0] == "Taken from the folder checkpoint-10."


def test_parts_are_joined(tmp_path: Path) -> None:
    arrays = builders.tensors()
    names = sorted(arrays)
    folder = builders.adapter_folder(tmp_path / "whole", content=builders.weights(arrays))
    whole = read_adapter(folder, tmp_path / "w")
    (folder / WEIGHTS).unlink()
    for number, part in enumerate((names[:3], names[3:]), start=1):
        content = builders.weights({name: arrays[name] for name in part})
        (folder / f"adapter_model-{number:05}-of-00002.safetensors").write_bytes(content)
    (folder / f"{WEIGHTS}.index.json").write_text('{"weight_map": {}}')
    joined = read_adapter(folder, tmp_path / "w")
    assert (joined.settings, joined.parameters) == (whole.settings, whole.parameters)
    assert "joined from 2 parts" in " ".join(joined.notes)
    assert [path.name for path in joined.weights.parent.iterdir()] == [WEIGHTS]


def mlx(tmp_path: Path, **config: object) -> Path:
    """The adapter of ``builders`` as mlx_lm would have written it."""
    arrays = {}
    for name, values in builders.tensors().items():
        layer, _, part = name.removeprefix(builders.PREFIX).rpartition(".lora_")
        arrays[f"{layer}.lora_{part[0].lower()}"] = np.ascontiguousarray(values.T)
    folder = tmp_path / "mlx"
    folder.mkdir()
    (folder / "adapters.safetensors").write_bytes(builders.weights(arrays))
    (folder / "0000100_adapters.safetensors").write_bytes(b"an earlier state")
    text = {"model": "mlx-community/x", "fine_tune_type": "lora", "num_layers": 2, "iters": 100}
    (folder / CONFIG).write_text(json.dumps(text | config))
    return folder


@pytest.mark.parametrize(
    ("parameters", "alpha"),
    [
        ({"rank": 4, "scale": 20.0, "dropout": 0.0}, 80.0),
        ({"rank": 4, "scale": 10.0, "alpha": 16, "dropout": 0.0}, 40.0),
        ({"rank": 4, "scale": 2.0, "alpha": 16.0, "keys": ["q_proj"], "lora_layers": 2}, 32.0),
    ],
)
def test_an_mlx_adapter_is_converted(tmp_path: Path, parameters: dict, alpha: float) -> None:
    """Its alpha counts in files of the first half of 2024 only; later it was a default unused."""
    folder = mlx(tmp_path, lora_parameters=parameters)
    if "lora_layers" in parameters:
        old = {"model": "mlx-community/x", "lora_layers": 2, "lora_parameters": parameters}
        (folder / CONFIG).write_text(json.dumps(old))
    files = read_adapter(folder, tmp_path / "w")
    plain = read_adapter(builders.adapter_folder(tmp_path / "plain"), tmp_path / "w")
    fields = files.settings.fields
    assert (fields["r"], fields["lora_alpha"]) == (4, alpha)
    assert fields["target_modules"] == sorted(builders.LAYERS)
    ours, wanted = load_file(files.weights), load_file(plain.weights)
    assert ours.keys() == wanted.keys()
    assert all(np.array_equal(ours[name], wanted[name]) for name in wanted)


def test_the_last_state_of_an_mlx_training_is_taken(tmp_path: Path) -> None:
    folder = mlx(tmp_path, lora_parameters={"rank": 4, "scale": 2.0})
    (folder / "adapters.safetensors").rename(folder / "0000200_adapters.safetensors")
    assert read_adapter(folder, tmp_path / "w").settings.fields["lora_alpha"] == 8


@pytest.mark.parametrize(
    ("config", "words"),
    [({"fine_tune_type": "full"}, "fine_tune_type"), ({}, "lora_parameters")],
)
def test_other_mlx_adapters_have_their_sentence(tmp_path: Path, config: dict, words: str) -> None:
    with pytest.raises(IntakeError, match=words):
        read_adapter(mlx(tmp_path, **config), tmp_path / "w")


@pytest.mark.parametrize("name", BOTH)
def test_git_lfs_pointers_have_their_sentence(tmp_path: Path, name: str) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"
    (folder / name).write_bytes(pointer)
    archive = builders.zipped(tmp_path / "a.zip", builders.members(folder))
    for given in (folder, archive, sorted(folder.iterdir())):
        with pytest.raises(IntakeError, match="git lfs pull"):
            read_adapter(given, tmp_path / "w")


def test_the_hubs_cache_is_read_where_a_person_typed_its_path(tmp_path: Path) -> None:
    blobs = builders.adapter_folder(tmp_path / "models--a--b" / "blobs")
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in BOTH:
        (blobs / name).rename(blobs / f"hash-of-{name}")
        os.symlink(f"../../blobs/hash-of-{name}", snapshot / name)
    for given in (snapshot, tmp_path / "models--a--b"):
        assert read_adapter(given, tmp_path / "w", links=True).parameters == 256
        with pytest.raises(IntakeError, match="is a link"):
            read_adapter(given, tmp_path / "w")


def test_only_shared_servers_keep_the_small_bound() -> None:
    assert limits(shared=True).adapter_bytes == 512 * 1024**2
    assert limits(shared=False).adapter_bytes > 8 * 1024**3
