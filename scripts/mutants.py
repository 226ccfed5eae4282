"""Breaks the program in small ways and counts which of them its tests notice.

    python scripts/mutants.py [--sample 300] [--seed 0] [--processes 2] [--folder build/mutants]

Cosmic Ray changes one place of one file: a comparison, a number, a condition, an exception, a
decorator, a loop. Of all changes to intake/, runs/, jobs/ and what decides on the page who may do
what, a fixed random sample is drawn; each runs in a copy of the sources against the tests of its
package until one fails. One that takes much longer than the tests do counts as noticed. Survivors
are written to survivors.txt with their difference; the last line has the share that was noticed.
What was tried is kept in the folder, so that the same command goes on where it was ended; it is
tried again when its file has changed.
"""

import argparse
import difflib
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).resolve().parents[1]
_NO_SOURCES = {".git", ".venv", "build", "runs"}  # at the top
_MADE = shutil.ignore_patterns("__pycache__", ".*_cache")

_UI = ("calls", "failures", "gate", "same_answers", "serving", "traffic", "uploads", "visitors",
       "waiting_line")  # fmt: skip
# Files that are changed, and the tests that are to notice.
PACKAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "intake": (("workbench/intake/*.py",), ("tests/intake", "tests/security")),
    "runs": (("workbench/runs/*.py",), ("tests/runs", "tests/reliability", "tests/security")),
    "jobs": (("workbench/jobs/*.py",), ("tests/jobs", "tests/reliability", "tests/security")),
    "page": (tuple(f"workbench/ui/{name}.py" for name in _UI), ("tests/security", "tests/ui")),
}

_COMPARED = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE",
             "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is")  # fmt: skip
_COMPUTED = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul")
OPERATORS = (
    *(f"core/ReplaceComparisonOperator_{pair}" for pair in _COMPARED),
    *(f"core/ReplaceBinaryOperator_{pair}" for pair in _COMPUTED),
    *(f"core/Replace{pair}" for pair in ("AndWithOr", "OrWithAnd", "TrueWithFalse",
      "FalseWithTrue", "BreakWithContinue", "ContinueWithBreak", "UnaryOperator_Delete_Not")),
    *(f"core/{name}" for name in ("AddNot", "ExceptionReplacer", "NumberReplacer",
      "RemoveDecorator", "ZeroIterationForLoop")),
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the how-manieth place of a file that an operator fits."""

    package: str
    file: str
    operator: str
    occurrence: int

    def key(self) -> str:
        """Names it among all of all times: the same place of a changed file is another."""
        digest = hashlib.sha256((ROOT / self.file).read_bytes()).hexdigest()[:12]
        return f"{self.file} {digest} {self.operator} {self.occurrence}"

    def code(self) -> str:
        """The file with the change in it."""
        operator = plugins.get_operator(self.operator)()
        changed = mutate_code((ROOT / self.file).read_text(), operator, self.occurrence)
        assert changed is not None
        return changed

    def difference(self) -> str:
        """As people read it."""
        lines = (ROOT / self.file).read_text().splitlines(), self.code().splitlines()
        return "\n".join(difflib.unified_diff(*lines, self.file, self.operator, n=1, lineterm=""))


def main() -> int:
    """Draw, try, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutants")
    options = parser.parse_args()
    everything = list(all_mutants())
    chosen = random.Random(options.seed).sample(everything, min(options.sample, len(everything)))
    print(f"{len(chosen)} of {len(everything):,} changes", flush=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(options.folder / "tried.jsonl")
    left = [mutant for mutant in chosen if mutant.key() not in kept.values]
    if left:
        _try(left, kept, options.processes)
    noticed = [kept.values[mutant.key()] for mutant in chosen]
    survivors = [mutant for mutant, seen in zip(chosen, noticed, strict=True) if not seen]
    report = options.folder / "survivors.txt"
    report.write_text("\n\n".join(mutant.difference() for mutant in survivors) + "\n")
    killed = len(chosen) - len(survivors)
    print(f"mutants: {killed} of {len(chosen)} killed ({100 * killed / len(chosen):.0f} %); "
          f"{len(survivors)} survivors in {report}")  # fmt: skip
    return 0


class Kept:
    """What was found out, in a file that grows by a line for each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.values: dict[str, Any] = dict(json.loads(line) for line in lines)

    def add(self, key: str, value: Any) -> None:
        """Remember, also after this process."""
        self.values[key] = value
        with self._path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")


def _try(mutants: list[Mutant], kept: Kept, processes: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(processes):
            copies.put(shutil.copytree(ROOT, Path(scratch) / str(number), ignore=_left_out))
        for package in sorted({mutant.package for mutant in mutants} - kept.values.keys()):
            kept.add(package, _seconds(copies, package))
        with ThreadPoolExecutor(processes) as pool:
            list(pool.map(lambda mutant: _judge(mutant, copies, kept), mutants))


def _left_out(folder: str, names: list[str]) -> set[str]:
    top = _NO_SOURCES.intersection(names) if Path(folder) == ROOT else set()
    return top | _MADE(folder, names)


def all_mutants() -> Iterator[Mutant]:
    """Every change that could be made, in a fixed order."""
    for package, (patterns, _) in PACKAGES.items():
        for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
            nodes = list(ast_nodes(get_ast(path.read_text())))
            for name in OPERATORS:
                operator = plugins.get_operator(name)()
                places = sum(len(list(operator.mutation_positions(node))) for node in nodes)
                file = str(path.relative_to(ROOT))
                yield from (Mutant(package, file, name, place) for place in range(places))


def _seconds(copies: "SimpleQueue[Path]", package: str) -> float:
    """How long a package's tests take: they must pass unchanged."""
    folder, begun = copies.get(), time.monotonic()
    if _tests(folder, package, None):
        raise SystemExit(f"The tests of {package} fail without any change.")
    copies.put(folder)
    print(f"{package}: {time.monotonic() - begun:.0f} s unchanged", flush=True)
    return time.monotonic() - begun


def _judge(mutant: Mutant, copies: "SimpleQueue[Path]", kept: Kept) -> None:
    folder = copies.get()
    path = folder / mutant.file
    original = path.read_bytes()
    limit = 60.0 + 3 * kept.values[mutant.package]
    try:
        path.write_text(mutant.code())
        noticed = _tests(folder, mutant.package, limit, Path(mutant.file).stem)
    finally:
        path.write_bytes(original)
        copies.put(folder)
    kept.add(mutant.key(), noticed)
    print(f"{'killed' if noticed else 'SURVIVED'}  {mutant.file}  {mutant.operator} "
          f"{mutant.occurrence}", flush=True)  # fmt: skip


def _tests(folder: Path, package: str, limit: float | None, module: str = "") -> bool:
    """Whether a test fails, or they take too long; those that know the module come first."""
    tests = PACKAGES[package][1]
    knows = re.compile(rf"\b{module}\b")
    paths = [path for place in tests for path in sorted((folder / place).rglob("test_*.py"))]
    paths.sort(key=lambda path: (path.stem != f"test_{module}", not knows.search(path.read_text())))
    first = [str(path.relative_to(folder)) for path in paths]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
               "-m", "not real and not browser and not faults and not journey",
               *first]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=limit, check=False, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired:
        return True
    if limit is None and done.returncode:
        print(done.stdout[-3000:])
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main())
