"""The program as a Space starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Stands in for the package of ZeroGPU: says what was imported before it, and ends.
SPACES = """
import sys
print(sorted({"torch", "gradio", "transformers"} & set(sys.modules)))
sys.exit(7)
"""


def test_spaces_is_imported_first_where_a_gpu_is_lent(tmp_path: Path) -> None:
    """It stands in for CUDA, and refuses to come after it."""
    (tmp_path / "spaces.py").write_text(SPACES)
    begun = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert begun.returncode == 7, begun.stderr
    assert begun.stdout.strip() == "[]"
