"""Every recipe field that the page shows, declared once: words, bounds, component.

Values go into the run's recipe as soon as they are given, so a reload or a failure loses none;
what is not allowed any more (a stage has started) comes back as one sentence.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from workbench.recipe import PRESETS, TransferRecipe

CHOICE, NUMBER, WHOLE, SWITCH, TEXT = "choice", "number", "whole", "switch", "text"


@dataclass(frozen=True)
class Field:
    """One control and its words; bounds are the recipe's own."""

    label: str
    kind: str
    info: str = ""
    choices: tuple[tuple[str, str], ...] = ()


FIELDS: dict[str, Field] = {
    "task_name": Field("Task name", TEXT, "What the adapter does; names the files and the card."),
    # A number and no slider: a slider refuses recipes beyond its ends.
    "synthesis.samples": Field("Samples to keep", WHOLE, "More help, up to a point."),
    "synthesis.method": Field(
        "How inputs are written",
        CHOICE,
        choices=(("Continue a list of seeds (paper)", "list"), ("For each label", "label")),
    ),
    "synthesis.generator": Field(
        "Who writes them",
        CHOICE,
        choices=(("Target base (paper)", "target"), ("Source base", "source")),
    ),
    "synthesis.filter": Field(
        "Which are kept",
        CHOICE,
        choices=(
            ("Automatic", "auto"),
            ("Discriminator: more likely real than not", "discriminator"),
            ("Excess: where the adapter matters", "excess"),
            ("All", "none"),
        ),
    ),
    "synthesis.seeds_per_prompt": Field("Seeds shown per prompt", WHOLE),
    "synthesis.prompts_per_round": Field("Prompts per round", WHOLE, "A round is resumed whole."),
    "synthesis.max_rounds": Field("Rounds at most", WHOLE, "Then it goes on with what it has."),
    "synthesis.new_tokens": Field("Tokens written per prompt", WHOLE),
    "synthesis.near_duplicate": Field(
        "Near-duplicate from", NUMBER, "Similarity from which two inputs are one; 1 is equality."
    ),
    "synthesis.grafts": Field(
        "Crossed inputs per sample",
        NUMBER,
        "Known inputs crossed with others and with single words, answered by the teacher: where "
        "inputs are written per label. Twice as many for over 100 answers, five times for objects.",
    ),
    "synthesis.train_on_seeds": Field("Train on the seeds too", SWITCH, "Not done in the paper."),
    "synthesis.temperature": Field("Temperature", NUMBER, "Higher is more varied, and wilder."),
    "synthesis.top_k": Field("Top k", WHOLE),
    "synthesis.top_p": Field("Top p", NUMBER),
    "seed": Field("Random seed", WHOLE, "The same seed repeats the run."),
    "lora.method": Field(
        "Method", CHOICE, choices=(("LoRA", "lora"), ("rsLoRA", "rslora"), ("DoRA", "dora"))
    ),
    "lora.rank": Field("Rank", WHOLE, "Size of the adapter."),
    "lora.alpha": Field("Alpha", NUMBER, "Its strength: scale is alpha / rank."),
    "lora.dropout": Field("Dropout", NUMBER),
    "lora.target_modules": Field(
        "Modules", TEXT, "all-linear, or layer names with commas: q_proj, v_proj."
    ),
    "training.learning_rate": Field("Learning rate", NUMBER),
    "training.epochs": Field("Epochs", NUMBER, "Passes over the samples."),
    "training.batch_rows": Field(
        "Rows per step",
        WHOLE,
        "0: 16, and more where there are very many; without soft labels the rate grows with its "
        "square root.",
    ),
    "training.warmup_fraction": Field("Warm-up (part of all steps)", NUMBER),
    "training.weight_decay": Field("Weight decay", NUMBER),
    "training.clip_norm": Field("Gradient clipping", NUMBER, "0 is off."),
    "training.soft_labels": Field(
        "Learn the teacher's doubts",
        SWITCH,
        "Its probabilities over the answers, where inputs are written per label.",
    ),
    "training.checkpoint_steps": Field("Steps between checkpoints", WHOLE),
    "quantize_target": Field(
        "Target in 4-bit (NF4)", SWITCH, "Saves memory on a GPU, and with large bases."
    ),
    "evaluation.metric": Field(
        "An answer is right when",
        CHOICE,
        "For free text: how near it comes to what was expected.",
        choices=(
            ("what fits the kind of answers", "auto"),
            ("it is the same text", "exact"),
            ("its last number is the same", "number"),
            ("it is the same JSON value", "json"),
            ("free text: shared characters (chrF)", "chrf"),
            ("free text: shared words (ROUGE-L)", "rouge"),
        ),
    ),
    "evaluation.max_rows": Field("Evaluation rows used", WHOLE, "0 is all."),
    "evaluation.answer_tokens": Field(
        "Longest answer in tokens", WHOLE, "0 follows the answers that are known."
    ),
    "evaluation.base_arms": Field(
        "Compare with the bare bases too", SWITCH, "Off: source and new adapter only."
    ),
}

PRESET_WORDS = {
    "quick": "Quick",
    "balanced": "Balanced",
    "thorough": "Thorough",
    "best": "Best",
    "paper": "As in the paper",
}


def element(name: str) -> str:
    """The elem_id of a field's control."""
    return name.replace(".", "-").replace("_", "-")


def control(name: str) -> Component:
    """The component of one declared field."""
    spec = FIELDS[name]
    common: dict[str, Any] = {
        "label": spec.label,
        "info": spec.info or None,
        "elem_id": element(name),
        "interactive": True,
        "min_width": 140,
    }
    if spec.kind == CHOICE:
        return gr.Dropdown(choices=list(spec.choices), **common)
    if spec.kind == SWITCH:
        return gr.Checkbox(**common)
    if spec.kind == TEXT:
        return gr.Textbox(**common)
    return gr.Number(precision=0 if spec.kind == WHOLE else None, **common)


def shown(recipe: TransferRecipe, name: str) -> Any:
    """The recipe's value as its control shows it."""
    value: Any = recipe
    for part in name.split("."):
        value = getattr(value, part)
    return ", ".join(value) if isinstance(value, tuple) else value


def given(name: str, value: Any) -> Any:
    """A control's value as the recipe takes it; an emptied number means 0."""
    if FIELDS[name].kind in (NUMBER, WHOLE):
        return 0 if value is None else value
    if name == "lora.target_modules":
        return tuple(part.strip() for part in str(value).split(",") if part.strip())
    return value


def differences(recipe: TransferRecipe, names: list[str], values: list[Any]) -> dict[str, Any]:
    """What the controls say that the recipe does not say yet, by dotted name."""
    changes = {}
    for name, value in zip(names, values, strict=True):
        taken = given(name, value)
        current = shown(recipe, name)
        wanted = ", ".join(taken) if isinstance(taken, tuple) else taken
        if wanted != current:
            changes[name] = taken
    return changes


def preset_choices() -> list[tuple[str, str]]:
    """(words, name) of the presets that exist, in our order."""
    known = [name for name in PRESET_WORDS if name in PRESETS]
    return [(PRESET_WORDS[name], name) for name in known]


def preset_changes(preset: str, rooms: tuple[str, ...]) -> dict[str, Any]:
    """What a preset sets in the named rooms of the recipe; what it leaves open is the default."""
    plain = TransferRecipe()
    changes: dict[str, Any] = {}
    for room in rooms:
        for entry in dataclasses.fields(getattr(plain, room)):
            changes[f"{room}.{entry.name}"] = getattr(getattr(plain, room), entry.name)
    changes.update({k: v for k, v in PRESETS[preset].items() if k.split(".")[0] in rooms})
    return changes
