"""Source: what moves (adapter, seeds), from which base to which, and in which prompt."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from workbench.intake.rows import FILE_TYPES
from workbench.limits import LIMITS
from workbench.ui import fields, plain, saves, source_actions, source_cards
from workbench.ui.failures import told
from workbench.ui.sections import Drawn, Parts, Section
from workbench.ui.snapshot import Snapshot

TAB = "source"
_ROWS_FILES = list(FILE_TYPES)
_FORM = (
    "task_name",
    "source_base",
    "target_base",
    "source_format.kind",
    "source_format.template",
    "source_format.system",
    "target_format.kind",
    "target_format.template",
)
_KINDS = [("Chat template of the base", "chat"), ("Plain text", "text")]


@dataclass(frozen=True)
class _Adapter:
    example: gr.Button
    files: gr.File
    hub: gr.Textbox
    fetch: gr.Button
    recipe: gr.UploadButton
    refused: gr.HTML
    card: gr.HTML
    inspect: gr.Button


@dataclass(frozen=True)
class _Rows:
    seeds: gr.Dataframe
    seeds_file: gr.UploadButton
    pasted: gr.Textbox
    add: gr.Button
    count: gr.HTML
    drawn: gr.Textbox
    evaluation: gr.File
    unlabelled: gr.File
    discriminator: gr.File
    optional: gr.HTML
    uploaded: gr.Dataframe


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            adapter = _adapter_part()
            form = _bases_part()
            rows = _rows_part()
            formats, proposal = _format_part(form)
        with gr.Column(scale=5, min_width=300):
            plain.block(
                plain.heading("Inspection", "What was found out about what you handed over.")
            )
            adapter.refused.render()
            adapter.card.render()
            with gr.Row(elem_classes="buttons"):
                adapter.inspect.render()
            plain.block(plain.heading("Fit", "What it needs, before anything is started."))
            fit = plain.block(elem_id="fit-card")
            plain.block(plain.heading("Prompt preview"))
            preview = gr.Textbox(
                label="The first seed as the source model reads it",
                interactive=False,
                lines=4,
                max_lines=12,
                elem_classes="mono",
                elem_id="prompt-preview",
            )
            onward = gr.Button(
                "Add an adapter", variant="primary", interactive=False, elem_id="source-next"
            )
    _sections(parts, adapter, rows, form, fit, preview, onward)
    _wire_adapter(parts, adapter, preview)
    _wire_rows(parts, rows)
    _wire_form(parts, form, rows.drawn, formats, proposal)
    onward.click(lambda: gr.Tabs(selected="synthesize"), outputs=parts.tabs, show_progress="hidden")


def _adapter_part() -> _Adapter:
    plain.block(
        plain.heading(
            "Adapter", "The LoRA that should move. A transfer kit brings its seeds along."
        )
    )
    with gr.Row(elem_classes="buttons"):
        example = gr.Button("Load the example", elem_id="load-example")
        recipe = gr.UploadButton(
            "Load a recipe (.json)", file_types=[".json"], elem_id="recipe-file"
        )
    files = gr.File(
        label="A kit or adapter as zip, or the adapter's two files",
        file_count="multiple",
        file_types=[".zip", ".json", ".safetensors"],
        height=120,
        elem_id="adapter-files",
    )
    with gr.Accordion("From the Hugging Face Hub", open=False):
        hub = gr.Textbox(
            label="Adapter id",
            placeholder="owner/name, or owner/name@revision",
            elem_id="hub-adapter",
        )
        with gr.Row(elem_classes="buttons"):
            fetch = gr.Button("Fetch the adapter", size="sm", elem_id="fetch-adapter")
    refused = plain.block(elem_id="adapter-refused", render=False)
    card = plain.block(elem_id="adapter-card", render=False)
    inspect = gr.Button("Check it against its base", size="sm", render=False, elem_id="inspect")
    return _Adapter(example, files, hub, fetch, recipe, refused, card, inspect)


def _bases_part() -> dict[str, Any]:
    plain.block(plain.heading("Bases", "The model it was trained on, and the one it should serve."))
    form: dict[str, Any] = {"task_name": fields.control("task_name")}
    with gr.Row():
        for name, label in (("source_base", "Source base"), ("target_base", "Target base")):
            form[name] = gr.Dropdown(
                choices=source_cards.base_choices(),
                label=label,
                info="From the list, a Hub id, or a folder.",
                allow_custom_value=True,
                filterable=True,
                elem_id=name.replace("_", "-"),
                min_width=200,
            )
    return form


def _rows_part() -> _Rows:
    plain.block(
        plain.heading(
            "Seeds",
            f"3 to {LIMITS.seeds} real inputs. Outputs are optional: the teacher can answer.",
        )
    )
    seeds = gr.Dataframe(
        headers=["input", "output"],
        datatype="str",
        column_count=2,
        type="array",
        interactive=True,
        wrap=True,
        label="Seeds",
        show_label=False,
        max_height=300,
        column_widths=["68%", "32%"],
        elem_id="seeds",
        buttons=[],
    )
    count = plain.block(elem_id="seeds-count")
    drawn = gr.Textbox(visible="hidden", label="Source form", elem_id="source-drawn")
    with gr.Row(elem_classes="buttons"):
        seeds_file = gr.UploadButton(
            "Upload seeds (.jsonl, .csv, .parquet, .txt)",
            file_types=_ROWS_FILES,
            size="sm",
            elem_id="seeds-file",
        )
    with gr.Accordion("Paste lines", open=False):
        pasted = gr.Textbox(
            label="One input per line; an output after a tab or =>",
            lines=4,
            max_lines=12,
            elem_id="seeds-pasted",
        )
        with gr.Row(elem_classes="buttons"):
            add = gr.Button("Add these lines", size="sm", elem_id="seeds-add")
    with gr.Accordion("Optional: evaluation rows, own inputs, discriminator", open=False):
        evaluation = _rows_file("evaluation", "Evaluation rows with answers: to judge the result")
        unlabelled = _rows_file("unlabelled", "Own inputs without answers: used first")
        discriminator = gr.File(
            label="Discriminator adapter: a zip or its two files",
            file_count="multiple",
            file_types=[".zip", ".json", ".safetensors"],
            height=96,
            elem_id="discriminator-files",
        )
    optional = plain.block(elem_id="optional-card")
    uploaded = gr.Dataframe(
        headers=["row", "input", "output"],
        datatype="str",
        column_count=3,
        interactive=False,
        wrap=True,
        visible=False,
        max_height=260,
        label=f"The first {source_cards.ROWS_SHOWN} of each, as they were read",
        column_widths=["18%", "56%", "26%"],
        elem_id="uploaded-rows",
        buttons=[],
    )
    return _Rows(
        *(seeds, seeds_file, pasted, add, count, drawn),
        *(evaluation, unlabelled, discriminator, optional, uploaded),
    )


def _rows_file(role: str, label: str) -> gr.File:
    return gr.File(label=label, file_types=_ROWS_FILES, height=96, elem_id=f"{role}-file")


def _format_part(form: dict[str, Any]) -> tuple[gr.Button, gr.Textbox]:
    with gr.Accordion("Prompt templates", open=False):
        plain.block(
            plain.sentence("An adapter only works with the prompt that it was trained with.")
        )
        for side, word in (("source_format", "Source"), ("target_format", "Target")):
            with gr.Row():
                form[f"{side}.kind"] = gr.Dropdown(
                    choices=_KINDS,
                    label=f"{word} prompt",
                    min_width=150,
                    elem_id=f"{side.replace('_', '-')}-kind",
                )
                form[f"{side}.template"] = gr.Textbox(
                    label=f"{word} template",
                    info="Text around {input}.",
                    lines=2,
                    scale=3,
                    elem_classes="mono",
                    elem_id=f"{side.replace('_', '-')}-template",
                )
        form["source_format.system"] = gr.Textbox(
            label="Source system turn (chat only)",
            info="Empty leaves the base's own.",
            elem_id="source-format-system",
        )
        with gr.Row(elem_classes="buttons"):
            propose = gr.Button("Propose from the seeds", size="sm", elem_id="propose-format")
        proposal = gr.Textbox(
            label="Likelihood of the seeds' outputs under each prompt",
            interactive=False,
            lines=3,
            visible=False,
            elem_id="format-proposal",
        )
    return propose, proposal


def _sections(
    parts: Parts,
    adapter: _Adapter,
    rows: _Rows,
    form: dict[str, Any],
    fit: gr.HTML,
    preview: gr.Textbox,
    onward: gr.Button,
) -> None:
    def draw_inputs(now: Snapshot) -> Drawn:
        words, ready = source_cards.missing(now)
        return {
            adapter.card: source_cards.adapter_card(now),
            adapter.inspect: gr.update(visible=now.inputs.adapter is not None),
            rows.count: source_cards.seeds_sentence(now),
            rows.optional: source_cards.optional_card(now),
            rows.uploaded: gr.update(
                value=source_cards.uploaded_rows(now),
                visible=bool(now.inputs.evaluation or now.inputs.unlabelled),
            ),
            fit: source_cards.fit_card(now),
            preview: source_cards.prompt_preview(now),
            onward: gr.update(value=words, interactive=ready),
        }

    def draw_form(now: Snapshot) -> Drawn:
        shown = {name: fields.shown(now.recipe, name) for name in _FORM}
        table = source_cards.seed_table(now)
        values = {fields.element(name): value for name, value in shown.items()} | {"seeds": table}
        drawn: Drawn = {form[name]: value for name, value in shown.items()}
        return drawn | {rows.seeds: table, rows.drawn: saves.drawn_for(now.run_id, values)}

    parts.sections += [
        Section(
            "source inputs",
            TAB,
            [
                *(adapter.card, adapter.inspect, rows.count, rows.optional, rows.uploaded),
                *(fit, preview, onward),
            ],
            lambda now: (
                f"{now.run_id}|{now.inputs_token}|{now.recipe_token}|{sorted(now.done)}|{now.busy}"
            ),
            draw_inputs,
        ),
        Section(
            "source form",
            TAB,
            [*form.values(), rows.seeds, rows.drawn],
            lambda now: f"{now.run_id}|{now.recipe_token}|{now.inputs_token}",
            draw_form,
            {str(box.elem_id): box for box in (*form.values(), rows.seeds)},
        ),
    ]


def _wire_adapter(parts: Parts, adapter: _Adapter, preview: gr.Textbox) -> None:
    run, owner, actions = parts.run_id, parts.owner, source_actions
    taking, shown = actions.taking_adapter, [run, adapter.refused]
    parts.opened += [
        adapter.example.click(taking(actions.load_example), [run, owner], shown),
        adapter.files.upload(taking(actions.take_files), [run, adapter.files, owner], shown),
        adapter.recipe.upload(told(actions.take_recipe), [run, adapter.recipe, owner], [run]),
    ]
    for event in (adapter.fetch.click, adapter.hub.submit):
        parts.opened.append(event(taking(actions.take_hub), [run, adapter.hub, owner], shown))
    adapter.inspect.click(
        told(source_actions.inspect),
        [run],
        [adapter.card, preview],
        show_progress_on=[adapter.card],
    )


def _wire_rows(parts: Parts, rows: _Rows) -> None:
    run, owner, actions = parts.run_id, parts.owner, source_actions
    edited = rows.seeds.input(
        told(actions.take_seed_table),
        [run, rows.seeds, rows.drawn, parts.page, owner],
        [run, rows.seeds],
        show_progress="hidden",
        trigger_mode="always_last",
    )
    parts.changed.append(edited)
    parts.opened += [
        rows.seeds_file.upload(told(actions.take_seed_file), [run, rows.seeds_file, owner], [run]),
        rows.add.click(told(actions.add_pasted), [run, rows.pasted, owner], [run, rows.pasted]),
    ]
    for role, box in (("evaluation", rows.evaluation), ("unlabelled", rows.unlabelled)):
        parts.changed.append(box.upload(actions.take_rows(role), [run, box, owner], [run]))
    parts.changed.append(
        rows.discriminator.upload(
            told(actions.take_discriminator), [run, rows.discriminator, owner], [run]
        )
    )


def _wire_form(
    parts: Parts,
    form: dict[str, Any],
    drawn: gr.Textbox,
    propose: gr.Button,
    proposal: gr.Textbox,
) -> None:
    for name in _FORM:
        box = form[name]
        event = box.blur if isinstance(box, gr.Textbox) else box.input
        parts.changed.append(
            event(
                source_actions.save_field(name),
                [parts.run_id, box, drawn, parts.page, parts.owner],
                [parts.run_id, box],
                show_progress="hidden",
                trigger_mode="always_last",
            )
        )
    parts.changed.append(
        propose.click(
            told(source_actions.propose),
            [parts.run_id],
            [form["source_format.kind"], form["source_format.template"], proposal],
        )
    )
