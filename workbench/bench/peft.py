"""``python -m workbench bench --quality --peft``: from one kind of adapter to another.

One run of the pipeline for every pair of teacher and student. The kit's writer writes; a teacher's
samples and answers are made once and serve all its students, so a table's columns differ in the
student alone. Beside each kind stands its own ceiling, trained on real rows, and after the pairs
two hops: to the target and back to the source base. A result is a JSON line; what is there is not
measured again.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from workbench import chains
from workbench import recipe as recipes
from workbench.bench.cells import Bases, arm_recipe, kept_adapter, train_writer
from workbench.bench.results import CEILING, KIT, STUDENTS, TEACHERS, append_line
from workbench.bench.tasks import Sizes, Split, Task, split
from workbench.distill import STUDENT, training_rows
from workbench.errors import StageError
from workbench.evaluate.arms import answer_rows
from workbench.evaluate.metrics import score
from workbench.inputs import AdapterFiles, Inputs
from workbench.models.first_words import begin_with
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.models.training import train
from workbench.pipeline import advance
from workbench.recipe import PromptFormat, TransferRecipe, recipe_hash
from workbench.runs import atomic
from workbench.runs.folder import Run, create, find_run
from workbench.samples import Example
from workbench.steps.distillation import task_words

HOPS = "two hops"  # in the place of a student
RESULTS, SETTINGS = "peft.jsonl", "peft-settings.json"
KEY = ("task", "seed", "teacher", "student")

Line = dict[str, Any]


def measure(
    tasks: Sequence[Task],
    seeds: Sequence[int],
    data: Path,
    folder: Path,
    bases: Bases,
    sizes: Sizes | None = None,
    teachers: Sequence[str] = TEACHERS,
    students: Sequence[str] = STUDENTS,
) -> Iterator[Line]:
    """Measure what is owed; each line is on disk before it is yielded.

    Raises:
        StageError: the folder holds what was measured with other bases or sizes.
    """
    path, told = folder / RESULTS, [asdict(bases), asdict(sizes or Sizes())]
    if atomic.read_json(folder / SETTINGS) not in (None, told):
        raise StageError(f"{folder} was measured with other bases or sizes. Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(folder / SETTINGS, told)
    done = {tuple(line[name] for name in KEY) for line in read_lines(path)}
    for seed in seeds:
        for task in tasks:
            rows = split(task, data, seed, sizes)
            work = folder / "work" / f"{task.name}-{seed}"
            for line in _of_task(task, seed, rows, work, bases, teachers, students, done):
                append_line(path, line)
                yield line


def read_lines(path: Path) -> list[Line]:
    """Results so far; a line that a crash tore is owed again."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def table(lines: Sequence[Line]) -> str:
    """Markdown by pair and task: means over seeds, worst of a pair first.

    The interval of a difference is the mean of the seeds' intervals: on the safe side, as seeds
    share test rows.
    """
    groups: dict[tuple[str, str], dict[str, list[Line]]] = {}
    for line in lines:
        by_task = groups.setdefault((line["teacher"], line["student"]), {})
        by_task.setdefault(line["task"], []).append(line)
    rows = [
        "| from | to | task | seeds | source | moved | kept | difference, 95 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (teacher, student), by_task in groups.items():
        means = {task: _means(group) for task, group in by_task.items()}
        for task in sorted(means, key=lambda task: means[task]["kept"] or means[task]["moved"]):
            mean = means[task]
            cells = [teacher, student, task, str(len(by_task[task]))]
            if teacher == CEILING:
                cells += ["–", f"{mean['moved']:.3f}", "–", "–"]
            else:
                by = f"{mean['moved'] - mean['source']:+.3f}"
                by += f" ({mean['low']:+.3f} to {mean['high']:+.3f})"
                cells += [f"{mean['source']:.3f}", f"{mean['moved']:.3f}"]
                cells += [f"{mean['kept']:.3f}", by]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _means(group: Sequence[Line]) -> dict[str, float]:
    """Over the seeds of a pair and task; what a ceiling lacks is 0."""

    def mean(name: str) -> float:
        return sum(line.get(name) or 0.0 for line in group) / len(group)

    source, moved, low, high = map(mean, ("source", "transferred", "low", "high"))
    if group[0]["student"] == HOPS:  # its interval is against the adapter in between
        shift = moved - source - (low + high) / 2
        low, high = low + shift, high + shift
    return {
        "source": source,
        "moved": moved,
        "kept": moved / source if source else 0.0,
        "low": low,
        "high": high,
    }


def _of_task(
    task: Task,
    seed: int,
    rows: Split,
    work: Path,
    bases: Bases,
    teachers: Sequence[str],
    students: Sequence[str],
    done: set[tuple[Any, ...]],
) -> Iterator[Line]:
    def owed(teacher: str, student: str) -> bool:
        return (task.name, seed, teacher, student) not in done

    def line(teacher: str, student: str, **values: Any) -> Line:
        return {"task": task.name, "seed": seed, "teacher": teacher, "student": student, **values}

    plain = recipes.override(arm_recipe(task, KIT, seed, bases), {"evaluation.base_arms": False})
    for student in students:
        if CEILING in teachers and owed(CEILING, student):
            recipe = recipes.override(plain, {"student.method": student})
            yield line(CEILING, student, source=None, transferred=_ceiling(recipe, rows))
    for teacher in teachers:
        adapter: AdapterFiles | None = None
        if teacher == CEILING:
            continue
        for student in students:
            if not owed(teacher, student):
                continue
            adapter = adapter or _teacher(plain, teacher, rows, work)
            recipe = recipes.override(plain, {"student.method": student})
            inputs = Inputs(adapter, None, _writer(plain, rows, work), rows.seeds, rows.test)
            run = _run(work, f"{teacher}-{student}", recipe, inputs)
            if student != students[0]:
                chains.take_samples(run, find_run(work / "runs", f"{teacher}-{students[0]}"))
            yield line(teacher, student, **_finished(run))
    if students[0] == "lora" and "lora" in teachers and owed("lora", HOPS):
        yield line("lora", HOPS, **_two_hops(work, plain))


def _run(work: Path, name: str, recipe: TransferRecipe, inputs: Inputs, **facts: Any) -> Run:
    root = work / "runs"
    if (root / name).exists():
        return find_run(root, name)
    return create(root, recipe, id=name, inputs=inputs, facts=facts)


def _finished(run: Run) -> dict[str, Any]:
    for _ in advance(run):
        pass
    result = run.result() or {}
    arms, difference = result["arms"], result["difference"]
    return {
        "source": arms["source_adapter"]["accuracy"],
        "transferred": arms["transferred"]["accuracy"],
        "low": difference["low"],
        "high": difference["high"],
        "n": arms["transferred"]["n"],
        "measure": result["measure"],
        "recipe_hash": recipe_hash(run.recipe),
    }


def _two_hops(work: Path, plain: TransferRecipe) -> dict[str, Any]:
    """The adapter that the first pair moved goes back to the base that it came from."""
    first = find_run(work / "runs", "lora-lora")
    inputs, takes = chains.chained(first, work)
    # Nothing is written again, and the first run's writer does not fit this base.
    plain = recipes.override(plain, {"synthesis.writer": "auto"})
    back = replace(takes(plain), target_base=plain.source_base, target_format=plain.source_format)
    values = _finished(_run(work, "lora-back", back, inputs, **chains.chain_facts(first)))
    # Against the first source, not against the copy that was moved.
    source = (first.result() or {})["arms"]["source_adapter"]["accuracy"]
    return {**values, "source": source}


def _teacher(plain: TransferRecipe, method: str, rows: Split, work: Path) -> AdapterFiles | None:
    """A source adapter of this kind, trained on real rows once and kept."""
    name = f"teacher-{method}"
    if kept_adapter(work, name) is None:
        pair = Pair(plain, Inputs())
        recipe = recipes.override(plain, {"student.method": method})
        _train(pair.source, plain.source_format, recipe, rows.train)
        pair.source.save_adapter(STUDENT, work / name, "")
    return kept_adapter(work, name)


def _writer(plain: TransferRecipe, rows: Split, work: Path) -> AdapterFiles | None:
    """The kit's writer, trained once on whole rows and kept."""
    if kept_adapter(work, "writer") is None:
        train_writer(plain, rows, work)
    return kept_adapter(work, "writer")


def _ceiling(recipe: TransferRecipe, rows: Split) -> float:
    """Mean score of a student that was trained on real rows, as many as samples were asked for."""
    pair = Pair(recipe, Inputs())
    _train(
        pair.target, recipe.target_format, recipe, rows.train[: recipe.synthesis.samples or None]
    )
    texts = [row.input for row in rows.test]
    metric, tokens = recipe.evaluation.metric, recipe.evaluation.answer_tokens
    answers = answer_rows(pair.target, STUDENT, recipe.target_format, texts, tokens)
    return sum(score(metric, text, rows.test[at].answers) for at, text in answers) / len(texts)


def _train(
    resident: Resident, form: PromptFormat, recipe: TransferRecipe, rows: Sequence[Example]
) -> None:
    resident.attach_new(STUDENT, recipe.student, recipe.seed)
    begin_with(resident, STUDENT, task_words(recipe.task_name, list(rows)))
    examples = training_rows(bind(form, resident.tokenizer), rows)
    for _ in train(resident, STUDENT, examples, recipe.training, seed=recipe.seed):
        pass
