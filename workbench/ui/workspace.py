"""Which run a page is on: from the id in its address to the run, or a new draft."""

import os
from pathlib import Path

from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run, create, find_run

NEW_NAME = "Untitled transfer"


def runs_root() -> Path:
    """The folder of all runs: $WORKBENCH_RUNS, else ``runs`` where the server was started."""
    return Path(os.environ.get("WORKBENCH_RUNS", "runs")).resolve()


def find(run_id: str) -> Run:
    """The run with this id; RunError when there is none, whatever was asked for."""
    return find_run(runs_root(), run_id or "")


def find_or_create(run_id: str) -> Run:
    """The open run; a new draft when the page has none yet, or when it was deleted meanwhile."""
    if run_id and (runs_root() / run_id).is_dir():
        return find(run_id)
    return create(runs_root(), TransferRecipe(), NEW_NAME)
