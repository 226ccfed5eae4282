"""Results of the quality benchmark: one JSON line per finished cell, and what follows from them.

A cell is one arm on one task with one seed and one recipe. The file only grows; a line that a
crash tore is not a result and its cell is owed again. Nothing here runs a model.
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench.evaluate.intervals import paired_score_difference, score_interval

SOURCE = "source"
ZERO_SHOT = "target_zero_shot"
FEW_SHOT = "target_few_shot"
ORACLE = "oracle"
REAL_INPUTS = "real_inputs"
SEEDS_ONLY = "seeds_only"
SELF_LABELS = "self_labels"
UNFILTERED = "unfiltered"
PAPER = "paper"
EXCESS = "excess"
BEST = "best"
OWN = "own"
KIT = "kit"

# Kinds of adapters that ``bench.peft`` goes from and to; the first is no adapter but the rows.
CEILING = "real rows"
TEACHERS = (CEILING, "lora", "dora", "prompt_tuning")
STUDENTS = ("lora", "dora", "prompt_tuning", "ia3", "oft", "miss")

# arm -> what it is, in the order of the tables.
ARMS = {
    SOURCE: "source base + source adapter, trained on real rows: the teacher",
    ZERO_SHOT: "target base, nothing else",
    FEW_SHOT: "target base with the seeds as examples in the prompt",
    ORACLE: "new adapter trained on real inputs with their gold answers",
    REAL_INPUTS: "new adapter trained on real inputs answered by the teacher",
    SEEDS_ONLY: "new adapter trained on the seeds",
    SELF_LABELS: "new adapter trained on synthetic inputs answered by the target itself (control)",
    UNFILTERED: "list synthesis as in the paper, nothing filtered",
    PAPER: "Trans-LoRA as published: list synthesis, discriminator, q/v LoRA",
    EXCESS: "list synthesis, the better half by contrastive excess (TiTok's filter)",
    BEST: "this workbench from seed examples: a base writes, label by label",
    OWN: "this workbench: the source adapter writes its own inputs (--source-loss whole)",
    KIT: "this workbench: the kit's writer writes",
}
# Not the outcome of a transfer: no retention or recovery is shown for them.
REFERENCES = (SOURCE, ZERO_SHOT, FEW_SHOT)


@dataclass(frozen=True)
class Cell:
    """What is to be measured; ``recipe_hash`` stands for everything that could change it."""

    task: str
    arm: str
    seed: int
    recipe_hash: str


@dataclass(frozen=True)
class CellResult:
    """One measured cell.

    Attributes:
        rows: ids of the test rows (``sample_id`` of the input), in the order of ``correct``.
        correct: "1" or "0" per row.
        scores: per row, 0..1, where the metric has degrees (chrF); else empty.
        counts: what was made on the way: samples made and kept, rejected by reason, test rows
            met in synthesis, ...
        effective_labels: exponential of the entropy of the training answers; None without.
        mmd: distance of the training inputs to real ones; None where not measured.
        seconds: by stage.
        about: versions, device, sizes and whatever else explains the number.
    """

    task: str
    arm: str
    seed: int
    recipe_hash: str
    rows: tuple[str, ...]
    correct: str
    scores: tuple[float, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    effective_labels: float | None = None
    mmd: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.correct) or set(self.correct) - set("01"):
            raise ValueError(f"{self.task}, {self.arm}: one 0 or 1 per row is needed")
        if self.scores and len(self.scores) != len(self.rows):
            raise ValueError(f"{self.task}, {self.arm}: one score per row is needed")

    @property
    def cell(self) -> Cell:
        """Its key."""
        return Cell(self.task, self.arm, self.seed, self.recipe_hash)

    @property
    def accuracy(self) -> float:
        """Share of right answers, or the mean score; 0 without rows."""
        return sum(self.marks) / len(self.marks) if self.marks else 0.0

    @property
    def marks(self) -> tuple[float, ...]:
        """The score of every row, 1 or 0 where the metric has no degrees."""
        return self.scores or tuple(map(float, self.correct))

    @property
    def acceptance(self) -> float | None:
        """Kept of made samples; None where nothing was made."""
        made = self.counts.get("made", 0)
        return self.counts.get("kept", 0) / made if made else None


@dataclass(frozen=True)
class Paired:
    """Accuracy of b minus a over common seeds, -1..1, with a 95 % interval.

    Attributes:
        rows: different test rows behind it.
        seeds: seeds that both arms have.
    """

    mean: float
    low: float
    high: float
    rows: int
    seeds: int


def append_line(path: Path, data: Mapping[str, Any]) -> None:
    """Add one line and make sure that it is on disk; a torn last line is closed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read_results(path: Path) -> dict[Cell, CellResult]:
    """All finished cells; the last line of a cell counts, lines that are no result are skipped."""
    if not path.exists():
        return {}
    results = {}
    known = {entry.name for entry in fields(CellResult)}
    for line in path.read_bytes().splitlines():
        try:
            data = json.loads(line)
            kept = {key: value for key, value in data.items() if key in known}
            kept["rows"], kept["scores"] = tuple(kept["rows"]), tuple(kept.get("scores", ()))
            result = CellResult(**kept)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        results.pop(result.cell, None)
        results[result.cell] = result
    return results


def owed(cells: Sequence[Cell], results: Mapping[Cell, CellResult]) -> list[Cell]:
    """The cells that have no result yet, in order."""
    return [cell for cell in cells if cell not in results]


Grid = dict[str, dict[str, dict[int, CellResult]]]


def grid(results: Sequence[CellResult]) -> Grid:
    """task -> arm -> seed -> result; tasks in order of appearance, arms in that of ``ARMS``."""
    table: Grid = defaultdict(dict)
    order = {arm: number for number, arm in enumerate(ARMS)}
    for result in sorted(results, key=lambda one: order.get(one.arm, len(order))):
        table[result.task].setdefault(result.arm, {})[result.seed] = result
    tasks = dict.fromkeys(result.task for result in results)
    return {task: table[task] for task in tasks}


def mean_accuracy(by_seed: Mapping[int, CellResult]) -> float:
    """Mean over seeds."""
    return sum(result.accuracy for result in by_seed.values()) / len(by_seed)


def retention(arms: Mapping[str, Mapping[int, CellResult]], arm: str) -> float | None:
    """Accuracy of the arm / accuracy of the source, means over the seeds that both have."""
    pair = _common_means(arms, arm, SOURCE)
    return None if pair is None or pair[1] == 0 else pair[0] / pair[1]


def recovery(arms: Mapping[str, Mapping[int, CellResult]], arm: str) -> float | None:
    """(arm - target base) / (oracle - target base) over common seeds.

    None where the oracle is not above the base: then there is nothing to recover.
    """
    means = _common_means(arms, arm, ZERO_SHOT, ORACLE)
    if means is None or means[2] <= means[1]:
        return None
    return (means[0] - means[1]) / (means[2] - means[1])


def paired(a: Mapping[int, CellResult], b: Mapping[int, CellResult]) -> Paired | None:
    """Accuracy of b minus a over the seeds and rows that both have; None without any.

    A test row that comes back with another seed is one row, not two: its marks are averaged over
    the seeds before the interval is taken: Tango's, with fractions of discordant pairs (on the
    safe side when the same rows are used for all seeds, and exact when none is), or for scores a
    bootstrap over rows.
    """
    before: dict[str, list[float]] = defaultdict(list)
    after: dict[str, list[float]] = defaultdict(list)
    seeds = sorted(set(a) & set(b))
    for seed in seeds:
        of_a = dict(zip(a[seed].rows, a[seed].marks, strict=True))
        for row, mark in zip(b[seed].rows, b[seed].marks, strict=True):
            if row in of_a:
                before[row].append(of_a[row])
                after[row].append(mark)
    if not before:
        return None
    n = len(before)
    if any(result.scores for result in b.values()):
        means = [[sum(marks) / len(marks) for marks in side.values()] for side in (before, after)]
        difference = paired_score_difference(*means)
        return Paired(difference.mean, difference.low, difference.high, n, len(seeds))
    pairs = [list(zip(before[row], after[row], strict=True)) for row in before]
    lost = sum(sum(x > y for x, y in marks) / len(marks) for marks in pairs)
    gained = sum(sum(x < y for x, y in marks) / len(marks) for marks in pairs)
    low, high = score_interval(lost, gained, n)
    return Paired((gained - lost) / n, low, high, n, len(seeds))


def _common_means(arms: Mapping[str, Mapping[int, CellResult]], *names: str) -> list[float] | None:
    """Mean accuracies over the seeds that all named arms have; None without a common seed."""
    if not all(name in arms for name in names):
        return None
    seeds = set.intersection(*(set(arms[name]) for name in names))
    if not seeds:
        return None
    return [sum(arms[name][seed].accuracy for seed in seeds) / len(seeds) for name in names]
