"""Handlers that take long wait in a line of their own, not in a thread of the web server.

Lines: questions to models, one at a time, because each may hold two models in memory; transfers
from and to the Hub, a few at a time; and slices of a lent GPU. A line is short, a visitor has a
share of it, and who comes when it is full is told at once how many wait. Turns go round between
visitors. Everything else that joins the queue is work of the server itself: it waits in a line
without a word, for so many have been let into the queue already, and one address never has all of
its threads. What a person does at a page is done in the order in which they did it.
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

from workbench.errors import BusyError
from workbench.runs import owners
from workbench.ui.failures import left_alone, say, warn
from workbench.ui.turns import Turns, Waiter, Who

MODELS, HUB, SLICES, WORK = "models", "hub", "slices", "work"
_MARK, _ORDERED = "workbench_line", "workbench_ordered"
_WHAT = {MODELS: "question", HUB: "transfer", SLICES: "slice"}
AT_WORK = {MODELS: 1, HUB: 4, SLICES: 8, WORK: 8}
WAITING = {MODELS: 8, HUB: 12, SLICES: 24}
WORK_OF_ADDRESS = 2  # at a time
# Of one visitor, what is at work included; several people may be behind one address.
SHARE, ADDRESS_SHARE = 2, 4
_orders: WeakValueDictionary[Who, asyncio.Lock] = WeakValueDictionary()


def in_line(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a handler: on the page it waits in the line ``name``, ``MODELS`` or ``HUB``."""

    def mark(handler: Callable[..., Any]) -> Callable[..., Any]:
        setattr(handler, _MARK, name)
        return handler

    return mark


def in_order(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a handler: of a browser's calls of such handlers one is answered after the other."""
    setattr(handler, _ORDERED, True)
    return handler


def bind(page: gr.Blocks) -> None:
    """Give a page its lines; none of them holds a thread that light calls need."""
    lines = {name: Line(name) for name in AT_WORK}
    for event in page.fns.values():
        if event.fn is not None and event.queue:
            event.fn = _waiting(event.fn, lines[getattr(event.fn, _MARK, WORK)])
            event.concurrency_limit = None  # the line does the limiting


def _waiting(handler: Callable[..., Any], line: "Line") -> Callable[..., Any]:
    ordered = getattr(handler, _ORDERED, False)

    @functools.wraps(handler)
    async def wait_and_run(*args: Any, **kwargs: Any) -> Any:
        # Locks are given to who came first.
        order = _orders.setdefault(_who(), asyncio.Lock()) if ordered else contextlib.nullcontext()
        async with order:
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


class Line:
    """One line. Lives in the event loop of the server, so needs no locks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns = Turns(AT_WORK[name], self._may)
        self.threads = ThreadPoolExecutor(AT_WORK[name], f"line-{name}")

    async def enter(self) -> None:
        """Wait for a place at work.

        Raises:
            BusyError: the line is full, or the visitor has a whole share of it.
        """
        who, before = _who(), len(self.turns.waiting) + len(self.turns.at_work)
        if self.name != WORK:
            self._require_share(who, before)
        waiter = self.turns.join(who)
        if self.name != WORK and not waiter.place.done():
            what = _WHAT[self.name]
            waits = f"{what} waits" if before == 1 else f"{what}s wait"
            say(f"{before} {waits} before yours.", "In line")
        await self.turns.wait(waiter)

    def _require_share(self, who: Who, before: int) -> None:
        what = _WHAT[self.name]
        everybody = [*self.turns.at_work, *self.turns.waiting]
        for at, share in enumerate((ADDRESS_SHARE, SHARE)):
            mine = sum(other.who[at] == who[at] for other in everybody)
            if mine >= share:
                raise BusyError(
                    f"{mine} {what}s of yours are at work or wait already. Wait for one of them."
                )
        if len(self.turns.waiting) >= WAITING[self.name]:
            raise BusyError(
                f"{before} {what}s wait before yours, which is the most that are taken. Try again "
                "in a minute."
            )

    def leave(self) -> None:
        """Give the place back."""
        who = _who()
        self.turns.leave(next(waiter for waiter in self.turns.at_work if waiter.who == who))

    def _may(self, waiter: Waiter) -> bool:
        return self.name != WORK or self.turns.near(waiter.who[0]) < WORK_OF_ADDRESS


def _who() -> Who:
    who = owners.visitor()
    return ("", "") if who is None else (who.address, who.marks[0] if who.marks else "")
