"""T1: a pickle is never opened and never stored, wherever it hides; it never runs."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.intake import builders
from tests.security.watching import watched
from workbench.errors import IntakeError
from workbench.intake.adapter import read_adapter
from workbench.intake.kit import read_kit


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.canary}",)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def torch_zip(raw: bytes) -> bytes:
    """The layout that torch.save writes: a zip with the pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", raw)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def bombs(canary: Path) -> list[bytes]:
    plain = [pickle.dumps(Bomb(canary), protocol=protocol) for protocol in range(6)]
    return [*plain, torch_zip(plain[-1]), b"7z\xbc\xaf\x27\x1c" + plain[-1]]


def refuse(paths: Path | list[Path], tmp_path: Path, canary: Path) -> str:
    with pytest.raises(IntakeError) as caught:
        read_adapter(paths, tmp_path / "work")
    assert not canary.exists()
    return str(caught.value)


NAMES = ["adapter_model.bin", "training_args.bin", "optimizer.pt", "rng_state.pth", "A.PKL"]


@pytest.mark.parametrize("name", [*NAMES, "checkpoint-500/optimizer.pt"])
def test_t01_beside_good_weights_never_opened_never_stored(
    tmp_path: Path, canary: Path, name: str
) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    files = builders.members(folder) | {name: bombs(canary)[2]}
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(bombs(canary)[2])
    archive = builders.zipped(tmp_path / "a.zip", files)
    given: list[Path | list[Path]] = [folder, archive]
    if "/" not in name:
        given.append(sorted(folder.iterdir()))
    for number, paths in enumerate(given):
        work = tmp_path / f"work{number}"
        with watched() as seen:
            taken = read_adapter(paths, work)
        assert not any(path.endswith(name) for path in seen.opened)
        stored = [path.name for path in work.rglob("*") if path.is_file()]
        assert stored == ["adapter_model.safetensors"]
        assert any(name.split("/")[0] in note for note in taken.notes)
        assert not canary.exists()


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_0.pt", "adapter.pth"])
def test_t01_pickled_weights_are_refused_with_what_converts_them(
    tmp_path: Path, canary: Path, name: str
) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    (folder / name).write_bytes(bombs(canary)[2])
    (folder / "adapter_model.safetensors").unlink()
    archive = builders.zipped(tmp_path / "a.zip", builders.members(folder))
    for given in (folder, sorted(folder.iterdir()), archive):
        sentence = refuse(given, tmp_path, canary)
        assert f"{name} is a pickle" in sentence
        lines = sentence.splitlines()[1:]
        assert len(lines) == 3 and "weights_only=True" in lines[1]
        compile("\n".join(lines), "lines", "exec")


def test_t01_the_three_lines_convert_good_weights(tmp_path: Path) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    weights = folder / "adapter_model.safetensors"
    torch.save(load_file(weights), folder / "adapter_model.bin")
    good = read_adapter(folder, tmp_path / "good")
    weights.unlink()
    with pytest.raises(IntakeError) as caught:
        read_adapter(folder, tmp_path / "bad")
    lines = "\n".join(str(caught.value).splitlines()[1:])
    subprocess.run([sys.executable, "-c", lines], cwd=folder, check=True)
    again = read_adapter(folder, tmp_path / "again")
    assert again.settings == good.settings
    assert load_file(again.weights).keys() == load_file(good.weights).keys()


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_t01_by_content(tmp_path: Path, canary: Path, number: int, name: str) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    (folder / name).write_bytes(bombs(canary)[number])
    archive = builders.zipped(tmp_path / "a.zip", builders.members(folder))
    for given in (folder, archive):
        sentence = refuse(given, tmp_path, canary)
        assert name in sentence
        if name.endswith(".safetensors"):
            assert "save_pretrained(safe_serialization=True)" in sentence


def test_t01_in_a_kit(tmp_path: Path, canary: Path) -> None:
    members = {"kit.json": b"{}", "discriminator/adapter_model.bin": bombs(canary)[2]}
    with pytest.raises(IntakeError, match="is a pickle"):
        read_kit(builders.zipped(tmp_path / "kit.zip", members), tmp_path / "work")
    assert not canary.exists()


def test_t01_the_canary_works(canary: Path) -> None:
    """Without this, a broken bomb would make every test above pass."""
    pickle.loads(bombs(canary)[2])
    assert canary.exists()
