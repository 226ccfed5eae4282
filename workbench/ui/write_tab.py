"""Write: samples as they arrive, with scores, coverage and a map; a preview, and more of them."""

import json
from typing import Any

import gradio as gr

from workbench.ui import plain, write_views
from workbench.ui import write_actions as actions
from workbench.ui.boxes import button_row, chart_box, rows_table, small_button
from workbench.ui.failures import told, with_clock
from workbench.ui.sections import HIDDEN, Parts, Section

TAB = "write"
_DOING = plain.working("loading both models, then writing ten inputs")
_PREVIEWING = f"() => [{json.dumps(_DOING)}, {{ __type__: 'update', visible: true }}]"


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    tiles = plain.block(elem_id="synthesis-tiles")
    why = plain.block(elem_id="writer-why")
    rows = rows_table(
        {"input": "54%", "answer": "20%", "score": "10%", "status": "16%"},
        "Newest samples",
        "newest-samples",
        max_height=420,
    )
    with button_row():
        preview = small_button("Preview ten", "synthesize-preview")
        cancel = small_button("Cancel", "preview-cancel", visible=False)
        with button_row(visible=False) as more:
            more_count = gr.Number(
                100, label="More samples", container=False, precision=0, minimum=1, min_width=90,
                elem_id="more-count",
            )  # fmt: skip
            more_button = small_button("Write more", "more-button")
    waiting = plain.block(elem_id="preview-state")
    previewed = rows_table(
        {"preview, not kept": "68%", "answer": "32%"},
        "Preview",
        "preview-rows",
        visible=False,
        show_label=False,
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            _threshold(parts)
        with gr.Column(min_width=320):
            _coverage(parts)
    plain.block(plain.heading("Map", "Close = similar; gaps are not covered."))
    with button_row():
        draw_map = small_button("Draw the map", "draw-map")
        drawing = plain.block()
    chart = chart_box("Map of inputs", "sample-map")

    parts.sections += [
        Section(
            "write more",
            TAB,
            (more, preview, draw_map),
            "begun busy inputs_token samples_token",
            write_views.more,
        ),
        Section(
            "write rows",
            TAB,
            (tiles, why, rows),
            "samples_token tail.rounds recipe.synthesis",
            write_views.made,
        ),
    ]
    run = parts.run_id
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    begun = preview.click(None, None, [waiting, cancel], js=_PREVIEWING)
    shown = begun.then(told(actions.preview), [run], [previewed, waiting, cancel], **quiet)
    cancel.click(told(actions.cancel_preview), [run], [waiting, cancel], queue=False, **quiet)
    parts.press(more_button, actions.more, [run, more_count])
    drawn = with_clock(
        draw_map.click, "reading the inputs with the source base", drawing, actions.draw_map,
        [run], [chart],
    )  # fmt: skip
    parts.readings += [
        (shown, {previewed: HIDDEN, waiting: "", cancel: HIDDEN}), (drawn, {chart: HIDDEN}),
    ]  # fmt: skip


def _threshold(parts: Parts) -> None:
    """Histogram and the slider of the line below which samples are rejected.

    The slider shows at once what it keeps; only the button changes samples.
    """
    plain.block(plain.heading("Scores", "Move the line to see what it keeps."))
    chart = chart_box("Scores", "score-histogram")
    slider = gr.Slider(
        0, 1, 0.5, step=0.01, label="Keep from", elem_id="threshold", interactive=True
    )
    kept = plain.block(elem_id="threshold-kept")
    with button_row():
        apply = small_button("Apply this line", "threshold-apply")
    asked = plain.block(elem_id="consistency")
    by_answer = rows_table(
        {"intended label": "46%", "texts": "16%", "actual = intended": "22%", "match": "16%"},
        "Intended and actual label",
        "consistency-rows",
        visible=False,
        max_height=220,
    )
    parts.sections += [
        Section(
            "write scores",
            TAB,
            (chart, slider, kept, apply),
            "samples_token inputs_token recipe.synthesis",
            write_views.scores,
        ),
        Section(
            "write consistency", TAB, (asked, by_answer), "samples_token", write_views.consistency
        ),
    ]
    for event in (slider.input, slider.release):
        event(
            told(actions.look_at_threshold),
            [parts.run_id, slider],
            [chart, kept, apply],
            show_progress="hidden",
            queue=False,
            trigger_mode="always_last",
        )
    parts.press(apply, actions.apply_threshold, [parts.run_id, slider], [kept])


def _coverage(parts: Parts) -> None:
    """What the teacher answered how often, and more for an answer that is thin.

    More is written at once by a process of its own; the samples are there when it ends.
    """
    plain.block(plain.heading("Answer coverage", "What the source answers, and how often."))
    thin = plain.block(elem_id="thin-labels")
    with button_row(visible=False, equal_height=True) as more:
        answer = gr.Dropdown([], label="More for one answer", min_width=180, elem_id="more-answer")
        count = gr.Number(
            16, label="Texts", precision=0, minimum=1, min_width=80, elem_id="more-texts"
        )
        write = small_button("Write for it", "more-for-answer")
    chart = chart_box("Label coverage", "coverage")
    begin = {"answers begin with": "78%", "answers": "22%"}
    openings = rows_table(begin, "Opening words", "openings", visible=False)
    share = {"answers that share": "78%", "of all": "22%"}
    groups = rows_table(share, "Alike answers", "groups", visible=False)
    shown = (thin, chart, openings, groups)
    parts.sections += [
        Section("write coverage", TAB, shown, "samples_token", write_views.coverage),
        Section(
            "write for label",
            TAB,
            (more, answer),
            "samples_token begun busy",
            write_views.write_for,
        ),
    ]
    asked = [parts.run_id, answer, count]
    parts.changed.append(
        write.click(told(actions.write_for), asked, None, show_progress_on=[answer, count])
    )
