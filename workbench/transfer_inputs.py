"""From files on the command line to a run folder; the same command finds the same run again."""

import argparse
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from workbench import chains
from workbench import recipe as recipes
from workbench.errors import IntakeError, RecipeError, RunError, WorkbenchError
from workbench.inputs import AdapterFiles, Inputs, seeds_and_rest
from workbench.intake.adapter import read_adapter
from workbench.intake.bundle_recipe import recipe_beside
from workbench.intake.columns import EITHER, NONE, OPTIONAL
from workbench.intake.hub import read_given
from workbench.intake.kit import read_kit
from workbench.intake.row_format import fitted_rows, proposed_format
from workbench.intake.rows import Rows
from workbench.models import references
from workbench.recipe import PromptFormat, TransferRecipe, recipe_hash, to_dict
from workbench.recipe.prompt_format import source_changes
from workbench.runs.folder import Run, checked_id, create, open_run
from workbench.runs.input_files import ADAPTER_ROLES, EXAMPLE_ROLES
from workbench.runs.recipe_rules import differing, flat
from workbench.synthesis_plan import MEASURED_FORMAT, OWED
from workbench.terminal import tell, told_rows

_ROLES = (*ADAPTER_ROLES, *EXAMPLE_ROLES)
ReadRecipe = Callable[[TransferRecipe], TransferRecipe]


@dataclass(frozen=True)
class Given:
    """What a transfer is made from.

    Attributes:
        format_named: whether something names the source adapter's prompt format; else the run
            measures it before anything else, and its fingerprint is that of the unknown format.
    """

    inputs: Inputs
    recipe: TransferRecipe
    format_named: bool

    def facts(self) -> dict[str, Any]:
        """What the run has to remember, see ``Run.remember``."""
        return {} if self.format_named else {MEASURED_FORMAT: OWED}

    def fingerprint(self) -> str:
        """Ten hex digits that change with every input and every choice."""
        inputs = self.inputs
        parts = [
            recipe_hash(self.recipe),
            *(files.sha256 if (files := getattr(inputs, role)) else "" for role in ADAPTER_ROLES),
            *(
                json.dumps([[row.input, row.output, *row.references] for row in rows])
                for rows in (inputs.seeds, inputs.evaluation, inputs.unlabelled)
            ),
            *self.facts(),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


@contextmanager
def opened(options: argparse.Namespace, read_recipe: ReadRecipe) -> Iterator[Run]:
    """The run that these options describe: found by the hash of inputs and recipe, or new.

    A new one that cannot go on before it has made anything leaves nothing behind.

    Raises:
        IntakeError, RecipeError, RunError: with a sentence.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given = gather(options, read_recipe, Path(scratch))
        name = options.run or f"transfer-{given.fingerprint()}"
        is_new = not (options.runs / checked_id(name)).exists()
        if is_new:
            facts = given.facts()
            if options.from_run:
                facts |= chains.chain_facts(_run(options, options.from_run))
            run = create(options.runs, given.recipe, id=name, inputs=given.inputs, facts=facts)
        else:
            run = open_run(options.runs / name)
            _require_same(run, given)
    try:
        if options.samples_from:
            chains.take_samples(run, _run(options, options.samples_from))
        yield run
    except WorkbenchError:
        if is_new and not run.samples.all():
            run.database.close()
            shutil.rmtree(run.folder, ignore_errors=True)
        raise


def chosen_recipe(
    start: TransferRecipe, file: Path | None, preset: str | None, changes: dict[str, Any]
) -> TransferRecipe:
    """A recipe's file, then a preset, then single fields by dotted name: the later wins.

    What the file leaves out is as in ``start``.
    """
    recipe = start if file is None else _from_file(file, start)
    if preset:
        recipe = recipes.with_preset(recipe, preset)
    return recipes.override(recipe, changes)


def _from_file(path: Path, start: TransferRecipe) -> TransferRecipe:
    try:
        return recipes.from_json(path.read_text(encoding="utf-8"), start)
    except OSError as error:
        raise RecipeError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no recipe: it is not text.") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.message}") from error


def _run(options: argparse.Namespace, name: str) -> Run:
    return chains.run_named(options.runs, name)


def _require_same(run: Run, given: Given) -> None:
    """Raise RunError with what differs from what the run was made from.

    What the run measured is no difference; a format that is named before it did is taken.
    """
    inputs, recipe, measured = given.inputs, given.recipe, run.recall(MEASURED_FORMAT)
    if measured is not None and not given.format_named:
        recipe = recipes.override(recipe, source_changes(asdict(run.recipe.source_format)))
    elif measured == OWED:
        run.change_recipe(source_changes(asdict(recipe.source_format)))
        run.remember(MEASURED_FORMAT, None)
    made = _with_whole_paths(run.recipe)
    old, new = (flat(to_dict(which)) for which in (made, recipe))
    differences = [
        f"{field} is {old.get(field)!r} there and {new.get(field)!r} here"
        for field in differing(made, recipe)
    ]
    for role in ADAPTER_ROLES:
        there, here = getattr(run.inputs, role), getattr(inputs, role)
        if (there and there.sha256) != (here and here.sha256):
            differences.append(f"the {role} is {_other(there, here)}")
    for role in EXAMPLE_ROLES:
        there, here = getattr(run.inputs, role), getattr(inputs, role)
        if there != here:
            differences.append(f"the {role} rows are {_other(there, here)}")
    if differences:
        raise RunError(
            f'The run "{run.id}" was made from something else: {"; ".join(differences)}. '
            "Choose another --run name, or give what it was made from."
        )


def _other(there: object, here: object) -> str:
    if there and here:
        return "another one" if isinstance(there, AdapterFiles) else "others"
    return "only there" if there else "only here"


def gather(options: argparse.Namespace, read_recipe: ReadRecipe, workspace: Path) -> Given:
    """Kit or another run first, single files over it; the recipe starts from what that says."""
    start, inputs, kit_base = recipes.recommended(), Inputs(), ""
    if options.kit:
        kit = read_kit(options.kit, workspace)
        inputs, start, kit_base = kit.inputs, kit.recipe_from(start), kit.source_base
    elif options.from_run:
        inputs, takes = chains.chained(_run(options, options.from_run), workspace)
        start = takes(start)
    elif options.samples_from:
        other = _run(options, options.samples_from)
        inputs, start = other.inputs, other.recipe
    parts: dict[str, Any] = {
        "adapter": options.adapter and read_given(options.adapter, workspace, options.adapter_part),
        "discriminator": options.discriminator
        and read_adapter(options.discriminator, workspace, links=True),
    }
    named = bool(options.kit or options.from_run or options.samples_from)
    named = named or _names_format(read_recipe, start)
    if parts["adapter"]:
        tell(options.adapter[0], *parts["adapter"].notes)
        if not named and (bundled := recipe_beside(options.adapter[0])):
            start, named = replace(start, source_format=bundled.target_format), True
            tell(options.adapter[0], "The prompt format is that of the recipe.json beside it.")
    files = _row_files(options)
    if "seeds" in files:
        named = named or bool(files["seeds"].template)
        form = proposed_format(files["seeds"], start.source_format)
        start = replace(start, source_format=form)
    recipe = read_recipe(start)
    for role, rows in files.items():
        parts[role], note = fitted_rows(rows, recipe.source_format, getattr(options, role).name)
        tell(getattr(options, role), *filter(None, [note]))
    if "seeds" in parts:
        parts["seeds"], rest, note = seeds_and_rest(parts["seeds"])
        parts["unlabelled"] = (*parts.get("unlabelled", ()), *rest)
        tell(options.seeds, *filter(None, [note]))
    inputs = Inputs(**{role: parts.get(role) or getattr(inputs, role) for role in _ROLES})
    bases = {"source_base": options.source_base, "target_base": options.target_base}
    given = {key: reference for key, reference in bases.items() if reference}
    if options.source_model:
        given |= {"source_base": options.source_model, "teacher": recipes.MODEL}
    teacher = given.get("teacher", recipe.teacher)
    if inputs.adapter is None and teacher != recipes.MODEL:
        raise IntakeError(
            "Nothing to move: give --kit FILE, --adapter (and --seeds), --source-model (and "
            "--seeds), or --from-run NAME."
        )
    if inputs.adapter is not None and teacher == recipes.MODEL:
        raise IntakeError(
            "A source model that was fine-tuned as a whole is the teacher by itself: leave out "
            "--adapter and --kit, or give the base of the adapter with --source-base."
        )
    chosen = recipe.source_base != start.source_base or "source_base" in given
    begun = options.kit or options.from_run or options.samples_from  # these say the base
    if parts["adapter"] and not chosen and not begun:
        given |= _base_by_config(options.adapter[0], parts["adapter"].base_hint, recipe.source_base)
    if options.kit and not kit_base and not chosen:
        raise IntakeError(
            "The kit does not say which base its adapter is for: it was made on a folder of "
            "another machine. Say it with --source-base."
        )
    return Given(inputs, _with_whole_paths(recipes.override(recipe, given)), named)


def _with_whole_paths(recipe: TransferRecipe) -> TransferRecipe:
    """Bases in folders by their whole paths: a worker that goes on with a run may be elsewhere."""
    bases = {"source_base": recipe.source_base, "target_base": recipe.target_base}
    return recipes.override(
        recipe, {key: str(references.parse(text)) for key, text in bases.items()}
    )


def _base_by_config(path: Path, hint: str, otherwise: str) -> dict[str, str]:
    """The base that an adapter's config names, if it is in the list; else what is taken, told."""
    if named := references.listed(hint):
        return {"source_base": named}
    if hint:
        tell(
            path,
            f"The adapter's config names {hint[:80]} as its base, and {otherwise} is taken. Say "
            "another with --source-base.",
        )
    return {}


def _names_format(read_recipe: ReadRecipe, start: TransferRecipe) -> bool:
    """Whether a recipe's file or single fields say the source format: no other comes through."""
    others = (PromptFormat(kind, "? {input}", system="?") for kind in ("chat", "text"))
    return any(
        source_changes(asdict(read_recipe(replace(start, source_format=other)).source_format))
        != source_changes(asdict(other))
        for other in others
    )


def _row_files(options: argparse.Namespace) -> dict[str, Rows]:
    wanted = {"seeds": OPTIONAL, "evaluation": EITHER, "unlabelled": NONE}
    return {
        role: told_rows(path, outputs, options)
        for role, outputs in wanted.items()
        if (path := getattr(options, role))
    }
