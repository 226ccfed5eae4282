"""What this process has used at most, in bytes."""

import resource
import sys


def peak_memory_bytes() -> int:
    """Peak resident memory of the process; where a GPU works, its peak allocation if larger."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    torch = sys.modules.get("torch")  # never imported for this
    if torch is not None and torch.cuda.is_available():
        peak = max(peak, torch.cuda.max_memory_allocated())
    return peak
