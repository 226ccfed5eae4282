"""Work on a GPU that is recorded once as a CUDA graph and replayed.

The work must find everything that changes in tensors that stay where they are, and must not wait
for the GPU. Where a model's code does, it is worked off as it stands.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.models.batches import is_out_of_memory


class Recorded:
    """A function of one tensor. Its result is valid until the next call.

    The first call on any new shape is worked off as it stands, which also loads kernels; the
    second records.
    """

    def __init__(self, work: Callable[[Tensor], Tensor]) -> None:
        self._work = work
        self._possible = True
        self._pool = torch.cuda.graph_pool_handle()
        self.forget()

    def forget(self) -> None:
        """Shapes or places of tensors have changed."""
        self._warm = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, given: Tensor) -> Tensor:
        """The work's result for given, whose shape is that of the last call or was forgotten."""
        if self._graph is None and self._warm and self._possible:
            self._record(given)
        if self._graph is None:
            self._warm = True
            return self._work(given)
        self._given.copy_(given)
        self._graph.replay()
        return self._result

    def _record(self, given: Tensor) -> None:
        graph = torch.cuda.CUDAGraph()
        self._given = given.clone()
        try:
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                self._result = self._work(self._given)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._possible = False  # the work waits for the GPU somewhere
        else:
            self._graph = graph
