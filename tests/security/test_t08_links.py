"""T8: what was checked is what is used: no links, no swapping between check and use."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from tests.intake import builders
from workbench.errors import IntakeError
from workbench.intake.adapter import read_adapter
from workbench.intake.copying import copy_in
from workbench.intake.rows import read_rows


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_t08_links_are_refused(tmp_path: Path, name: str, as_folder: bool) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    elsewhere = tmp_path / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(IntakeError, match=f"{name} is a link"):
        read_adapter(folder if as_folder else sorted(folder.iterdir()), tmp_path / "work")


def test_t08_linked_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").symlink_to("/etc/passwd")
    with pytest.raises(IntakeError, match="is a link"):
        read_rows(tmp_path / "seeds.txt")


def test_t08_a_linked_archive_is_refused(tmp_path: Path) -> None:
    real = builders.zipped(
        tmp_path / "real.zip", builders.members(builders.adapter_folder(tmp_path / "in"))
    )
    (tmp_path / "a.zip").symlink_to(real)
    with pytest.raises(IntakeError, match="is a link"):
        read_adapter(tmp_path / "a.zip", tmp_path / "work")


def test_t08_pipes_and_devices_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "seeds.txt")
    with pytest.raises(IntakeError, match="not an ordinary file"):
        read_rows(tmp_path / "seeds.txt")
    with pytest.raises(IntakeError, match="not an ordinary file"):
        copy_in(Path("/dev/zero"), tmp_path / "copy", 1000)
    with pytest.raises(IntakeError, match="not an ordinary file"):
        copy_in(tmp_path, tmp_path / "copy", 1000)
    assert not (tmp_path / "copy").exists()


def test_t08_the_hash_is_of_the_copy_while_the_source_changes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"a" * 4_000_000)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            with source.open("r+b") as file:
                file.write(os.urandom(1) * 4_000_000)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        copies = [copy_in(source, tmp_path / f"copy{number}", 10**8) for number in range(10)]
    finally:
        stop.set()
        writer.join()
    for copy in copies:
        assert hashlib.sha256(copy.path.read_bytes()).hexdigest() == copy.sha256


def test_t08_a_file_that_is_swapped_after_the_check_changes_nothing(tmp_path: Path) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    files = read_adapter(folder, tmp_path / "work")
    (folder / "adapter_model.safetensors").write_bytes(b"evil")
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.safetensors").symlink_to("/etc/passwd")
    assert hashlib.sha256(files.weights.read_bytes()).hexdigest() == files.sha256


def test_t08_a_file_that_grows_while_it_is_copied_meets_the_ceiling(tmp_path: Path) -> None:
    """The size that the file states is not trusted: /proc files state zero bytes."""
    with pytest.raises(IntakeError, match="larger than"):
        copy_in(Path("/proc/self/status"), tmp_path / "copy", 10)
    assert not (tmp_path / "copy").exists()


def test_t08_an_existing_target_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    victim = tmp_path / "victim"
    victim.write_bytes(b"old")
    (tmp_path / "target").symlink_to(victim)
    with pytest.raises(FileExistsError):
        copy_in(tmp_path / "source", tmp_path / "target", 100)
    assert victim.read_bytes() == b"old"


def test_t08_the_workspace_is_private(tmp_path: Path) -> None:
    files = read_adapter(builders.adapter_folder(tmp_path / "in"), tmp_path / "work")
    assert files.weights.parent.stat().st_mode & 0o077 == 0
    assert files.weights.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["a\0b.txt", "x" * 300 + ".txt", "missing.txt"])
def test_t08_impossible_names_have_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(IntakeError):
        read_rows(tmp_path / name)
    with pytest.raises(IntakeError):
        read_adapter(tmp_path / name, tmp_path / "work")
    with pytest.raises(IntakeError):
        read_adapter(tmp_path / name.replace(".txt", ".zip"), tmp_path / "work")


def test_t08_a_full_disk_has_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = builders.adapter_folder(tmp_path / "in")
    nearly_full = os.statvfs(tmp_path)
    monkeypatch.setattr(
        "workbench.intake.copying.shutil.disk_usage",
        lambda path: type("Usage", (), {"free": nearly_full.f_bsize})(),
    )
    with pytest.raises(IntakeError, match="Free some space"):
        read_adapter(folder, tmp_path / "work")
