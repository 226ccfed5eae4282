"""Whose turn it is."""

import os
from pathlib import Path

from workbench.jobs import turns
from workbench.runs import lease
from workbench.runs.lease import Holder


def test_a_worker_without_standard_input_has_its_turn(tmp_path: Path) -> None:
    """The lock's descriptor is 0 where that one was closed."""
    worker = Holder("job", os.getpid(), lease.identity(os.getpid()) or "", 0.0)
    kept = os.dup(0)
    os.close(0)
    try:
        with turns.turn(tmp_path, worker, lambda: False) as has_turn:
            assert has_turn and os.path.samestat(
                os.fstat(0), os.stat(tmp_path / ".queue" / "machine.lock")
            )
    finally:
        os.dup2(kept, 0)
        os.close(kept)
