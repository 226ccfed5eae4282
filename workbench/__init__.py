"""Trans-LoRA Workbench: move a LoRA adapter to another base model, almost without data."""

import sys

__version__ = "0.1.0"

if sys.platform == "win32":  # locks, signals and limits of processes are those of Unix
    raise SystemExit("The workbench runs on Linux and macOS. On Windows, run it in WSL 2.")
