"""The parts of a recipe: synthesis, the new adapter, training."""

import dataclasses
import math
from dataclasses import field
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic import Field as Bound
from pydantic.fields import FieldInfo

from workbench.recipe.declaring import checked, setting
from workbench.recipe.evaluation import CHECKER

FEWEST_BATCH_ROWS, MOST_BATCH_ROWS = 16, 128  # of automatic batches
MOST_STEPS = 600  # of an epoch with automatic batches, while they can grow

_LORA_KINDS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}
# What reads a field, where not everything does.
_LORA = {"student.method": ("lora", "rslora", "dora")}
_RANKED = {"student.method": ("lora", "rslora", "dora", "oft", "miss")}
_LAYERS = {"student.method": ("lora", "rslora", "dora", "oft", "miss", "ia3")}
_VIRTUAL = {"student.method": ("prompt_tuning", "prefix_tuning")}
_SHOWS_SEEDS = {"synthesis.writer": ("list", "label")}
_LIST = {"synthesis.writer": ("list",)}
_BY_LABEL = {"synthesis.writer": ("label",)}


def _names(value: Any) -> Any:
    """Words with commas, as the command line and forms give them."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _by_module(label: str, numbers: str) -> FieldInfo:
    description = "Exceptions by full module name; plain names, no patterns."
    return setting(label, description, bounds=f"{numbers} by module name", read_by=_LORA)


_Name = Annotated[str, Bound(pattern=r"^[\w.-]+$", max_length=300)]
_Modules = Annotated[
    tuple[_Name, ...],
    BeforeValidator(_names),
    Bound(min_length=1),
    setting(
        "Modules",
        "Which linear layers get an adapter: their names with commas (q_proj, v_proj), or "
        "all-linear for all but the one that predicts the words.",
        bounds="all-linear, or names of layers with commas",
        read_by=_LAYERS,
    ),
]


@checked
class LoraSettings:
    """Shape of a LoRA adapter, as intake understood an uploaded one."""

    method: Annotated[
        str,
        setting(
            "Method",
            "How the adapter works; rsLoRA scales by alpha / √rank, DoRA splits magnitudes off.",
            choices=_LORA_KINDS,
        ),
    ] = "lora"
    rank: Annotated[
        int, setting("Rank", "Size of the adapter.", least=1, most=256, read_by=_RANKED)
    ] = 16
    alpha: Annotated[
        float,
        setting("Alpha", "LoRA scaling = alpha / rank.", above=0, most=4096, read_by=_LORA),
    ] = 32.0
    dropout: Annotated[
        float,
        setting(
            "Dropout",
            "Share of the adapter's inputs that a training step drops.",
            least=0,
            most=0.9,
            read_by=_LORA,
        ),
    ] = 0.0
    target_modules: _Modules = ("all-linear",)
    rank_pattern: Annotated[
        dict[str, Annotated[int, Bound(ge=1, le=256)]],
        _by_module("Rank by module", "whole numbers from 1 to 256"),
    ] = field(default_factory=dict)
    alpha_pattern: Annotated[
        dict[str, Annotated[float, Bound(gt=0, le=4096)]],
        _by_module("Alpha by module", "numbers above 0 and at most 4,096"),
    ] = field(default_factory=dict)


@checked
class StudentSettings(LoraSettings):
    """The new adapter: how it works and how large it is."""

    method: Annotated[
        str,
        setting(
            "Method",
            "How the adapter works; rsLoRA scales by alpha / √rank, DoRA splits magnitudes off.",
            choices={
                **_LORA_KINDS,
                "prompt_tuning": "Prompt tuning",
                "prefix_tuning": "Prefix tuning",
                "ia3": "IA³",
                "oft": "OFT",
                "miss": "MiSS",
            },
        ),
    ] = "lora"
    virtual_tokens: Annotated[
        int,
        setting(
            "Virtual tokens",
            "Trained tokens before every prompt.",
            unit="tokens",
            least=1,
            most=512,
            read_by=_VIRTUAL,
        ),
    ] = 20


@checked
class TrainingSettings:
    """One adapter training: AdamW, linear schedule, cross-entropy on the answer's tokens."""

    learning_rate: Annotated[
        float,
        setting(
            "Learning rate",
            "At its peak; for prompt tuning in units of the base's word vectors.",
            above=0,
            most=0.1,
        ),
    ] = 5e-4
    epochs: Annotated[
        float, setting("Epochs", "Passes over the samples.", unit="passes", above=0, most=100)
    ] = 2.0
    batch_rows: Annotated[
        int,
        setting(
            "Batch size",
            "Rows per optimiser step, kept when memory forces smaller parts. 0 is automatic: 16, "
            "and more where there are very many rows; without soft labels the rate grows with its "
            "square root.",
            unit="rows",
            least=0,
            most=1024,
        ),
    ] = 0
    warmup_fraction: Annotated[
        float,
        setting("Warm-up", "Share of the steps in which the rate rises.", least=0, below=1),
    ] = 0.05
    weight_decay: Annotated[
        float, setting("Weight decay", "AdamW's decoupled decay.", least=0, most=1)
    ] = 0.0
    clip_norm: Annotated[
        float, setting("Gradient clipping", "Largest gradient norm; 0 is off.", least=0, most=1000)
    ] = 1.0
    checkpoint_steps: Annotated[
        int,
        setting(
            "Steps between checkpoints",
            "What a killed training repeats at most; 0 writes one at the end only.",
            unit="steps",
            least=0,
            most=1_000_000,
        ),
    ] = 50
    soft_labels: Annotated[
        bool,
        setting(
            "Soft labels",
            "Where answers form a set and the teacher is not sure, train on its probabilities "
            "over several answers instead of the likeliest one.",
        ),
    ] = True

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
        rate = min(0.1, self.learning_rate * growth)
        return dataclasses.replace(self, batch_rows=batch, learning_rate=rate)


@checked
class SynthesisSettings:
    """Where the inputs come from (paper section 3, steps 5 and 6)."""

    writer: Annotated[
        str,
        setting(
            "Who writes the inputs",
            "The kit's writer and an adapter that learned its inputs need no examples. Automatic "
            "takes the first of these that there is, else a base writes from the examples, label "
            "by label where answers are labels.",
            choices={
                "auto": "Automatic",
                "own": "The source adapter itself",
                "kit": "The kit's writer",
                "list": "A numbered list of examples (paper)",
                "label": "For each label",
            },
        ),
    ] = "auto"
    generator: Annotated[
        str,
        setting(
            "Base that continues the examples",
            "Which base writes where examples are shown to one.",
            choices={"target": "Target base (paper)", "source": "Source base"},
            read_by=_SHOWS_SEEDS,
        ),
    ] = "target"
    samples: Annotated[
        int,
        setting(
            "Samples to keep",
            "How many are trained on, besides those mixed from them; 0 is automatic: 100 for each "
            "label that is seen, 600 at least, and 4,000 where answers are free text; on a GPU "
            "3,000 and 16,000. The less sure the teacher is of its labels, the more.",
            unit="samples",
            least=0,
            most=100_000,
        ),
    ] = 0
    filter: Annotated[
        str,
        setting(
            "Filter",
            "Scores are shown for every sample where the kit has a discriminator; this says "
            'whether they also decide. "discriminator" keeps P(yes) > P(no); "excess" keeps the '
            "better half of twice as many by how much the adapter matters. Automatic keeps what "
            "an adapter wrote, an equal share of every label where a base wrote label by label, "
            "and for the numbered list what the discriminator, or without one excess, keeps.",
            choices={
                "auto": "Automatic",
                "discriminator": "Discriminator: more likely real than not",
                "excess": "Excess: where the adapter matters",
                CHECKER: "Checker: the answer passes it",
                "none": "Keep all",
            },
        ),
    ] = "auto"
    seeds_per_prompt: Annotated[
        int,
        setting(
            "Examples per prompt",
            "Shown in one prompt (5 in the paper), drawn anew for each.",
            unit="examples",
            least=1,
            most=15,
            read_by=_LIST,
        ),
    ] = 5
    prompts_per_round: Annotated[
        int,
        setting(
            "Prompts per round",
            "Written together; a round is repeated whole after a stop. 0 is automatic.",
            unit="prompts",
            least=0,
            most=4096,
        ),
    ] = 0
    max_rounds: Annotated[
        int,
        setting(
            "Max rounds",
            "Then the run goes on with what it has and says so.",
            unit="rounds",
            least=1,
            most=10_000,
        ),
    ] = 400
    new_tokens: Annotated[
        int,
        setting(
            "Tokens written per prompt",
            "0 makes room for inputs as long as the examples.",
            unit="tokens",
            least=0,
            most=2048,
        ),
    ] = 0
    near_duplicate: Annotated[
        float,
        setting(
            "Near-duplicate from",
            "Similarity from which two inputs count as the same; 1 is equality.",
            least=0.5,
            most=1,
            read_by=_SHOWS_SEEDS,
        ),
    ] = 0.9
    mixed: Annotated[
        float,
        setting(
            "Mixed inputs per sample",
            "Span-swap augmentation where answers are labels: inputs with a part of another one, "
            "answered by the teacher.",
            unit="inputs",
            least=0,
            most=10,
            read_by=_BY_LABEL,
        ),
    ] = 2.0
    train_on_seeds: Annotated[bool, setting("Train on the examples too", "Not in the paper.")] = (
        True
    )
    temperature: Annotated[
        float,
        setting("Temperature", "Higher is more varied and more often wrong.", least=0.01, most=5),
    ] = 1.0
    top_k: Annotated[
        int,
        setting(
            "Top-k",
            "Draws from this many tokens; 0 is off. Applied before temperature and top-p.",
            unit="tokens",
            least=0,
            most=1024,
        ),
    ] = 0
    top_p: Annotated[
        float,
        setting(
            "Top-p",
            "Draws from the likeliest tokens with this much probability together; 1 is off.",
            least=0.01,
            most=1,
        ),
    ] = 1.0
