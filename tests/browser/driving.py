"""Starting the app and Chromium for the journeys, and the few moves that all of them make."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

ROOT = Path(__file__).resolve().parents[2]
# Background networking of Chromium would end in the console as refused connections.
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
expect.set_options(timeout=30_000)  # two cores may be busy with a worker at the same time
TABS = ("Transfer", "Write", "Review", "Train", "Compare", "Take home", "Runs", "Fleet")


class Server:
    """The app as a process of its own, on a port that stays the same over restarts."""

    def __init__(self, runs: Path, **variables: str) -> None:
        self.runs = runs
        self.variables = variables
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start and wait until it answers."""
        log = (self.runs.parent / "server.log").open("ab")
        environment = {
            **os.environ,
            "WORKBENCH_RUNS": str(self.runs),
            "PORT": str(self.port),
            "OMP_NUM_THREADS": "1",
            "GRADIO_TEMP_DIR": str(self.runs.parent / "gradio"),
            **self.variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")],
            cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(self.address, timeout=2).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError((self.runs.parent / "server.log").read_text()) from None
                time.sleep(0.2)

    def stop(self) -> None:
        """End it as a crash would."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def log(self) -> str:
        """What it has written."""
        return (self.runs.parent / "server.log").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_page(browser: Browser, address: str, run: str = "", **context: object) -> Page:
    """A new page in a new context, with its console errors collected in ``page.problems``."""
    options: dict = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
    page = browser.new_context(**{**options, **context}).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(60_000)
    problems: list[str] = []

    def note(text: str) -> None:
        # Leaving a page aborts what it was asking; Gradio's client writes that down as an error.
        if "signal is aborted" not in text and "Connection errored out" not in text:
            problems.append(text)

    page.on("console", lambda m: note(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: note(str(error)))
    page.problems = problems  # type: ignore[attr-defined]
    visit(page, address, run)
    return page


def visit(page: Page, address: str, run: str = "") -> None:
    """Go to a run, or to the bare page, and wait until it has been drawn."""
    page.goto(f"{address}?run={run}" if run else address)
    drawn(page)


def drawn(page: Page) -> None:
    """Wait for the first drawing: the strip names a run or says that none is open."""
    expect(page.locator(".strip-name")).to_be_attached(timeout=40_000)


_RESTS = """() => {
  const now = `${document.body.innerText}${document.querySelectorAll("*").length}`;
  // Until the charts' program has been read, Gradio shows a placeholder.
  const empty = [...document.querySelectorAll("[aria-label='Empty value']")];
  const waits = empty.some((part) => part.checkVisibility());
  window.unchanged = now === window.seen && !waits ? window.unchanged + 1 : 0;
  window.seen = now;
  return window.unchanged >= 3;
}"""


def settled(page: Page) -> None:
    """Wait until nothing has been drawn for a while; not for runs at work, whose clock moves."""
    page.evaluate("window.seen = ''")
    page.wait_for_function(_RESTS, polling=150)


def go_to(page: Page, tab: str) -> None:
    """Open a tab by its name; on narrow screens it may be in the overflow menu."""
    button = page.get_by_role("tab", name=tab, exact=True)
    if button.count() and button.first.is_visible():
        button.first.click()
    else:
        page.locator(".overflow-menu > button").click()
        page.locator(".overflow-dropdown").get_by_text(tab, exact=True).click()


def run_in_address(page: Page) -> str:
    """The run that the address carries."""
    page.wait_for_function("new URL(location).searchParams.get('run')")
    return page.evaluate("new URL(location).searchParams.get('run')")


def field(page: Page, element: str) -> Locator:
    """The text field inside a component."""
    return page.locator(f"#{element} textarea, #{element} input").first


def open_part(page: Page, words: str) -> None:
    """Open a closed part of the page, unless it is open."""
    button = page.locator("button.label-wrap", has_text=words).locator("visible=true").first
    if "open" not in (button.get_attribute("class") or "").split():
        button.click()


EXAMPLES, SETTINGS = "Examples and evaluation rows", "Settings"


def choose(page: Page, element: str, text: str) -> None:
    """Pick from a dropdown."""
    field(page, element).click()
    page.get_by_role("option", name=text, exact=False).first.click()


def type_choice(page: Page, element: str, text: str) -> None:
    """Type a value of one's own into a dropdown."""
    box = field(page, element)
    box.click()
    box.fill(text)
    box.press("Enter")
    box.press("Tab")


ROWS, ACTIONS = "row_value", "event_data"  # what is in a request for a click on a row, for any


def answer_late(page: Page, what: str = ROWS, milliseconds: int = 1500) -> None:
    """The server learns this much later of what a person does."""
    page.evaluate(
        """([what, late]) => {
          const ask = window.fetch;
          window.fetch = async (target, options) => {
            const waits = String(target).endsWith("/queue/join") && options.body.includes(what);
            if (waits) await new Promise((go) => setTimeout(go, late));
            return ask(target, options);
          };
        }""",
        [what, milliseconds],
    )


def toast(page: Page, words: str) -> None:
    """A toast with these words appears; close it."""
    expect(page.locator(".toast-body", has_text=words).first).to_be_visible()
    # By script: toasts move while others come and go, and a click would wait for them to rest.
    closing = "toast => toast.querySelector('.toast-close').click()"
    page.locator(".toast-body", has_text=words).evaluate_all(f"toasts => toasts.forEach({closing})")


def phase(page: Page, words: str, seconds: float = 60) -> None:
    """Wait until the status strip says this."""
    begins = re.compile(rf"^\s*{re.escape(words)}")
    expect(page.locator(".strip-phase")).to_have_text(begins, timeout=seconds * 1000)
