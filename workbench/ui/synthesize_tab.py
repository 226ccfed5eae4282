"""Synthesize: a preview, then samples arriving live, with scores, coverage and a map."""

from typing import Any

import gradio as gr

from workbench.recipe import RECOMMENDED
from workbench.ui import fields, plain, synthesize_views
from workbench.ui import synthesize_actions as actions
from workbench.ui.failures import told
from workbench.ui.sections import Parts, Section

TAB = "synthesize"


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            preset, form = _choices()
            with gr.Row(elem_classes="buttons"):
                start = gr.Button("Write samples", variant="primary", elem_id="synthesize-start")
                preview = gr.Button("Preview ten", elem_id="synthesize-preview")
            locked = plain.block()
            with gr.Group(visible=False, elem_classes="plain-group") as more:
                more_count = gr.Number(
                    100,
                    label="More of the same",
                    info="Thin labels come first where inputs are written for each label.",
                    precision=0,
                    minimum=1,
                    elem_id="more-count",
                )
                more_button = gr.Button("Write more", size="sm", elem_id="more-button")
            previewed = gr.Dataframe(
                headers=["preview", "answer"],
                datatype="str",
                column_count=2,
                interactive=False,
                wrap=True,
                visible=False,
                label="Preview: not kept",
                column_widths=["68%", "32%"],
                elem_id="preview-rows",
                buttons=[],
            )
        with gr.Column(scale=7, min_width=320):
            tiles = plain.block(elem_id="synthesis-tiles")
            rows = gr.Dataframe(
                headers=["input", "answer", "score", "status"],
                datatype="str",
                column_count=4,
                interactive=False,
                wrap=True,
                max_height=620,
                label="Newest samples",
                column_widths=["54%", "20%", "10%", "16%"],
                elem_id="newest-samples",
                buttons=[],
            )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=320):
            threshold = _Threshold()
        with gr.Column(min_width=320):
            coverage = _Coverage()
    plain.block(plain.heading("Map", "Near is alike: clumps repeat each other, holes are missing."))
    with gr.Row(elem_classes="buttons"):
        draw_map = gr.Button("Draw the map", size="sm", elem_id="draw-map")
    chart = gr.Plot(show_label=False, label="Map of inputs", visible=False, elem_id="sample-map")

    _sections(parts, preset, form, start, locked, more, tiles, rows)
    parts.sections += [*threshold.sections(), *coverage.sections()]
    run = parts.run_id
    preview.click(
        told(actions.preview),
        [run, *form.values()],
        [previewed],
        concurrency_limit=2,
    )
    parts.changed += [
        preset.input(told(actions.preset), [run, preset], None, show_progress="hidden"),
        start.click(told(actions.start), [run, *form.values()], None, show_progress="hidden"),
        more_button.click(told(actions.more), [run, more_count], None, show_progress="hidden"),
    ]
    draw_map.click(told(actions.draw_map), [run], [chart])
    fields_saved(parts, form)
    threshold.wire(parts)
    coverage.wire(parts)


def _choices() -> tuple[gr.Radio, dict[str, Any]]:
    plain.block(plain.heading("Samples", "Made-up inputs, answered by the source adapter."))
    preset = gr.Radio(
        fields.preset_choices(),
        value=RECOMMENDED,
        label="Preset",
        info="Sets the training as well.",
        elem_id="synthesis-preset",
    )
    form = {name: fields.control(name) for name in actions.PLAIN}
    with gr.Accordion("Advanced", open=False), gr.Row():
        form |= {name: fields.control(name) for name in actions.ADVANCED}
    return preset, form


def fields_saved(parts: Parts, form: dict[str, Any]) -> None:
    """Put each control's value into the recipe as soon as it is given."""
    for name, box in form.items():
        event = box.blur if isinstance(box, gr.Textbox | gr.Number) else box.input
        parts.changed.append(
            event(
                actions.save_field(name),
                [parts.run_id, box],
                [box],
                show_progress="hidden",
                trigger_mode="always_last",
            )
        )


class _Threshold:
    """Histogram and the slider of the line below which samples are rejected."""

    def __init__(self) -> None:
        plain.block(plain.heading("Scores", "Move the line to see what it keeps."))
        self.chart = gr.Plot(
            show_label=False, label="Scores", elem_id="score-histogram", visible=False
        )
        self.slider = gr.Slider(
            0, 1, 0.5, step=0.01, label="Keep from", elem_id="threshold", interactive=True
        )
        self.kept = plain.block(elem_id="threshold-kept")
        with gr.Row(elem_classes="buttons"):
            self.apply = gr.Button("Apply this line", size="sm", elem_id="threshold-apply")
        self.asked = plain.block(elem_id="consistency")
        self.by_answer = gr.Dataframe(
            headers=["written for", "texts", "answered so", "share"],
            datatype="str",
            column_count=4,
            interactive=False,
            wrap=True,
            visible=False,
            max_height=220,
            label="Written for an answer: did the teacher give it?",
            column_widths=["46%", "16%", "22%", "16%"],
            elem_id="consistency-rows",
            buttons=[],
        )

    def sections(self) -> list[Section]:
        """Scores as they arrive; and whether the teacher answers as asked."""
        outputs = (self.chart, self.slider, self.kept, self.apply)
        views = synthesize_views
        return [
            Section(
                "synthesize scores",
                TAB,
                outputs,
                lambda now: f"{now.samples_token}|{now.inputs_token}|{now.recipe.synthesis}",
                lambda now: dict(zip(outputs, views.scores(now), strict=True)),
            ),
            Section(
                "synthesize consistency",
                TAB,
                (self.asked, self.by_answer),
                lambda now: now.samples_token,
                lambda now: dict(
                    zip((self.asked, self.by_answer), views.consistency(now), strict=True)
                ),
            ),
        ]

    def wire(self, parts: Parts) -> None:
        """The slider shows at once what it keeps; only the button changes samples."""
        for event in (self.slider.input, self.slider.release):
            event(
                told(actions.look_at_threshold),
                [parts.run_id, self.slider],
                [self.chart, self.kept, self.apply],
                show_progress="hidden",
                queue=False,
                trigger_mode="always_last",
            )
        parts.changed.append(
            self.apply.click(
                told(actions.apply_threshold), [parts.run_id, self.slider], [self.kept]
            )
        )


class _Coverage:
    """What the teacher answered how often, and more for an answer that is thin."""

    def __init__(self) -> None:
        plain.block(plain.heading("Label coverage", "What the teacher answered, how often."))
        self.thin = plain.block(elem_id="thin-labels")
        with gr.Row(elem_classes="buttons", visible=False, equal_height=True) as self.more:
            self.answer = gr.Dropdown(
                [], label="More for one answer", min_width=180, elem_id="more-answer"
            )
            self.count = gr.Number(
                16, label="Texts", precision=0, minimum=1, min_width=80, elem_id="more-texts"
            )
            self.write = gr.Button("Write for it", size="sm", elem_id="more-for-answer")
        self.chart = gr.Plot(
            show_label=False, label="Label coverage", elem_id="coverage", visible=False
        )

    def wire(self, parts: Parts) -> None:
        """Written at once by a process of its own; the samples are there when it ends."""
        asked = [parts.run_id, self.answer, self.count]
        parts.changed.append(
            self.write.click(
                told(actions.write_for), asked, None, show_progress_on=[self.answer, self.count]
            )
        )

    def sections(self) -> list[Section]:
        """Coverage, and what more can be written for while nothing is trained."""
        views = synthesize_views
        return [
            Section(
                "synthesize coverage",
                TAB,
                [self.thin, self.chart],
                lambda now: now.samples_token,
                lambda now: dict(zip((self.thin, self.chart), views.coverage(now), strict=True)),
            ),
            Section(
                "synthesize more",
                TAB,
                [self.more, self.answer],
                lambda now: f"{now.samples_token}|{views.can_grow(now)}",
                lambda now: {
                    self.more: gr.update(visible=views.can_write_for(now)),
                    self.answer: views.thin_choices(now),
                },
            ),
        ]


def _sections(
    parts: Parts,
    preset: gr.Radio,
    form: dict[str, Any],
    start: gr.Button,
    locked: gr.HTML,
    more: gr.Group,
    tiles: gr.HTML,
    rows: gr.Dataframe,
) -> None:
    views = synthesize_views
    parts.sections += [
        Section(
            "synthesize form",
            TAB,
            [preset, *form.values()],
            lambda now: f"{now.run_id}|{views.locked(now)}|{now.recipe.preset}",
            lambda now: views.form(now, preset, form),
        ),
        Section(
            "synthesize start",
            TAB,
            [start, locked, more],
            lambda now: (
                f"{now.run_id}|{now.busy}|{now.inputs_token}|{sorted(now.begun)}"
                f"|{sorted(now.done)}|{now.recipe_token}|{now.kept}"
            ),
            lambda now: {
                start: views.start_button(now),
                locked: views.locked_sentence(now),
                more: gr.update(visible=views.can_grow(now)),
            },
        ),
        Section(
            "synthesize rows",
            TAB,
            [tiles, rows],
            lambda now: f"{now.samples_token}|{now.tail.rounds}|{now.recipe.synthesis}",
            lambda now: {tiles: views.tiles(now), rows: views.newest(now)},
        ),
    ]
