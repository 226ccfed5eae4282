"""The log of whatever works on a run in a process of its own, in the run's folder."""

from pathlib import Path
from typing import TextIO

from workbench.limits import LIMITS


def open_log(folder: Path) -> TextIO:
    """For more lines at its end; private, and begun anew when it has become long."""
    path = folder / "worker.log"
    if path.exists() and path.stat().st_size > LIMITS.log_bytes:
        path.replace(folder / "worker.log.1")
    path.touch(mode=0o600, exist_ok=True)
    return path.open("a", encoding="utf-8", buffering=1)
