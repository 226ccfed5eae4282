"""Names of the tensors of any method: plain, and of which layer each is."""

import re
from collections.abc import Sequence

from workbench.errors import IntakeError
from workbench.intake.header import PREFIX, Tensor
from workbench.intake.wording import shown

_NAME = re.compile(r"base_model(?:\.[A-Za-z0-9_-]{1,64}){1,24}", re.ASCII)
_VIRTUAL = ("prompt_embeddings", "prefix_task_cols", "prefix_task_rows")


def require_plain_names(tensors: Sequence[Tensor], name: str = "adapter_model.safetensors") -> None:
    """Raise IntakeError for a name that PEFT gives to no tensor of an adapter."""
    for tensor in tensors:
        if tensor.name not in _VIRTUAL and not _NAME.fullmatch(tensor.name):
            raise IntakeError(
                f'{name}: "{shown(tensor.name, 120)}" is not a name that PEFT gives to a tensor of '
                "an adapter. Save it again."
            )


def layers_of(tensors: Sequence[Tensor], mark: str) -> dict[str, tuple[int, ...]]:
    """Layer -> shape of the first of its tensors whose own part of the name begins with mark."""
    found: dict[str, tuple[int, ...]] = {}
    for tensor in tensors:
        if not tensor.name.startswith(PREFIX):
            continue
        parts = tensor.name.removeprefix(PREFIX).split(".")
        own = next((place for place, part in enumerate(parts) if part.startswith(mark)), 0)
        if own:
            found.setdefault(".".join(parts[:own]), tensor.shape)
    return found
