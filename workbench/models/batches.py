"""Cutting rows of different length into batches that fit.

A batch is bounded twice: by padded tokens in the model, and by logits (rows times vocabulary),
which for a vocabulary of 262,144 outgrow everything else. What still does not fit is cut in two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch

from workbench.activity import counting
from workbench.errors import ModelError

Result = TypeVar("Result")
Size = TypeVar("Size", int, float)

# Padded tokens of one batch. On a CPU larger batches only leave the caches; a GPU wants more.
TOKENS = {"cpu": 1024, "cuda": 16384}
LOGITS = {"cpu": 2**26, "cuda": 2**29}  # logits of one batch; they are fp32 for a moment
_scale = 1.0  # of both bounds, in this process
_share = 1.0  # of the GPU's memory that this process may take


def for_device(sizes: Mapping[str, Size], device: torch.device) -> Size:
    """The size for a CPU ("cpu") or for any other device ("cuda")."""
    return sizes["cpu" if device.type == "cpu" else "cuda"]


def set_scale(scale: float) -> None:
    """Scale the bounds of all batches that this process cuts from now on; 1 is as they are."""
    global _scale
    _scale = scale


def set_gpu_share(share: float) -> None:
    """Let this process take so much of its GPU's memory, 0 to 1; what is more fails as on a full
    one, and batches become smaller. Nothing where there is no GPU."""
    global _share
    _share = share
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def gpu_room(device: torch.device) -> float:
    """Bytes of a GPU's memory that this process may still take."""
    free, total = torch.cuda.mem_get_info(device)
    taken = torch.cuda.memory_allocated(device)
    return min(free + torch.cuda.memory_reserved(device) - taken, _share * total - taken)


def micro_batches(
    lengths: Sequence[int],
    asked: Sequence[int],
    vocabulary: int,
    device: torch.device,
    scale: float = 1.0,
    *,
    packed: bool = False,
) -> list[list[int]]:
    """Indices of rows, shortest first, in batches under both bounds; a batch has a row at least.

    Args:
        lengths: tokens of each row.
        asked: positions of each row that the LM head runs on.
        vocabulary: its width.
        device: decides the bounds.
        scale: 0.5 halves both bounds.
        packed: rows stand one behind the other, without padding.
    """
    tokens = for_device(TOKENS, device) * scale * _scale
    positions = for_device(LOGITS, device) * scale * _scale / vocabulary
    batches: list[list[int]] = []
    total = filled = 0
    for row in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        total += asked[row]
        filled += lengths[row]
        takes = filled if packed else lengths[row] * (len(batches[-1]) + 1 if batches else 1)
        if batches and takes <= tokens and total <= positions:
            batches[-1].append(row)
        else:
            batches.append([row])
            total, filled = asked[row], lengths[row]
    return batches


def each(
    batches: Sequence[list[int]], work: Callable[[list[int]], Result]
) -> Iterator[tuple[list[int], Result]]:
    """(batch, work(batch)) for every batch; one that runs out of memory is halved.

    Raises:
        ModelError: a single row does not fit.
    """
    waiting = list(reversed(batches))
    with counting(sum(map(len, batches)), "read") as count:
        while waiting:
            batch = waiting.pop()
            try:
                result = work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            else:
                count.done += len(batch)
                yield batch, result
                continue
            # Outside the except block: the traceback would keep the tensors alive.
            release_memory()
            if len(batch) == 1:
                raise ModelError(NO_MEMORY)
            middle = len(batch) // 2
            waiting += [batch[middle:], batch[:middle]]


NO_MEMORY = (
    "There is not enough memory to run the model on a single row. Choose a smaller base model, "
    "or shorter rows."
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation failed, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def release_memory() -> None:
    """Give cached GPU memory back, so that other sizes fit."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
