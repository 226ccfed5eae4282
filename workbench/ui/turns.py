"""Whose turn it is, where several visitors wait for a few places."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_REMEMBERED = 4096  # addresses and sessions, of when they were served
Who = tuple[str, str]  # address, and a session or a token behind it


@dataclass(eq=False)
class Waiter:
    """Somebody who waits, or is served.

    Attributes:
        place: done as soon as there is one.
        newcomer: comes after everybody who is none.
    """

    who: Who
    place: asyncio.Future[None]
    newcomer: bool = False


class Turns:
    """Places, given to whom was served longest ago, then to who came first.

    Lives in the event loop of the server, so needs no locks.

    Args:
        at_once: how many places there are.
        may: whether somebody may have one beside those who have.
    """

    def __init__(self, at_once: int, may: Callable[[Waiter], bool]) -> None:
        self.at_work: list[Waiter] = []
        self.waiting: list[Waiter] = []
        self._at_once, self._may = at_once, may
        self._served: OrderedDict[str, int] = OrderedDict()  # part of a Who -> number of its turn
        self._turn = 0

    def near(self, address: str) -> int:
        """How many places an address has."""
        return sum(waiter.who[0] == address for waiter in self.at_work)

    def join(self, who: Who, newcomer: bool = False) -> Waiter:
        """Begin to wait; the place is there at once where one is free."""
        waiter = Waiter(who, asyncio.get_running_loop().create_future(), newcomer)
        self.waiting.append(waiter)
        self._serve()
        return waiter

    async def wait(self, waiter: Waiter) -> None:
        """Until there is a place; who goes away meanwhile gives it up."""
        try:
            await waiter.place
        except asyncio.CancelledError:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
            else:
                self.leave(waiter)
            raise

    def leave(self, waiter: Waiter) -> None:
        """Give the place back."""
        if waiter in self.at_work:
            self.at_work.remove(waiter)
        self._serve()

    def _serve(self) -> None:
        while len(self.at_work) < self._at_once:
            waiter = min(filter(self._may, self.waiting), key=self._order, default=None)
            if waiter is None:
                return
            self.waiting.remove(waiter)
            self._turn += 1
            for part in waiter.who:
                self._served[part] = self._turn
                self._served.move_to_end(part)
            while len(self._served) > _REMEMBERED:
                self._served.popitem(last=False)
            if not waiter.place.done():  # else whoever waited has gone
                self.at_work.append(waiter)
                waiter.place.set_result(None)

    def _order(self, waiter: Waiter) -> list[int]:
        return [waiter.newcomer, *(self._served.get(part, 0) for part in waiter.who)]
