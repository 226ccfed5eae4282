"""What a run starts from, after intake has checked it: plain data and files of our own."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from workbench.adapter_settings import AdapterSettings
from workbench.errors import RunError
from workbench.samples import Example


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that intake accepted.

    Attributes:
        settings: its shape as we understood it; PEFT's own config file is never used.
        weights: a safetensors file with PEFT's key names, every header byte checked.
        sha256: of that file.
        base_hint: the base model that its config names; shown, never followed.
        parameters: number of values in it.
    """

    settings: AdapterSettings
    weights: Path
    sha256: str
    base_hint: str = ""
    parameters: int = 0

    def verified(self) -> Path:
        """The weights, read whole: still the file that was checked; RunError otherwise."""
        try:
            with self.weights.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            same = False
        if not same:
            raise RunError(changed(self.weights, "the adapter"))
        return self.weights


@dataclass(frozen=True)
class Inputs:
    """All files and rows of a run. Only adapter and seeds are required for a transfer."""

    adapter: AdapterFiles | None = None
    discriminator: AdapterFiles | None = None
    seeds: tuple[Example, ...] = ()
    evaluation: tuple[Example, ...] = ()
    unlabelled: tuple[Example, ...] = ()


def changed(path: Path, what: str) -> str:
    """The sentence about an input that is not what it was."""
    return (
        f"{path.parent.name}/{path.name} is missing or has changed since it was checked. Put the "
        f"file back, or make a new run and add {what} again."
    )
