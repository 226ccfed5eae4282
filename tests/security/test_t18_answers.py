"""T18: what everybody is answered alike is made once, and has nothing of a visitor in it."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.security.serving import Site, served
from workbench.ui import same_answers
from workbench.ui.calls import Refused
from workbench.ui.same_answers import PAGE_COST, SameAnswers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("served")) as site:
        yield site


def test_t18_the_page_is_the_same_with_and_without_a_visitor(site: Site) -> None:
    plain = httpx.get(f"{site.address}/", headers={"Accept-Encoding": "br"})
    own = {"Cookie": "session=canary", "X-Workbench-Owner": "canary" * 5, "Accept-Encoding": "gzip"}
    asked = httpx.get(f"{site.address}/?run=canary&deep_link=canary&__theme=dark", headers=own)
    assert plain.status_code == asked.status_code == 200 and plain.text == asked.text
    assert "canary" not in asked.text and "gradio_config" in asked.text
    assert "set-cookie" not in asked.headers
    for path in ("/config", "/theme.css", "/gradio_api/info"):
        first, second = (httpx.get(f"{site.address}{path}") for _ in range(2))
        assert first.content == second.content and first.content
    named = httpx.get(f"{site.address}/config", headers={"X-Forwarded-Host": "bench.example"})
    assert named.json()["root"] == "http://bench.example"
    assert httpx.get(f"{site.address}/config").json()["root"] == site.address
    head = httpx.head(f"{site.address}/")
    assert head.status_code == 200 and not head.content


def test_t18_files_of_visitors_are_not_compressed(site: Site) -> None:
    path = site.visitor("files").upload("a.json", b"[" + b"1, " * 9999 + b"1]").json()[0]
    answer = httpx.get(f"{site.address}/gradio_api/file={path}", headers={"Accept-Encoding": "br"})
    assert answer.status_code == 200 and "content-encoding" not in answer.headers


class Counting:
    """An application that counts what it is asked."""

    def __init__(self, status: int = 200, size: int = 10) -> None:
        self.asked: list[str] = []
        self.status, self.size = status, size

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * self.size})


async def ask(answers: SameAnswers, path: str, allow: Any = None, **headers: str) -> list[Any]:
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"path": path, "scheme": "http", "method": "GET", "headers": []}
    await answers.give(scope, headers, allow or (lambda cost: None), send)
    return told


def played(play: Coroutine[Any, Any, None]) -> None:
    """Run to its end in a thread: a browser test beside it may have a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, play).result()


def test_t18_what_many_ask_at_once_is_made_once() -> None:
    async def play() -> None:
        inner, costs = Counting(), []
        answers = SameAnswers(inner, pages=True)
        told = await asyncio.gather(*(ask(answers, "/", costs.append) for _ in range(20)))
        assert inner.asked == ["/"] and costs == [PAGE_COST]
        assert all(messages[1]["body"] == b"x" * 10 for messages in told)
        await ask(answers, "/", host="another")
        assert inner.asked == ["/", "/"]

    played(play())


def test_t18_an_application_that_looks_whether_somebody_left_holds_nobody_up() -> None:
    async def listening(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        listener.cancel()

    async def play() -> None:
        told = await ask(SameAnswers(listening, pages=True), "/favicon.ico")
        assert told[1]["body"] == b"x"

    played(play())


def test_t18_every_address_that_is_open_is_answered(site: Site) -> None:
    for path in ("/favicon.ico", "/robots.txt", "/manifest.json", "/theme.css"):
        assert site.visitor("open").http.get(path).status_code < 500


def test_t18_what_has_to_be_made_is_asked_for_and_errors_are_not_kept() -> None:
    async def play() -> None:
        def refuse(_cost: float) -> None:
            raise Refused(429, "Not now.")

        inner = Counting(404)
        answers = SameAnswers(inner, pages=True)
        with pytest.raises(Refused):
            await ask(answers, "/", refuse)
        with pytest.raises(Refused):
            await ask(answers, "/", **{"x-forwarded-host": "x" * 256})
        assert inner.asked == []
        for _ in range(2):
            assert (await ask(answers, "/assets/none.js"))[0]["status"] == 404
        assert len(inner.asked) == 2
        assert not SameAnswers(inner, pages=False).has("/config")
        assert SameAnswers(inner, pages=False).has("/assets/a.js")

    played(play())


def test_t18_kept_answers_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_answers, "_KEPT_BYTES", 35)

    async def play() -> None:
        inner = Counting()
        answers = SameAnswers(inner, pages=True)
        for name in "abcab":
            await ask(answers, f"/assets/{name}")
        assert inner.asked == [f"/assets/{name}" for name in "abc"]
        await ask(answers, "/assets/d")
        await ask(answers, "/assets/a")
        await ask(answers, "/assets/c")  # the longest unused had to go
        assert inner.asked[3:] == ["/assets/d", "/assets/c"]

    played(play())
