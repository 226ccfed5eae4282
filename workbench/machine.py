"""What this machine has: free memory, speed, and the GPU that a worker would take.

The page has no torch, so of a GPU the driver's own ``nvidia-smi`` is asked, in a process that ends
at once. Where it is missing or silent there is no GPU for us; workers hardly find one either.
"""

import contextlib
import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_PROGRAM = "nvidia-smi"
_ASK_SECONDS = 5  # a driver that hangs must not hold up a page
_LENT_BYTES = 48_000_000_000  # of the half of a card that ZeroGPU lends
_FRESH_SECONDS = 5  # several cards of a page ask at once


@dataclass(frozen=True)
class Gpu:
    """One GPU; memory in bytes, ``free_bytes`` is what no process has taken."""

    name: str
    free_bytes: int
    total_bytes: int


def first_gpu() -> Gpu | None:
    """The GPU that a worker would take, at most a few seconds old; None where it takes none."""
    return _first_gpu(int(time.monotonic() // _FRESH_SECONDS))


def device_name() -> str:
    """What models work on here: that GPU, or the processor."""
    taken = first_gpu()
    return taken.name if taken is not None else processor_name()


def lends_gpu() -> bool:
    """Whether a GPU is lent for about a minute at a time here: a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


@functools.lru_cache(maxsize=1)
def _first_gpu(_moment: int) -> Gpu | None:
    if lends_gpu():  # one that this process cannot see
        return Gpu("ZeroGPU", _LENT_BYTES, _LENT_BYTES)
    # Several GPUs: models are loaded on the first that the process may see. The order here is
    # that of slots; CUDA's may differ where cards of different kinds share a machine.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if visible in ("", "-1") or _torch_is_for_processors():
        return None
    program = shutil.which(_PROGRAM)
    if program is None:
        return None
    query = "--query-gpu=name,memory.free,memory.total"
    try:
        answer = subprocess.run(
            [program, query, "--format=csv,noheader,nounits", f"--id={visible}"],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=True,
        ).stdout
        name, free, total = (part.strip() for part in answer.splitlines()[0].rsplit(",", 2))
        return Gpu(name, int(free) * 2**20, int(total) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _torch_is_for_processors() -> bool:
    """Whether the installed torch has no GPU code, whatever is in the machine."""
    try:
        return importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


@functools.cache
def number_bytes() -> int:
    """Bytes of a number in a model on this processor: 2, or 4 where it cannot multiply bf16."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return 4
    features = set(text.split())
    return 2 if {"avx512bw", "avx512dq", "avx512vl"} <= features or "bf16" in features else 4


@functools.cache
def processor_name() -> str:
    """The processor's model and how many cores work here."""
    model = platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(names, model)
    return f"{model} x {os.cpu_count() or 1}"


@functools.cache
def matrix_speed() -> float:
    """Floating-point operations per second of a large matrix product, by all cores together.

    Processor time is measured, not the clock's: another job on the machine does not make it slow.
    """
    size = 1024
    left = np.ones((size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(4):
        begun = time.process_time()
        _ = left @ left
        best = min(best, time.process_time() - begun)
    return 2 * size**3 / best * (os.cpu_count() or 1)


def memory_free() -> int:
    """Bytes of memory that a new process could use on this machine."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
