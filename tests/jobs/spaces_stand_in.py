"""Stands in for the ``spaces`` package of a ZeroGPU Space, and behaves as 0.51 does.

A decorated function runs in a forked daemon process, in a thread of it, with arguments and results
pickled; a worker that is idle is used again. The parent has no CUDA: asking says there is one, and
using it raises. Seconds that were asked for are the most that a call gets: then its process is
killed. They must be within what one call may have and what the visitor has left; what was used is
taken off. Errors are of the same titles and words as the real ones.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import gradio as gr
import pytest
import torch

_fork = multiprocessing.get_context("fork")


def error(title: str, message: str) -> gr.Error:
    """As ``spaces.zero.gradio.error`` makes them."""
    return gr.Error(message, title=title, print_exception=False)


@dataclass
class Spaces:
    """One Space and one visitor.

    Attributes:
        left: seconds of the visitor's quota.
        most: seconds that one call may ask for.
        asked: seconds asked for by each call that was let in.
        in_child: called in the fork before every call, for tests that strike there.
        pids: of the processes that worked, in order.
        refusals: errors to raise for the next calls instead of letting them in.
    """

    left: float = 1e9
    most: float = 300.0
    asked: list[float] = field(default_factory=list)
    in_child: Callable[[], object] = lambda: None
    pids: list[int] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    kills: int = 0

    def __post_init__(self) -> None:
        self._workers: list[Any] = []

    def GPU(self, task: Any = None, *, duration: Any = None, size: str | None = None) -> Any:
        """The decorator; ``duration`` may be a function of the call's arguments."""
        if not callable(task):
            return lambda real: self.GPU(real, duration=duration, size=size)

        def call(*args: Any, **named: Any) -> Any:
            seconds = duration(*args, **named) if callable(duration) else duration or 60
            return self._call(task, float(seconds), args, named)

        return call

    def _call(self, task: Any, seconds: float, args: Any, named: Any) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        if seconds > self.most:
            text = f"The requested GPU duration ({seconds:.0f}s) is larger than the maximum allowed"
            raise error("ZeroGPU illegal duration", text)
        if seconds > self.left:
            wait = timedelta(hours=5, minutes=3)
            raise error(
                "ZeroGPU quota exceeded",
                f"You have exceeded your free ZeroGPU quota ({seconds:.0f}s requested vs. "
                f"{int(self.left)}s left). Try again in {wait}. ",
            )
        self.asked.append(seconds)
        worker = self._workers.pop() if self._workers else _Worker(task, self.in_child)
        if worker.task is not task or not worker.process.is_alive():
            worker.end()
            worker = _Worker(task, self.in_child)
        self.pids.append(worker.process.pid)
        begun = time.monotonic()
        worker.here.send_bytes(pickle.dumps((args, named)))
        reply = None
        with contextlib.suppress(EOFError, OSError):
            if worker.here.poll(seconds):
                reply = pickle.loads(worker.here.recv_bytes())
        self.left -= time.monotonic() - begun
        if reply is None:
            worker.end()
            self.kills += 1
            raise error("ZeroGPU worker error", "GPU task aborted")
        kind, value = reply
        if kind == "raised":
            worker.end()
            raise error("ZeroGPU worker error", value)
        self._workers.append(worker)
        return value

    def end(self) -> None:
        """End the idle workers."""
        while self._workers:
            self._workers.pop().end()


class _Worker:
    def __init__(self, task: Any, in_child: Callable[[], object]) -> None:
        self.task = task
        self.here, there = _fork.Pipe()
        self.process = _fork.Process(target=_serve, args=(task, there, in_child), daemon=True)
        self.process.start()
        there.close()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, signal.SIGKILL)
        self.process.join()
        self.here.close()


def _serve(task: Any, pipe: Any, in_child: Callable[[], object]) -> None:
    assert not torch.cuda.is_initialized(), "CUDA before the fork"
    _cuda.unpatch()
    while True:
        args, named = pickle.loads(pipe.recv_bytes())

        def run(args: Any = args, named: Any = named) -> None:
            assert threading.current_thread() is not threading.main_thread()
            try:
                in_child()
                reply = ("value", task(*args, **named))
            except Exception as failure:
                reply = ("raised", type(failure).__name__)
            pipe.send_bytes(pickle.dumps(reply))

        with ThreadPoolExecutor(1) as threads:
            threads.submit(copy_context().run, run).result()


class _Emulation:
    """What the parent sees of CUDA."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def patch(self) -> None:
        self._patch.setattr(torch.cuda, "is_available", lambda: True)
        self._patch.setattr(torch._C, "_cuda_init", _raise, raising=False)

    def unpatch(self) -> None:
        self._patch.undo()


def _raise() -> None:
    raise RuntimeError("Low-level CUDA init (`torch._C._cuda_init`) reached.")


_cuda = _Emulation()


def without_emulation() -> None:
    """For a process of its own, which is none of the Space's."""
    _cuda.unpatch()


@contextlib.contextmanager
def a_space(**given: Any) -> Iterator[Spaces]:
    """A Space whose process has no CUDA; its workers are ended with the block."""
    space = Spaces(**given)
    _cuda.patch()
    try:
        yield space
    finally:
        _cuda.unpatch()
        space.end()
