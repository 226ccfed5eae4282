"""How long steps have taken on this machine, by the work in them: one small file.

``paces.json`` in the folder of runs holds, by device, step and writer, the newest seconds for each
operation that was expected. Estimates take their median.
"""

import statistics
from contextlib import suppress
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs import atomic

FILE = "paces.json"
_KEPT = 5
_LEAST, _MOST = 1e-30, 1e9  # seconds for an operation: beyond is no measurement


def pace(root: Path, device: str, stage: str, kind: str) -> float | None:
    """Measured seconds for each expected operation; None where nothing was measured."""
    table = _read(root)
    for key in (_key(device, stage, kind), _key(device, stage, "")):
        if values := table.get(key):
            return statistics.median(values)
    return None


def remember(root: Path, device: str, stage: str, kind: str, value: float) -> None:
    """Add one measurement; what cannot be written is left out, as it is a convenience."""
    table = _read(root)
    for key in (_key(device, stage, kind), _key(device, stage, "")):
        table[key] = [*table.get(key, []), value][-_KEPT:]
    with suppress(OSError, WorkbenchError):
        atomic.write_json(root / FILE, table)


def _key(device: str, stage: str, kind: str) -> str:
    return "|".join((device, str(stage), kind))


def _read(root: Path) -> dict[str, list[float]]:
    data = atomic.read_json(root / FILE)
    if not isinstance(data, dict):
        return {}
    return {
        key: [v for v in data[key] if _usable(v)] for key in data if isinstance(data[key], list)
    }


def _usable(value: object) -> bool:
    return isinstance(value, float) and _LEAST < value < _MOST
