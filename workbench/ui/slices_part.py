"""Where a GPU is lent in slices: the open page asks for one after the other, and says so.

A slice is an event of Gradio, because the lender knows by its request whose quota it takes. A
hidden box gets a new mark whenever a slice is due; the change of the mark is the event.
"""

import math
import time

import gradio as gr

from workbench import fit
from workbench.jobs import slices
from workbench.jobs.slice_plan import LEAST_SECONDS, USUAL_SECONDS, SliceJob
from workbench.ui import words, workspace
from workbench.ui.failures import told
from workbench.ui.sections import ALWAYS, Parts, Section
from workbench.ui.snapshot import Snapshot
from workbench.ui.waiting_line import SLICES, in_line

KEEP_OPEN = (
    "Keep this page open: it asks for one slice of the GPU after the other, from your quota. When "
    "it is closed the run waits, nothing is lost, and it goes on when you open this address again."
)
_ASK_AGAIN_SECONDS = 15  # of a slice that is due and that no page has got
# A visitor's at ZeroGPU in 2026. Nobody tells a Space what is left of it, but for refusals.
DAILY_QUOTA = "about 2 minutes without a login to Hugging Face, 3½ with a free account, 25 with PRO"
_LOADED = 20.0  # seconds of each slice that go into loading, until it is known
_MARGIN = 1.25  # a unit that would not be done in time is left to the next slice


def build(parts: Parts) -> None:
    """Place the hidden box and wire it; nothing where no GPU is lent."""
    if not slices.active():
        return
    due = gr.Textbox(visible="hidden", label="Slice", elem_id="slice-due")
    parts.sections.append(Section("slice", ALWAYS, [due], _mark, lambda now: (_mark(now),)))
    parts.changed.append(due.change(told(next_slice), [due], None, show_progress="hidden"))


@in_line(SLICES)
def next_slice(mark: str) -> None:
    """The slice that the mark is about; it takes as long as the slice does."""
    if mark:
        slices.next_slice(workspace.find(mark.partition("|")[0]))


def _mark(now: Snapshot) -> str:
    """Changes when a slice of the open run is due; "" while none is."""
    job = slices.waiting(now.run.folder) if now.run else None
    if now.run is None or job is None or slices.is_at_work(now.run.folder):
        return ""
    if job.again_at > time.time():
        return ""
    return f"{now.run_id}|{job.job}|{job.count}|{time.time() // _ASK_AGAIN_SECONDS:.0f}"


def numbers(now: Snapshot) -> str:
    """For the strip: which slice it is, how many the present step still takes, and what they have
    taken of the quota."""
    job = slices.waiting(now.run.folder) if now.run else None
    if job is None or not job.count:
        return ""
    shown = [f"slice {job.count}"]
    if left := now.state.remaining_seconds:
        shown.append(f"{_slices(left, job)} more for this step")
    if job.used:
        shown.append(f"{words.clock(job.used)} of your quota used")
    return ", ".join(shown)


def plan(now: Snapshot) -> str:
    """For the card beside the button: how many slices a transfer takes; "" without slices."""
    if not slices.active():
        return ""
    known = now.estimate.seconds_by_stage
    seconds = sum(known.values()) or fit.processor_seconds(now.recipe, now.inputs)
    count = _slices(seconds)
    about = "About" if known else "At most about"
    return (
        f"{about} {words.count(count, 'slice')} of {USUAL_SECONDS:.0f} seconds of a lent GPU, from "
        f"your daily quota: {DAILY_QUOTA}. When it ends, the run waits for tomorrow's."
    )


def _slices(seconds: float, job: SliceJob | None = None) -> int:
    """How many it takes to work for so long."""
    length = job.seconds if job else USUAL_SECONDS
    unit = job.unit_seconds if job else 0.0
    useful = max(LEAST_SECONDS, length - _LOADED - unit)
    return math.ceil(seconds * _MARGIN / useful)


def closing(now: Snapshot, usual: str) -> str:
    """What becomes of the work when the page is closed."""
    return KEEP_OPEN if now.run and slices.waiting(now.run.folder) else usual
