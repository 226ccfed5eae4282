"""Review: a paged table that stays fast, an editor beside it, decisions by key or by mouse."""

from typing import Any, NamedTuple

import gradio as gr

from workbench.intake.rows import FILE_TYPES
from workbench.ui import consent_box, plain
from workbench.ui import review_actions as actions
from workbench.ui.boxes import button_row, files_made, rows_table, small_button, text_shown
from workbench.ui.failures import told
from workbench.ui.sections import Parts, Section

TAB = "review"
_KEYS = "Keys: j next, k back, a accept, r reject, e edit, u undo, Escape leaves a field."
_STATUS = [("All", ""), ("Kept", "kept"), ("Rejected", "rejected"), ("Waiting", "pending")]
_ORIGINS = [
    ("Any", ""),
    ("Target base", "target"),
    ("Source base", "source"),
    ("Source adapter", "own"),
    ("Kit's writer", "kit"),
    ("Mixed from two inputs", "mixed"),
    ("Your own inputs", "user"),
    ("By hand", "hand"),
]
_SORTS = [
    ("Newest first", "-made"),
    ("Oldest first", "made"),
    ("Score, lowest first", "score"),
    ("Score, highest first", "-score"),
    ("Excess, lowest first", "excess"),
    ("Excess, highest first", "-excess"),
    ("Confidence, lowest first", "confidence"),
    ("Answer, A to Z", "answer"),
]


class _Finder(NamedTuple):
    """In the order of ``review_actions.asked_for``."""

    status: gr.Dropdown
    search: gr.Textbox
    label: gr.Dropdown
    origin: gr.Dropdown
    low: gr.Number
    high: gr.Number
    edited: gr.Checkbox
    sort: gr.Dropdown


class _Editor(NamedTuple):
    """In the order of ``review_actions.editor``."""

    where: gr.HTML
    input: gr.Textbox
    answer: gr.Textbox
    facts: gr.HTML
    nearest: gr.Textbox
    chosen: gr.Textbox
    version: gr.Number


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    token = gr.Textbox(visible="hidden", label="Samples token", elem_id="review-token")
    ids = gr.State([])
    with gr.Column(elem_id="review-panel"):
        plain.block(plain.heading("Review", "What is kept is what the new adapter learns."))
        plain.block(plain.sentence(_KEYS), elem_classes="keys")
        finder = _filters()
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=320):
                table, pager = _table()
            with gr.Column(scale=5, min_width=300):
                editor, buttons = _editor()
        files = _files()
        buttons["consent"] = files["consent"]
    bulk = [pager[name] for name in ("keep", "reject", "relabel", "again")]
    view = [table, pager["sentence"], pager["page"], ids, *bulk]
    asked = [parts.run_id, *finder]
    _wire_table(parts, finder, view, editor, pager, token, ids)
    _wire_editor(parts, asked, view, editor, buttons, pager, ids)
    _wire_files(parts, finder, files)
    parts.sections += [
        Section("review rows", TAB, [token], "samples_token", lambda now: (now.samples_token,)),
        Section(
            "review labels",
            TAB,
            [finder.label, *(buttons[name] for name in actions.SIDE)],
            "samples_token busy",
            lambda now: actions.draw_side(now, finder.label, buttons)
        ),
    ]  # fmt: skip


def _filters() -> _Finder:
    with gr.Row(elem_classes="dense"):
        status = gr.Dropdown(
            _STATUS, value="", label="Status", min_width=110, elem_id="review-status"
        )
        search = gr.Textbox(
            label="Search", placeholder="in input or answer", scale=2, elem_id="review-search"
        )
        label = gr.Dropdown(
            [("Any", "")],
            value="",
            label="Answer",
            allow_custom_value=True,
            min_width=130,
            elem_id="review-label",
        )
        sort = gr.Dropdown(
            _SORTS, value="-made", label="Order", min_width=150, elem_id="review-order"
        )
    with gr.Accordion("More filters", open=False), gr.Row(elem_classes="dense"):
        origin = gr.Dropdown(_ORIGINS, value="", label="Written by", min_width=120)
        low = gr.Number(None, label="Score from", min_width=90)
        high = gr.Number(None, label="Score to", min_width=90)
        edited = gr.Checkbox(False, label="Only edited ones")
    return _Finder(status, search, label, origin, low, high, edited, sort)


def _table() -> tuple[gr.Dataframe, dict[str, Any]]:
    table = rows_table(
        {"▸": "28px", "input": "48%", "answer": "22%", "score": "64px", "status": "110px"},
        "Samples",
        "review-table",
        max_height=620,
        show_label=False,
    )
    pager: dict[str, Any] = {}
    with button_row():
        pager["back"] = small_button("‹ Page", "page-back")
        pager["page"] = gr.Number(
            1, label="Page", precision=0, minimum=1, container=False, min_width=70,
            elem_id="page-number",
        )  # fmt: skip
        pager["forward"] = small_button("Page ›", "page-forward")
        pager["sentence"] = plain.block(elem_id="page-sentence")
    with button_row():
        pager["keep"] = small_button("Keep all of these", "bulk-keep")
        pager["reject"] = small_button("Reject all of these", "bulk-reject")
        pager["again"] = small_button("Regenerate these", "bulk-regenerate")
    with gr.Accordion("One answer for all of these", open=False):
        pager["answer"] = gr.Textbox(
            label="Answer", info="For what the filter shows, on all pages.", elem_id="bulk-answer"
        )
        with button_row():
            pager["relabel"] = small_button("Give it to all of these", "bulk-give")
    return table, pager


def _editor() -> tuple[_Editor, dict[str, Any]]:
    where = plain.block(plain.empty("Choose a row."), elem_id="review-where")
    box = gr.Textbox(label="Input", lines=3, max_lines=14, elem_id="review-input")
    answer = gr.Textbox(label="Answer", lines=1, max_lines=10, elem_id="review-answer")
    buttons: dict[str, Any] = {}
    with button_row():
        buttons["accept"] = small_button("✓ Accept", "review-accept", variant="primary")
        buttons["reject"] = small_button("✕ Reject", "review-reject")
        buttons["previous"] = small_button("‹ Back", "review-previous")
        buttons["next"] = small_button("Next ›", "review-next")
    with button_row():
        buttons["save"] = small_button("Save edit", "review-save")
        buttons["again"] = small_button("Regenerate", "review-regenerate")
        buttons["hand"] = small_button("Write one by hand", "review-hand")
    with button_row():
        buttons["undo"] = small_button("Undo", "review-undo", interactive=False)
        buttons["redo"] = small_button("Redo", "review-redo", interactive=False)
    facts = plain.block(elem_id="review-facts")
    nearest = text_shown("Nearest example", "review-nearest", lines=2)
    with button_row():
        buttons["work"] = small_button("Score and label these", "review-work", visible=False)
    chosen = gr.Textbox(visible="hidden", label="Chosen sample", elem_id="review-chosen")
    version = gr.Number(-1, visible="hidden", label="Its version", precision=0)
    return _Editor(where, box, answer, facts, nearest, chosen, version), buttons


def _files() -> dict[str, Any]:
    files: dict[str, Any] = {}
    with gr.Accordion("Import and export", open=False), gr.Row(equal_height=False):
        with gr.Column():
            files["import"] = gr.File(
                label="Add rows with input and, if you like, output: .jsonl, .csv, .parquet, .txt",
                file_types=list(FILE_TYPES),
                height=110,
                elem_id="review-import",
            )
        with gr.Column():
            files["format"] = gr.Dropdown(
                list(consent_box.WRITERS),
                value="JSONL",
                label="Export what the filter shows as",
                elem_id="review-format",
            )
            files["consent"] = consent_box.box("review-consent")
            files["make"] = small_button("Make the file", "review-export")
            files["file"] = files_made("File", "review-file")
    return files


def _wire_table(
    parts: Parts,
    finder: _Finder,
    view: list[Any],
    editor: _Editor,
    pager: dict[str, Any],
    token: gr.Textbox,
    ids: gr.State,
) -> None:
    asked = [parts.run_id, *finder]
    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
    first, again = told(actions.first_page), [*asked, pager["page"], editor.chosen]
    for event in (
        finder.status.input, finder.search.change, finder.label.input, finder.origin.input,
        finder.low.change, finder.high.change, finder.edited.input, finder.sort.input,
    ):  # fmt: skip
        event(first, again, view, concurrency_limit=None, **quiet)
    token.change(told(actions.same_page), again, view, concurrency_limit=None, **quiet)
    for event in (pager["page"].submit, pager["page"].blur):
        event(told(actions.same_page), again, view, **quiet)
    pager["back"].click(told(actions.page_back), again, view, concurrency_limit=None, **quiet)
    pager["forward"].click(told(actions.page_forward), again, view, concurrency_limit=None, **quiet)
    view[0].select(
        told(actions.choose), [parts.run_id, ids], [*editor], concurrency_limit=None, **quiet
    ).then(told(actions.same_page), again, view, concurrency_limit=None, **quiet)
    for name, handler in (("keep", actions.keep_all), ("reject", actions.reject_all)):
        parts.press(pager[name], handler, asked)
    done = pager["again"].click(
        told(actions.regenerate_all), asked, None, show_progress_on=[view[0]]
    )
    parts.changed.append(done)
    given = [parts.run_id, pager["answer"], *finder]
    parts.press(pager["relabel"], actions.relabel_all, given, [pager["answer"]])


def _wire_editor(
    parts: Parts,
    asked: list[Any],
    view: list[Any],
    editor: _Editor,
    buttons: dict[str, Any],
    pager: dict[str, Any],
    ids: gr.State,
) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    moving = [*asked, pager["page"], editor.chosen, ids]
    shown = [*view, *editor]
    for name, handler in (("next", actions.step_on), ("previous", actions.step_back)):
        buttons[name].click(told(handler), moving, shown, concurrency_limit=None, **quiet)
    for name, handler in (("accept", actions.accept), ("reject", actions.reject)):
        parts.press(buttons[name], handler, [*moving, editor.version], shown)
    texts = [parts.run_id, editor.chosen, editor.version, editor.input, editor.answer]
    parts.press(buttons["save"], actions.save, texts, [*editor])
    parts.changed.append(
        buttons["again"].click(
            told(actions.regenerate),
            [parts.run_id, editor.chosen, editor.version],
            [*editor],
            show_progress_on=[editor.input],
        )
    )
    buttons["hand"].click(told(actions.by_hand), [parts.run_id], [*editor], **quiet).then(
        None, js="() => document.querySelector('#review-input textarea')?.focus()"
    )
    for name, handler in (("undo", actions.undo), ("redo", actions.redo)):
        parts.press(buttons[name], handler, [parts.run_id, editor.chosen], [*editor])
    parts.press(buttons["work"], actions.work, [parts.run_id])


def _wire_files(parts: Parts, finder: _Finder, files: dict[str, Any]) -> None:
    parts.changed.append(
        files["import"].upload(
            told(actions.take_rows), [parts.run_id, files["import"]], [files["import"]]
        )
    )
    files["make"].click(
        told(actions.make_file),
        [parts.run_id, *finder, files["format"], files["consent"]],
        [files["file"]],
    )
