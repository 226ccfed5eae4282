"""What a run starts from, after intake has checked it: plain data and files of our own."""

from dataclasses import dataclass
from pathlib import Path

from workbench.recipe import LoraSettings
from workbench.samples import Example


@dataclass(frozen=True)
class AdapterFiles:
    """A LoRA adapter that intake accepted.

    Attributes:
        settings: its shape as we understood it; PEFT's own config file is never used.
        weights: a safetensors file with PEFT's LoRA key names, every header byte checked.
        sha256: of that file.
        base_hint: the base model that its config names; shown, never followed.
        parameters: number of values in it.
    """

    settings: LoraSettings
    weights: Path
    sha256: str
    base_hint: str = ""
    parameters: int = 0


@dataclass(frozen=True)
class Inputs:
    """All files and rows of a run. Only adapter and seeds are required for a transfer."""

    adapter: AdapterFiles | None = None
    discriminator: AdapterFiles | None = None
    seeds: tuple[Example, ...] = ()
    evaluation: tuple[Example, ...] = ()
    unlabelled: tuple[Example, ...] = ()
