"""What the controls of the Transfer tab do: intake checks, the run keeps. Thin by intent."""

import functools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from workbench import jobs
from workbench import recipe as recipes
from workbench.errors import IntakeError, RunError, WorkbenchError
from workbench.inputs import AdapterFiles
from workbench.intake.adapter import Inspection, inspect_adapter, read_adapter
from workbench.intake.archive import holds
from workbench.intake.bounded_json import read_json
from workbench.intake.copying import read_small
from workbench.intake.hub import fetch_adapter
from workbench.intake.kit import WRITER_REPEATS, Kit, read_kit
from workbench.intake.kit_about import portable_reference
from workbench.intake.rows import parse_rows, table_rows
from workbench.intake.tables import decode
from workbench.limits import LIMITS
from workbench.models import references
from workbench.recipe import to_dict
from workbench.recipe.prompt_format import source_changes
from workbench.runs import owners
from workbench.runs.folder import Run
from workbench.ui import (
    fields,
    plain,
    row_uploads,
    saves,
    snapshot,
    strip,
    train_tab,
    transfer_views,
    workspace,
)
from workbench.ui.failures import say, told, warn
from workbench.ui.theme import ASSETS
from workbench.ui.waiting_line import HUB, MODELS, in_line

_PROMPT = "Prompt: "  # how the check of the rendered prompt begins
_BASES = ("source_base", "target_base")
_KIT_KNOWS = ("task_name", "source_base", "source_format", "evaluation")
EXAMPLE = ASSETS / "example-kit.zip"


class RefusedAdapter(IntakeError):
    """An adapter that failed a check, with those that it passed."""

    def __init__(self, inspection: Inspection) -> None:
        super().__init__(inspection.problem)
        self.inspection = inspection


def taking_adapter(take: Callable[..., Any]) -> Callable[..., Any]:
    """Handler that hands on what ``take`` does, and says of a refused adapter what was checked.

    It gives the run, the sentence, an empty box, and the choice where the files hold several
    adapters: whether it is shown, their folders, and the files that wait for it.
    """

    @functools.wraps(take)
    def taking(*given: Any) -> tuple[Any, ...]:
        # The box is emptied in any case: what is in it would be handed over with the next file.
        try:
            return take(*given), "", None, *_no_choice()
        except RefusedAdapter as error:
            choices = list(error.inspection.choices)
            if choices and take is take_files:
                named = [(folder or "(top)", folder or ".") for folder in choices]
                which = gr.update(choices=named, value=named[-1][1])
                text = f"It holds {len(choices)} adapters. Choose the one that is meant."
                shown = gr.update(visible=True), which, given[1]
                return gr.skip(), plain.sentence(text, "note"), None, *shown
            warn(error.message)
            return gr.skip(), transfer_views.refused(error.inspection), None, *_no_choice()
        except WorkbenchError as error:
            warn(error.message)
            return gr.skip(), plain.sentence(error.message, "problem"), None, *_no_choice()

    return told(taking)


def _no_choice() -> tuple[Any, Any, tuple[()]]:
    return gr.update(visible=False), gr.skip(), ()


def load_example(run_id: str, owner: str = "") -> str:
    """Fill a run with the example kit; one that has inputs is left alone."""
    if not EXAMPLE.is_file():
        raise IntakeError("The example kit is not in this copy. Make it with: make example-kit")
    with tempfile.TemporaryDirectory() as scratch:
        kit = read_kit(EXAMPLE, Path(scratch))
        run = workspace.find_or_create(run_id, owner, _kit_bytes(kit))
        if run.inputs.adapter is not None:
            run = workspace.find_or_create("", owner, _kit_bytes(kit))
        _put_kit(run, kit)
    return run.id


def take_files(run_id: str, paths: Sequence[str] | None, owner: str = "", part: str = "") -> Any:
    """An uploaded kit or adapter; ``part`` is its folder where there are several."""
    files = [Path(path) for path in paths or ()]
    if not files:
        return gr.skip()
    with tempfile.TemporaryDirectory() as scratch:
        if len(files) == 1 and files[0].suffix.lower() == ".zip" and holds(files[0], "kit.json"):
            kit = read_kit(files[0], Path(scratch))
            run = workspace.find_or_create(run_id, owner, _kit_bytes(kit))
            _put_kit(run, kit)
        else:
            adapter = _inspected(files if len(files) > 1 else files[0], Path(scratch), part)
            run = workspace.find_or_create(run_id, owner, _bytes(adapter))
            run.put_adapter(adapter, role="adapter")
            _introduce(run, adapter, files[0].stem if len(files) == 1 else "")
    return run.id


def _introduce(run: Run, adapter: AdapterFiles, name: str) -> None:
    """Call a run and its task, where they have no name yet, after what it moves; take the base that
    the adapter's config names, where it is in the list."""
    named = references.listed(adapter.base_hint)
    if named and named != run.recipe.source_base:
        run.change_recipe({"source_base": named})
    if name and run.name == workspace.NEW_NAME:
        with suppress(WorkbenchError):  # files may be called anything
            run.rename(name[:80])
            if run.recipe.task_name == recipes.recommended().task_name:
                run.change_recipe({"task_name": run.name})


def _inspected(paths: Path | Sequence[Path], scratch: Path, part: str = "") -> AdapterFiles:
    inspection = inspect_adapter(paths, scratch, part=part)
    if inspection.adapter is None:
        raise RefusedAdapter(inspection)
    return inspection.adapter


def _kit_bytes(kit: Kit) -> int:
    parts = (kit.inputs.adapter, kit.inputs.discriminator, kit.inputs.writer)
    return sum(_bytes(part) for part in parts)


def _bytes(adapter: AdapterFiles | None) -> int:
    return adapter.weights.stat().st_size if adapter is not None else 0


def _put_kit(run: Run, kit: Kit) -> None:
    wanted = to_dict(kit.recipe_from(run.recipe))
    wanted["source_base"] = public_base(wanted["source_base"])
    run.change_recipe({name: wanted[name] for name in _KIT_KNOWS})
    assert kit.inputs.adapter is not None
    run.put_inputs(kit.inputs)
    run.remember(WRITER_REPEATS, kit.memorised)
    run.rename(kit.task_name)


@in_line(HUB)
def take_hub(run_id: str, reference: str, owner: str = "") -> str:
    """An adapter of the Hub, fetched into the intake checks like an upload."""
    with tempfile.TemporaryDirectory() as scratch:
        adapter = _inspected(fetch_adapter(reference, Path(scratch)), Path(scratch))
        run = workspace.find_or_create(run_id, owner, _bytes(adapter))
        run.put_adapter(adapter)
        _introduce(run, adapter, reference.strip().rpartition("/")[2])
    return run.id


@in_line(MODELS)
def inspect(run_id: str) -> tuple[str, Any]:
    """Attach the adapter to its base in a process of its own; what came of it, and the prompt."""
    answer = jobs.consult(workspace.find(run_id).folder, "inspect", {})
    checks = [(bool(check["ok"]), str(check["sentence"])) for check in answer["checks"]]
    prompts = [text.removeprefix(_PROMPT) for _, text in checks if text.startswith(_PROMPT)]
    rows = [
        (plain.GOOD if ok else plain.BAD, text)
        for ok, text in checks
        if not text.startswith(_PROMPT)
    ]
    card = transfer_views.adapter_card(snapshot.take(run_id, fresh=True), asked=rows)
    return card, prompts[0] if prompts else gr.skip()


@in_line(MODELS)
def own_inputs(run_id: str) -> Any:
    """Ten inputs as the adapter writes them itself, with what they may be."""
    texts = jobs.consult(workspace.find(run_id).folder, "own_inputs", {})["texts"]
    shown = "\n".join(f"{at}. {text}" for at, text in enumerate(texts, 1))
    return gr.update(value=shown or "It ended no input.", visible=True)


def take_seed_table(
    run_id: str, table: list[list[Any]], drawn: str, page: str, owner: str = ""
) -> tuple[Any, Any]:
    """The editable table as it stands; while it is empty nothing is stored."""
    filled = [[str(cell or "") for cell in row] for row in table or []]
    filled = [row for row in filled if row and row[0].strip()]
    if not filled and not run_id:
        return gr.skip(), gr.skip()
    rows = table_rows(filled, LIMITS.seeds).examples if filled else ()
    saves.require_run(run_id, drawn, page)
    run = _begun(run_id, page, owner)
    if run.id == run_id:
        before = transfer_views.seed_table(run)
        try:
            saves.require_shown(run_id, drawn, page, "seeds", before, whole=True)
        except WorkbenchError as error:
            warn(error.message)
            return run.id, gr.update(value=before)
    run.put_examples(role="seeds", rows=rows)
    saves.remember(page, run.id, "seeds", transfer_views.seed_table(run), drawn)
    return run.id, gr.skip()


def _begun(run_id: str, page: str, owner: str) -> Run:
    """The open run, or a new one that this page has now begun."""
    run = workspace.find_or_create(run_id, owner)
    if run.id != run_id:
        saves.remember_new(page, run.id)
    return run


def add_pasted(run_id: str, text: str, owner: str = "") -> tuple[str, str]:
    """Pasted lines are added to the seeds."""
    added = parse_rows(text, "auto", where="The pasted text")
    seeds = workspace.find(run_id).inputs.seeds if run_id else ()
    known = {seed.input for seed in seeds}
    examples = (*seeds, *(row for row in added.examples if row.input not in known))
    rows = replace(added, examples=examples)
    return row_uploads.store(run_id, "seeds", rows, "the pasted text", owner), ""


def take_discriminator(run_id: str, paths: Sequence[str], owner: str = "") -> tuple[Any, None]:
    """An uploaded discriminator adapter."""
    files = [Path(path) for path in paths]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            adapter = read_adapter(files if len(files) > 1 else files[0], Path(scratch))
        except WorkbenchError as error:
            warn(error.message)
            return gr.skip(), None
        run = workspace.find_or_create(run_id, owner, _bytes(adapter))
        run.put_adapter(adapter, role="discriminator")
    return run.id, None


def save_fields(names: Sequence[str]) -> Callable[..., Any]:
    """Handler that puts the controls of a form into the recipe; a refused value is taken back.

    All of them are sent, so that one event serves a form; saved is what a person has changed.
    """

    def save(run_id: str, drawn: str, page: str, owner: str, *values: Any) -> tuple[Any, ...]:
        saves.require_run(run_id, drawn, page)
        run = _begun(run_id, page, owner)
        given = zip(names, values, strict=True)
        return run.id, *(_save(run, name, value, drawn, page) for name, value in given)

    return told(save)


def _save(run: Run, name: str, value: Any, drawn: str, page: str) -> Any:
    element, before = fields.element(name), fields.shown(run.recipe, name)
    if value == before or saves.shows(drawn, page, run.id, element, value):
        return gr.skip()
    try:
        saves.require_shown(run.id, drawn, page, element, before)
        if name in _BASES:
            value = public_base(str(value or ""))
            references.ready(value)  # what is no base at all is not kept
        run.change_recipe({name: fields.given(name, value)})
    except WorkbenchError as error:
        warn(error.message)
        return gr.update(value=before)
    saves.remember(page, run.id, element, fields.shown(run.recipe, name), drawn)
    if name == "task_name":
        run.rename(str(value))
    return gr.skip()


def start(run_id: str) -> None:
    """The whole transfer; with a pause for review up to the answered samples."""
    now = snapshot.take(run_id, fresh=True)
    if short := transfer_views.missing(now):
        raise RunError(f"{short}.")
    assert now.run is not None
    train = now.estimate.stages[2]
    now.run.remember(train_tab.TOLD, [train.memory, train.seconds])
    jobs.start(now.run, strip.until(now))


def public_base(text: str) -> str:
    """A base as it may be named here: by strangers no folder of the server's, there or not."""
    if not owners.shared():
        return text
    named = text.strip().startswith(("package:", "hub:"))
    reference = text.strip() if named else f"hub:{text.strip()}"  # "a/b" may be a folder
    if portable_reference(reference):
        return reference
    raise IntakeError("On this shared server a base is one of the list, or a Hub id: owner/name.")


def take_recipe(run_id: str, path: str, owner: str = "") -> str:
    """A recipe file, as Take home makes them; a folder that it names as base is left out."""
    text = decode(read_small(Path(path), LIMITS.recipe_bytes), "The recipe")
    data = read_json(text, "The recipe")
    recipe = recipes.from_dict(data)
    run = workspace.find_or_create(run_id, owner)
    wanted = to_dict(recipe)
    for name in _BASES:
        if not portable_reference(wanted[name]):
            wanted[name] = getattr(run.recipe, name)
            say(f"The {name.replace('_', ' ')} stays as it is: the recipe names a folder.")
        else:
            wanted[name] = public_base(wanted[name])
    del wanted["schema"]
    run.change_recipe(wanted)
    run.rename(recipe.task_name)
    say("All settings are those of the recipe.")
    return run.id


@in_line(MODELS)
def propose(run_id: str) -> dict[str, Any]:
    """Ask which prompt makes the outputs likeliest, or is written for, and take it."""
    run = workspace.find(run_id)
    answer = jobs.consult(run.folder, "propose_format", {})
    formats = answer["formats"]
    run.change_recipe(source_changes(formats[0]))
    lines = [f"{row['score']:8.3f}  {row['kind']}: {row['template']!r}" for row in formats]
    told = [answer["by"], *lines, "", "The first is taken:", answer["preview"]]
    return gr.update(value="\n".join(told), visible=True)
