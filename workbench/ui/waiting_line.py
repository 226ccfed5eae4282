"""Handlers that take long wait in a line of their own, not in a thread of the web server.

Lines: questions to models, one at a time, because each may hold two models in memory; transfers
from and to the Hub, a few at a time; and slices of a lent GPU. A line is short, a visitor has a
share of it, and who comes when it is full is told at once how many wait. Turns go round between
visitors. Everything else that joins the queue is work of the server itself: it waits in a line
without a word, for so many have been let into the queue already, and one address never has all of
its threads.
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
from workbench.ui.failures import left_alone, say, warn

MODELS, HUB, SLICES, WORK = "models", "hub", "slices", "work"
_MARK = "workbench_line"
_REMEMBERED = 1024
_WHAT = {MODELS: "question", HUB: "transfer", SLICES: "slice"}
AT_WORK = {MODELS: 1, HUB: 4, SLICES: 8, WORK: 8}
WAITING = {MODELS: 8, HUB: 12, SLICES: 24}
WORK_OF_ADDRESS = 2  # at a time
# Of one visitor, what is at work included; several people may be behind one address.
SHARE, ADDRESS_SHARE = 2, 4


def in_line(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a handler: on the page it waits in the line ``name``, ``MODELS`` or ``HUB``."""

    def mark(handler: Callable[..., Any]) -> Callable[..., Any]:
        setattr(handler, _MARK, name)
        return handler

    return mark


def bind(page: gr.Blocks) -> None:
    """Give a page its lines; none of them holds a thread that light calls need."""
    lines = {name: Line(name) for name in AT_WORK}
    for event in page.fns.values():
        if event.fn is not None and event.queue:
            event.fn = _waiting(event.fn, lines[getattr(event.fn, _MARK, WORK)])
            event.concurrency_limit = None  # the line does the limiting


def _waiting(handler: Callable[..., Any], line: "Line") -> Callable[..., Any]:
    @functools.wraps(handler)
    async def wait_and_run(*args: Any, **kwargs: Any) -> Any:
        try:
            await line.enter()
        except BusyError as error:
            warn(error.message)
            return left_alone(handler)
        try:
            context = copy_context()
            work = functools.partial(context.run, handler, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(line.threads, work)
        finally:
            line.leave()

    return wait_and_run


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
        who, before = _who(), len(self.waiters) + len(self.running)
        if self.name != WORK:
            self._require_share(who, before)
        waiter = _Waiter(who, asyncio.get_running_loop().create_future())
        self.waiters.append(waiter)
        self._serve()
        if self.name != WORK and not waiter.place.done():
            what = _WHAT[self.name]
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

    def _require_share(self, who: Who, before: int) -> None:
        what = _WHAT[self.name]
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

    def leave(self) -> None:
        """Give the place back."""
        self.running.remove(_who())
        self._serve()

    def _serve(self) -> None:
        while len(self.running) < AT_WORK[self.name]:
            # Who was served longest ago comes first, then who came first.
            waiter = min(
                (waiter for waiter in self.waiters if self._may(waiter.who[0])),
                key=lambda w: [self._served.get(part, 0) for part in w.who],
                default=None,
            )
            if waiter is None:
                return
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

    def _may(self, address: str) -> bool:
        near = sum(who[0] == address for who in self.running)
        return self.name != WORK or near < WORK_OF_ADDRESS


def _who() -> Who:
    who = owners.visitor()
    return ("", "") if who is None else (who.address, who.marks[0] if who.marks else "")
