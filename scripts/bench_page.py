"""Ticks of fifty open pages on a running job, and page turns among 100,000 samples.

    python scripts/bench_page.py [--pages 50] [--seconds 40] [--samples 100000]

The app runs as a process of its own, as users run it. A stand-in for the worker commits rounds and
training steps to the watched run ten times a second and keeps one core busy, as a real one would.
Each page is what a browser is to the server: its own session, one tick every two seconds, by the
same requests. The last line is one JSON object.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.driving import Server
from tests.ui import fake_run
from workbench.events import Metric, Progress, StageStarted
from workbench.runs import lease
from workbench.runs.folder import open_run
from workbench.stages import Stage

TICK_SECONDS = 2.0
PAGE_TURNS = 40


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--samples", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch) / "runs")
        server.runs.mkdir()
        print(f"filling a run with {options.samples:,} samples", flush=True)
        large = fake_run.many_samples(server.runs, options.samples)
        watched = fake_run.synthesize(fake_run.draft(server.runs))
        server.start()
        worker = multiprocessing.Process(target=_work, args=(str(watched.folder),), daemon=True)
        worker.start()
        try:
            result = measure(server, watched.id, large.id, options.pages, options.seconds)
        finally:
            worker.terminate()
            server.stop()
    result |= {"pages": options.pages, "samples": options.samples}
    print(json.dumps(result))
    return 0


def measure(server: Server, watched: str, large: str, pages: int, seconds: float) -> dict[str, Any]:
    """Ticks of all pages, then page turns while they go on."""
    endpoints = Endpoints(server.address)
    ticks: list[float] = []
    stop = threading.Event()
    with ThreadPoolExecutor(pages) as pool:
        opened = [
            pool.submit(look, endpoints, httpx.Client(timeout=60), watched, ticks, stop, n / pages)
            for n in range(pages)
        ]
        try:
            time.sleep(seconds)
            alone = sorted(ticks)
            turns = sorted(_turn_pages(endpoints, large))
        finally:
            stop.set()
    for page in opened:
        page.result()  # a page that failed would make the others look fast
    return {
        "tick_p95_ms": round(1000 * alone[int(0.95 * len(alone))], 1),
        "tick_p50_ms": round(1000 * alone[len(alone) // 2], 1),
        "ticks": len(alone),
        "page_turn_ms": round(1000 * turns[int(0.95 * len(turns))], 1),
        "page_turn_p50_ms": round(1000 * turns[len(turns) // 2], 1),
    }


class Endpoints:
    """The functions of the page by name, as its configuration lists them."""

    def __init__(self, address: str) -> None:
        self.address = address
        config = httpx.get(f"{address}config", timeout=30).json()
        self.by_name = {entry["api_name"]: entry for entry in config["dependencies"]}

    def due(self, pulse: str, former: str) -> list[tuple[str, str]]:
        """The drawings that a pulse asks for after the former one, with their tokens."""
        tokens, held = json.loads(pulse), json.loads(former or "{}")
        changed = [name for name, token in tokens.items() if held.get(name) != token]
        return [("draw_" + name.replace(" ", "_"), tokens[name]) for name in changed if name != "#"]

    def call(self, client: httpx.Client, name: str, data: list[Any], session: str) -> Any:
        """One call as the browser makes it: through the queue, or beside it where that is open."""
        entry = self.by_name[name]
        body = {"data": data, "fn_index": entry["id"], "session_hash": session,
                "event_data": None, "trigger_id": None}  # fmt: skip
        place = "queue/join" if entry["queue"] else "run/predict"
        answer = client.post(f"{self.address}gradio_api/{place}", json=body)
        answer.raise_for_status()
        if not entry["queue"]:
            return answer.json()
        where = f"{self.address}gradio_api/queue/data?session_hash={session}"
        with client.stream("GET", where) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    return message["output"]
        raise AssertionError("the stream ended without an answer")


def look(
    endpoints: Endpoints,
    client: httpx.Client,
    run: str,
    ticks: list[float],
    stop: threading.Event,
    offset: float,
) -> None:
    """Be one open page until ``stop``: a tick every two seconds, and what it asks to be drawn.

    Args:
        client: closed at the end.
        ticks: gets the seconds of each tick but the first, which opens the page.
        offset: of the first tick, as a share of the time between two.
    """
    session = f"bench-{random.randrange(10**9)}"
    time.sleep(offset * TICK_SECONDS)
    tab = random.choice(["transfer", "transfer", "write", "train", "train", "compare"])
    pulse, warm = "", False
    with client:
        while not stop.is_set():
            begun = time.perf_counter()
            news = endpoints.call(client, "tick", [run, tab, pulse], session)["data"][0]
            answer = json.loads(news)["pulse"]
            # What has changed is drawn by requests of its own, as the browser makes them.
            for name, token in endpoints.due(answer, pulse):
                others = len(endpoints.by_name[name]["inputs"]) - 1
                # Forms also ask what was typed, and what they are drawn into.
                data = [token, *["[]", *[""] * others][:others]]
                endpoints.call(client, name, data, session)
            pulse = answer
            taken = time.perf_counter() - begun
            if warm:
                ticks.append(taken)
            warm = True
            stop.wait(max(0.0, TICK_SECONDS - taken))


def _turn_pages(endpoints: Endpoints, run: str) -> list[float]:
    """Forward through the table, with and without filters."""
    turns = []
    finders = [
        ["", "", "", "", None, None, False, "-made"],
        ["kept", "", "", "", None, None, False, "score"],
        ["", "card", "", "", None, None, False, "-excess"],
        ["kept", "", "balance", "", None, None, False, "answer"],
    ]
    with httpx.Client(timeout=60) as client:
        for number in range(PAGE_TURNS):
            finder = finders[number % len(finders)]
            data = [run, *finder, 1 + 20 * number, ""]
            begun = time.perf_counter()
            endpoints.call(client, "page_forward", data, "bench-turns")
            turns.append(time.perf_counter() - begun)
    return turns


def _work(folder: str) -> None:
    """Keep a core busy and commit as a training does."""
    os.nice(0)
    run = open_run(Path(folder))
    with lease.Lease(run.folder, job="bench", until=Stage.EXPORT):
        run.journal.append(StageStarted(Stage.DISTIL))
        step = 0
        while True:
            step += 1
            run.journal.append(
                Metric(Stage.DISTIL, step, 100_000, 2.0 / step, 1e-4, 600.0, 2_000_000_000),
                Progress(Stage.DISTIL, step, 100_000, "steps", 10.0),
            )
            until = time.perf_counter() + 0.1
            while time.perf_counter() < until:
                sum(range(10_000))


if __name__ == "__main__":
    sys.exit(main())
