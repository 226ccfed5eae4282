"""Breaks the program in small ways and counts which of them its tests notice.

    python scripts/mutants.py [--sample 300] [--seed 0] [--only workbench/] [--seconds 60]
                              [--processes 2] [--folder build/mutants]

Cosmic Ray changes one place of one file: a comparison, a number, a condition, an exception, a
decorator, a loop. Of all changes to intake/, runs/, jobs/ and what decides on the page who may do
what, or of those in files that begin with --only, a fixed random sample is drawn.

At first every test of their packages runs once, unchanged, and it is kept how long it takes and
which functions it enters. A change is then tried, in a copy of the sources, on the tests that enter
its function, and after those on the ones that enter its file or are in a file that names it (what
runs in a process of its own is entered by no test). Those that enter least come first, until one
fails or those of --seconds have passed. A change with which they take much longer counts as
noticed. Each try is a fork of this process, which has the large packages in memory.

Survivors are written to survivors.txt with their difference; the last line has the share that was
noticed. What was found is kept in the folder, so that the same command goes on where it was ended:
a change is tried again when its file is another, a survivor also when its tests are.
"""

import argparse
import ast
import compileall
import difflib
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import coverage
import pytest
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


# What tests import and no change is in: in memory before the forks.
LARGE = ("torch", "transformers", "peft", "bitsandbytes", "gradio", "hypothesis", "pandas")
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
ARGUMENTS = ("-q", "-p", "no:cacheprovider", "-m",
             "not real and not browser and not faults and not journey")  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the how-manieth place of a file that an operator fits, and its line."""

    package: str
    file: str
    operator: str
    occurrence: int
    line: int

    def key(self) -> str:
        """Names it among all of all times: the same place of a changed file is another."""
        return f"{self.file} {_digest(self.file)} {self.operator} {self.occurrence}"

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


@dataclass(frozen=True)
class Test:
    """A test function, how long it takes, and which functions of which files it enters."""

    name: str  # as pytest knows it, without parameters
    seconds: float
    functions: dict[str, list[str]]

    @property
    def file(self) -> str:
        """The file it is in."""
        return self.name.split("::")[0]


@dataclass(frozen=True)
class Job:
    """Tests for a fork to run."""

    subject: Any
    tests: list[str]
    limit: float  # seconds
    mutant: Mutant | None = None
    entered: Path | None = None  # where to write which functions the tests enter


def main() -> int:
    """Draw, try, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="workbench/", help="changes of files that begin so")
    parser.add_argument("--seconds", type=float, default=60, help="of tests for one change")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutants")
    options = parser.parse_args()
    everything = [mutant for mutant in all_mutants() if mutant.file.startswith(options.only)]
    chosen = random.Random(options.seed).sample(everything, min(options.sample, len(everything)))
    print(f"{len(chosen)} of {len(everything):,} changes", flush=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in LARGE:
        importlib.import_module(name)
    kept = Kept(options.folder / "tried.jsonl")
    with tempfile.TemporaryDirectory() as scratch:
        copies = [_copy(Path(scratch) / str(number)) for number in range(options.processes)]
        tests = _enter(copies, {mutant.package for mutant in chosen}, options.folder)
        _try(chosen, tests, options.seconds, kept, copies)
    survivors = [mutant for mutant in chosen if kept.values[mutant.key()] is not True]
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


def all_mutants() -> Iterator[Mutant]:
    """Every change that could be made, in a fixed order."""
    for package, (patterns, _) in PACKAGES.items():
        for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
            nodes = list(ast_nodes(get_ast(path.read_text())))
            for name in OPERATORS:
                operator = plugins.get_operator(name)()
                places = [place for node in nodes for place in operator.mutation_positions(node)]
                for number, (begin, _) in enumerate(places):
                    yield Mutant(package, str(path.relative_to(ROOT)), name, number, begin[0])


def _enter(copies: list[Path], packages: set[str], folder: Path) -> list[Test]:
    """Every test of the packages, run once; what is known of a file is kept until it changes."""
    kept = Kept(folder / "tests.jsonl")
    places = sorted({place for package in packages for place in PACKAGES[package][1]})
    found = [path for place in places for path in sorted((ROOT / place).rglob("test_*.py"))]
    keys = {f"{file} {_digest(file)}": file for file in (str(p.relative_to(ROOT)) for p in found)}
    jobs = [
        Job(key, [file], 900, entered=folder / f"{_digest(file)}.json")
        for key, file in keys.items()
        if key not in kept.values
    ]
    for job, code, said in _forked(jobs, copies):
        assert job.entered is not None
        if code not in (0, 5):  # 5: all of them are left out
            print(f"{said[-2000:]}\nThose that fail without any change are left out.", flush=True)
        kept.add(job.subject, json.loads(job.entered.read_text()))
        job.entered.unlink()
        seconds = sum(test["seconds"] for test in kept.values[job.subject])
        print(f"{job.tests[0]}: {seconds:.1f} s", flush=True)
    return [Test(**test) for key in keys for test in kept.values[key]]


def _try(
    chosen: list[Mutant], tests: list[Test], seconds: float, kept: Kept, copies: list[Path]
) -> None:
    """All that are not known yet."""
    jobs = []
    for mutant in chosen:
        planned = _planned(mutant, tests, seconds)
        files = sorted({test.file for test in planned})
        names = [test.name for test in planned]
        subject = hashlib.sha256(json.dumps([names, *map(_digest, files)]).encode()).hexdigest()
        if kept.values.get(mutant.key()) not in (True, subject):
            limit = 30 + 5 * sum(test.seconds for test in planned)
            jobs.append(Job(subject, names, limit, mutant))
    for number, (job, code, _) in enumerate(_forked(jobs, copies), 1):
        assert job.mutant is not None
        noticed = code not in (0, 5)
        kept.add(job.mutant.key(), noticed or job.subject)
        print(f"{number}/{len(jobs)} {'killed  ' if noticed else 'SURVIVED'} {job.mutant.file}:"
              f"{job.mutant.line} {job.mutant.operator}", flush=True)  # fmt: skip


def _planned(mutant: Mutant, tests: list[Test], seconds: float) -> list[Test]:
    """What is to notice it: those nearest to it first, and of those the ones that enter least."""
    function = _function(mutant.file, mutant.line)
    names_it = re.compile(rf"\b{Path(mutant.file).stem}\b")

    def distance(test: Test) -> int:
        entered = test.functions.get(mutant.file, [])
        if function in entered:
            return 0
        return 1 if entered else 2 if names_it.search((ROOT / test.file).read_text()) else 3

    def of_all(test: Test) -> int:
        return sum(map(len, test.functions.values()))

    near = [test for test in tests if distance(test) < 3]
    planned, left = [], seconds
    for test in sorted(near, key=lambda test: (distance(test), of_all(test), test.seconds)):
        if not planned or test.seconds <= left:
            planned.append(test)
            left -= test.seconds
    return planned


@cache
def _digest(file: str) -> str:
    return hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:12]


@cache
def _functions(file: str) -> list[tuple[int, int, str]]:
    """Of every function its first and last line and its name in the file."""
    found: list[tuple[int, int, str]] = []

    def visit(node: ast.AST, inside: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = inside
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{inside}.{child.name}"
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append((child.body[0].lineno, child.end_lineno or child.lineno, name))
            visit(child, name)

    visit(ast.parse((ROOT / file).read_text()), "")
    return found


def _function(file: str, line: int) -> str:
    """The innermost function whose body has the line; empty outside of all."""
    inside = [(begin, name) for begin, end, name in _functions(file) if begin <= line <= end]
    return max(inside)[1] if inside else ""


def _copy(folder: Path) -> Path:
    def left_out(at: str, names: list[str]) -> set[str]:
        top = _NO_SOURCES.intersection(names) if Path(at) == ROOT else set()
        return top | _MADE(at, names)

    shutil.copytree(ROOT, folder, ignore=left_out)
    compileall.compile_dir(folder / "workbench", quiet=1)
    return folder


def _forked(jobs: Iterable[Job], copies: list[Path]) -> Iterator[tuple[Job, int, str]]:
    """Each with the exit code of its tests (negative: they took too long) and what they said."""
    waiting, free = deque(jobs), list(copies)
    running: dict[int, tuple[Job, Path, float]] = {}
    while waiting or running:
        while waiting and free:
            job, folder = waiting.popleft(), free.pop()
            process = os.fork()
            if not process:
                os._exit(_run(job, folder))
            running[process] = job, folder, time.monotonic() + job.limit
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)  # what its tests left behind
            job, folder, _ = running.pop(process)
            free.append(folder)
            if job.mutant:
                shutil.copy2(folder / "original", folder / job.mutant.file)
            yield job, os.waitstatus_to_exitcode(status), (folder / "said").read_text()
        for overdue in [pid for pid, (_, _, end) in running.items() if time.monotonic() > end]:
            with suppress(ProcessLookupError):
                os.killpg(overdue, signal.SIGKILL)
        time.sleep(0.05)


def _run(job: Job, folder: Path) -> int:
    """In the fork."""
    os.setsid()
    os.chdir(folder)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if job.mutant:
        shutil.copy2(job.mutant.file, "original")
        Path(job.mutant.file).write_text(job.mutant.code())
    # Two changes of a file within a second would be one to Python's cache of compiled files.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.path[0] = str(folder)
    watching = [Watching(job.entered)] if job.entered else []
    return int(pytest.main([*ARGUMENTS, *(["-x"] if job.mutant else []), *job.tests], watching))


class Watching:
    """Writes down which functions each test enters, and how long it takes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: dict[str, float] = {}
        self._failed: set[str] = set()
        self._coverage = coverage.Coverage(
            data_file=None, config_file=False, include=[str(Path.cwd() / "workbench" / "*")]
        )
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Around a test and its fixtures."""
        name, begun = item.nodeid.split("[")[0], time.monotonic()
        self._coverage.switch_context(name)
        result = yield
        self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - begun
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """After each part of a test."""
        if report.failed:
            self._failed.add(report.nodeid.split("[")[0])

    def pytest_sessionfinish(self) -> None:
        """When all have run."""
        self._coverage.stop()
        data = self._coverage.get_data()
        entered: dict[str, dict[str, set[str]]] = {name: {} for name in self._seconds}
        for path in data.measured_files():
            file = str(Path(path).relative_to(Path.cwd()))
            for line, names in data.contexts_by_lineno(path).items():
                function = _function(file, line)
                for name in entered.keys() & set(names) if function else ():
                    entered[name].setdefault(file, set()).add(function)
        told = [
            {"name": name, "seconds": seconds,
             "functions": {file: sorted(them) for file, them in entered[name].items()}}
            for name, seconds in self._seconds.items() if name not in self._failed
        ]  # fmt: skip
        self._path.write_text(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
