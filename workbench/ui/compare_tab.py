"""Compare: the verdict first, then the numbers behind it, the rows that changed, a playground."""

from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import RunError
from workbench.evaluate import verdict as judge
from workbench.stages import Stage
from workbench.ui import charts, compare_views, plain, workspace
from workbench.ui.failures import told
from workbench.ui.figures import plotted
from workbench.ui.sections import Drawn, Parts, Section
from workbench.ui.snapshot import Snapshot
from workbench.ui.waiting_line import MODELS, in_line

TAB = "compare"
_KIND = {judge.INSIDE: "good", judge.BETTER: "good", judge.WORSE: "bad"}

_NO_CHANGES = "Needs evaluation rows with answers: without them nobody knows who is right."


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    verdict = plain.block(elem_id="verdict")
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            plain.block(plain.heading("All arms"))
            chart = gr.Plot(
                show_label=False, label="Accuracy of all arms", elem_id="arms-chart", visible=False
            )
            table = plain.block(elem_id="arms-table")
        with gr.Column(scale=5, min_width=300):
            margin = gr.Number(
                3.0,
                label="Margin in percentage points",
                info="The loss of accuracy that you would accept.",
                minimum=0.1,
                maximum=50,
                elem_id="margin",
            )
            plain.block(plain.heading("Per label", "Where the target lost most comes first."))
            labels = gr.Plot(
                show_label=False, label="Accuracy per label", elem_id="label-chart", visible=False
            )
            no_labels = plain.block()
    plain.block(plain.heading("What changed", "Rows that one of the two has right."))
    no_changes = plain.block(elem_id="changed-none")
    which = gr.Radio(
        [("Lost: source right, target wrong", "lost"), ("Gained: the reverse", "gained")],
        value="lost",
        label="Show",
        elem_id="changed-which",
    )
    changed = gr.Dataframe(
        headers=["input", "expected", "source says", "target says"],
        datatype="str",
        column_count=4,
        interactive=False,
        wrap=True,
        max_height=360,
        label="Changed rows",
        show_label=False,
        column_widths=["43%", "19%", "19%", "19%"],
        elem_id="changed-rows",
        buttons=[],
    )
    plain.block(plain.heading("Playground", "Ask both, side by side."))
    question = gr.Textbox(label="Input", lines=2, elem_id="playground-input")
    with gr.Row(elem_classes="buttons"):
        ask = gr.Button("Ask both", elem_id="playground-ask")
    with gr.Row():
        source = gr.Textbox(
            label="Source + adapter", interactive=False, lines=3, elem_id="playground-source"
        )
        target = gr.Textbox(
            label="Target + new adapter", interactive=False, lines=3, elem_id="playground-target"
        )

    outputs = [verdict, chart, table, margin, labels, no_labels, changed, which, no_changes]
    parts.sections.append(
        Section(
            "compare",
            TAB,
            [*outputs, ask],
            lambda now: f"{now.run_id}|{sorted(now.done)}|{now.recipe.evaluation}|{now.busy}",
            lambda now: _draw(now, outputs, ask),
        )
    )
    run = parts.run_id
    for event in (margin.blur, margin.submit):
        parts.changed.append(event(told(_set_margin), [run, margin], None, show_progress="hidden"))
    which.input(told(_changed), [run, which], [changed], show_progress="hidden")
    ask.click(told(_ask), [run, question], [source, target])


def _draw(now: Snapshot, outputs: list[Any], ask: gr.Button) -> Drawn:
    verdict, chart, table, margin, labels, no_labels, changed, which, no_changes = outputs
    compared = compare_views.read(now)
    drawn: Drawn = {
        margin: now.recipe.evaluation.margin_points,
        ask: gr.update(
            interactive=Stage.DISTIL in now.done,
            value="Ask both" if Stage.DISTIL in now.done else "Train the adapter first",
        ),
    }
    if compared is None:
        waiting = "The verdict appears when the new adapter is trained and compared."
        hidden = gr.update(visible=False)
        return drawn | {
            verdict: plain.empty(waiting), chart: hidden, table: "", labels: hidden,
            no_labels: "", changed: hidden, which: hidden, no_changes: "",
        }  # fmt: skip
    sentence, kind = compare_views.verdict(now, compared)
    rows = compare_views.label_rows(compared)
    paired = compared.labelled and compared.paired
    return drawn | {
        verdict: plain.verdict(sentence, _KIND.get(kind, "unsure")),
        chart: gr.update(
            value=charts.arms_chart(compared.arms, agreement=not compared.labelled), visible=True
        ),
        table: compare_views.arms_table(compared),
        labels: plotted(charts.per_label_chart(rows)) if rows else gr.update(visible=False),
        no_labels: "" if rows else plain.sentence(compare_views.no_labels(compared)),
        changed: gr.update(value=compare_views.changed_rows(compared, "lost"), visible=paired),
        which: gr.update(value="lost", visible=paired),
        no_changes: "" if paired else plain.sentence(_NO_CHANGES),
    }


def _set_margin(run_id: str, margin: float | None) -> None:
    run = workspace.find(run_id)
    if margin is not None and margin != run.recipe.evaluation.margin_points:
        run.change_recipe({"evaluation.margin_points": margin})


def _changed(run_id: str, which: str) -> list[list[str]]:
    from_run = compare_views.read_run(workspace.find(run_id))
    return compare_views.changed_rows(from_run, which) if from_run else []


@in_line(MODELS)
def _ask(run_id: str, question: str) -> tuple[str, str]:
    if not (question or "").strip():
        raise RunError("Write an input first.")
    answer = jobs.consult(workspace.find(run_id).folder, "answer", {"input": question})
    return str(answer["source"]), str(answer["transferred"])
