"""What the controls of the Write tab do."""

import shutil
from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import RunError, WorkbenchError
from workbench.events import RoundFinished
from workbench.export.bundle import find_bundle
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED, Sample
from workbench.stages import Stage
from workbench.ui import charts, onward, plain, snapshot, transfer_views, workspace, write_views
from workbench.ui.boxes import plotted
from workbench.ui.failures import say
from workbench.ui.transfer_views import EARLIER
from workbench.ui.waiting_line import MODELS, in_line

NEXT_ROUND = 100  # texts for the weakest label
MOST_FOR_ONE = 200  # texts in one go; more would keep the page waiting for minutes


@in_line(MODELS)
def preview(run_id: str) -> tuple[Any, str, Any]:
    """Ten samples with answers, not kept."""
    done = gr.update(visible=False)
    try:
        folder = workspace.find(run_id).folder
        samples = jobs.consult(folder, "preview", {"count": 10})["samples"]
    except WorkbenchError as error:
        return gr.skip(), plain.sentence(error.message, "problem"), done
    rows = [[str(row["input"]), str(row.get("teacher_output") or "")] for row in samples]
    return gr.update(value=rows, visible=True), "", done


def cancel_preview(run_id: str) -> tuple[str, Any]:
    """End the process that answers."""
    jobs.cancel_consult(workspace.find(run_id).folder)
    return plain.sentence("Cancelled."), gr.update(visible=False)


def more(run_id: str, count: float) -> None:
    """Ask for more of the same; thin labels come first where inputs are written per label."""
    run = workspace.find(run_id)
    if not count or count < 1:
        raise RunError("How many more? Give a number above 0.")
    run.change_recipe({"synthesis.samples": run.samples.status_counts().get(KEPT, 0) + int(count)})
    jobs.start(run, Stage.LABEL)


@in_line(MODELS)
def write_for(run_id: str, label: str | None, count: float) -> None:
    """More samples for one answer; what the teacher answers otherwise is rejected."""
    if not label:
        raise RunError("Choose an answer first.")
    if not 1 <= (count or 0) <= MOST_FOR_ONE:
        raise RunError(f"How many texts? Give a number from 1 to {MOST_FOR_ONE}.")
    run = workspace.find(run_id)
    made = jobs.consult(run.folder, "write_for", {"label": label, "count": int(count)})
    now = snapshot.take(run_id, fresh=True)
    if not write_views.can_grow(now):
        raise RunError("The run went on meanwhile, so these samples were not added. Try again.")
    finished = _commit(run, made)
    say(f"{finished.made} written, {finished.kept} match and are kept.")


def _commit(run: Run, made: dict[str, Any]) -> RoundFinished:
    samples = [Sample(**sample) for sample in made["samples"]]
    finished = RoundFinished(**made["round"])
    if not run.samples.commit_round(finished.round, samples, finished):
        raise RunError("Another page added samples meanwhile, so these were not. Try again.")
    return finished


@in_line(MODELS)
def next_round(run_id: str) -> None:
    """More for the label that the new adapter lost most on, then train and compare again.

    Where there is none, more of everything. The adapter of the round before is kept beside the new
    one, and it is remembered that the evaluation rows have been looked at.
    """
    now = snapshot.take(run_id, fresh=True)
    label, _ = transfer_views.weakest(now)
    run = now.run
    if run is None or now.busy or Stage.EXPORT not in now.done:
        raise RunError("The next round begins when this one is finished.")
    made: dict[str, Any] = {}
    if label:
        made = jobs.consult(run.folder, "write_for", {"label": label, "count": NEXT_ROUND})
        if not made["round"]["kept"]:
            raise RunError(
                f'Nothing that was written for "{label}" is answered so by the source. Write some '
                "by hand under Review of a duplicate."
            )
    onward.remember_round(run, label, _kept_aside(run))
    run.reopen_from(Stage.DISTIL)
    if made:
        _commit(run, made)
    else:
        run.change_recipe({"synthesis.samples": now.kept + transfer_views.more_of_all(now)})
    jobs.start(run, Stage.EXPORT)


def _kept_aside(run: Run) -> str:
    """Copy the packed adapter to those of earlier rounds; its name there."""
    bundle = find_bundle(run.exports)
    if bundle is None:
        return ""
    kept = run.exports / EARLIER
    kept.mkdir(exist_ok=True)
    name = f"{bundle.archive.stem}-round-{1 + len(list(kept.iterdir()))}.zip"
    shutil.copy2(bundle.archive, kept / name)
    return name


def look_at_threshold(run_id: str, line: float) -> tuple[Any, str, Any]:
    """What a line at ``line`` would keep; nothing changes."""
    return write_views.threshold(snapshot.take(run_id), line)


def apply_threshold(run_id: str, line: float) -> str:
    """Reject below the line and keep from it on; people's own decisions stay."""
    now = snapshot.take(run_id, fresh=True)
    assert now.run is not None
    score = write_views.used_score(now)
    rejected, kept = now.run.samples.draw_line(score, line)
    say(f"{rejected:,} rejected, {kept:,} kept again. Undo under Review.")
    return plain.sentence(f"Applied: {rejected:,} rejected, {kept:,} kept again.")


@in_line(MODELS)
def draw_map(run_id: str) -> Any:
    """Seeds and samples in the plane of the source model's embeddings."""
    run = workspace.find(run_id)
    points = jobs.consult(run.folder, "map", {})["points"]
    groups: dict[str, list[tuple[float, float, str]]] = {"seed": [], KEPT: [], REJECTED: []}
    for point in points:
        group = groups.get(point["group"])
        if group is not None:
            group.append((float(point["x"]), float(point["y"]), str(point["text"])))
    chart = charts.map_chart(groups["seed"], groups[KEPT], groups[REJECTED])
    return plotted(chart)
