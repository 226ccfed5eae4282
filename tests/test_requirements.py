"""Pins: exact, above the versions with known holes, and in step with the Space's front matter."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]

# Lowest versions without known holes that reach this program; the reason beside each.
FLOORS = {
    "gradio": "6.20",  # CVE-2026-59806, 49119, 48545: reading files, foreign requests
    "torch": "2.10",  # CVE-2025-32434, CVE-2026-24747: weights_only was no protection
    "transformers": "5.3.0",  # CVE-2026-4372: a config fetched and ran code
    "peft": "0.20",  # import allow-list for auto_mapping
    "jinja2": "3.1.6",  # CVE-2025-27516: out of the sandbox
    "starlette": "0.49.1",  # CVE-2025-62727: quadratic Range parsing
    "python-multipart": "0.0.18",  # CVE-2024-53981
    "pyarrow": "14.0.1",  # CVE-2023-47248
    "huggingface-hub": "2.0",  # file names that escape the folder (refused since July 2026)
}
NEVER = {"kernels", "joblib", "dill", "cloudpickle"}


def requirements() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line.split(" #")[0].strip() for line in lines]
    return [Requirement(line) for line in wanted if line and not line.startswith(("#", "-"))]


def pinned(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


def test_every_pin_is_exact_and_from_the_index() -> None:
    assert len(requirements()) > 5
    for requirement in requirements():
        assert requirement.url is None
        assert re.fullmatch(r"==\d+(\.\d+)+", str(requirement.specifier)), str(requirement)


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_pins_are_above_the_floors(requirement: Requirement) -> None:
    floor = FLOORS.get(requirement.name.lower().replace("_", "-"))
    assert floor is None or pinned(requirement) >= Version(floor)


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_is_above_the_floors(name: str) -> None:
    """Holds what comes along without a pin of its own: jinja2, starlette, python-multipart."""
    from importlib.metadata import version  # noqa: PLC0415

    assert Version(version(name)) >= Version(FLOORS[name])


def test_packages_that_fetch_or_unpickle_are_not_wanted() -> None:
    assert not NEVER & {requirement.name.lower() for requirement in requirements()}


def test_gradio_is_the_one_that_the_space_runs() -> None:
    front_matter = (ROOT / "README.md").read_text().split("---")[1]
    match = re.search(r"^sdk_version:\s*[\"']?([\d.]+)", front_matter, re.MULTILINE)
    assert match is not None
    (gradio,) = [entry for entry in requirements() if entry.name == "gradio"]
    assert pinned(gradio) == Version(match[1])


def test_torch_fits_the_python_of_a_space() -> None:
    """Spaces with a GPU on demand run Python 3.12 and torch up to 2.11."""
    for requirement in requirements():
        if requirement.name == "torch" and (
            requirement.marker is None or requirement.marker.evaluate({"python_version": "3.12"})
        ):
            assert pinned(requirement) < Version("2.12")
