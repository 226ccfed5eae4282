"""What a worker process may see: an allow-list, so no token of the server's gets in.

Of the Hub's settings only places of caches pass. ``HOME`` passes, because caches are under it; a
token file there is shut out by ``HF_TOKEN_PATH``. The worker is told to stay offline; this is no
firewall.
"""

import os
import resource
import sys
from pathlib import Path

import workbench

_ALLOWED = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "MKL_NUM_THREADS",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "PATH",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "SPACES_ZERO_GPU",
    "TMPDIR",
    "TZ",
    "WORKBENCH_CACHE",
    "WORKBENCH_HUB_AS",  # which cache of models; never the token
    "XDG_CACHE_HOME",
)
_FIXED = {
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_TOKEN_PATH": os.devnull,
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCHDYNAMO_DISABLE": "1",  # nothing is compiled; to load the compiler takes a second
    "TRANSFORMERS_OFFLINE": "1",
}
OPEN_FILES = 4096
PROJECT = str(Path(workbench.__file__).parent.parent)


def clean_environment() -> dict[str, str]:
    """Environment of a worker, from that of this process."""
    kept = {name: os.environ[name] for name in _ALLOWED if name in os.environ}
    return kept | _FIXED | {"PYTHONPATH": python_path()}


def python_path() -> str:
    """PYTHONPATH under which a process finds this package, wherever it starts."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([PROJECT, *(path for path in given if path and path != PROJECT)])


def command(module: str, *arguments: str) -> list[str]:
    """How a module of ours is run; "-P" keeps the working folder out of the import path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def clean_this_process() -> None:
    """Leave of this process's environment what a worker may see. For a fork of the server."""
    kept = clean_environment()
    os.environ.clear()
    os.environ.update(kept)


def restrict_this_process() -> None:
    """Private files, no core dumps, a sane number of open files. For the start of a worker.

    The address space is not limited: CUDA reserves more than there is.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
