"""How long steps have taken on this machine, by the side of what was guessed: one small file.

``calibration.json`` in the folder of runs holds, by device, step and writer, the newest quotients
of measured and guessed seconds. Estimates are multiplied by their median.
"""

import statistics
from contextlib import suppress
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs import atomic

FILE = "calibration.json"
_KEPT = 5
_LEAST, _MOST = 0.01, 100.0  # quotients beyond this are accidents


def factor(root: Path, device: str, stage: str, kind: str) -> float | None:
    """Measured seconds for each guessed one; None where nothing was measured."""
    table = _read(root)
    for key in (_key(device, stage, kind), _key(device, stage, "")):
        if values := table.get(key):
            return statistics.median(values)
    return None


def remember(root: Path, device: str, stage: str, kind: str, quotient: float) -> None:
    """Add one measurement; what cannot be written is left out, as it is a convenience."""
    if not _LEAST < quotient < _MOST:
        return
    table = _read(root)
    for key in (_key(device, stage, kind), _key(device, stage, "")):
        table[key] = [*table.get(key, []), round(quotient, 4)][-_KEPT:]
    with suppress(OSError, WorkbenchError):
        atomic.write_json(root / FILE, table)


def _key(device: str, stage: str, kind: str) -> str:
    return "|".join((device, str(stage), kind))


def _read(root: Path) -> dict[str, list[float]]:
    data = atomic.read_json(root / FILE)
    if not isinstance(data, dict):
        return {}
    return {
        key: [float(value) for value in values if isinstance(value, int | float)]
        for key, values in data.items()
        if isinstance(values, list)
    }
