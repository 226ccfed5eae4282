"""The kinds of adapter that are trained here: what each costs and what can be done with it.

Plain data, for the page, the terminal and the card alike. All of them train on a 4-bit base: none
changes its weights, and what they add is kept in float32.
"""

from dataclasses import dataclass
from typing import Any

LORA_KINDS = ("lora", "rslora", "dora")
TOKEN_KINDS = ("prompt_tuning", "prefix_tuning")


@dataclass(frozen=True)
class StudentKind:
    """One method.

    Attributes:
        title: as people write it.
        method: PEFT's ``peft_type``.
        merges: it can become part of the base's 16-bit weights; else it stays an adapter.
        sentence: what it costs and where it can be used, one line.
        defaults: recipe values that go with it, by dotted name, where they are not the preset's.
    """

    title: str
    method: str
    merges: bool
    sentence: str
    defaults: dict[str, Any]


_EVERYWHERE = "Merges; vLLM, llama.cpp and PEFT load it."
_PAIRS = "Two small matrices beside each layer"
STUDENTS: dict[str, StudentKind] = {
    "lora": StudentKind("LoRA", "LORA", True, f"{_PAIRS}, as most tools expect. {_EVERYWHERE}", {}),
    "rslora": StudentKind(
        "rank-stabilised LoRA",
        "LORA",
        True,
        f"{_PAIRS}, scaled for ranks of 32 and more. {_EVERYWHERE}",
        {},
    ),
    "dora": StudentKind(
        "DoRA",
        "LORA",
        True,
        "Learns lengths apart from directions; trains a quarter slower. Merges; PEFT loads it, "
        "vLLM and llama.cpp once it is merged.",
        {},
    ),
    "prompt_tuning": StudentKind(
        "prompt tuning",
        "PROMPT_TUNING",
        False,
        "A few kilobytes: trained words before every prompt. Keeps less with many labels. Cannot "
        "be merged; PEFT loads it.",
        {
            "student.virtual_tokens": 50,
            "training.learning_rate": 0.1,  # of the base's word vectors: rate_unit
            "training.epochs": 10.0,
        },
    ),
    "prefix_tuning": StudentKind(
        "prefix tuning",
        "PREFIX_TUNING",
        False,
        "Trained keys and values before every prompt. Cannot be merged; PEFT loads it.",
        {"training.learning_rate": 1e-2, "training.epochs": 5.0},
    ),
    "ia3": StudentKind(
        "IA³",
        "IA3",
        True,
        "One factor per output of a layer: the smallest that reaches every layer. Merges; PEFT "
        "loads it, others once it is merged.",
        {"training.learning_rate": 1e-2, "training.epochs": 3.0},
    ),
    "oft": StudentKind(
        "OFT",
        "OFT",
        True,
        "Turns what layers read and keeps its length; trains twice as long. Merges; PEFT loads "
        "it, others once it is merged.",
        {"student.rank": 32, "training.learning_rate": 1e-3, "training.epochs": 3.0},
    ),
    "miss": StudentKind(
        "MiSS",
        "MISS",
        True,
        "One matrix where LoRA has two; trains a little faster. Merges; PEFT loads it, others "
        "once it is merged.",
        {"student.rank": 32, "training.learning_rate": 5e-4, "training.epochs": 3.0},
    ),
}


def notes(method: str) -> list[str]:
    """What a person should know about a method before its training starts; often nothing."""
    kind = STUDENTS[method]
    if kind.merges:
        return []
    return [
        f"An adapter by {kind.title} cannot be merged into the base: it is exported as an adapter "
        "only, which PEFT loads and llama.cpp does not."
    ]
