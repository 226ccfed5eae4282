"""The tick without which samples that may be private rows are not handed out."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.export import consent
from workbench.runs.folder import Run
from workbench.samples import Sample
from workbench.ui.snapshot import Snapshot

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
