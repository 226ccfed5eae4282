"""Compare: the verdict first, then the numbers behind it, the rows that changed, a playground."""

import functools
from types import SimpleNamespace
from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import RunError
from workbench.stages import Stage
from workbench.ui import charts, compare_views, plain, workspace
from workbench.ui.boxes import button_row, chart_box, plotted, rows_table, text_shown
from workbench.ui.failures import with_clock
from workbench.ui.sections import LAST, Drawn, Parts, Section, ordered
from workbench.ui.snapshot import Snapshot
from workbench.ui.waiting_line import MODELS, in_line

TAB = "compare"

_NO_ROWS = "Row by row needs both models' answers; this run has not kept what they were asked."
_RIGHT = [("Lost", "lost"), ("Gained", "gained"), ("Missed by both", "missed"), ("All", "all")]
_LIKE = [("Less like the source", "lost"), ("More like it", "gained"), ("All", "all")]


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    box = SimpleNamespace()
    box.verdict = plain.block(elem_id="verdict")
    box.bars = plain.block(elem_id="arms-bars")
    box.beside = plain.block(elem_id="measured-beside")
    box.margin = gr.Number(
        3.0,
        label="Margin in percentage points",
        info="The loss that you would accept. The verdict follows.",
        minimum=0.1,
        maximum=50,
        elem_id="margin",
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            box.by_label = plain.block()
            box.labels = chart_box("Per label", "label-chart")
        with gr.Column(min_width=320):
            box.by_confusion = plain.block()
            box.confusion = chart_box("Confusions", "confusion-chart")
    box.row_by_row = plain.block()
    box.no_rows = plain.block(elem_id="rows-none")
    box.which = gr.Radio(_RIGHT, value="lost", label="Show", elem_id="changed-which")
    box.rows = rows_table(
        {"input": "46%", "expected": "18%", "source says": "18%", "new adapter says": "18%"},
        "Rows",
        "changed-rows",
        max_height=520,
        show_label=False,
    )
    plain.block(plain.heading("Playground", "Ask both, side by side."))
    question = gr.Textbox(label="Input", lines=2, elem_id="playground-input")
    with button_row():
        box.ask = gr.Button("Ask both", elem_id="playground-ask")
        waiting = plain.block(elem_id="playground-state")
    with gr.Row():
        source = text_shown("Source + adapter", "playground-source", lines=3)
        target = text_shown("Target + new adapter", "playground-target", lines=3)

    parts.sections.append(
        Section(
            "compare",
            TAB,
            list(vars(box).values()),
            "done recipe.evaluation busy",
            lambda now: _draw(now, box),
        )
    )
    run = parts.run_id
    given = functools.partial(gr.on, [box.margin.blur, box.margin.submit])
    parts.act(given, _set_margin, [run, box.margin], **LAST)
    listed = box.which.input(inputs=[run, box.which], outputs=[box.rows], **ordered(_rows), **LAST)
    asked = with_clock(
        box.ask.click, "loading both models, then answering", waiting, _ask,
        [run, question], [source, target],
    )  # fmt: skip
    parts.readings += [(listed, {}), (asked, {source: "", target: ""})]


def _draw(now: Snapshot, box: SimpleNamespace) -> Drawn:
    trained = Stage.DISTIL in now.done
    ask = gr.update(interactive=trained, value="Ask both" if trained else "Train the adapter first")
    compared = compare_views.read(now)
    if compared is None:
        waiting = "The verdict appears when the new adapter is trained and compared."
        none = {
            it: "" if isinstance(it, gr.HTML) else gr.update(visible=False)
            for it in vars(box).values()
        }
        return none | {box.verdict: plain.empty(waiting), box.ask: ask}
    sentence, kind = compare_views.verdict(now, compared)
    per_label, pairs = compare_views.label_rows(compared), compare_views.confused(compared)
    paired, hidden = bool(compared.rows) and compared.paired, gr.update(visible=False)
    return {
        box.verdict: plain.verdict(sentence, compare_views.KIND_LOOKS.get(kind, "unsure")),
        box.bars: compare_views.arm_bars(compared.arms, compared.measure, now.alone),
        box.beside: compare_views.beside(now),
        box.margin: gr.update(
            value=now.recipe.evaluation.margin_points,
            label=f"Margin in {'points of the score' if compared.texts else 'percentage points'}",
            visible=True,
        ),
        box.by_label: plain.small_heading("Per label, largest loss first")
        if per_label
        else compare_views.score_table(compared),
        box.labels: plotted(charts.per_label_chart(per_label)) if per_label else hidden,
        box.by_confusion: plain.small_heading("Expected and given labels") if pairs else "",
        box.confusion: plotted(charts.confusion_chart(pairs)) if pairs else hidden,
        box.row_by_row: plain.heading("Row by row", "The worst for the new adapter first."),
        box.no_rows: "" if paired else plain.sentence(_NO_ROWS),
        box.which: gr.update(
            choices=_RIGHT if compared.labelled else _LIKE, value="lost", visible=paired
        ),
        box.rows: gr.update(**_table(compared, "lost"), visible=paired),
        box.ask: ask,
    }


def _table(compared: compare_views.Compared, which: str) -> dict[str, Any]:
    rows = compare_views.compared_rows(compared, which)
    columns = compare_views.row_columns(compared)
    return {
        "value": {"headers": list(columns), "data": rows},
        "column_widths": [f"{width}%" for width in columns.values()],
    }


def _set_margin(run_id: str, margin: float | None) -> None:
    run = workspace.find(run_id)
    if margin is not None and margin != run.recipe.evaluation.margin_points:
        run.change_recipe({"evaluation.margin_points": margin})


def _rows(run_id: str, which: str) -> Any:
    compared = compare_views.read_run(workspace.find(run_id))
    return gr.update(**_table(compared, which)) if compared else gr.skip()


@in_line(MODELS)
def _ask(run_id: str, question: str) -> tuple[str, str]:
    if not (question or "").strip():
        raise RunError("Write an input first.")
    answer = jobs.consult(workspace.find(run_id).folder, "answer", {"input": question})
    return str(answer["source"]), str(answer["transferred"])
