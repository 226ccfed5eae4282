"""Tasks of the quality benchmark and their splits, from a folder of public data.

The folder holds ``snips``, ``clinc150``, ``wikisql``, ``rnnlg`` (``train.jsonl`` and ``test.jsonl``
each) and ``bbh`` (one file per task); one JSON object a line with ``input``, ``output`` and, where
there is one, ``json``, ``domain`` and ``references``; ``tasks.json`` may add more. Refuses to let
a row of the test or validation pool become a training row: pools are decided by the rows
themselves, the same for every seed, and equal inputs count as one row.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.errors import IntakeError
from workbench.limits import LIMITS
from workbench.samples import Example, sample_id

SNIPS_INTENT = "snips-intent"
SNIPS_JSON = "snips-json"
CLINC_TWO = "clinc150-two"
CLINC_ALL = "clinc150-all"
WIKISQL = "wikisql"
RNNLG = "rnnlg"
CODES = "-codes"  # suffix: labels are replaced by codes, which say nothing
BBH = "bbh-"  # prefix; the rest is the file's name
TWO_DOMAINS = ("banking", "travel")
OWN_TASKS = "tasks.json"  # of the data folder: more tasks, without code

# BBH answers that are numbers or lists; all others are one choice.
_BBH_METRIC = {"object_counting": "number", "multistep_arithmetic_two": "number"}
_BBH_TOKENS = {"word_sorting": 128, "dyck_languages": 24}


@dataclass(frozen=True)
class Task:
    """One task of the benchmark.

    Attributes:
        name: in results and on the command line.
        description: the task name that the discriminator and the generator are told.
        metric: see ``workbench.evaluate.metrics``.
        answer_tokens: ceiling of an answer's length.
        folder: of train.jsonl and test.jsonl, below the data folder; "" for BBH.
        output: the column of the answer.
        where: column -> values that a row must have one of.
        codes: labels are replaced by codes.
    """

    name: str
    description: str
    metric: str = "exact"
    answer_tokens: int = 16
    folder: str = ""
    output: str = "output"
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    codes: bool = False


@dataclass(frozen=True)
class Sizes:
    """Rows of a split at most; pools that are smaller are used whole."""

    train_rows: int = 2000
    validation_rows: int = 200
    test_rows: int = 300
    seed_examples: int = 15

    def __post_init__(self) -> None:
        if not 1 <= self.seed_examples <= LIMITS.seeds:
            raise IntakeError(f"seed_examples is 1 to {LIMITS.seeds}, not {self.seed_examples}.")


@dataclass(frozen=True)
class Split:
    """Rows for one seed; the three lists have no input in common.

    Attributes:
        train: for the source adapter, in random order; arms that train on n real rows (oracle,
            real inputs) take the first n.
        validation: for choices between methods.
        test: for the numbers that are reported, and for nothing else.
        seeds: examples of ``train`` that the transfer may see, every answer once before any twice.
    """

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    seeds: tuple[Example, ...]


def all_tasks(data: Path) -> list[Task]:
    """The tasks that the data folder has files for, BBH after the others.

    Raises:
        IntakeError: there is nothing that we know.
    """
    assistant, banking = "requests to a personal assistant", "banking and travel requests"
    voice, domains = "requests to a voice assistant", {"domain": TWO_DOMAINS}
    known = [
        Task(SNIPS_INTENT, voice, folder="snips"),
        Task(SNIPS_JSON, f"{voice} with their slots", "json", 96, "snips", "json"),
        Task(CLINC_TWO, banking, folder="clinc150", where=domains),
        Task(CLINC_TWO + CODES, banking, folder="clinc150", where=domains, codes=True),
        Task(CLINC_ALL, assistant, folder="clinc150"),
        Task(CLINC_ALL + CODES, assistant, folder="clinc150", codes=True),
        Task(WIKISQL, "table columns with a question", answer_tokens=96, folder="wikisql"),
        Task(RNNLG, "dialogue acts with their slots", "chrf", 96, "rnnlg"),
        *_own_tasks(data),
    ]
    tasks = [task for task in known if (data / task.folder).is_dir()]
    for path in sorted((data / "bbh").glob("*.jsonl")):
        stem = path.stem
        metric, tokens = _BBH_METRIC.get(stem, "exact"), _BBH_TOKENS.get(stem, 16)
        tasks.append(Task(BBH + stem, stem.replace("_", " "), metric, tokens))
    if not tasks:
        raise IntakeError(
            f'"{data}" holds none of the folders snips, clinc150, wikisql, rnnlg and bbh. '
            "Name the folder of the benchmark's data."
        )
    return tasks


def choose_tasks(data: Path, names: Sequence[str]) -> list[Task]:
    """The named tasks in the order of the names; an unknown one is an IntakeError."""
    known = {task.name: task for task in all_tasks(data)}
    for name in names:
        if name not in known:
            raise IntakeError(f'Task "{name}" is unknown. Choose from: {", ".join(known)}.')
    return [known[name] for name in names]


def split(task: Task, data: Path, seed: int, sizes: Sizes | None = None) -> Split:
    """Train, validation and test rows of a task for one seed.

    Which pool a row belongs to never depends on the seed; the seed draws from the pools. So an
    adapter that was trained for one seed has seen no test row of any other.

    Args:
        seed: of the draws.
        sizes: None for the defaults.

    Raises:
        IntakeError: a file is missing or a row is not as described.
    """
    sizes = sizes or Sizes()
    train_pool, validation_pool, test_pool = _pools(task, data)
    train = _draw(train_pool, sizes.train_rows, f"train {seed}")
    return Split(
        train=train,
        validation=_draw(validation_pool, sizes.validation_rows, f"validation {seed}"),
        test=_draw(test_pool, sizes.test_rows, f"test {seed}"),
        seeds=spread(train, sizes.seed_examples),
    )


def spread(rows: Sequence[Example], count: int) -> tuple[Example, ...]:
    """The first rows such that every answer comes once before any answer comes twice."""
    turns: dict[str | None, int] = defaultdict(int)
    ranked = []
    for position, row in enumerate(rows):
        turns[row.output] += 1
        ranked.append((turns[row.output], position))
    return tuple(rows[position] for _, position in sorted(ranked)[:count])


def row_ids(rows: Sequence[Example]) -> tuple[str, ...]:
    """What a ``CellResult`` calls its rows."""
    return tuple(sample_id(row.input) for row in rows)


def seen_in_test(inputs: Sequence[str], test: Sequence[Example]) -> int:
    """How many of the (synthetic) inputs are test inputs; must be reported when not 0."""
    known = set(row_ids(test))
    return sum(sample_id(text) in known for text in inputs)


Pools = tuple[list[Example], list[Example], list[Example]]


def _pools(task: Task, data: Path) -> Pools:
    """(train, validation, test): files of their own where the data has them, else by hash."""
    if task.name.startswith(BBH):
        rows = _unique(_read(data / "bbh" / f"{task.name.removeprefix(BBH)}.jsonl", "output"))
        ranked = _shuffled(rows, "pool")
        # 40 % test: with 250 rows 100 of them, and 125 are left to train on.
        test, validation = round(0.4 * len(rows)), round(0.1 * len(rows))
        return ranked[test + validation :], ranked[test : test + validation], ranked[:test]
    test_pool = _unique(_rows_of(task, data, "test"))
    held_out = set(row_ids(test_pool))
    rows = _unique(_rows_of(task, data, "train"))
    free = [row for row in rows if sample_id(row.input) not in held_out]
    ranked = _shuffled(free, "pool")
    validation = round(0.15 * len(ranked))
    return ranked[validation:], ranked[:validation], test_pool


def _own_tasks(data: Path) -> list[Task]:
    """Tasks that somebody added in ``tasks.json``: a list of objects with ``Task``'s fields."""
    path = data / OWN_TASKS
    if not path.exists():
        return []
    try:
        return [Task(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise IntakeError(
            f"{path}: {error}. Write a list of objects with Task's fields."
        ) from error


def _rows_of(task: Task, data: Path, part: str) -> Iterator[Example]:
    def wanted(row: dict[str, Any]) -> bool:
        return all(row.get(column) in values for column, values in task.where.items())

    rows = _read(data / task.folder / f"{part}.jsonl", task.output, wanted)
    if not task.codes:
        return rows
    labels = {row.output for row in _read(data / task.folder / "train.jsonl", task.output, wanted)}
    codes = {label: f"C{100 + at}" for at, label in enumerate(sorted(labels, key=_hash))}
    return (replace(row, output=codes[row.output]) for row in rows)


def _hash(label: str | None) -> str:
    return hashlib.sha256((label or "").encode()).hexdigest()


def _read(
    path: Path, column: str, wanted: Callable[[dict[str, Any]], bool] = lambda row: True
) -> Iterator[Example]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IntakeError(f"{path} cannot be read: {error}. Check the data folder.") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if wanted(row):
                references = tuple(map(str, row.get("references", ())))
                yield Example(str(row["input"]), str(row[column]), references)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntakeError(f'{path}, line {number}: no object with "{column}".') from error


def _unique(rows: Iterator[Example]) -> list[Example]:
    """Equal inputs once; the first answer counts."""
    unique: dict[str, Example] = {}
    for row in rows:
        unique.setdefault(sample_id(row.input), row)
    return list(unique.values())


def _shuffled(rows: Sequence[Example], purpose: str) -> list[Example]:
    """An order that looks random and depends on the rows and the purpose alone, anywhere."""

    def rank(row: Example) -> str:
        return hashlib.sha256(f"{purpose} {sample_id(row.input)}".encode()).hexdigest()

    return sorted(rows, key=rank)


def _draw(pool: Sequence[Example], rows: int, purpose: str) -> tuple[Example, ...]:
    return tuple(_shuffled(pool, purpose)[:rows])
