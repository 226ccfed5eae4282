"""What the controls of the Synthesize tab do."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import RunError, WorkbenchError
from workbench.events import RoundFinished
from workbench.samples import KEPT, REJECTED, Sample
from workbench.stages import Stage
from workbench.ui import charts, fields, plain, snapshot, synthesize_views, workspace
from workbench.ui.failures import say, told, warn
from workbench.ui.figures import plotted
from workbench.ui.waiting_line import MODELS, in_line

PLAIN = ("synthesis.samples", "synthesis.writer", "synthesis.generator", "synthesis.filter")
ADVANCED = (
    "synthesis.near_duplicate",
    "synthesis.grafts",
    "synthesis.train_on_seeds",
    "synthesis.temperature",
    "synthesis.top_k",
    "synthesis.top_p",
    "synthesis.seeds_per_prompt",
    "synthesis.prompts_per_round",
    "synthesis.max_rounds",
    "synthesis.new_tokens",
    "evaluation.answer_tokens",
    "seed",
)
FORM = PLAIN + ADVANCED
MOST_FOR_ONE = 200  # texts in one go; more would keep the page waiting for minutes


_ROOMS = ("synthesis", "student", "training")


def save_field(name: str) -> Callable[..., Any]:
    """Handler that puts one control's value into the recipe; a refused one is taken back."""

    def save(run_id: str, value: Any) -> Any:
        run = workspace.find(run_id)
        if not fields.differences(run.recipe, [name], [value]):
            return gr.skip()
        try:
            run.change_recipe({name: fields.given(name, value)})
        except WorkbenchError as error:
            warn(error.message)
            return fields.shown(run.recipe, name)
        return gr.skip()

    return told(save)


def _with_form(run_id: str, values: tuple[Any, ...]) -> snapshot.Snapshot:
    """The run with what the controls say, whatever has not been saved yet."""
    run = workspace.find(run_id)
    if not run.stages()[Stage.SYNTHESIZE].started_at:
        changes = fields.differences(run.recipe, list(FORM), list(values))
        if changes:
            run.change_recipe(changes)
    return snapshot.take(run_id, fresh=True)


def preset(run_id: str, name: str) -> None:
    """Take a preset for samples and training alike."""
    run = workspace.find(run_id)
    run.change_recipe({"preset": name, **fields.preset_changes(name, _ROOMS)})


@in_line(MODELS)
def preview(run_id: str, *values: Any) -> dict[str, Any]:
    """Ten samples with answers, not kept."""
    now = _with_form(run_id, values)
    assert now.run is not None
    samples = jobs.consult(now.run.folder, "preview", {"count": 10})["samples"]
    rows = [[str(row["input"]), str(row.get("teacher_output") or "")] for row in samples]
    return gr.update(value=rows, visible=True)


def start(run_id: str, *values: Any) -> None:
    """Write, score and label until the asked number is kept."""
    now = _with_form(run_id, values)
    assert now.run is not None
    jobs.start(now.run, Stage.LABEL)


def more(run_id: str, count: float) -> None:
    """Ask for more of the same; thin labels come first where inputs are written per label."""
    run = workspace.find(run_id)
    if not count or count < 1:
        raise RunError("How many more? Give a number above 0.")
    run.change_recipe({"synthesis.samples": run.recipe.synthesis.settled().samples + int(count)})
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
    if not synthesize_views.can_grow(now):
        raise RunError("The run went on meanwhile, so these samples were not added. Try again.")
    samples = [Sample(**sample) for sample in made["samples"]]
    finished = RoundFinished(**made["round"])
    if not run.samples.commit_round(finished.round, samples, finished):
        raise RunError("Another page added samples meanwhile, so these were not. Try again.")
    say(f"{finished.made} written, {finished.kept} answered as asked and kept.")


def look_at_threshold(run_id: str, line: float) -> tuple[Any, str, Any]:
    """What a line at ``line`` would keep; nothing changes."""
    return synthesize_views.threshold(snapshot.take(run_id), line)


def apply_threshold(run_id: str, line: float) -> str:
    """Reject below the line and keep from it on; people's own decisions stay."""
    now = snapshot.take(run_id, fresh=True)
    assert now.run is not None
    score = synthesize_views.used_score(now)
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
