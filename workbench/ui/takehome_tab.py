"""Take home: the adapter with its card, the data set, the recipe, and how to do it again."""

import re
from typing import Any

import gradio as gr

from workbench import jobs
from workbench import recipe as recipes
from workbench.errors import RunError
from workbench.evaluate.outcome import MERGED, TRANSFERRED, outcome
from workbench.export.bundle import Bundle, find_bundle, public_recipe, replace_card
from workbench.export.dataset import CSV_NOTE
from workbench.export.snippets import SNIPPETS
from workbench.intake.kit import write_kit
from workbench.models import references
from workbench.runs import owners
from workbench.runs.folder import Run
from workbench.stages import Stage
from workbench.ui import consent_box, plain, push_part, saves, words, workspace
from workbench.ui.boxes import button_row, code_shown, files_made, small_button
from workbench.ui.failures import say, told, with_clock
from workbench.ui.sections import LAST, Drawn, Parts, Section, act, ordered
from workbench.ui.snapshot import Snapshot
from workbench.ui.transfer_views import EARLIER
from workbench.ui.waiting_line import MODELS, in_line

TAB = "takehome"
_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
_PEFT = "Transformers + PEFT"
_MERGED_SHOWN = 3_000_000_000  # bytes; Gradio makes a copy of what it hands out


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    boxes: dict[str, Any] = {"state": plain.block(elem_id="takehome-state")}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            _downloads(boxes)
            boxes |= push_part.build(parts.run_id, boxes["consent"])
        with gr.Column(scale=6, min_width=320):
            plain.block(plain.heading("Model card", "Goes into the zip. Edit it, then save."))
            boxes["card"] = gr.Textbox(
                label="README.md", lines=30, max_lines=40, elem_classes="mono", elem_id="card"
            )
            with button_row():
                boxes["save"] = small_button("Save the card", "card-save")
    plain.block(plain.heading("Use it, repeat it"))
    with gr.Row(equal_height=False):
        with gr.Column():
            boxes["with"] = gr.Radio(
                [_PEFT, *SNIPPETS], value=_PEFT, label="Use it with", elem_id="snippet-with"
            )
            boxes["snippet"] = code_shown("Commands", "snippet", lines=11, max_lines=14)
        with gr.Column():
            boxes["command"] = code_shown("The command that repeats this run", "command", lines=3)
            plain.block(
                plain.sentence(
                    "It needs the inputs and the recipe from this page. What you decided by hand "
                    "under Review is in the data set, not in the command."
                )
            )
    merging, card, save = (boxes.pop(name) for name in ("merging", "card", "save"))
    drawn = gr.Textbox(visible="hidden", label="Card form", elem_id="card-drawn")
    parts.sections.append(
        Section(
            "take home",
            TAB,
            list(boxes.values()),
            "done recipe_token inputs_token busy",
            lambda now: _draw(now, boxes),
        )
    )
    # Of its own: a card that is being edited outlives a change of the margin, say.
    parts.sections.append(
        Section("card", TAB, [card, save, drawn], _card_token, _draw_card, {"card": card}, drawn)
    )
    run = parts.run_id
    form = [run, boxes["format"], boxes["consent"]]
    merged = [boxes["merged"], boxes["merged_files"], boxes["measure"]]
    asked, kind = with_clock, [run, boxes["with"]]
    read = [
        boxes["make"].click(told(_data_set), form, [boxes["data"]]),
        boxes["recipe"].click(told(_recipe_file), [run], [boxes["recipe_file"]]),
        boxes["inputs"].click(told(_inputs_file), [run], [boxes["inputs_file"]]),
        asked(boxes["merge"].click, "merging base and adapter", merging, _merge, [run], merged),
        asked(
            boxes["measure"].click, "asking the merged model", merging, _measure, [run], merged[:1]
        ),
        boxes["with"].input(inputs=kind, outputs=[boxes["snippet"]], **ordered(_snippet), **LAST),
    ]
    parts.readings += [(event, {}) for event in read]
    act(save.click, _save_card, [run, card, drawn, parts.page], [boxes["zip"]])


def _downloads(boxes: dict[str, Any]) -> None:
    plain.block(plain.heading("Adapter", "Loads with plain PEFT on the plain target base."))
    boxes["zip"] = gr.DownloadButton(
        "Train the adapter first", variant="primary", interactive=False, elem_id="download-adapter"
    )
    boxes["facts"] = plain.block(elem_id="bundle-facts")
    boxes["earlier"] = files_made("Adapters of earlier rounds", "earlier-rounds", several=True)
    plain.block(plain.heading("Data set", f"The kept samples with their answers. {CSV_NOTE}"))
    with button_row():
        boxes["format"] = gr.Dropdown(
            list(consent_box.WRITERS), value="JSONL", label="Format", min_width=110, container=False
        )
        boxes["make"] = small_button("Make the data set", "make-dataset")
    boxes["consent"] = consent_box.box("dataset-consent")
    boxes["data"] = files_made("Data set")
    plain.block(plain.heading("Recipe and inputs"))
    with button_row():
        boxes["recipe"] = small_button("Recipe file", "make-recipe")
        boxes["inputs"] = small_button("Inputs as a kit", "make-kit")
    boxes["recipe_file"] = files_made("Recipe")
    boxes["inputs_file"] = files_made("Kit")
    plain.block(
        plain.heading("Merged model", "Base and adapter as one, in 16 bit; loads without PEFT.")
    )
    with button_row():
        boxes["merge"] = small_button("Merge", "merge", interactive=False)
        boxes["measure"] = small_button("Measure it", "measure", visible=False)
        boxes["merging"] = plain.block()
    boxes["merged"] = plain.block(elem_id="merged-state")
    boxes["merged_files"] = files_made("Merged model", "merged-files", several=True)


def _bundle(now: Snapshot) -> Bundle | None:
    return find_bundle(now.run.exports) if now.run and Stage.EXPORT in now.done else None


def _card_token(now: Snapshot) -> str:
    bundle = _bundle(now)
    return f"{now.run_id}|{bundle.archive.stat().st_mtime_ns if bundle else ''}"


def _draw_card(now: Snapshot) -> tuple[Any, ...]:
    bundle = _bundle(now)
    card, there = bundle.card() if bundle else "", bundle is not None
    drawn = saves.drawn_for(now.run_id, {"card": card})
    return gr.update(value=card, interactive=there), gr.update(interactive=there), drawn


def _draw(now: Snapshot, boxes: dict[str, Any]) -> Drawn:
    bundle = _bundle(now)
    there = now.run is not None
    drawn: Drawn = {
        boxes["make"]: gr.update(interactive=now.kept > 0),
        boxes["recipe"]: gr.update(interactive=there),
        boxes["inputs"]: gr.update(interactive=bool(now.inputs.adapter and now.inputs.seeds)),
        boxes["data"]: gr.update(visible=False),
        boxes["consent"]: consent_box.draw(now),
        boxes["recipe_file"]: gr.update(visible=False),
        boxes["inputs_file"]: gr.update(visible=False),
        boxes["earlier"]: _earlier(now),
        boxes["merge"]: gr.update(interactive=bundle is not None and not now.busy),
        boxes["measure"]: gr.update(visible=there and _is_merged(now.run) and not now.busy),
        boxes["merged"]: _measured(now.run) if there else "",
        boxes["merged_files"]: gr.update(visible=False),
        boxes["command"]: command(now) if there else "",
    } | push_part.draw(now, boxes, ready=bundle is not None)
    text = "The adapter is packed when the training and the comparison are done."
    none = gr.update(value=None, label=missing(now), interactive=False)
    return drawn | {
        boxes["state"]: "" if bundle else plain.empty(text),
        boxes["zip"]: _download(bundle) if bundle else none,
        boxes["facts"]: plain.facts(_bundle_facts(bundle, now)) if bundle else "",
        boxes["with"]: _PEFT,
        boxes["snippet"]: _snippet(now.run_id, _PEFT) if bundle else "",
    }


def _snippet(run_id: str, way: str) -> str:
    """The commands of one way to use the adapter; those for PEFT are in its card."""
    run, bundle = workspace.packed(run_id)
    if way in SNIPPETS:
        return SNIPPETS[way](run.recipe)
    code = _CODE.search(bundle.card())
    return code.group(1).rstrip() if code else ""


def missing(now: Snapshot) -> str:
    """What is to be done before there is an adapter; words of the primary button."""
    if now.busy:
        return "Not there yet: the run is at work"
    if Stage.DISTIL not in now.done:
        return "Train the adapter first"
    return "Continue the run: it is not packed yet"


def _download(bundle: Bundle) -> Any:
    size = words.size(bundle.archive.stat().st_size)
    label = f"Download the adapter ({size})"
    return gr.update(value=workspace.handed_out(bundle.archive), label=label, interactive=True)


def _earlier(now: Snapshot) -> Any:
    """The zips of the rounds before this one."""
    found = sorted((now.run.exports / EARLIER).glob("*.zip")) if now.run else []
    return gr.update(value=[workspace.handed_out(path) for path in found], visible=bool(found))


def _bundle_facts(bundle: Bundle, now: Snapshot) -> list[tuple[str, str]]:
    base = references.hub_id(now.recipe.target_base)
    # Paths of the server are nobody's business where strangers share it.
    place = [] if owners.shared() else [("Folder", str(bundle.folder))]
    return [
        ("File", bundle.archive.name),
        *place,
        ("Holds", ", ".join(sorted(path.name for path in bundle.folder.iterdir()))),
        ("Base model", base or "a local folder: name one before you publish it"),
        ("Recipe hash", now.recipe_token),
    ]


def command(now: Snapshot) -> str:
    """The command line that does this run again, from the files offered on this page."""
    more = " --unlabelled own-inputs.jsonl" if now.inputs.unlabelled else ""
    return f"python -m workbench transfer --kit inputs-kit.zip --recipe recipe.json{more}"


def _data_set(run_id: str, form: str, consent: bool) -> Any:
    run = workspace.find(run_id)
    kept = run.samples.kept()
    if not kept:
        raise RunError("There are no kept samples yet.")
    return consent_box.file(run, kept, form, consent)


def _recipe_file(run_id: str) -> Any:
    path = workspace.export_file("recipe.json")
    recipe = public_recipe(workspace.find(run_id).recipe)
    path.write_text(recipes.to_json(recipe), encoding="utf-8")
    return gr.update(value=str(path), visible=True)


def _inputs_file(run_id: str) -> Any:
    run: Run = workspace.find(run_id)
    path = write_kit(workspace.export_file("inputs-kit.zip"), run.inputs, run.recipe)
    return gr.update(value=str(path), visible=True)


@in_line(MODELS)
def _merge(run_id: str) -> tuple[str, Any, Any]:
    run = workspace.find(run_id)
    size = int(jobs.consult(run.folder, "merge")["bytes"])
    where = f"{words.size(size)}, in exports/merged of the run's folder ({run.id})."
    shown = gr.update(visible=False)
    if size <= _MERGED_SHOWN:
        paths = sorted((run.exports / MERGED).iterdir())
        shown = gr.update(value=[workspace.handed_out(path) for path in paths], visible=True)
    return plain.sentence(where), shown, gr.update(visible=_is_merged(run))


@in_line(MODELS)
def _measure(run_id: str) -> str:
    run = workspace.find(run_id)
    jobs.consult(run.folder, "measure_merged")
    return _measured(run)


def _is_merged(run: Run | None) -> bool:
    return run is not None and (run.exports / MERGED / "config.json").is_file()


def _measured(run: Run | None) -> str:
    """The merged model beside the 4-bit base with the adapter, once it was measured."""
    found = outcome(run, (TRANSFERRED, MERGED)) if run is not None else None
    if found is None or len(found.arms) < 2:
        return ""
    assert run is not None
    packed, merged = (run.answers.get(arm) for arm in (TRANSFERRED, MERGED))
    others = sum(a.prediction != b.prediction for a, b in zip(packed, merged, strict=False))
    titles = {MERGED: "Merged, in 16 bit", TRANSFERRED: "As it was compared"}
    rows = [
        (titles[arm], f"{100 * mean.mean:.1f} ({100 * mean.low:.1f}–{100 * mean.high:.1f})")
        for arm, mean in found.arms.items()
    ]
    rows.append(("Answers that differ", f"{others:,} of {len(merged):,}"))
    return plain.facts(rows, f"{found.measure[:1].upper()}{found.measure[1:]} in percent")


def _save_card(run_id: str, text: str, drawn: str = "", page: str = "") -> Any:
    _, bundle = workspace.packed(run_id)
    bundle = replace_card(bundle, text)
    saves.remember(page, run_id, "card", bundle.card(), drawn)
    say("Saved; the zip holds the new card.")
    return _download(bundle)
