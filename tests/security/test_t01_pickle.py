"""T1: a pickle is refused wherever it hides, and never runs."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest

from tests.intake import builders
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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beside_good_weights", [True, False])
def test_t01_by_extension(
    tmp_path: Path, canary: Path, name: str, beside_good_weights: bool
) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    (folder / name).write_bytes(bombs(canary)[2])
    if not beside_good_weights:
        (folder / "adapter_model.safetensors").unlink()
    archive = builders.zipped(tmp_path / "a.zip", builders.members(folder))
    for given in (folder, sorted(folder.iterdir()), archive):
        sentence = refuse(given, tmp_path, canary)
        assert name in sentence
        assert "save_pretrained(safe_serialization=True)" in sentence


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
