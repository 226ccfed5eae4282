"""What led to a finished run, and what may follow it: another base, or the adapter moved again."""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from workbench import chains
from workbench.errors import RunError
from workbench.evaluate.lineage import hop, lineage
from workbench.models import references
from workbench.recipe import override, recommended
from workbench.runs.folder import Run, create
from workbench.stages import Stage
from workbench.ui import plain, transfer_views, words, workspace
from workbench.ui.boxes import button_row, small_button
from workbench.ui.failures import say
from workbench.ui.sections import Parts, Section
from workbench.ui.snapshot import Snapshot
from workbench.ui.transfer_actions import public_base
from workbench.ui.transfer_views import ROUNDS

_HEADERS = ("", "bases", "kind", "samples", "source → new")


def build(parts: Parts, tab: str) -> None:
    """Place the part and wire it."""
    with gr.Accordion(
        "Go on with another base", open=False, visible=False, elem_id="onward"
    ) as part:
        base = gr.Dropdown(
            choices=transfer_views.base_choices(),
            label="New base",
            info="From the list, a Hub id, or a folder.",
            value=None,
            allow_custom_value=True,
            elem_id="onward-base",
        )
        with button_row():
            same = small_button("Train from the same samples", "onward-same")
            again = small_button("Move the new adapter", "onward-again")
        plain.block(
            plain.sentence(
                "The same samples: the source adapter's answers are there already, and only the "
                "training is done again. The new adapter: it becomes the source, for when the "
                "first one is not there any more; a copy of a copy can only lose."
            )
        )
    parts.sections.append(
        Section(
            "onward",
            tab,
            [part],
            "done busy",
            lambda now: (gr.update(visible=Stage.EXPORT in now.done and not now.busy),),
        )
    )
    given, opened = [parts.run_id, base, parts.owner], [parts.run_id, parts.tabs]
    parts.press(same, from_same_samples, given, opened, afresh=True)
    parts.press(again, move_again, given, opened, afresh=True)


def from_same_samples(run_id: str, base: str | None, owner: str = "") -> tuple[str, Any]:
    """A run with the samples and answers of this one, for another target base."""
    old = workspace.find(run_id)
    recipe = override(old.recipe, {"target_base": _other(base, old.recipe.target_base)})

    def make(root: Path) -> Run:
        return create(
            root, recipe, f"{old.name}, for {_short(recipe.target_base)}", inputs=old.inputs
        )

    new = workspace.new_draft(old, owner, make)
    chains.take_samples(new, old)
    say("The samples and answers are there. Look at them, then train.")
    return new.id, gr.Tabs(selected="transfer")


def move_again(run_id: str, base: str | None, owner: str = "") -> tuple[str, Any]:
    """A draft whose source is the new adapter of this run."""
    old = workspace.find(run_id)
    target = _other(base, old.recipe.target_base)
    with tempfile.TemporaryDirectory() as scratch:
        inputs, takes = chains.chained(old, Path(scratch))
        recipe = override(takes(recommended()), {"target_base": target})
        facts = chains.chain_facts(old)

        def make(root: Path) -> Run:
            return create(root, recipe, f"{old.name}, moved again", inputs=inputs, facts=facts)

        new = workspace.new_draft(old, owner, make)
    say("A draft with the new adapter as its source is open.")
    return new.id, gr.Tabs(selected="transfer")


def _other(base: str | None, present: str) -> str:
    if not base or base == present:
        raise RunError("Choose another base first.")
    return public_base(base)


def remember_round(run: Run, label: str, kept: str) -> None:
    """Keep what came of a round that is about to be followed by another.

    Args:
        label: that the next one writes more for, "" for all.
        kept: name of the zip with its adapter.
    """
    earlier = run.recall(ROUNDS, [])
    run.remember(ROUNDS, [*earlier, {**hop(run), "aimed_at": label, "adapter": kept}])


def history(now: Snapshot) -> str:
    """Transfers and rounds that led here, one line each; "" for a first round of a first one."""
    if now.run is None:
        return ""
    earlier, rounds = lineage(now.run), now.run.recall(ROUNDS, [])
    if not earlier and not rounds:
        return ""
    lines = [_line(f"Transfer {number}", one) for number, one in enumerate(earlier, start=1)]
    lines += [_line(f"Round {number}", one) for number, one in enumerate(rounds, start=1)]
    lines.append(_line(f"Round {len(rounds) + 1}" if rounds else "This transfer", hop(now.run)))
    return plain.table(_HEADERS, lines, "What led here")


def _line(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    measured = "–"
    if one.get("transferred") is not None:
        measured = f"{words.percent(one.get('source'))} → {words.percent(one['transferred'])}"
    kept = one.get("samples")
    return (
        name,
        f"{_short(one['source_base'])} to {_short(one['target_base'])}",
        str(one.get("method", "")).replace("_", " "),
        "–" if kept is None else f"{kept:,}",
        measured,
    )


def _short(reference: str) -> str:
    """The last part of a base's name."""
    return words.base_name(references.hub_id(reference) or reference)
