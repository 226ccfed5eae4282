"""The README's pictures: every tab of a filled run, light and dark, wide and narrow.

    python scripts/screenshots.py [--to assets/screenshots] [--run RUNS_FOLDER/RUN_ID]

Without ``--run`` a run is made up that looks like a finished transfer, so the pictures can be
made anywhere within a minute. Needs Chromium.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.driving import CHROMIUM, Server, drawn, go_to
from tests.ui import fake_fleet, fake_run
from workbench.ui import fleet_tab

SHOTS = (
    ("transfer", "Transfer"),
    ("write", "Write"),
    ("review", "Review"),
    ("train", "Train"),
    ("compare", "Compare"),
    ("take-home", "Take home"),
    ("runs", "Runs"),
    ("fleet", "Fleet"),
)
WIDE, NARROW = 1280, 375


def main() -> int:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("assets/screenshots"))
    parser.add_argument("--run", type=Path, help="a run's folder; default: a made-up one")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        # A copy: the server leaves its log and temporary files beside the runs.
        root = Path(scratch) / "runs"
        run = (
            shutil.copytree(options.run, root / options.run.name) if options.run else _made_up(root)
        )
        fake_fleet.fleet(Path(scratch) / "fleet")
        fleet_tab.remember(str(Path(scratch) / "fleet"), run.parent)
        server = Server(run.parent)
        server.start()
        try:
            with sync_playwright() as playwright:
                path = shutil.which("chromium")
                browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM))
                for theme in ("light", "dark"):
                    _shoot(browser, server, run.name, theme, WIDE, options.to)
                _shoot(browser, server, run.name, "light", NARROW, options.to)
                browser.close()
        finally:
            server.stop()
    return 0


def _made_up(root: Path) -> Path:
    root.mkdir(parents=True)
    fake_run.synthesize(fake_run.draft(root, "Support tickets"))
    fake_run.draft(root, "Sentiment", discriminator=False)
    return fake_run.finished(root).folder


def _shoot(browser: Browser, server: Server, run: str, theme: str, width: int, to: Path) -> None:
    page = browser.new_context(
        viewport={"width": width, "height": 900}, reduced_motion="reduce"
    ).new_page()
    page.goto(f"{server.address}?run={run}&__theme={theme}")
    drawn(page)
    for name, tab in SHOTS:
        if tab != "Transfer":
            go_to(page, tab)
        _settle(page, tab)
        suffix = "narrow" if width == NARROW else theme
        page.screenshot(path=to / f"{name}-{suffix}.png", full_page=width == WIDE)
        print(to / f"{name}-{suffix}.png", flush=True)
    page.context.close()


def _settle(page: Page, tab: str) -> None:
    """Wait for what is drawn last on a tab."""
    last = {
        "Transfer": "#transfer-bars .bars",
        "Write": "#coverage .js-plotly-plot",
        "Review": "#review-table [data-testid='cell-0-1']",
        "Train": "#loss-curve svg, #loss-curve canvas",
        "Compare": "#label-chart .js-plotly-plot",
        "Take home": "#bundle-facts dl",
        "Runs": "#runs-table [data-testid='cell-0-0']",
        "Fleet": "#fleet-table [data-testid='cell-0-0']",
    }[tab]
    expect(page.locator(last).first).to_be_attached(timeout=30_000)
    if tab == "Review":
        page.locator("#review-table [data-testid='cell-2-1']").click()
        expect(page.locator("#review-facts dl")).to_be_attached()
    page.wait_for_timeout(1200)


if __name__ == "__main__":
    sys.exit(main())
