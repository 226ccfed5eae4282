"""Asking for the GPU: a stand-in for the driver's program, which may answer, fail or be missing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench import machine
from workbench.machine import Gpu

Driver = Callable[[str], Path]
L4 = Gpu("NVIDIA L4", 22_000 * 2**20, 23_034 * 2**20)
ANSWER = "echo NVIDIA L4, 22000, 23034"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """Installs a stand-in of nvidia-smi; returns where it writes down what it was asked."""
    asked = tmp_path / "asked"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: "2.13.0")

    def install(script: str) -> Path:
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
        machine._first_gpu.cache_clear()
        return asked

    yield install
    machine._first_gpu.cache_clear()


def test_the_driver_tells_of_the_gpu(driver: Driver) -> None:
    asked = driver(ANSWER)
    assert machine._first_gpu(0) == L4 == machine._first_gpu(0)
    assert len(asked.read_text().splitlines()) == 1 and "--id=0" in asked.read_text()


def test_the_first_of_those_that_may_be_seen_is_meant(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = driver(ANSWER)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert machine.first_gpu() == L4 and "--id=3" in asked.read_text()


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_none(driver: Driver, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    driver(ANSWER)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert machine.first_gpu() is None


def test_a_torch_for_processors_takes_no_gpu(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(ANSWER)
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert machine.first_gpu() is None


@pytest.mark.parametrize(
    "script",
    ["exit 9", "echo No devices were found", "echo A, [N/A], [N/A]", "true", "exec sleep 60"],
    ids=["failed", "none", "unknown", "silent", "hanging"],
)
def test_a_driver_that_fails_is_none(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    driver(script)
    monkeypatch.setattr(machine, "_ASK_SECONDS", 0.5)
    assert machine.first_gpu() is None


def test_without_a_driver_there_is_none(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(ANSWER)
    (tmp_path / "nvidia-smi").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.first_gpu() is None


def test_numbers_have_two_or_four_bytes() -> None:
    assert machine.number_bytes() in (2, 4)
