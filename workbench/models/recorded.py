"""Work on a GPU that is recorded once as a CUDA graph and replayed.

The work must find everything that changes in tensors that stay where they are, and must not wait
for the GPU. Where a model's code does, it is worked off as it stands.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from workbench.models.batches import is_out_of_memory


class Recorded:
    """A function of tensors. Its result is valid until the next call.

    The first call is worked off as it stands, which also loads kernels; the second records. The
    function is given with every call and not kept: who owns it owns this, and in a circle the
    recording and its memory would wait for the garbage collector.

    Args:
        pool: of memory, shared with others that are kept as long and are never under way at the
            same time; None for one of its own.
    """

    def __init__(self, pool: Any = None) -> None:
        self._pool = pool
        self._possible = True
        self.forget()

    def forget(self) -> None:
        """Shapes or places of tensors have changed."""
        self._warm = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, work: Callable[..., Tensor], *given: Tensor) -> Tensor:
        """The work's result; it and the shapes are the last call's, unless that was forgotten."""
        if self._graph is None and self._warm and self._possible:
            self._record(work, given)
        if self._graph is None:
            self._warm = True
            return work(*given)
        for kept, new in zip(self._given, given, strict=True):
            kept.copy_(new)
        self._graph.replay()
        return self._result

    def _record(self, work: Callable[..., Tensor], given: tuple[Tensor, ...]) -> None:
        graph = torch.cuda.CUDAGraph()
        self._given = [tensor.clone() for tensor in given]
        try:
            with _undisturbed(), torch.cuda.graph(
                graph, pool=self._pool, capture_error_mode="thread_local"
            ):  # fmt: skip
                self._result = work(*self._given)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._possible = False  # the work waits for the GPU somewhere
        else:
            self._graph = graph


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage is collected meanwhile, and the stream stays the caller's, whatever happens.

    A dead graph that is collected while another is recorded breaks the recording: bitsandbytes
    then ends the process. And ``torch.cuda.graph`` leaves its own stream in force when a recording
    fails: what follows would run beside what still uses the same memory.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):
            yield
    finally:
        if collects:
            gc.enable()
