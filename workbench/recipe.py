"""TransferRecipe: every choice of a run, plain frozen data, JSON in and out.

Units are in the names; every field says what None or 0 means. Checks that span fields live in
``__post_init__`` and name the field that a person would change. No torch here.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from workbench.errors import RecipeError

SCHEMA = 1
AUTO = "auto"  # the metric that fits the kind of task
METRICS = ("exact", "number", "json", "chrf", "rouge")
FEWEST_BATCH_ROWS, MOST_BATCH_ROWS = 16, 128  # of automatic batches
MOST_STEPS = 600  # of an epoch with automatic batches, while they can grow


def _check(ok: bool, sentence: str) -> None:
    if not ok:
        raise RecipeError(sentence)


@dataclass(frozen=True)
class PromptFormat:
    """How an input becomes a prompt. An adapter only works with the format it was trained with.

    Attributes:
        kind: "chat" puts the filled template into one user turn of the base's chat template;
            "text" is the filled template itself, after the base's begin-of-text token.
        template: text around ``{input}``; the answer follows where it ends.
        system: system turn for "chat"; None leaves the base's own default.
        stop_text: what ends an answer, for an adapter that never learned an end token; "" where
            the end token does.
    """

    kind: str = "chat"
    template: str = "{input}"
    system: str | None = None
    stop_text: str = ""

    def __post_init__(self) -> None:
        _check(self.kind in ("chat", "text"), f'format kind is "chat" or "text", not "{self.kind}"')
        _check(
            self.template.count("{input}") == 1,
            "The prompt template must contain {input} exactly once.",
        )


@dataclass(frozen=True)
class LoraSettings:
    """Shape of a LoRA adapter: one we train, or an uploaded one as intake understood it.

    Attributes:
        method: "lora", "rslora" (scale alpha/sqrt(rank)) or "dora".
        target_modules: names of linear layers, or ("all-linear",) for all but the LM head.
        rank_pattern, alpha_pattern: exceptions per full module name; plain names, no regexes.
    """

    method: str = "lora"
    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ("all-linear",)
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.method in ("lora", "rslora", "dora"), f'method "{self.method}" is unknown')
        _check(1 <= self.rank <= 256, f"rank is 1 to 256, not {self.rank}")
        _check(0 < self.alpha <= 4096, f"alpha is above 0 and at most 4096, not {self.alpha}")
        _check(0 <= self.dropout < 1, f"dropout is 0 up to 1, not {self.dropout}")
        _check(bool(self.target_modules), "target_modules must name at least one layer")


@dataclass(frozen=True)
class TrainingSettings:
    """One adapter training: AdamW, linear schedule, cross-entropy on the answer's tokens.

    Attributes:
        learning_rate: peak rate.
        epochs: passes over the rows.
        batch_rows: rows per optimiser step (kept when micro-batches shrink for memory); 0 settles
            it by the number of rows, and the rate with it (``settled``).
        warmup_fraction: part of all steps with rising rate; 0 starts at the peak.
        weight_decay: AdamW's decoupled decay.
        clip_norm: gradient norm ceiling; 0 is off.
        checkpoint_steps: optimiser steps between checkpoints; 0 only at the end.
        soft_labels: where answers form a closed set (synthesis method "label") and the teacher
            is not sure, train on its probabilities over several answers instead of the likeliest.
    """

    learning_rate: float = 2e-4
    epochs: float = 3
    batch_rows: int = 16
    warmup_fraction: float = 0.05
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    checkpoint_steps: int = 50
    soft_labels: bool = False

    def __post_init__(self) -> None:
        _check(0 < self.learning_rate <= 0.1, "learning_rate is above 0 and at most 0.1")
        _check(0 < self.epochs <= 100, "epochs is above 0 and at most 100")
        _check(0 <= self.batch_rows <= 1024, "batch_rows is 0 (automatic) to 1024")
        _check(0 <= self.warmup_fraction < 1, "warmup_fraction is 0 up to 1")
        _check(self.checkpoint_steps >= 0, "checkpoint_steps is 0 or more")

    def settled(self, rows: int, soft: bool = False) -> "TrainingSettings":
        """With automatic batches decided for so many rows; unchanged where they are given.

        Batches double until an epoch has few enough steps. The rate is meant for the smallest and
        grows with the square root of their size, as Adam's noise allows (Malladi et al. 2022,
        arXiv 2205.10287). With soft labels it stays: there the lower rate was better.

        Args:
            soft: some labels are soft.
        """
        if self.batch_rows:
            return self
        batch = FEWEST_BATCH_ROWS
        while rows > MOST_STEPS * batch and batch < MOST_BATCH_ROWS:
            batch *= 2
        growth = 1.0 if soft else math.sqrt(batch / FEWEST_BATCH_ROWS)
        return dataclasses.replace(
            self, batch_rows=batch, learning_rate=self.learning_rate * growth
        )


@dataclass(frozen=True)
class SynthesisSettings:
    """Where the inputs come from (paper section 3, steps 5 and 6).

    Attributes:
        method: "list" continues a numbered list of seeds (paper); "label" writes for labels that
            the teacher revealed, thin labels first (see ``synthesize/``).
        generator: which base writes: "target" (paper) or "source".
        samples: how many kept samples are asked for.
        filter: "discriminator" keeps P(yes) > P(no); "excess" keeps the better half of twice as
            many by contrastive excess; "none" keeps everything; "auto" is "discriminator" where
            the run has one, else "excess".
        seeds_per_prompt: seeds shown in one prompt (5 in the paper), drawn anew for each prompt.
        prompts_per_round: prompts decoded together; a round is the unit of resuming.
        max_rounds: cap on attempts; when it is hit the run goes on with what it has and says so.
        new_tokens: tokens generated per prompt; 0 makes room for five items of the seeds' length.
        near_duplicate: similarity in 0..1 from which two inputs count as the same; 1 is equality.
        grafts: rows beyond the samples, per sample, five times as many where answers are
            objects, twice as many where there are over a hundred answers: what else was written,
            words after beginnings of seeds, known inputs crossed with others or with words. Only
            where answers recur (method "label").
        train_on_seeds: the seeds themselves are distilled too (not in the paper).
        temperature, top_k, top_p: sampling; top_k is applied first (see decoding).
    """

    method: str = "list"
    generator: str = "target"
    samples: int = 300
    filter: str = "auto"
    seeds_per_prompt: int = 5
    prompts_per_round: int = 32
    max_rounds: int = 60
    new_tokens: int = 0
    near_duplicate: float = 0.9
    grafts: float = 0.0
    train_on_seeds: bool = True
    temperature: float = 0.9
    top_k: int = 64
    top_p: float = 0.95

    def __post_init__(self) -> None:
        _check(self.method in ("list", "label"), 'synthesis method is "list" or "label"')
        _check(self.generator in ("target", "source"), 'generator is "target" or "source"')
        _check(
            self.filter in ("auto", "discriminator", "excess", "none"),
            'filter is "auto", "discriminator", "excess" or "none"',
        )
        _check(1 <= self.samples <= 100_000, "samples is 1 to 100000")
        _check(1 <= self.seeds_per_prompt <= 15, "seeds_per_prompt is 1 to 15")
        _check(1 <= self.prompts_per_round <= 1024, "prompts_per_round is 1 to 1024")
        _check(1 <= self.max_rounds <= 10_000, "max_rounds is 1 to 10000")
        _check(0 <= self.new_tokens <= 2048, "new_tokens is 0 (automatic) to 2048")
        _check(0.5 <= self.near_duplicate <= 1, "near_duplicate is 0.5 to 1")
        _check(0 <= self.grafts <= 10, "grafts is 0 to 10")
        _check(0 < self.temperature <= 5, "temperature is above 0 and at most 5")
        _check(1 <= self.top_k <= 1024, "top_k is 1 to 1024")
        _check(0 < self.top_p <= 1, "top_p is above 0 and at most 1")


@dataclass(frozen=True)
class EvaluationSettings:
    """How the arms are compared.

    Attributes:
        metric: "exact" (after normalisation), "number" (last number), "json" (equal values),
            "chrf" or "rouge" (nearness of free text); "auto" is what fits the known answers.
        max_rows: evaluation rows used; 0 is all.
        answer_tokens: ceiling of an answer's length in tokens, for teacher labels as well; 0 makes
            room for half as much again as the longest known answer.
        margin_points: loss of accuracy (or of the score, of 100) that the user would accept.
        base_arms: answer with the bare bases too, for comparison; else with the source adapter
            and the new one only.
    """

    metric: str = AUTO
    max_rows: int = 0
    answer_tokens: int = 0
    margin_points: float = 3.0
    base_arms: bool = True

    def __post_init__(self) -> None:
        _check(self.metric in (AUTO, *METRICS), f"metric is one of {AUTO}, {', '.join(METRICS)}")
        _check(self.max_rows >= 0, "max_rows is 0 (all) or more")
        _check(0 <= self.answer_tokens <= 1024, "answer_tokens is 0 (automatic) to 1024")
        _check(0 < self.margin_points <= 50, "margin_points is above 0 and at most 50")


@dataclass(frozen=True)
class TransferRecipe:
    """Everything that decides what a run does, besides the uploaded files.

    Attributes:
        source_base, target_base: model references (``workbench.models.references``).
        source_format: the prompt format that the source adapter was trained with.
        target_format: the prompt format of the new adapter.
        quantize_target: 4-bit NF4 for distillation and evaluation of the target.
        seed: of every random choice.
    """

    task_name: str = "my task"
    source_base: str = "package:smollm2-135m-instruct"
    target_base: str = "package:gemma-3-270m"
    source_format: PromptFormat = field(default_factory=PromptFormat)
    target_format: PromptFormat = field(
        default_factory=lambda: PromptFormat(kind="text", template="{input}\n\nAnswer:")
    )
    preset: str = "balanced"
    quantize_target: bool = True
    seed: int = 0
    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        _check(bool(self.task_name.strip()), "task_name must not be empty")
        _check(len(self.task_name) <= 80, "task_name is at most 80 characters")
        _check(
            self.schema <= SCHEMA,
            f"This recipe has schema {self.schema}; this version reads up to {SCHEMA}. Upgrade.",
        )


# What each preset changes from the defaults above, by dotted field name.
# "paper" is section 4 of arXiv 2405.17258; what it leaves open (rank, alpha) is PEFT's default.
PRESETS: dict[str, dict[str, Any]] = {
    "balanced": {},
    "best": {
        "synthesis.method": "label",
        "synthesis.samples": 1000,
        "synthesis.prompts_per_round": 96,
        "synthesis.max_rounds": 60,
        "synthesis.grafts": 2.0,
        "training.learning_rate": 5e-4,
        "training.batch_rows": 0,
        "training.soft_labels": True,
    },
    "quick": {"synthesis.samples": 120, "training.epochs": 2, "lora.rank": 8, "lora.alpha": 16},
    "thorough": {"synthesis.samples": 800, "training.epochs": 5, "lora.rank": 32, "lora.alpha": 64},
    "paper": {
        "synthesis.samples": 250,
        "synthesis.train_on_seeds": False,
        "lora.rank": 8,
        "lora.alpha": 8,
        "lora.target_modules": ("q_proj", "v_proj"),
        "training.learning_rate": 2e-5,
        "training.epochs": 20,
        "training.batch_rows": 8,
        "training.warmup_fraction": 0.0,
        "training.clip_norm": 0.0,
    },
}


RECOMMENDED = "best"  # the preset of a new run: ahead wherever presets were compared


def recommended() -> TransferRecipe:
    """The recipe of a new run."""
    return with_preset(TransferRecipe(), RECOMMENDED)


def with_preset(recipe: TransferRecipe, preset: str) -> TransferRecipe:
    """The recipe with this preset's values in the place of its former preset's.

    Raises:
        RecipeError: the name is unknown.
    """
    if preset not in PRESETS:
        raise RecipeError(f'Preset "{preset}" is unknown. Choose one of: {", ".join(PRESETS)}.')
    plain = TransferRecipe()
    undone = {name: attrgetter(name)(plain) for name in PRESETS.get(recipe.preset, {})}
    return override(recipe, {**undone, "preset": preset, **PRESETS[preset]})


def override(recipe: TransferRecipe, changes: dict[str, Any]) -> TransferRecipe:
    """Replace fields by dotted name, e.g. ``{"training.epochs": 5}``; strings are converted."""
    data = to_dict(recipe)
    for dotted, value in changes.items():
        *parents, leaf = dotted.split(".")
        level = data
        for name in parents:
            level = level.get(name) if isinstance(level, dict) else None
            if not isinstance(level, dict):
                raise RecipeError(f'The recipe has no field "{dotted}".')
        if leaf not in level:
            raise RecipeError(f'The recipe has no field "{dotted}".')
        level[leaf] = value
    return from_dict(data)


def to_dict(recipe: TransferRecipe) -> dict[str, Any]:
    """Plain JSON-ready values."""
    return dataclasses.asdict(recipe)


def from_dict(data: dict[str, Any]) -> TransferRecipe:
    """Build and check a recipe; unknown fields and wrong types raise RecipeError by name."""
    return _build(TransferRecipe, data, "recipe")


def to_json(recipe: TransferRecipe) -> str:
    """Readable JSON with a trailing newline."""
    return json.dumps(to_dict(recipe), indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> TransferRecipe:
    """Read what ``to_json`` wrote; raises RecipeError with a sentence."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RecipeError(f"The recipe is not valid JSON: {error}.") from error
    return from_dict(data)


def recipe_hash(recipe: TransferRecipe) -> str:
    """First 16 hex digits of SHA-256 over the canonical JSON."""
    canonical = json.dumps(to_dict(recipe), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _build(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise RecipeError(f"{where} must be an object of named fields.")
    hints = typing.get_type_hints(cls)
    unknown = set(data) - set(hints)
    if unknown:
        raise RecipeError(f'{where} has no field "{sorted(unknown)[0]}".')
    return cls(**{name: _convert(hints[name], value, name) for name, value in data.items()})


def _convert(hint: Any, value: Any, name: str) -> Any:
    """One field from JSON or the command line to its declared type."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build(hint, value, name)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None or value == "none":
            return None
        return _convert(inner[0], value, name)
    try:
        if origin is tuple:
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(_convert(inner[0], part, name) for part in parts)
        if origin is dict:
            return {str(key): _convert(inner[1], entry, name) for key, entry in value.items()}
        if hint is bool:
            return _boolean(value, name)
        if hint is str and not isinstance(value, str):
            raise ValueError
        if hint is int and isinstance(value, float) and value != int(value):
            raise ValueError
        return hint(value)
    except (TypeError, ValueError, AttributeError) as error:
        wanted = getattr(hint, "__name__", str(hint))
        raise RecipeError(f'{name} must be {wanted}, not "{value}".') from error


def _boolean(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "yes", "1"):
        return True
    if str(value).lower() in ("false", "no", "0"):
        return False
    raise RecipeError(f'{name} must be true or false, not "{value}".')
