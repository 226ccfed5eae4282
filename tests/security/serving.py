"""The page on a port, in this process, and the requests that a browser or an attacker makes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from workbench.ui import traffic
from workbench.ui.page import build_page, launch_options


@contextmanager
def served(folder: Path, **environment: str) -> Iterator["Site"]:
    """Serve the page from ``folder`` with some environment variables, until the block ends."""
    wanted = {
        "WORKBENCH_RUNS": str(folder / "runs"),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        **environment,
    }
    former = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    mask, refusals = os.umask(0o022), traffic.REFUSALS
    traffic.REFUSALS = (1e6, 1e6)  # tests are refused more often than anybody else
    page = build_page()
    try:
        _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        yield Site(address, page)
    finally:
        page.close()
        os.umask(mask)
        traffic.REFUSALS = refusals
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Site:
    """Where the page is served, and its functions by name."""

    def __init__(self, address: str, page: Any) -> None:
        self.address = address.rstrip("/")
        self.page = page
        config = httpx.get(f"{self.address}/config", timeout=30).json()
        self.numbers = {entry["api_name"]: entry["id"] for entry in config["dependencies"]}

    def visitor(self, session: str, **headers: str) -> "Caller":
        """Somebody with a session of their own."""
        return Caller(self, session, headers)


class Caller:
    """One browser, or a program in its place."""

    def __init__(self, site: Site, session: str, headers: dict[str, str]) -> None:
        self.site, self.session = site, session
        self.http = httpx.Client(base_url=site.address, headers=headers, timeout=30)

    def body(self, name: str, values: list[Any]) -> dict[str, Any]:
        """What the browser sends to call a function; inputs not given are as on a new page."""
        boxes = self.site.page.fns[self.site.numbers[name]].inputs[len(values) :]
        values = [*values, *(getattr(box, "value", None) for box in boxes)]
        return {"data": values, "fn_index": self.site.numbers[name], "session_hash": self.session,
                "event_data": None, "trigger_id": None}  # fmt: skip

    def direct(self, name: str, *values: Any) -> httpx.Response:
        """Call beside the queue."""
        return self.http.post("/gradio_api/run/predict", json=self.body(name, list(values)))

    def join(self, name: str, *values: Any) -> httpx.Response:
        """Join the queue."""
        return self.http.post("/gradio_api/queue/join", json=self.body(name, list(values)))

    def call(self, name: str, *values: Any) -> tuple[list[Any], list[str]]:
        """Join the queue and wait; what was answered, and the toasts."""
        joined = self.join(name, *values)
        joined.raise_for_status()
        number, toasts = joined.json()["event_id"], []
        where = f"/gradio_api/queue/data?session_hash={self.session}"
        with self.http.stream("GET", where) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("event_id") not in (None, number):
                    continue
                if message.get("msg") == "log":
                    toasts.append(message["log"])
                if message.get("msg") == "process_completed":
                    return message["output"].get("data", []), toasts
        raise AssertionError("the stream ended without an answer")

    def upload(self, name: str, content: bytes) -> httpx.Response:
        """Upload one file."""
        return self.http.post("/gradio_api/upload", files={"files": (name, content)})
