"""T22: what is installed and fetched is what was chosen, and a start asks nobody.

Exact pins are held by tests/test_requirements.py, changed wheels by tests/models/test_packages.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from workbench.models import packages

ROOT = Path(__file__).parents[2]
# Notes every name that is looked up and every address that is called, from the first import on.
WATCHED_START = """
import json, sys, time
asked = []
def hook(event, given):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        asked.append(str(given[0 if event == "socket.getaddrinfo" else 1]))
sys.addaudithook(hook)
from workbench.ui.page import build_page, launch_options
page = build_page()
page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
time.sleep(1)  # what is done in threads after the start
page.close()
print(json.dumps(asked))
"""


def test_t22_a_start_asks_nobody(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED_START],
        env={**kept, "PYTHONPATH": str(ROOT), "WORKBENCH_RUNS": str(tmp_path / "runs"),
             "GRADIO_TEMP_DIR": str(tmp_path / "uploads")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    asked = json.loads(done.stdout.splitlines()[-1])
    assert [place for place in asked if "127.0.0.1" in place or "localhost" in place]
    assert not [place for place in asked if "127.0.0.1" not in place and "localhost" not in place]


def test_t22_every_file_of_a_package_has_its_hash() -> None:
    found = 0
    for package in packages.PACKAGES.values():
        for sha256 in (*(wheel.sha256 for wheel in package.wheels), package.gguf_sha256):
            assert re.fullmatch("[0-9a-f]{64}", sha256)
            found += 1
    assert found >= 4


def test_t22_nothing_is_installed_at_runtime() -> None:
    for path in (ROOT / "workbench").rglob("*.py"):
        assert not re.search(r"pip[\"']?,?\s*[\"']install", path.read_text()), path
