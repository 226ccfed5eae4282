"""Make assets/example-kit.zip: spoken requests, told apart by what is wanted (SNIPS, CC0 1.0).

    python scripts/make_example.py --data PATH_TO_SNIPS --kit assets/example-kit.zip

Takes 256 training rows and 86 test rows of each of the 7 intents, none of them twice; runs
``python -m workbench prepare`` and writes what was measured beside the kit.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TASK_NAME = "requests to a voice assistant"
TRAINING_ROWS = 256  # per intent
EVALUATION_ROWS = 86  # per intent
SEEDS = 15
ATTRIBUTION = (
    "Rows from the SNIPS benchmark (Coucke et al. 2018, Snips Voice Platform, arXiv 1805.10190), "
    "repository sonos/nlu-benchmark, licence CC0 1.0. Changed: some rows of each intent selected."
)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows as input and output (the intent)."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{"input": row["input"], "output": row["output"]} for row in rows]


def first_per_intent(rows: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    """The first ``count`` rows of every intent, in file order."""
    taken: dict[str, int] = {}
    chosen = []
    for row in rows:
        taken[row["output"]] = taken.get(row["output"], 0) + 1
        if taken[row["output"]] <= count:
            chosen.append(row)
    return chosen


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Select rows, call prepare, record the making."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kit", type=Path, required=True)
    options = parser.parse_args()
    test = rows_of(options.data / "test.jsonl")
    with tempfile.TemporaryDirectory() as scratch:
        train_file, test_file = Path(scratch) / "train.jsonl", Path(scratch) / "evaluation.jsonl"
        train = rows_of(options.data / "train.jsonl")
        held_out = {" ".join(row["input"].casefold().split()) for row in test}
        train = [row for row in train if " ".join(row["input"].casefold().split()) not in held_out]
        write_rows(train_file, first_per_intent(train, TRAINING_ROWS))
        write_rows(test_file, first_per_intent(test, EVALUATION_ROWS))
        command = [
            *(sys.executable, "-m", "workbench", "prepare"),
            *("--base", "package:smollm2-135m-instruct", "--data", str(train_file)),
            *("--evaluation", str(test_file), "--seeds", str(SEEDS), "--kit", str(options.kit)),
            *("--task-name", TASK_NAME, "--attribution", ATTRIBUTION, "--writer", "yes"),
        ]
        done = subprocess.run([*command, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    measured["kit"] = options.kit.name
    measured["kit_sha256"] = hashlib.sha256(options.kit.read_bytes()).hexdigest()
    measured["command"] = "make example-kit DATA=PATH_TO_SNIPS"
    record = options.kit.with_suffix(".json")
    record.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(record.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
