"""What everybody is answered alike: the page as it is at first, its scripts, its styles.

Gradio puts the page together anew for each request, which takes a twentieth of a second, and
compresses a script each time that it is asked for. Here it is asked once, and told only what such
an answer depends on; no cookie and no query, so that nothing of a visitor is in what all get.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from workbench.ui.calls import Refused

Message = MutableMapping[str, Any]
_Key = tuple[Any, ...]

_PAGES = re.compile(r"/|/config/?|/gradio_api/info/?")
_PARTS = re.compile(
    r"/(theme\.css|robots\.txt|favicon\.ico|manifest\.json)|/(assets|static|svelte)/.*"
    r"|/gradio_api/theme\.css"
)
# The page names the address under which it was asked.
_NAMES = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
_NAME_CHARACTERS = 255
_KEPT_BYTES = 32 * 1024**2  # all of Gradio's scripts are 6 MB, compressed
_KEPT = 2048
# What a new one takes of an address's allowance.
PAGE_COST, PART_COST = 10.0, 1.0


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class SameAnswers:
    """Answers of one server, the longest unused go first. Lives in its event loop.

    Args:
        inner: Gradio's application.
        pages: whether the page itself is the same for all, which it is not behind a password.
    """

    def __init__(self, inner: Any, pages: bool) -> None:
        self._inner, self._pages = inner, pages
        self._kept: OrderedDict[_Key, _Answer] = OrderedDict()
        self._making: dict[_Key, asyncio.Task[_Answer]] = {}
        self._bytes = 0

    def has(self, path: str) -> bool:
        """Whether everybody is answered alike at an address."""
        return bool(_PARTS.fullmatch(path) or (self._pages and is_page(path)))

    async def give(
        self, scope: Message, headers: dict[str, str], allow: Callable[[float], None], send: Any
    ) -> None:
        """Answer; ``allow`` is told what it costs where it has to be made.

        Raises:
            Refused: by ``allow``, or for a name of this server that is none.
        """
        asked = _asked(scope, headers)
        key = (asked["path"], asked["scheme"], *asked["headers"])
        answer = self._kept.get(key)
        if answer is None:
            if key not in self._making:
                allow(PAGE_COST if is_page(asked["path"]) else PART_COST)
                self._making[key] = asyncio.create_task(self._make(key, asked))
            # Others may wait for it too, so it is not given up with this visitor.
            answer = await asyncio.shield(self._making[key])
        else:
            self._kept.move_to_end(key)
        start = {"type": "http.response.start", "status": answer.status}
        await send(start | {"headers": list(answer.headers)})
        await send({"type": "http.response.body", "body": answer.body})

    async def _make(self, key: _Key, asked: Message) -> _Answer:
        begun: Message = {}
        parts: list[bytes] = []
        unread: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if not unread:
                await asyncio.Event().wait()  # nobody goes away: others may wait for it as well
            return unread.pop()

        async def take(message: Message) -> None:
            if message["type"] == "http.response.start":
                begun.update(message)
            else:
                parts.append(message.get("body", b""))

        try:
            await self._inner(asked, receive, take)
        finally:
            del self._making[key]
        answer = _Answer(begun["status"], begun["headers"], b"".join(parts))
        if answer.status == 200:
            self._kept[key] = answer
            self._bytes += len(answer.body)
            while self._bytes > _KEPT_BYTES or len(self._kept) > _KEPT:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.body)
        return answer


def is_page(path: str) -> bool:
    """Whether an address is that of the page, or of what describes it."""
    return bool(_PAGES.fullmatch(path))


def _asked(scope: Message, headers: dict[str, str]) -> Message:
    """The request without what is the visitor's own."""
    accepted = headers.get("accept-encoding", "")
    encoding = next((name for name in ("br", "gzip") if name in accepted), "identity")
    kept = [(b"accept-encoding", encoding.encode())]
    if is_page(scope["path"]):
        for name in _NAMES:
            value = headers.get(name, "")
            if len(value) > _NAME_CHARACTERS:
                raise Refused(400, "The name under which this server was asked is too long.")
            if value:
                kept.append((name.encode(), value.encode("latin1")))
    else:
        kept.append((b"host", b"localhost"))
    return {**scope, "method": "GET", "query_string": b"", "headers": kept, "state": {}}
