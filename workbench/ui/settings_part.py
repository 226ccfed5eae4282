"""The settings of a run, made from the recipe's own declarations.

What the chosen writer or method does not read is not shown, nor what is fixed since a step began.
Every value is saved as soon as it is given.
"""

import functools
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.errors import RunError
from workbench.recipe import PRESETS, TransferRecipe, is_read, recommended, with_preset
from workbench.recipe.declaring import RecipeField
from workbench.runs.recipe_rules import fixed_by
from workbench.ui import plain, saves, transfer_actions, workspace
from workbench.ui.boxes import button_row, small_button, text_shown
from workbench.ui.failures import with_clock
from workbench.ui.fields import FIELDS, control, element, in_words, raw, shown
from workbench.ui.sections import HIDDEN, LAST, Drawn, Parts, Section
from workbench.ui.snapshot import Snapshot

TAB = "transfer"
OPENED = "settings"  # the place of what is in sight once the part has been opened
# Placed elsewhere on the page, or nothing that a person types.
_ELSEWHERE = (
    *("source_base", "target_base", "teacher", "pause_for_review", "preset"),
    "evaluation.margin_points",
)
_GROUPS = {
    "Write": ("task_name", "seed", "synthesis"),
    "Train": ("quantize_target", "student", "training"),
    "Compare": ("evaluation",),
    "Prompt": ("source_format", "target_format"),
}
_PRESET_WORDS = {
    "quick": "Quick",
    "best": "Best",
    "thorough": "Thorough",
    "balanced": "Balanced",
    "paper": "As in the paper",
}
Form = dict[str, dict[str, Component]]


def names_of(group: str) -> list[str]:
    """The fields of one group, in the recipe's order."""
    heads = _GROUPS[group]
    return [
        one.name
        for one in FIELDS.values()
        if one.name.partition(".")[0] in heads
        and one.name not in _ELSEWHERE
        and one.kind != "table"
    ]


def build(parts: Parts) -> None:
    """Place the settings, let them follow the run, and save every value as it is given."""
    form: Form = {}
    with gr.Accordion("Settings", open=False, visible=False, elem_id="settings") as part:
        changed = plain.block(elem_id="settings-changed")
        with button_row():
            preset = gr.Radio(
                [(words, name) for name, words in _PRESET_WORDS.items() if name in PRESETS],
                label="Preset",
                info="Sets everything below that it names; the rest stays.",
                elem_id="preset",
            )
            undo = small_button("Back to the preset", "settings-undo")
        heads = {}
        for group in _GROUPS:
            heads[group] = plain.block(plain.small_heading(group))
            with gr.Row():
                form[group] = {name: control(name) for name in names_of(group)}
        with button_row():
            propose = small_button("Find the prompt", "propose")
            proposing = plain.block()
            recipe = gr.UploadButton(
                "Load a recipe (.json)", file_types=[".json"], size="sm", elem_id="recipe-file"
            )
        told_of = "Likelihood of the examples' outputs under each prompt"
        proposal = text_shown(told_of, "format-proposal", lines=3, visible=False)
    drawn = {
        group: gr.Textbox(visible="hidden", label=f"{group} form", elem_id=f"{group}-drawn")
        for group in _GROUPS
    }
    parts.places[OPENED] = part.expand
    parts.sections += [_section(group, heads[group], form[group], drawn[group]) for group in form]
    parts.sections.append(
        Section("settings", TAB, [part, preset, changed, undo], "recipe_token begun", _draw_head)
    )
    run, owner, actions = parts.run_id, parts.owner, transfer_actions
    for group, boxes in form.items():
        given: list[Any] = list(boxes.values())
        typed = (gr.Textbox, gr.Number)
        left = [box.blur if isinstance(box, typed) else box.input for box in given]
        shown_by = [run, drawn[group], parts.page, owner, *given]
        save = actions.save_fields(list(boxes))
        parts.act(functools.partial(gr.on, left), save, shown_by, [run, *given], **LAST)
    parts.act(preset.input, take_preset, [run, preset], afresh=True, **LAST)
    parts.take(recipe.upload, actions.take_recipe, [run, recipe, owner], [run], afresh=True)
    proposed = with_clock(
        propose.click, "scoring the examples under each prompt", proposing, actions.propose,
        [run], [proposal],
    )  # fmt: skip
    parts.opened.append(proposed)
    parts.readings.append((proposed, {proposal: HIDDEN}))
    parts.press(undo, undo_changes, [run], afresh=True)


def _section(group: str, head: gr.HTML, boxes: dict[str, Component], drawn: gr.Textbox) -> Section:
    def draw(now: Snapshot) -> Drawn:
        values = {name: shown(now.recipe, name) for name in boxes}
        updates: Drawn = {
            box: gr.update(value=values[name], visible=offered(now, name))
            for name, box in boxes.items()
        }
        marks = {element(name): value for name, value in values.items()}
        title = plain.small_heading(group) if any(offered(now, name) for name in boxes) else ""
        return updates | {head: title, drawn: saves.drawn_for(now.run_id, marks)}

    return Section(
        f"settings {group.lower()}",
        OPENED,
        [head, *boxes.values(), drawn],
        "recipe_token begun",
        draw,
        {element(name): box for name, box in boxes.items()},
        drawn,
    )


def offered(now: Snapshot, name: str) -> bool:
    """It changes something and may still be changed."""
    stage = fixed_by(name)
    return is_read(now.recipe, FIELDS[name]) and not (stage is not None and now.started(stage))


def changes(recipe: TransferRecipe) -> list[RecipeField]:
    """The fields that differ from the preset's, as far as they are read."""
    base = with_preset(recommended(), recipe.preset) if recipe.preset in PRESETS else recommended()
    names = [name for group in ("Write", "Train", "Compare") for name in names_of(group)]
    return [
        FIELDS[name]
        for name in names
        if name != "task_name"
        and shown(recipe, name) != shown(base, name)
        and is_read(recipe, FIELDS[name])
    ]


def _draw_head(now: Snapshot) -> tuple[Any, ...]:
    different = changes(now.recipe)
    base = with_preset(recommended(), now.recipe.preset) if different else now.recipe
    told_of = ", ".join(
        f"{one.label}: {in_words(now.recipe, one.name)} (preset: {in_words(base, one.name)})"
        for one in different
    )
    fixed = fixed_by("preset")
    free = not (fixed is not None and now.started(fixed))
    title = f"Settings · {len(different)} changed from the preset" if different else "Settings"
    return (
        gr.update(visible=free and now.has_teacher, label=title),
        gr.update(value=now.recipe.preset),
        plain.sentence(f"{told_of}.", "note") if told_of else "",
        gr.update(visible=bool(different)),
    )


def take_preset(run_id: str, name: str) -> None:
    """Take a preset's values; what is fixed already stays as it is."""
    run = workspace.find(run_id)
    wanted = with_preset(run.recipe, name)
    open_names = [n for n in FIELDS if not _fixed(run_id, n)]
    run.change_recipe(
        {n: raw(wanted, n) for n in open_names if raw(wanted, n) != raw(run.recipe, n)}
    )


def undo_changes(run_id: str) -> None:
    """Back to the values of the preset."""
    run = workspace.find(run_id)
    base = with_preset(recommended(), run.recipe.preset)
    names = [one.name for one in changes(run.recipe) if not _fixed(run_id, one.name)]
    if not names:
        raise RunError("These settings are fixed since the run began. Duplicate it to try others.")
    run.change_recipe({name: raw(base, name) for name in names})


def _fixed(run_id: str, name: str) -> bool:
    stage = fixed_by(name)
    stages = workspace.find(run_id).stages()
    return stage is not None and stages[stage].started_at is not None
