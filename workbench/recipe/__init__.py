"""TransferRecipe: every choice of a run, frozen and checked data, JSON in and out.

Every field says here what it means, in which unit and within which bounds (``declaring``).
What is accepted can be trained with: nothing fails later for its value alone. Recipes of older
schemas are read (``schema1``). No torch here.
"""

import dataclasses
import hashlib
import json
from dataclasses import field
from operator import attrgetter
from typing import Annotated, Any

from pydantic import Field as Bound

from workbench.errors import RecipeError
from workbench.recipe.declaring import RecipeField, checked, describe, setting
from workbench.recipe.evaluation import AUTO as AUTO
from workbench.recipe.evaluation import CHECKER as CHECKER
from workbench.recipe.evaluation import METRICS as METRICS
from workbench.recipe.evaluation import EvaluationSettings as EvaluationSettings
from workbench.recipe.prompt_format import PromptFormat
from workbench.recipe.schema1 import current_name, is_schema_1, migrated
from workbench.recipe.sections import (
    LoraSettings as LoraSettings,
)
from workbench.recipe.sections import (
    StudentSettings,
    SynthesisSettings,
    TrainingSettings,
)
from workbench.students import STUDENTS

SCHEMA = 2
MODEL = "model"  # of ``teacher``: the source base was fine-tuned as a whole


@checked
class TransferRecipe:
    """Everything that decides what a run does, besides the uploaded files."""

    task_name: Annotated[
        str,
        Bound(pattern=r"\S"),
        setting(
            "Task name",
            "What the adapter does; names the files and the card.",
            longest=80,
            bounds="a text of 1 to 80 characters",
        ),
    ] = "my task"
    source_base: Annotated[
        str,
        setting(
            "Source base",
            "The model that the adapter was trained on: hub:owner/name, folder:path or "
            "package:name.",
            longest=4096,
        ),
    ] = "package:smollm2-135m-instruct"
    teacher: Annotated[
        str,
        setting(
            "Teacher",
            '"adapter" is the source base with an adapter; "model" is the source base by itself, '
            "where it was fine-tuned as a whole and there is no adapter.",
            choices={"adapter": "Source base with an adapter", "model": "Source base by itself"},
        ),
    ] = "adapter"
    target_base: Annotated[
        str,
        setting(
            "Target base",
            "The model that the new adapter is for: hub:owner/name, folder:path or package:name.",
            longest=4096,
        ),
    ] = "package:gemma-3-270m"
    source_format: PromptFormat = field(default_factory=PromptFormat)
    target_format: PromptFormat = field(
        default_factory=lambda: PromptFormat(kind="text", template="{input}\n\nAnswer:")
    )
    preset: Annotated[
        str,
        setting("Preset", "The set of values that this recipe started from.", longest=80),
    ] = "best"
    quantize_target: Annotated[
        bool,
        setting(
            "Target in 4-bit (NF4)",
            "For training and comparison. Saves memory on a GPU, and with large bases.",
        ),
    ] = True
    seed: Annotated[
        int,
        setting("Random seed", "The same seed repeats the run.", least=0, most=2**32 - 1),
    ] = 0
    pause_for_review: Annotated[
        bool,
        setting(
            "Pause for review",
            "Stop after the samples are answered, so that you can look at them before training.",
        ),
    ] = False
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    schema: int = SCHEMA


# What each preset changes from the defaults above, by dotted field name. The defaults are "best".
# "balanced" is the paper's list with today's training. "paper" is section 4 of arXiv 2405.17258;
# what it leaves open (rank, alpha) is PEFT's default.
_LIST_WRITER = {
    "synthesis.writer": "list",
    "synthesis.prompts_per_round": 32,
    "synthesis.temperature": 0.9,
    "synthesis.top_k": 64,
    "synthesis.top_p": 0.95,
    "training.epochs": 3.0,
    "training.batch_rows": 16,
    "training.soft_labels": False,
}
PRESETS: dict[str, dict[str, Any]] = {
    "best": {},
    "quick": {
        "synthesis.samples": 300,
        "student.rank": 8,
        "student.alpha": 16.0,
    },
    "thorough": {"training.epochs": 5.0, "student.rank": 32, "student.alpha": 64.0},
    "balanced": {
        **_LIST_WRITER,
        "synthesis.samples": 300,
        "training.learning_rate": 2e-4,
    },
    "paper": {
        **_LIST_WRITER,
        "synthesis.samples": 250,
        "synthesis.train_on_seeds": False,
        "student.rank": 8,
        "student.alpha": 8.0,
        "student.target_modules": ("q_proj", "v_proj"),
        "training.learning_rate": 2e-5,
        "training.epochs": 20.0,
        "training.batch_rows": 8,
        "training.warmup_fraction": 0.0,
        "training.clip_norm": 0.0,
    },
}


RECOMMENDED = "best"  # the preset of a new run: ahead wherever presets were compared


def recommended() -> TransferRecipe:
    """The recipe of a new run."""
    return TransferRecipe(preset=RECOMMENDED)


def for_preparing() -> TransferRecipe:
    """The recipe with which an owner makes a kit: the source adapter's shape and training.

    Negatives are the base's own, written as in the paper, so that the discriminator has to learn.
    """
    return override(
        TransferRecipe(),
        {
            **_LIST_WRITER,
            "synthesis.generator": "source",
            "student.rank": 8,
            "student.alpha": 16.0,
            "training.learning_rate": 1e-3,
        },
    )


def fields() -> tuple[RecipeField, ...]:
    """Every field that a person may set, with its words and bounds, in their order."""
    plain = TransferRecipe()
    return tuple(
        dataclasses.replace(one, default=attrgetter(one.name)(plain))
        for one in describe(TransferRecipe)
    )


def is_read(recipe: TransferRecipe, told: RecipeField) -> bool:
    """Whether a field changes anything, as the rest of the recipe stands."""
    return all(attrgetter(name)(recipe) in values for name, values in told.read_by.items())


def with_preset(recipe: TransferRecipe, preset: str) -> TransferRecipe:
    """The recipe with this preset's values in the place of its former preset's.

    Raises:
        RecipeError: the name is unknown.
    """
    if preset not in PRESETS:
        raise RecipeError(f'Preset "{preset}" is unknown. Choose one of: {", ".join(PRESETS)}.')
    plain = TransferRecipe()
    undone = {name: attrgetter(name)(plain) for name in PRESETS.get(recipe.preset, {})}
    # What goes with another kind of adapter stays with it.
    kept = STUDENTS[recipe.student.method].defaults
    return override(recipe, {**undone, "preset": preset, **PRESETS[preset], **kept})


def override(recipe: TransferRecipe, changes: dict[str, Any]) -> TransferRecipe:
    """Replace fields by dotted name, e.g. ``{"training.epochs": 5}``; strings are converted.

    Names of schema 1 (``lora.rank``, ``synthesis.method``) stand for those of today. Another kind
    of adapter brings its own learning rate and the like, where these are not given with it.
    """
    data = to_dict(recipe)
    changes = {current_name(given): value for given, value in changes.items()}
    for given, value in {**_of_method(recipe, changes), **changes}.items():
        *parents, leaf = given.split(".")
        level = data
        for name in parents:
            level = level.get(name) if isinstance(level, dict) else None
            if not isinstance(level, dict):
                raise RecipeError(f'The recipe has no field "{given}".')
        if leaf not in level:
            raise RecipeError(f'The recipe has no field "{given}".')
        level[leaf] = value
    return from_dict(data)


def _of_method(recipe: TransferRecipe, changes: dict[str, Any]) -> dict[str, Any]:
    """What changes with the kind of adapter, besides the kind itself."""
    old, new = recipe.student.method, changes.get("student.method", recipe.student.method)
    if new == old or new not in STUDENTS:
        return {}
    plain, preset = TransferRecipe(), PRESETS.get(recipe.preset, {})
    former = {name: preset.get(name, attrgetter(name)(plain)) for name in STUDENTS[old].defaults}
    return {**former, **STUDENTS[new].defaults}


def to_dict(recipe: TransferRecipe) -> dict[str, Any]:
    """Plain JSON-ready values."""
    return dataclasses.asdict(recipe)


def from_dict(data: dict[str, Any], start: TransferRecipe | None = None) -> TransferRecipe:
    """Build and check a recipe, of schema 1 too; what is wrong raises RecipeError by name.

    Args:
        start: what is left out is as it is there; None: the default.
    """
    if not isinstance(data, dict):
        raise RecipeError("The recipe must be an object of named fields.")
    if is_schema_1(data):
        data = migrated(data)
    schema = data.get("schema", SCHEMA)
    if schema != SCHEMA:
        raise RecipeError(
            f"This recipe has schema {str(schema)[:20]}; this version reads 1 to {SCHEMA}. "
            "A newer version may read it."
        )
    return TransferRecipe(**(_completed(data, to_dict(start)) if start else data))


def _completed(data: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    """Sections and fields of ``start`` in the place of those that are left out."""
    sections = {
        name: {**start[name], **value} if isinstance(start.get(name), dict) else value
        for name, value in data.items()
        if isinstance(value, dict)
    }
    return {**start, **data, **sections}


def to_json(recipe: TransferRecipe) -> str:
    """Readable JSON with a trailing newline."""
    return json.dumps(to_dict(recipe), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str, start: TransferRecipe | None = None) -> TransferRecipe:
    """Read what ``to_json`` wrote, see ``from_dict``; raises RecipeError with a sentence."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"The recipe is not valid JSON: {error}.") from error
    return from_dict(data, start)


def recipe_hash(recipe: TransferRecipe) -> str:
    """First 16 hex digits of SHA-256 over the canonical JSON."""
    canonical = json.dumps(to_dict(recipe), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
