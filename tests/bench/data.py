"""A data folder in the benchmark's layout, small and made up."""

import json
from pathlib import Path
from typing import Any

DOMAINS = {"banking": 3, "travel": 3, "home": 2}  # domain -> intents


def write_data(folder: Path) -> Path:
    snips = [
        {
            "input": f"play song number {i}",
            "output": f"Intent{i % 7}",
            "json": json.dumps({"intent": f"Intent{i % 7}", "track": str(i)}),
        }
        for i in range(120)
    ]
    # The files as published have a few rows in both: they must end up in the test alone.
    twice = {**snips[0], "input": "  PLAY song Number 0 "}
    write(folder / "snips" / "train.jsonl", [*snips[20:], twice, snips[20]])
    write(folder / "snips" / "test.jsonl", [*snips[:20], snips[5]])
    for name, rows in (("train", 40), ("test", 10)):
        write(
            folder / "clinc150" / f"{name}.jsonl",
            [
                {
                    "input": f"{name} {domain} {intent} {i}",
                    "output": f"{domain} {intent}",
                    "domain": domain,
                }
                for domain, intents in DOMAINS.items()
                for intent in range(intents)
                for i in range(rows)
            ],
        )
    write(
        folder / "bbh" / "navigate.jsonl",
        [{"input": f"take {i} steps", "output": "Yes" if i % 3 else "No"} for i in range(250)],
    )
    write(
        folder / "bbh" / "object_counting.jsonl",
        [{"input": f"{i} pears", "output": str(i)} for i in range(50)],
    )
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
