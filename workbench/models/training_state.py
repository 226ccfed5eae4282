"""What a training goes on from: adapter and optimiser's moments, copied out and put back."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from workbench.errors import StageError

KINDS = ("adapter", "exp_avg", "exp_avg_sq")  # of tensors in a state


@dataclass(frozen=True)
class TrainingState:
    """Everything that resuming needs.

    Attributes:
        step: optimiser steps done.
        tensors: KIND/KEY for every kind in ``KINDS``, on the CPU, in fp32.
        meta: JSON-ready: seed, steps, batch_rows and learning_rate (settled), batch_scale,
            non_finite (skipped steps in a row).
    """

    step: int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]


def snapshot_state(
    step: int,
    parameters: dict[str, Parameter],
    optimizer: torch.optim.Optimizer,
    meta: dict[str, Any],
) -> TrainingState:
    """Copy adapter and moments to the CPU.

    Args:
        step: optimiser steps done.
        meta: of ``TrainingState``, less the number of updates.
    """
    tensors = {}
    for key, parameter in parameters.items():
        moments = optimizer.state.get(parameter, {})
        tensors[f"adapter/{key}"] = parameter.detach().to("cpu", torch.float32, copy=True)
        for name in KINDS[1:]:
            moment = moments.get(name, torch.zeros_like(parameter))
            tensors[f"{name}/{key}"] = moment.detach().to("cpu", copy=True)
    updates = max((int(state["step"]) for state in optimizer.state.values()), default=0)
    return TrainingState(step, tensors, {**meta, "updates": updates})


def restore_state(
    state: TrainingState,
    fresh: dict[str, Any],
    parameters: dict[str, Parameter],
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Put adapter and moments back; returns the training's meta.

    Args:
        fresh: the meta of a training that begins.

    Raises:
        StageError: the state is of another training.
    """
    same = all(state.meta.get(name) == fresh[name] for name in ("seed", "steps"))
    if not same or {f"adapter/{key}" for key in parameters} - set(state.tensors):
        raise StageError(
            "The checkpoint belongs to another training: its seed, number of steps or layers "
            "differ. Start the training again."
        )
    for key, parameter in parameters.items():
        parameter.data.copy_(state.tensors[f"adapter/{key}"])
        optimizer.state[parameter] = {
            "step": torch.tensor(float(state.meta["updates"]), device=parameter.device),
            **{
                name: state.tensors[f"{name}/{key}"].to(parameter.device, copy=True)
                for name in KINDS[1:]
            },
        }
    return {name: state.meta.get(name, value) for name, value in fresh.items()}
