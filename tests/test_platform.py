"""Where it does not run, it says so in one sentence."""

import subprocess
import sys
from pathlib import Path


def test_windows_is_told_in_one_sentence() -> None:
    script = "import sys; sys.platform = 'win32'; import workbench.__main__"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "The workbench runs on Linux and macOS. On Windows, run it in WSL 2."
    )
