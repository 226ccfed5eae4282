"""How much one visitor may ask at a time, and who is served next.

Two kinds of calls come in. Light ones (ticks, drawings) answer at once; they run beside the queue,
a few at a time, and turns go round between addresses, and between the sessions of one.
Everything else joins Gradio's queue; here it is counted what a session and an address have there
and what of it nobody has fetched yet.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import gradio as gr
import orjson

from workbench.limits import LIMITS
from workbench.ui.calls import Refused
from workbench.ui.turns import Turns, Waiter

# Python computes one at a time; more at once would only make each of them, and the loop, wait.
LIGHT_AT_ONCE = 4
LIGHT_OF_ADDRESS = 3
NEWCOMERS_AT_ONCE = 1  # of these, for sessions that were not here a second ago, or ask all the time
LIGHT_OF_SESSION = 16
LIGHT_WAITING = 400
CALLS_PER_SECOND, CALLS_AHEAD = 8.0, 40.0  # of one session; a page asks once in two seconds
# Of one address, in a second and ahead of it.
SESSIONS = (2.0, 120.0)
REFUSALS = (50.0, 500.0)  # further ones are told later
REFUSALS_HELD = 128  # of one address, after which its requests are not even read
JOINED_OF_SESSION, JOINED_OF_ADDRESS, JOINED = 16, 64, 200
HELD_OF_SESSION, HELD_OF_ADDRESS = 4 * 1024**2, 8 * 1024**2
STREAMS_OF_ADDRESS, STREAMS = 256, 640
# Of one address, in a second and ahead of it; the first page of a new server takes 200 parts.
LOADS, LOGINS = (4.0, 400.0), (0.1, 10.0)
_FORGOTTEN_SECONDS = 60.0  # after which results that nobody fetches are dropped
_SESSIONS = 4096
_MOST_AHEAD_SECONDS = 5.0
_BUSY = "The server has too many requests of yours already. Wait a moment, then try again."


class Traffic:
    """Counts and queues of one server. Lives in its event loop, so needs no locks."""

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page
        self._held: Counter[str] = Counter()
        self._logins = _Allowance(*LOGINS)
        self._loads = _Allowance(*LOADS)
        self._refusals = _Allowance(*REFUSALS)
        self._held_back: Counter[str] = Counter()  # refusals by address
        self._streams: Counter[str] = Counter()
        self._listening: Counter[str] = Counter()  # streams by session
        self._joined: dict[str, tuple[str, str, int]] = {}  # event -> address, session, bytes
        self._seen: dict[str, float] = {}  # session -> when it last joined or listened
        self._light = _Light()

    # Requests beside the queue.

    def light_turn(self, address: str, session: str) -> Any:
        """Context manager: waits for a place among the light calls."""
        return self._light.turn(address, session)

    # Memory of bodies and connections.

    @contextmanager
    def held(self, address: str) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a body as they come, until it is answered.

        What is only announced counts for nothing: whoever sends none would keep others out.
        """
        mine = 0

        def grow(more: int) -> None:
            nonlocal mine
            near = self._held[address] + more > LIMITS.requests_held_bytes // 4
            if near or self._held.total() + more > LIMITS.requests_held_bytes:
                raise Refused(503, "The server has too much to read just now. Try again.")
            self._held[address] += more
            mine += more

        try:
            yield grow
        finally:
            self._held[address] -= mine
            if self._held[address] <= 0:
                del self._held[address]

    def require_patience(self, address: str) -> None:
        """Raise Refused, before anything is read, for an address that floods the server."""
        if self._held_back[address] >= REFUSALS_HELD:
            raise Refused(429, _BUSY)

    async def hold_back(self, address: str) -> None:
        """Wait before a refusal is told: who goes on and on is answered slowly, and asks less."""
        seconds = self._refusals.ahead_seconds(address)
        if not seconds or self._held_back[address] >= REFUSALS_HELD:
            return
        self._held_back[address] += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._held_back[address] -= 1
            if self._held_back[address] <= 0:
                del self._held_back[address]

    def require_load(self, address: str, cost: float) -> None:
        """Raise Refused for who asks again and again for what has to be made: it costs much."""
        if not self._loads.take(address, cost):
            raise Refused(429, _BUSY)

    def require_login(self, address: str) -> None:
        """Raise Refused for who tries passwords one after the other."""
        if not self._logins.take(address):
            raise Refused(429, "Too many logins were tried. Wait a minute.")

    def require_call(self, session: str) -> None:
        """Raise Refused for who listens for answers without having asked: Gradio would fail."""
        if session not in self.page._queue.pending_messages_per_session:
            raise Refused(404, "No answer is on its way to this page. Load it again.")

    @contextmanager
    def stream(self, address: str, session: str) -> Iterator[None]:
        """Count a connection that stays open."""
        if self._streams[address] >= STREAMS_OF_ADDRESS or self._streams.total() >= STREAMS:
            raise Refused(429, _BUSY)
        self._streams[address] += 1
        self._listening[session] += 1
        self._seen[session] = time.monotonic()
        try:
            yield
        finally:
            self._seen[session] = time.monotonic()
            for counter, key in ((self._streams, address), (self._listening, session)):
                counter[key] -= 1
                if counter[key] <= 0:
                    del counter[key]

    # The queue.

    def admit(self, address: str, session: str, size: int) -> Callable[[Any], Any]:
        """Let a call join the queue; returns what wraps ``send`` to learn its number.

        Raises:
            Refused: this session, address or everybody together has enough there.
        """
        self._tidy()
        mine = [entry for entry in self._joined.values() if entry[1] == session]
        near = [entry for entry in self._joined.values() if entry[0] == address]
        if (
            len(mine) >= JOINED_OF_SESSION
            or len(near) >= JOINED_OF_ADDRESS
            or sum(entry[2] for entry in mine) + size > HELD_OF_SESSION
            or sum(entry[2] for entry in near) + size > HELD_OF_ADDRESS
        ):
            raise Refused(429, _BUSY)
        if len(self._joined) >= JOINED:
            raise Refused(503, "The server is full just now. Try again in a moment.")
        self._seen[session] = time.monotonic()
        # Counted from now on: what is under way must be seen by the next one.
        under_way = f"joining {id(object())} {time.monotonic_ns()}"
        self._joined[under_way] = (address, session, size)

        def noting(send: Any) -> Any:
            async def send_on(message: Any) -> None:
                if message["type"] == "http.response.body":
                    self._joined.pop(under_way, None)
                    with suppress(orjson.JSONDecodeError, KeyError, TypeError):
                        number = orjson.loads(message.get("body", b""))["event_id"]
                        self._joined[number] = (address, session, size)
                await send(message)

            return send_on

        return noting

    def _tidy(self) -> None:
        """Forget calls that are answered and fetched; drop answers that nobody comes for."""
        queue, now = self.page._queue, time.monotonic()
        for number, (_, session, _) in list(self._joined.items()):
            if number.startswith("joining ") or number in queue.event_ids_to_events:
                continue
            if number in queue.pending_event_ids_session.get(session, ()):
                continue
            del self._joined[number]
        for session, seen in list(self._seen.items()):
            if self._listening[session] or now - seen < _FORGOTTEN_SECONDS:
                continue
            waiting = queue.pending_event_ids_session.get(session, set())
            if any(number in queue.event_ids_to_events for number in waiting):
                continue
            queue.pending_messages_per_session.pop(session, None)
            queue.pending_event_ids_session.pop(session, None)
            del self._seen[session]


class _Allowance:
    """So much in a second, and so much ahead, for each of many."""

    def __init__(self, per_second: float, ahead: float) -> None:
        self._rate, self._ahead = per_second, ahead
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str, cost: float = 1.0) -> bool:
        """Use so much; False when there is less left."""
        left = self._now_left(who)
        if left < cost:
            return False
        self._left[who] = (time.monotonic(), left - cost)
        return True

    def ahead_seconds(self, who: str) -> float:
        """Use one in any case; the seconds after which that had been allowed."""
        left = max(self._now_left(who) - 1, -_MOST_AHEAD_SECONDS * self._rate)
        self._left[who] = (time.monotonic(), left)
        return max(0.0, -left / self._rate)

    def _now_left(self, who: str) -> float:
        now = time.monotonic()
        at, left = self._left.get(who, (now, self._ahead))
        left = min(self._ahead, left + (now - at) * self._rate)
        self._left[who] = (now, left)
        self._left.move_to_end(who)
        while len(self._left) > _SESSIONS:
            self._left.popitem(last=False)
        return left


class _Light:
    """Places for light calls, given out in turns."""

    def __init__(self) -> None:
        self.turns = Turns(LIGHT_AT_ONCE, self._may)
        self._of_session: Counter[str] = Counter()
        self._sessions = _Allowance(*SESSIONS)
        self._rate: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, address: str, session: str) -> AsyncIterator[None]:
        if self._of_session[session] >= LIGHT_OF_SESSION:
            raise Refused(429, _BUSY)
        if self._of_session.total() >= LIGHT_WAITING:
            raise Refused(503, "The server is full just now. Try again in a moment.")
        if session not in self._rate and not self._sessions.take(address):
            raise Refused(429, _BUSY)
        steady, ahead_seconds = self._pace(session)
        self._of_session[session] += 1
        try:
            if ahead_seconds:
                await asyncio.sleep(ahead_seconds)
            waiter = self.turns.join((address, session), newcomer=not steady)
            await self.turns.wait(waiter)
            try:
                yield
            finally:
                self.turns.leave(waiter)
        finally:
            self._of_session[session] -= 1
            if self._of_session[session] <= 0:
                del self._of_session[session]

    def _may(self, waiter: Waiter) -> bool:
        newcomers = sum(other.newcomer for other in self.turns.at_work)
        free = not waiter.newcomer or newcomers < NEWCOMERS_AT_ONCE
        return free and self.turns.near(waiter.who[0]) < LIGHT_OF_ADDRESS

    def _pace(self, session: str) -> tuple[bool, float]:
        """Whether a session was here before and asks no more than a page does; and the seconds
        that it is ahead of what it may ask."""
        now = time.monotonic()
        first, at, left = self._rate.get(session, (now, now, CALLS_AHEAD))
        left = min(CALLS_AHEAD, left + (now - at) * CALLS_PER_SECOND) - 1
        self._rate[session] = (first, now, max(left, -CALLS_AHEAD))
        self._rate.move_to_end(session)
        while len(self._rate) > _SESSIONS:
            self._rate.popitem(last=False)
        return left > 0 and now - first > 1.0, max(0.0, -left / CALLS_PER_SECOND)
