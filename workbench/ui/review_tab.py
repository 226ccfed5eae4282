"""Review: a paged table that stays fast, an editor beside it, decisions by key or by mouse."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import gradio as gr

from workbench.intake.rows import FILE_TYPES
from workbench.stages import Stage
from workbench.ui import consent_box, plain, words
from workbench.ui import review_actions as actions
from workbench.ui.boxes import button_row, files_made, rows_table, small_button, text_shown
from workbench.ui.failures import told
from workbench.ui.sections import HIDDEN, LAST, Drawn, Parts, Section, act, choose, ordered
from workbench.ui.snapshot import Snapshot

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


_STEPS = ("accept", "reject", "previous", "next")  # buttons that need a sample
_SIDE = (*_STEPS, "undo", "redo", "work", "consent")  # those of ``_draw_side``


class _Finder(NamedTuple):
    """In the order of ``review_actions.asked_for``."""

    status: gr.Dropdown
    search: gr.Textbox
    label: gr.Dropdown
    origin: gr.Dropdown
    low: gr.Textbox
    high: gr.Textbox
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
    box = SimpleNamespace(ids=gr.State([]), regenerated=gr.State(""))
    token = gr.Textbox(visible="hidden", label="Samples token", elem_id="review-token")
    with gr.Column(elem_id="review-panel"):
        plain.block(plain.heading("Review", "What is kept is what the new adapter learns."))
        plain.block(plain.sentence(_KEYS), elem_classes="keys")
        box.finder = _filters()
        with gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=320):
                _table(box)
            with gr.Column(scale=5, min_width=300):
                box.editor = _editor(box)
        _files(parts, box)
    box.view = [
        box.table, box.sentence, box.page, box.ids, box.keep_all, box.reject_all, box.relabel,
        box.all_again,
    ]  # fmt: skip
    side = {name: getattr(box, name) for name in _SIDE}
    _wire_table(parts, box, token)
    _wire_editor(parts, box)
    parts.sections += [
        Section("review rows", TAB, [token], "samples_token", lambda now: (now.samples_token,)),
        Section(
            "review labels",
            TAB,
            [box.finder.label, *side.values()],
            "samples_token busy",
            lambda now: _draw_side(now, box.finder.label, side),
        ),
    ]


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
    with gr.Accordion("More filters", open=False):
        with gr.Row(elem_classes="dense"):
            origin = gr.Dropdown(_ORIGINS, value="", label="Written by", min_width=120)
            # An empty field for numbers is shown as 0, and filters so.
            low = gr.Textbox(label="Score from", min_width=90, elem_id="review-low")
            high = gr.Textbox(label="Score to", min_width=90, elem_id="review-high")
        edited = gr.Checkbox(False, label="Only edited ones")
    return _Finder(status, search, label, origin, low, high, edited, sort)


def _table(box: SimpleNamespace) -> None:
    box.table = rows_table(
        {"▸": "28px", "input": "48%", "answer": "22%", "score": "64px", "status": "110px"},
        "Samples",
        "review-table",
        max_height=620,
        show_label=False,
    )
    with button_row():
        box.back = small_button("‹ Page", "page-back")
        box.page = gr.Number(
            1, label="Page", precision=0, minimum=1, container=False, min_width=70,
            elem_id="page-number",
        )  # fmt: skip
        box.forward = small_button("Page ›", "page-forward")
        box.sentence = plain.block(elem_id="page-sentence")
    with button_row():
        box.keep_all = small_button("Keep all of these", "bulk-keep")
        box.reject_all = small_button("Reject all of these", "bulk-reject")
        box.all_again = small_button("Regenerate these", "bulk-regenerate")
    with gr.Accordion("One answer for all of these", open=False):
        box.one_answer = gr.Textbox(
            label="Answer", info="For what the filter shows, on all pages.", elem_id="bulk-answer"
        )
        with button_row():
            box.relabel = small_button("Give it to all of these", "bulk-give")


def _editor(box: SimpleNamespace) -> _Editor:
    where = plain.block(plain.empty("Choose a row."), elem_id="review-where")
    text = gr.Textbox(label="Input", lines=3, max_lines=14, elem_id="review-input")
    answer = gr.Textbox(label="Answer", lines=1, max_lines=10, elem_id="review-answer")
    with button_row():
        box.accept = small_button("✓ Accept", "review-accept", variant="primary")
        box.reject = small_button("✕ Reject", "review-reject")
        box.previous = small_button("‹ Back", "review-previous")
        box.next = small_button("Next ›", "review-next")
    with button_row():
        box.save = small_button("Save edit", "review-save")
        box.again = small_button("Regenerate", "review-regenerate")
        box.hand = small_button("Write one by hand", "review-hand")
    with button_row():
        box.undo = small_button("Undo", "review-undo", interactive=False)
        box.redo = small_button("Redo", "review-redo", interactive=False)
    facts = plain.block(elem_id="review-facts")
    nearest = text_shown("Nearest example", "review-nearest", lines=2)
    with button_row():
        box.work = small_button("Score and label these", "review-work", visible=False)
    chosen = gr.Textbox(visible="hidden", label="Chosen sample", elem_id="review-chosen")
    version = gr.Number(-1, visible="hidden", label="Its version", precision=0)
    return _Editor(where, text, answer, facts, nearest, chosen, version)


def _files(parts: Parts, box: SimpleNamespace) -> None:
    with gr.Accordion("Import and export", open=False), gr.Row(equal_height=False):
        with gr.Column():
            rows = gr.File(
                label="Add rows with input and, if you like, output: .jsonl, .csv, .parquet, .txt",
                file_types=list(FILE_TYPES),
                height=110,
                elem_id="review-import",
            )
        with gr.Column():
            form = gr.Dropdown(
                list(consent_box.WRITERS),
                value="JSONL",
                label="Export what the filter shows as",
                elem_id="review-format",
            )
            box.consent = consent_box.box("review-consent")
            make = small_button("Make the file", "review-export")
            made = files_made("File", "review-file")
    parts.take(rows.upload, actions.take_rows, [parts.run_id, rows], [rows])
    asked = [parts.run_id, *box.finder, form, box.consent]
    filed = make.click(told(actions.make_file), asked, [made])
    parts.readings.append((filed, {made: HIDDEN}))


def _wire_table(parts: Parts, box: SimpleNamespace, token: gr.Textbox) -> None:
    asked, finder, view = [parts.run_id, *box.finder], box.finder, box.view
    again = [*asked, box.page, box.editor.chosen]

    def show(event: Any, page: Any) -> None:
        event(inputs=again, outputs=view, **ordered(page), **LAST)

    for event in (
        finder.status.input, finder.search.change, finder.label.input, finder.origin.input,
        finder.low.blur, finder.low.submit, finder.high.blur, finder.high.submit,
        finder.edited.input, finder.sort.input,
    ):  # fmt: skip
        show(event, actions.first_page)
    for event in (token.change, box.page.submit, box.page.blur):
        show(event, actions.same_page)
    show(box.back.click, actions.page_back)
    show(box.forward.click, actions.page_forward)
    editor = box.editor
    shown = [editor.chosen, editor.version, editor.input, editor.answer]
    chosen = choose(box.table, actions.choose, [parts.run_id, box.ids, *shown], [*editor])
    show(chosen.then, actions.same_page)
    parts.press(box.keep_all, actions.keep_all, asked)
    parts.press(box.reject_all, actions.reject_all, asked)
    given = [parts.run_id, box.one_answer, *finder]
    parts.press(box.relabel, actions.relabel_all, given, [box.one_answer])
    parts.changed.append(
        box.all_again.click(told(actions.regenerate_all), asked, None, show_progress_on=[box.table])
    )


def _wire_editor(parts: Parts, box: SimpleNamespace) -> None:
    run, editor = parts.run_id, box.editor
    moving = [run, *box.finder, box.page, editor.chosen, box.ids]
    shown = [*box.view, *editor]
    written = [editor.version, editor.input, editor.answer]
    parts.press(box.next, actions.step_on, [*moving, *written], shown)
    parts.press(box.previous, actions.step_back, [*moving, *written], shown)
    parts.press(box.accept, actions.accept, [*moving, *written], shown)
    parts.press(box.reject, actions.reject, [*moving, *written], shown)
    parts.press(box.save, actions.save, [run, editor.chosen, *written], [*editor])
    # It takes a while: by then another sample may be in the editor.
    regenerated = box.again.click(
        told(actions.regenerate), [run, editor.chosen, editor.version], [box.regenerated],
        show_progress_on=[editor.input],
    )  # fmt: skip
    parts.changed.append(regenerated)
    there = [run, editor.chosen, box.regenerated]
    regenerated.then(inputs=there, outputs=[*editor], **ordered(actions.show_regenerated))
    act(box.hand.click, actions.by_hand, [run], [*editor]).then(
        None, js="() => document.querySelector('#review-input textarea')?.focus()"
    )
    empty = dict(zip(editor, actions.NO_SAMPLE, strict=True))
    parts.readings.append((None, empty))
    parts.press(box.undo, actions.undo, [run, editor.chosen], [*editor])
    parts.press(box.redo, actions.redo, [run, editor.chosen], [*editor])
    parts.press(box.work, actions.work, [run])


def _draw_side(now: Snapshot, label: gr.Dropdown, buttons: dict[str, Any]) -> Drawn:
    """Choices of the answer filter, what can be pressed, and what undo and redo would do."""
    steps = [buttons[name] for name in _STEPS]
    there: Drawn = dict.fromkeys(steps, gr.update(interactive=bool(now.counts)))
    if now.run is None:
        return there
    counts = now.run.samples.label_counts()
    choices = [("Any", ""), *((f"{name[:60]} ({n:,})", name) for name, n in counts.items())]
    undo_what, redo_what = now.run.samples.history()
    free = not now.started(Stage.DISTIL)
    waiting = len(now.run.samples.owed_scores()) if not now.busy and free else 0
    return there | {
        label: gr.update(choices=choices[:300]),
        buttons["undo"]: _history("Undo", undo_what, free),
        buttons["redo"]: _history("Redo", redo_what, free),
        buttons["consent"]: consent_box.draw(now),
        buttons["work"]: gr.update(
            visible=waiting > 0, value=f"Score and label {words.count(waiting, 'waiting sample')}"
        ),
    }


def _history(word: str, what: str | None, free: bool) -> Any:
    value = f"{word}: {what}" if what else word
    return gr.update(value=value, interactive=bool(what) and free)
