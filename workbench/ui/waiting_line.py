"""Handlers that take long wait in a line of their own, not in a thread of the web server.

Lines: questions to models, one at a time, because each may hold two models in memory; transfers
from and to the Hub, a few at a time; and slices of a lent GPU. A line is short, a visitor has a
share of it, and who comes when it is full is told at once how many wait. Turns go round between
visitors.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from workbench.errors import BusyError
from workbench.runs import owners
from workbench.ui.failures import say, told

MODELS, HUB, SLICES = "models", "hub", "slices"
_MARK = "workbench_line"
_REMEMBERED = 1024
_WHAT = {MODELS: "question", HUB: "transfer", SLICES: "slice"}
AT_WORK = {MODELS: 1, HUB: 4, SLICES: 8}
WAITING = {MODELS: 8, HUB: 12, SLICES: 24}
# Of one visitor, what is at work included; several people may be behind one address.
SHARE, ADDRESS_SHARE = 2, 4
THREADS = 24  # of Gradio's 40, for whatever else joins the queue


def in_line(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a handler: on the page it waits in the line ``name``, ``MODELS`` or ``HUB``."""

    def mark(handler: Callable[..., Any]) -> Callable[..., Any]:
        setattr(handler, _MARK, name)
        return handler

    return mark


def bind(page: gr.Blocks) -> None:
    """Give a page its lines; everything else that joins the queue shares a bounded number of
    threads, so that light calls always find one."""
    lines = {name: Line(name) for name in _WHAT}
    for event in page.fns.values():
        if event.fn is None or not event.queue:
            continue
        name = getattr(event.fn, _MARK, "")
        if name:
            event.fn = _waiting(event.fn, lines[name])
            event.concurrency_limit = None  # the line does the limiting
        else:
            event.concurrency_id, event.concurrency_limit = "work", THREADS


def _waiting(handler: Callable[..., Any], line: "Line") -> Callable[..., Any]:
    @functools.wraps(handler)
    async def wait_and_run(*args: Any, **kwargs: Any) -> Any:
        try:
            await line.enter()
        except BusyError as error:
            return told(_raising(error))()
        try:
            context = copy_context()
            work = functools.partial(context.run, handler, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(line.threads, work)
        finally:
            line.leave()

    return wait_and_run


def _raising(error: BusyError) -> Callable[[], Any]:
    def refuse() -> Any:
        raise error

    return refuse


Who = tuple[str, str]  # address, token


@dataclass
class _Waiter:
    who: Who
    place: asyncio.Future[None]


@dataclass
class Line:
    """One line. Lives in the event loop of the server, so needs no locks."""

    name: str
    running: list[Who] = field(default_factory=list)
    waiters: list[_Waiter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.threads = ThreadPoolExecutor(AT_WORK[self.name], f"line-{self.name}")
        self._served: OrderedDict[str, int] = OrderedDict()  # address or token -> number of turn
        self._turn = 0

    async def enter(self) -> None:
        """Wait for a place at work.

        Raises:
            BusyError: the line is full, or the visitor has a whole share of it.
        """
        who, what = _who(), _WHAT[self.name]
        before = len(self.waiters) + len(self.running)
        everybody = [*self.running, *(waiter.who for waiter in self.waiters)]
        for at, share in enumerate((ADDRESS_SHARE, SHARE)):
            mine = sum(other[at] == who[at] for other in everybody)
            if mine >= share:
                raise BusyError(
                    f"{mine} {what}s of yours are at work or wait already. Wait for one of them."
                )
        if len(self.waiters) >= WAITING[self.name]:
            raise BusyError(
                f"{before} {what}s wait before yours, which is the most that are taken. Try again "
                "in a minute."
            )
        waiter = _Waiter(who, asyncio.get_running_loop().create_future())
        self.waiters.append(waiter)
        self._serve()
        if not waiter.place.done():
            waits = f"{what} waits" if before == 1 else f"{what}s wait"
            say(f"{before} {waits} before yours.", "In line")
        try:
            await waiter.place
        except asyncio.CancelledError:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            else:
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place back."""
        self.running.remove(_who())
        self._serve()

    def _serve(self) -> None:
        while self.waiters and len(self.running) < AT_WORK[self.name]:
            # Who was served longest ago comes first, then who came first.
            waiter = min(self.waiters, key=lambda w: [self._served.get(part, 0) for part in w.who])
            self.waiters.remove(waiter)
            self._turn += 1
            for part in waiter.who:
                self._served[part] = self._turn
                self._served.move_to_end(part)
            while len(self._served) > _REMEMBERED:
                self._served.popitem(last=False)
            if not waiter.place.done():
                self.running.append(waiter.who)
                waiter.place.set_result(None)


def _who() -> Who:
    who = owners.visitor()
    return ("", "") if who is None else (who.address, who.marks[0] if who.marks else "")
