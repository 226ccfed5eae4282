"""Fifty visitors of a shared server and one attacker at once; fails when a bound does not hold.

    python scripts/load.py [--pages 50] [--seconds 60]

The server runs as a process of its own, with WORKBENCH_SHARED=1. Every visitor has an address (of
127.0.0.0/8), a token and a run, and ticks as a browser does. The attacker, a process of its own at
one address, does again and again what once froze or filled the server: calls beside the queue, a
flood of questions with ten tokens, of ticks and page loads from ever new sessions, bodies of 20
MB, uploads of 64 MB, nonsense, and connections that stay open. The last line is one JSON object;
the exit status is 1 when something in it is over its bound.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.bench_page import Endpoints, look
from tests.browser.driving import Server
from tests.ui import fake_run
from workbench.limits import limits
from workbench.runs import owners
from workbench.runs.listing import duplicate
from workbench.ui.uploads import bytes_in
from workbench.ui.visitors import HEADER

LIMITS = limits(shared=True)
RSS_MB, TICK_P95_MS = 600, 300
LOGS = 4  # the file, those before it, and as much on the terminal
ATTACKER = "127.0.0.66"
MEGABYTE = 1024**2


def main() -> int:
    """Measure, print, and say whether every bound held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch) / "runs", WORKBENCH_SHARED="1")
        server.runs.mkdir()
        tokens = {secrets.token_hex(16): "" for _ in range(options.pages)}
        first = fake_run.synthesize(fake_run.draft(server.runs))
        for token in tokens:
            run = duplicate(first)
            run.remember(owners.OWNER, owners.mark(token))
            tokens[token] = run.id
        server.start()
        try:
            result = measure(server, tokens, options.seconds)
        finally:
            server.stop()
    print(json.dumps(result))
    return 0 if result["held"] else 1


def measure(server: Server, tokens: dict[str, str], seconds: float) -> dict[str, Any]:
    """Let all loose at the server for so long; what came of it."""
    endpoints = Endpoints(server.address)
    assert server.process is not None
    watch = Watch(server.process.pid, server.runs.parent)
    runs_before = bytes_in(server.runs)
    stop, ticks = threading.Event(), []
    told: Any = multiprocessing.Queue()
    end = multiprocessing.Event()
    attacker = multiprocessing.Process(target=attack, args=(server.address, end, told), daemon=True)
    with ThreadPoolExecutor(len(tokens)) as pool:
        pages = [
            pool.submit(
                look,
                endpoints,
                visitor(f"127.0.1.{n + 1}", token),
                run,
                ticks,
                stop,
                n / len(tokens),
            )
            for n, (token, run) in enumerate(tokens.items())
        ]
        time.sleep(5.0)  # all pages are open
        ticks.clear()
        attacker.start()
        watch.start()
        time.sleep(seconds)
        during = sorted(ticks)
        end.set()
        answers = told.get(timeout=60)
        stop.set()
    watch.stop()
    failed = [page.exception() for page in pages if page.exception()]
    result = {
        "pages": len(tokens),
        "seconds": seconds,
        "ticks": len(during),
        "tick_p50_ms": round(1000 * during[len(during) // 2], 1),
        "tick_p95_ms": round(1000 * during[int(0.95 * len(during))], 1),
        "pages_failed": len(failed),
        "rss_mb": round(watch.rss / 1e6),
        "uploads_mb": round(watch.uploads / 1e6),
        "runs_grew_mb": round((bytes_in(server.runs) - runs_before) / 1e6, 1),
        "log_mb": round(watch.log / 1e6, 1),
        "attacker": answers,
        "load_average": os.getloadavg()[0],
    }
    if failed:
        print(f"a page failed: {failed[0]!r}", file=sys.stderr)
    result["held"] = (
        result["tick_p95_ms"] <= TICK_P95_MS
        and not failed
        and result["rss_mb"] < RSS_MB
        and watch.uploads <= LIMITS.upload_visitor_bytes + 3 * 64 * MEGABYTE
        and watch.log <= LOGS * LIMITS.log_bytes
        and bytes_in(server.runs) - runs_before <= LIMITS.owner_bytes
    )
    return result


def visitor(address: str, token: str) -> httpx.Client:
    """A browser with an address and a token of its own."""
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(transport=transport, headers={HEADER: token}, timeout=60)


class Watch:
    """The largest memory of the server and room of its folders, looked at twice a second."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.rss = self.uploads = self.log = 0
        self._process = psutil.Process(pid)
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look a last time."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            ended = self._ended.wait(0.5)
            self.rss = max(self.rss, self._process.memory_info().rss)
            self.uploads = max(self.uploads, bytes_in(self._folder / "gradio"))
            log = bytes_in(self._folder / "runs" / ".log")
            self.log = max(self.log, log + (self._folder / "server.log").stat().st_size)
            if ended:
                return


def attack(address: str, end: Any, told: Any) -> None:
    """Everything at once, until ``end``; tells what was answered, by kind and status."""
    answers: Counter[str] = Counter()
    endpoints = Endpoints(address)
    kinds: list[Callable[[Endpoints], Iterator[tuple[str, httpx.Response]]]] = [
        _beside, _beside, _questions, _questions, _ticks, _ticks, _loads, _large, _large,
        _uploads, _nonsense, _open,
    ]  # fmt: skip

    def go_on(kind: Callable[[Endpoints], Iterator[tuple[str, httpx.Response]]]) -> None:
        while not end.is_set():
            with suppress(httpx.HTTPError):
                for what, answer in kind(endpoints):
                    answers[f"{what} {answer.status_code}"] += 1
                    if end.is_set():
                        return

    with ThreadPoolExecutor(len(kinds)) as pool:
        list(pool.map(go_on, kinds))
    told.put(dict(sorted(answers.items())))


def _body(endpoints: Endpoints, name: str, *values: Any, session: str = "") -> dict[str, Any]:
    entry = endpoints.by_name[name]
    data = [*values, *[""] * len(entry["inputs"])][: len(entry["inputs"])]
    return {"data": data, "fn_index": entry["id"], "event_data": None, "trigger_id": None,
            "session_hash": session or secrets.token_hex(5)}  # fmt: skip


def _posts(endpoints: Endpoints, token: str = "") -> tuple[httpx.Client, str]:
    return visitor(ATTACKER, token or secrets.token_hex(16)), f"{endpoints.address}gradio_api/"


def _beside(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """200 questions to models beside the queue."""
    client, api = _posts(endpoints)
    with client:
        for _ in range(200):
            body = _body(endpoints, "draw_map", secrets.token_hex(16))
            yield "beside the queue", client.post(f"{api}run/predict", json=body)


def _questions(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """Ten tokens, each with questions and copies of the example, through the queue."""
    for _ in range(10):
        client, api = _posts(endpoints)
        with client:
            for name in ("draw_map", "load_example", "draw_map", "draw_map"):
                body = _body(endpoints, name, "", session=secrets.token_hex(5))
                yield f"queue {name}", client.post(f"{api}queue/join", json=body)


def _ticks(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """Light calls from ever new sessions."""
    client, api = _posts(endpoints)
    with client:
        for _ in range(200):
            body = _body(endpoints, "tick", secrets.token_hex(16), "transfer", "")
            yield "tick", client.post(f"{api}run/predict", json=body)


def _loads(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """The page itself, and what describes it."""
    client, api = _posts(endpoints)
    with client:
        for place in (endpoints.address, f"{endpoints.address}config", f"{api}info"):
            yield "load", client.get(place)


def _large(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """Bodies of 20 MB: announced, and in pieces without a length."""
    client, api = _posts(endpoints)
    piece = b" " * MEGABYTE
    with client:
        yield "20 MB", client.post(f"{api}queue/join", content=piece * 20)
        yield "20 MB", client.post(f"{api}queue/join", content=itertools.repeat(piece, 20))


def _uploads(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """Files of 64 MB."""
    client, api = _posts(endpoints)
    with client:
        yield "upload", client.post(f"{api}upload", files={"files": ("a", bytes(64 * MEGABYTE))})


def _nonsense(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """What is no call of the page, and calls with what no page sends."""
    client, api = _posts(endpoints)
    with client:
        for content in (b"{", b"[" * 5000, b"\xff" * 1000, b'{"fn_index": "x"}'):
            yield "nonsense", client.post(f"{api}run/predict", content=content)
        for name in ("tick", "draw_map"):
            body = _body(endpoints, name, {"a": 1}, ["\x1b[2J"], "{")
            yield "nonsense", client.post(f"{api}run/predict", json=body)
            yield "nonsense", client.post(f"{api}queue/join", json=body)


def _open(endpoints: Endpoints) -> Iterator[tuple[str, httpx.Response]]:
    """300 connections that listen and are left open for a while."""
    client, api = _posts(endpoints)
    held: list[Any] = []
    try:
        for _ in range(300):
            request = client.build_request("GET", f"{api}heartbeat/{secrets.token_hex(5)}")
            held.append(client.send(request, stream=True))
            yield "listening", held[-1]
        time.sleep(3.0)
    finally:
        for answer in held:
            answer.close()
        client.close()


if __name__ == "__main__":
    sys.exit(main())
