"""Real workers with a pipeline without models, as in ``tests/jobs``."""

from tests.jobs.conftest import root, run_with

__all__ = ["root", "run_with"]
