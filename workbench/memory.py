"""Memory of this process: what it has used at most, and imports that are not searched for waste."""

import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def peak_memory_bytes() -> int:
    """Peak resident memory of the process; where a GPU works, its peak allocation if larger."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    torch = sys.modules.get("torch")  # never imported for this
    if torch is not None and torch.cuda.is_available():
        peak = max(peak, torch.cuda.max_memory_allocated())
    return peak


@contextmanager
def quick_imports() -> Iterator[None]:
    """Around imports of large libraries: a third quicker.

    What they make stays, by the million objects, among which Python's collector looks for waste
    again and again. It rests meanwhile, and leaves them alone afterwards.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
