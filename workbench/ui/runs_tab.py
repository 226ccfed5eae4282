"""Runs: everything that was begun here; open, compare, duplicate, rename, delete, take back."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import RunError, WorkbenchError
from workbench.jobs import RunState
from workbench.recipe import TransferRecipe, to_dict
from workbench.runs import atomic, owners
from workbench.runs.folder import Run
from workbench.runs.listing import RunListing, duplicate, list_runs, restore
from workbench.runs.recipe_rules import differing
from workbench.samples import KEPT
from workbench.stages import ARM_WORDS
from workbench.ui import fields, plain, snapshot, words, workspace
from workbench.ui.boxes import button_row, check_row, rows_table, selected, small_button
from workbench.ui.failures import say
from workbench.ui.sections import Parts, choose, ordered

_SHARED = "Those that this browser began. Nobody else can open them."
_OWNER = "(run, owner, ...rest) => [run, window.workbench_owner(), ...rest]"  # see page.js


def build(parts: Parts, tab: gr.Tab) -> None:
    """Place the tab's components and wire them."""
    ids, listed_for = gr.State([]), gr.State("")
    trash = gr.State([])
    everything = "Everything on this machine, the newest change first."
    plain.block(plain.heading("Runs", _SHARED if owners.shared() else everything))
    with button_row():
        new = small_button("New run", "runs-new")
        look = small_button("Refresh", "runs-refresh")
        back = small_button("Undo delete", "runs-restore", visible=False)
    table = rows_table(
        {
            "run": "24%",
            "phase": "18%",
            "bases, method, preset, samples": "27%",
            "source → new, %": "13%",
            "changed, size": "18%",
        },
        "Runs",
        "runs-table",
        max_height=420,
        show_label=False,
    )
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            chosen = gr.Dropdown([], label="Run", elem_id="runs-chosen", filterable=True)
            with button_row():
                open_ = small_button("Open", "runs-open", variant="primary")
                copy = small_button("Duplicate", "runs-duplicate")
                delete = small_button("Delete", "runs-delete", variant="stop")
            name = gr.Textbox(label="New name", max_length=80, elem_id="runs-name")
            with button_row():
                rename = small_button("Rename", "runs-rename")
        with gr.Column(min_width=300):
            other = gr.Dropdown([], label="Compare it with", elem_id="runs-other", filterable=True)
            compared = plain.block(elem_id="runs-compared")

    listing, owner = [table, ids, listed_for, chosen, other], parts.owner
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    run = parts.run_id
    listed: dict[str, Any] = {
        "inputs": [run, owner, ids, listed_for], "outputs": listing, "js": _OWNER, **ordered(_list),
    }  # fmt: skip
    tab.select(**listed)
    look.click(**listed)
    if owners.shared():
        run.change(_claim, [run, owner], None, js=_OWNER, queue=False, **quiet)
    choose(table, _choose, [ids], [chosen, name])
    for box in (chosen, other):
        box.change(inputs=[chosen, other], outputs=[compared], **ordered(_compare))
    parts.press(open_, _open, [chosen], [run, parts.tabs], afresh=True)
    parts.press(copy, _duplicate, [chosen, owner], [run, parts.tabs], afresh=True)
    parts.press(new, _new, [], [run, parts.tabs], afresh=True)
    for event in (
        parts.press(rename, _rename, [chosen, name], [name]),
        parts.press(back, _restore, [trash], [trash, back]),
        parts.press(delete, _delete, [run, chosen, trash], [run, trash, back, chosen], afresh=True),
    ):
        event.then(**listed)


def _new() -> tuple[str, gr.Tabs]:
    return "", gr.Tabs(selected="transfer")


def _claim(run_id: str, token: str) -> None:
    """A new run belongs to the browser that it is shown in first."""
    with suppress(WorkbenchError):  # a wrong address is told elsewhere
        owners.claim(workspace.find(run_id), token)


def _list(
    run_id: str, token: str = "", former: Sequence[str] = (), former_run: str = ""
) -> tuple[Any, ...]:
    """The runs of this machine; on a server that strangers share, the visitor's own.

    What is chosen among the ``former`` ids stays, also what is chosen meanwhile, while all of them
    are there and ``former_run`` is still the open one.
    """
    history = jobs.history(workspace.runs_root())
    if owners.shared():
        history = [(line, state) for line, state in history if owners.owns(token, line.owner)]
    lines = [line for line, _ in history]
    choices = [(f"{line.name} · {words.age(line.changed_at)}", line.id) for line in lines]
    known = [line.id for line in lines]
    choice: dict[str, Any] = {"choices": choices}
    with_none: dict[str, Any] = {"choices": [("Nothing", ""), *choices]}
    if not former:
        choice["value"] = run_id if run_id in known else (known[0] if known else None)
    elif run_id and run_id != former_run:
        choice["value"] = run_id
    elif not set(former) <= set(known):
        choice["value"] = None  # another one would be deleted by a second press of Delete
    if "value" in choice:
        with_none["value"] = ""
    rows = [_row(line, state, run_id) for line, state in history]
    return rows, known, run_id, gr.update(**choice), gr.update(**with_none)


def _row(line: RunListing, state: RunState, run_id: str) -> list[str]:
    source, new = (
        words.percent(line.accuracies.get(arm)).removesuffix(" %")
        for arm in ("source_adapter", "transferred")
    )
    return [
        f"▸ {line.name}" if line.id == run_id else line.name,
        line.problem or words.phase(state),
        _about(line),
        f"{source} → {new}" if line.accuracies else "–",
        f"{words.age(line.changed_at)}, {words.size(line.size_bytes)}",
    ]


def _about(line: RunListing) -> str:
    """Bases, method, preset and kept samples in words; the file may be damaged."""
    told_by = atomic.read_json(line.folder / "recipe.json")
    recipe = told_by if isinstance(told_by, dict) else {}
    bases = [str(recipe.get(name, "?")) for name in ("source_base", "target_base")]
    source, target = map(words.base_name, bases)
    student = recipe.get("student") or recipe.get("lora")
    method = str(student.get("method", "")) if isinstance(student, dict) else ""
    method = fields.FIELDS["student.method"].choices.get(method, method)
    glance = getattr(line, "glance", None)
    kept = glance.counts.get(KEPT, 0) if glance else 0
    parts = (f"{source} to {target}", method, recipe.get("preset"), f"{kept:,} samples")
    return ", ".join(str(part) for part in parts[: 4 if kept else 3] if part)


def _choose(ids: list[str], event: gr.SelectData) -> Any:
    chosen = selected(event, ids)
    if not chosen:
        return gr.skip()
    name = workspace.find(chosen).name
    check_row(event, 0, name, f"▸ {name}")
    return chosen, name


def _open(chosen: str | None) -> tuple[str, Any]:
    return _wanted(chosen).id, gr.Tabs(selected="transfer")


def _wanted(chosen: str | None) -> Run:
    if not chosen:
        raise RunError("Choose a run first.")
    return workspace.find(chosen)


def _duplicate(chosen: str | None, owner: str = "") -> tuple[str, Any]:
    run = _wanted(chosen)
    copy = workspace.new_draft(run, owner, lambda _: duplicate(run))
    say("A new draft with the same inputs and settings is open.")
    return copy.id, gr.Tabs(selected="transfer")


def _rename(chosen: str | None, name: str) -> str:
    _wanted(chosen).rename(name)
    return ""


def _delete(run_id: str, chosen: str | None, trash: list[str]) -> tuple[str, list[str], Any, None]:
    run = _wanted(chosen)
    name = run.name
    size = next((x.size_bytes for x in list_runs(run.folder.parent) if x.id == run.id), 0)
    token = run.delete()
    snapshot.forget(run.id)
    say(f'"{name}" ({words.size(size)}: samples, checkpoints, adapter) is in the trash.', "Deleted")
    open_id = "" if run.id == run_id else run_id
    return open_id, [*trash, token], gr.update(visible=True, value=f"Undo delete: {name}"), None


def _restore(trash: list[str]) -> tuple[list[str], Any]:
    if not trash:
        raise RunError("There is nothing to take back.")
    run = restore(workspace.runs_root(), trash[-1])
    say(f'"{run.name}" is back.')
    rest = trash[:-1]
    return rest, gr.update(visible=bool(rest), value="Undo the delete before")


def _compare(chosen: str | None, other: str | None) -> str:
    if not chosen or not other or chosen == other:
        return ""
    first, second = workspace.find(chosen), workspace.find(other)
    rows = [
        (_title(name), _shown(first.recipe, name), _shown(second.recipe, name))
        for name in differing(first.recipe, second.recipe)
    ]
    arms_one, arms_two = _accuracies(first), _accuracies(second)
    for arm in dict.fromkeys((*arms_one, *arms_two)):
        label = ARM_WORDS.get(arm, arm)
        rows.append((label, words.percent(arms_one.get(arm)), words.percent(arms_two.get(arm))))
    if not rows:
        return plain.sentence("Both have the same settings and no results yet.")
    return plain.table(("", first.name, second.name), rows, "What differs, and what came out")


def _title(name: str) -> str:
    return fields.label(name) if name in fields.FIELDS else name


def _accuracies(run: Run) -> dict[str, float]:
    arms = (run.result() or {}).get("arms") or {}
    return {name: arm["accuracy"] for name, arm in arms.items() if arm}


def _shown(recipe: TransferRecipe, name: str) -> str:
    value: Any = to_dict(recipe)
    for part in name.split("."):
        value = value[part]
    return str(value)
