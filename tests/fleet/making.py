"""Lists of small transfers on tiny random models."""

import json
from pathlib import Path
from typing import Any

from tests import tiny

FAST = {
    "task_name": "coins",
    "source_format.kind": "chat",  # measured on a random adapter it may never end an answer
    "synthesis.samples": 6,
    "synthesis.filter": "none",
    "synthesis.writer": "list",
    "synthesis.prompts_per_round": 12,
    "synthesis.new_tokens": 16,
    "synthesis.mixed": 0,
    "evaluation.answer_tokens": 12,
    "evaluation.base_arms": False,
    "training.epochs": 1,
    "training.batch_rows": 4,
    "training.checkpoint_steps": 2,
    "student.rank": 2,
}


def write_list(folder: Path, source: Path, target: Path, count: int, **more: Any) -> Path:
    """A list of ``count`` transfers of different adapters; returns transfers.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "seeds": [(f"please move {n} coins to box {n * 7}", f"box{n % 3}") for n in range(1, 7)],
        "rows": [(f"put {n} coins into box {n}", f"box{n % 3}") for n in range(12)],
    }
    for name, pairs in rows.items():
        lines = (json.dumps({"input": text, "output": answer}) + "\n" for text, answer in pairs)
        (folder / f"{name}.jsonl").write_text("".join(lines))
    lines = []
    for number in range(count):
        tiny.write_adapter(folder / f"adapter-{number}", source, seed=number)
        line = {
            "name": f"move-{number}",
            "adapter": f"adapter-{number}",
            "seeds": "seeds.jsonl",
            "evaluation": "rows.jsonl",
            "source_base": f"folder:{source}",
            "target_base": f"folder:{target}",
            "preset": "balanced",
            "set": FAST,
            **more,
        }
        lines.append(json.dumps(line) + "\n")
    path = folder / "transfers.jsonl"
    path.write_text("".join(lines))
    return path
