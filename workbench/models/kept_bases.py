"""Base models that stay in memory from one run to the next; only the adapters change.

One base for each side: the source of the present run and its target. A run on other bases frees
the former ones first, so that no more than two are in memory at any time.
"""

from pathlib import Path

from workbench.models.batches import release_memory
from workbench.models.resident import Resident, load


class KeptBases:
    """Loads a base when it is first asked for, and keeps it until that side wants another."""

    def __init__(self) -> None:
        self._kept: dict[str, Resident] = {}

    def take(self, side: str, folder: Path, *, quantize: bool = False) -> Resident:
        """The plain base of a side: whatever was attached to it before is removed.

        Args:
            side: "source" or "target".
            folder, quantize: see ``resident.load``.

        Raises:
            ModelError: the folder is not a model that we load.
        """
        kept = self._kept.get(side)
        if kept is None or (kept.folder, kept.quantized) != (folder, quantize):
            del kept
            if self._kept.pop(side, None) is not None:
                release_memory()
            kept = self._kept[side] = load(folder, quantize=quantize)
        kept.detach_all()
        return kept

    def clear(self) -> None:
        """Free everything, as after an attempt that ran out of memory."""
        self._kept.clear()
        release_memory()
