"""Transfer: from an adapter to a verdict on one screen, whatever the run is doing.

Before the start: what moves, what it will do, one button. At work: how far it is. Done: the
verdict. The other tabs have the details; nobody is moved to them.
"""

import functools
from types import SimpleNamespace
from typing import Any

import gradio as gr

from workbench.intake.rows import FILE_TYPES
from workbench.limits import LIMITS
from workbench.recipe import MODEL, recommended
from workbench.ui import (
    fields,
    live_part,
    plain,
    row_uploads,
    saves,
    settings_part,
    transfer_actions,
    transfer_views,
)
from workbench.ui.boxes import button_row, code_shown, rows_table, small_button, text_shown
from workbench.ui.failures import told, with_clock
from workbench.ui.sections import HIDDEN, LAST, Drawn, Parts, Section
from workbench.ui.snapshot import Snapshot

TAB = "transfer"
_FILES = [".zip", ".json", ".safetensors"]
# The button answers at once, however busy the machine is.
_PRESSED = plain.update(value="Starting …", interactive=False)
_NAMED = ("teacher", "source_base", "target_base", "pause_for_review")


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    setup = SimpleNamespace()  # everything that a person may give before the start
    with gr.Column(elem_id="setup") as setup.part, gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            _adapter(setup)
            _bases(setup)
        with gr.Column(scale=5, min_width=300, elem_id="start"):
            _start(setup)
            setup.pause_for_review = fields.control("pause_for_review")
    live_part.build(parts)
    settings_part.build(parts)
    with gr.Column(elem_id="examples-part") as setup.examples:
        _examples(setup)
    setup.drawn = gr.Textbox(visible="hidden", label="Transfer form", elem_id="transfer-drawn")
    _sections(parts, setup)
    _wire(parts, setup)


def _adapter(setup: SimpleNamespace) -> None:
    setup.teacher = gr.Radio(
        [("A LoRA adapter", "adapter"), ("A model that was fine-tuned as a whole", MODEL)],
        value="adapter",
        label="What moves",
        elem_id=fields.element("teacher"),
    )
    with gr.Column(elem_id="adapter-drop") as setup.drop:
        setup.files = gr.File(
            label="Adapter: a zip, its two files, or a transfer kit",
            file_count="multiple",
            file_types=_FILES,
            height=112,
            elem_id="adapter-files",
        )
        with gr.Row(elem_classes="buttons from-hub"):
            setup.hub = gr.Textbox(
                label="Adapter on the Hugging Face Hub",
                show_label=False,
                placeholder="or a Hub id: owner/name",
                container=False,
                scale=3,
                min_width=180,
                elem_id="hub-adapter",
            )
            setup.fetch = small_button("Fetch", "fetch-adapter")
    setup.refused = plain.block(elem_id="adapter-refused")
    with button_row(visible=False, elem_id="adapter-part") as setup.several:
        setup.which = gr.Dropdown(label="Folder", container=False, elem_id="adapter-which")
        setup.take_part = small_button("Take this one", "adapter-part-take")
    setup.card = plain.block(elem_id="adapter-card")
    with button_row(visible=False) as setup.buttons:
        setup.change = small_button("Change the adapter", "adapter-change")
        setup.inspect = small_button("Check it against its base", "inspect")
        setup.own = small_button("Ten inputs that it writes itself", "own-inputs")
    setup.asking = plain.block()
    written = "Written by the adapter itself: these may be rows that it was trained on"
    setup.written = text_shown(written, "own-inputs-text", visible=False, lines=10, max_lines=20)
    setup.waiting = gr.State(())


def _bases(setup: SimpleNamespace) -> None:
    with gr.Row():
        for name, label in (("source_base", "Trained on"), ("target_base", "New base")):
            box = gr.Dropdown(
                value=getattr(recommended(), name),
                choices=transfer_views.base_choices(),
                label=label,
                info="From the list, a Hub id, or a folder.",
                allow_custom_value=True,
                filterable=True,
                elem_id=name.replace("_", "-"),
                min_width=200,
            )
            setattr(setup, name, box)
    setup.count = plain.block(elem_id="seeds-count")


def _start(setup: SimpleNamespace) -> None:
    setup.plan = plain.block(elem_id="plan")
    setup.go = gr.Button(
        "Add an adapter first", variant="primary", interactive=False, elem_id="transfer-go"
    )
    with button_row(elem_id="no-adapter") as setup.none:
        plain.block(plain.sentence("No adapter at hand?"))
        setup.example = small_button("Load the example", "load-example")


def _examples(setup: SimpleNamespace) -> None:
    with gr.Accordion("Examples and evaluation rows", open=False, elem_id="examples"):
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=320):
                _seeds(setup)
            with gr.Column(scale=5, min_width=300):
                setup.evaluation = _rows_file(
                    "evaluation", "Evaluation rows, with or without answers"
                )
                setup.unlabelled = _rows_file("unlabelled", "Own inputs to train on")
                setup.discriminator = gr.File(
                    label="Discriminator adapter: a zip or its two files",
                    file_count="multiple",
                    file_types=_FILES,
                    height=96,
                    elem_id="discriminator-files",
                )
        setup.columns = row_uploads.build()
        setup.uploaded = rows_table(
            {"row": "96px", "input": "56%", "output": "32%"},
            f"The first {transfer_views.ROWS_SHOWN} of each, as they were read",
            "uploaded-rows",
            visible=False,
            max_height=260,
        )
        read_as = "The first example as the source model reads it"
        setup.preview = code_shown(read_as, "prompt-preview", lines=2, max_lines=12)


def _seeds(setup: SimpleNamespace) -> None:
    setup.seeds = rows_table(
        {"input": "68%", "output": "32%"},
        f"Examples: up to {LIMITS.seeds} real inputs; an empty output is answered for you",
        "seeds",
        type="array",
        interactive=True,
        max_height=300,
    )
    setup.pasted = gr.Textbox(
        label="Or paste: one input per line; an output after a tab or =>",
        lines=2,
        max_lines=12,
        elem_id="seeds-pasted",
    )
    with button_row():
        setup.add = small_button("Add these lines", "seeds-add")
        setup.seeds_file = gr.UploadButton(
            "Upload examples (.jsonl, .csv, .parquet, .txt)",
            file_types=list(FILE_TYPES),
            size="sm",
            elem_id="seeds-file",
        )


def _rows_file(role: str, label: str) -> gr.File:
    return gr.File(label=label, file_types=list(FILE_TYPES), height=96, elem_id=f"{role}-file")


def _sections(parts: Parts, setup: SimpleNamespace) -> None:
    views = transfer_views

    def draw_inputs(now: Snapshot) -> Drawn:
        fresh, there = not (now.begun or now.busy), now.has_teacher
        adapter = now.inputs.adapter is not None
        words = views.missing(now)
        return {
            setup.part: gr.update(visible=fresh),
            setup.examples: gr.update(visible=fresh),
            setup.drop: gr.update(visible=not there),
            setup.teacher: gr.update(visible=not adapter),
            setup.none: gr.update(visible=not there),
            setup.card: views.adapter_card(now),
            setup.source_base: gr.update(visible=there),
            setup.buttons: gr.update(visible=adapter),
            setup.written: gr.update(value="", visible=False),
            setup.count: views.examples_sentence(now) if there or now.inputs.seeds else "",
            setup.uploaded: gr.update(
                value=views.uploaded_rows(now),
                visible=bool(now.inputs.evaluation or now.inputs.unlabelled),
            ),
            setup.plan: views.plan(now),
            setup.preview: views.prompt_preview(now),
            setup.go: gr.update(value=words or "Transfer", interactive=not words and not now.busy),
            setup.pause_for_review: gr.update(visible=there),
        }

    forms = {name: getattr(setup, name) for name in (*_NAMED, "seeds")}

    def draw_form(now: Snapshot) -> Drawn:
        shown: dict[str, Any] = {name: getattr(now.recipe, name) for name in _NAMED}
        shown["seeds"] = views.seed_table(now)
        values = {str(forms[name].elem_id): value for name, value in shown.items()}
        drawn: Drawn = {forms[name]: value for name, value in shown.items()}
        return drawn | {setup.drawn: saves.drawn_for(now.run_id, values)}

    inputs = (
        setup.part, setup.examples, setup.drop, setup.none, setup.card, setup.written,
        setup.teacher, setup.source_base, setup.buttons, setup.count, setup.uploaded,
        setup.plan, setup.preview, setup.go, setup.pause_for_review,
    )  # fmt: skip
    parts.sections += [
        Section(
            "transfer inputs", TAB, inputs, "inputs_token recipe_token begun busy", draw_inputs
        ),
        Section(
            "transfer form",
            TAB,
            [*forms.values(), setup.drawn],
            "recipe_token inputs_token",
            draw_form,
            {str(box.elem_id): box for box in forms.values()},
            setup.drawn,
        ),
    ]


def _on_rows(parts: Parts, setup: SimpleNamespace, role: str, box: Any) -> None:
    """A file of rows is read when it is uploaded; its columns are asked for where unclear."""
    given = [parts.run_id, box, parts.owner]
    drawn = [parts.run_id, box, *setup.columns.drawn]
    parts.take(box.upload, row_uploads.take_file(role), given, drawn, afresh=role == "seeds")


def _wire(parts: Parts, setup: SimpleNamespace) -> None:
    run, owner, actions = parts.run_id, parts.owner, transfer_actions
    taking = actions.taking_adapter
    shown = [run, setup.refused, setup.files, setup.several, setup.which, setup.waiting]
    by_part = [run, setup.waiting, owner, setup.which]
    parts.press(setup.example, taking(actions.load_example), [run, owner], shown, afresh=True)
    given = [run, setup.files, owner]
    parts.take(setup.files.upload, taking(actions.take_files), given, shown, afresh=True)
    parts.take(setup.take_part.click, taking(actions.take_files), by_part, shown, afresh=True)
    pasted = [run, setup.pasted, owner]
    parts.press(setup.add, actions.add_pasted, pasted, [run, setup.pasted], afresh=True)
    for event in (setup.fetch.click, setup.hub.submit):
        parts.take(event, taking(actions.take_hub), [run, setup.hub, owner], shown, afresh=True)
    setup.change.click(None, None, setup.drop, js=plain.update(visible=True))
    inspected = setup.inspect.click(
        told(actions.inspect),
        [run],
        [setup.card, setup.preview],
        show_progress_on=[setup.card],
    )
    wrote = with_clock(
        setup.own.click, "asking the adapter", setup.asking, actions.own_inputs,
        [run], [setup.written],
    )  # fmt: skip
    hidden = dict.fromkeys((setup.several, setup.columns.group), HIDDEN)
    parts.readings += [(inspected, hidden | {setup.refused: ""}), (wrote, {})]
    for role in ("seeds", "evaluation", "unlabelled"):
        file = setup.seeds_file if role == "seeds" else getattr(setup, role)
        _on_rows(parts, setup, role, file)
    chosen = setup.columns
    which = [run, chosen.waiting, chosen.inputs, chosen.output, owner]
    parts.press(chosen.take, row_uploads.take_chosen, which, [run, *chosen.drawn], afresh=True)
    box = setup.discriminator
    parts.take(box.upload, actions.take_discriminator, [run, box, owner], [run, box])
    told_by = [setup.drawn, parts.page, owner]
    table = [run, setup.seeds, *told_by]
    parts.act(setup.seeds.input, actions.take_seed_table, table, [run, setup.seeds], **LAST)
    boxes = [getattr(setup, name) for name in _NAMED]
    changed = functools.partial(gr.on, [box.input for box in boxes])
    given = [run, *told_by, *boxes]
    parts.act(changed, actions.save_fields(_NAMED), given, [run, *boxes], **LAST)
    pressed = setup.go.click(None, None, setup.go, js=_PRESSED)
    # All is drawn again, the button of a start that was refused as well.
    parts.opened.append(pressed.then(told(actions.start), [run], None, show_progress="hidden"))
