"""Samples as a file; those that may be private rows are handed out only with a tick."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.export import consent
from workbench.export.dataset import write_csv, write_jsonl
from workbench.export.parquet import write_parquet
from workbench.runs.folder import Run
from workbench.samples import Sample
from workbench.ui import workspace
from workbench.ui.snapshot import Snapshot

WRITERS = {"JSONL": write_jsonl, "CSV": write_csv, "Parquet": write_parquet}
LABEL = "Samples that may be private rows may leave"


def box(elem_id: str) -> gr.Checkbox:
    """Not ticked, and not there until samples need it."""
    return gr.Checkbox(False, label=LABEL, visible=False, elem_id=elem_id)


def draw(now: Snapshot) -> Any:
    """With the reason, where the run has such samples."""
    said = consent.warning(now.run) if now.run else ""
    return gr.update(value=False, info=said, visible=bool(said))


def require(run: Run, samples: Sequence[Sample], ticked: Any) -> None:
    """Raise StageError where samples may be private rows and the box is not ticked."""
    how = f'Tick "{LABEL}" if that is right.'
    consent.require(samples, ticked is True, how, consent.inherits(run))


def file(run: Run, samples: Sequence[Sample], form: str, ticked: Any) -> Any:
    """An update that shows them as a file; ``form`` is one of ``WRITERS``."""
    require(run, samples, ticked)
    path = workspace.export_file(f"samples.{form.lower()}")
    WRITERS[form](path, samples)
    return gr.update(value=str(path), visible=True)
