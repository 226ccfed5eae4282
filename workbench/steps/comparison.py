"""Step 4: answer the held-out rows with every arm, count, and compare source with target."""

from collections.abc import Iterator
from typing import Any

from workbench import distill
from workbench.evaluate import arms
from workbench.evaluate.intervals import accuracy, paired_difference
from workbench.evaluate.kinds import metric_of
from workbench.evaluate.metrics import is_correct, score
from workbench.evaluate.verdict import verdict
from workbench.events import ArmFinished, Event, Progress, Warned
from workbench.intake.overlap import overlap
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.recipe import PromptFormat
from workbench.runs.folder import Run
from workbench.runs.results import Answer
from workbench.samples import Example
from workbench.stages import Stage
from workbench.steps.distillation import newest_state, split_examples
from workbench.steps.labels import answered_seeds
from workbench.teach import TEACHER

CHUNK = 64  # rows per commit; the same chunks after an interruption
BEYOND = 8  # tokens after which an answer that is longer than all right ones is read no further


def evaluation_rows(run: Run, pair: Pair) -> list[Example]:
    """Labelled rows; without any, held-out samples with the teacher's answers."""
    rows = split_examples(run, pair)[1]
    return rows[: run.recipe.evaluation.max_rows or None]


def compare(run: Run, pair: Pair) -> Iterator[Event]:
    """Every arm on every row; rows already answered are not asked again."""
    rows = evaluation_rows(run, pair)
    if not rows:
        yield Warned(
            Stage.EVALUATE,
            "There are no evaluation rows and too few samples to hold some out: "
            "nothing was compared.",
        )
        return
    labelled = bool(run.inputs.evaluation)
    if not labelled:
        yield Warned(
            Stage.EVALUATE,
            "There are no labelled rows: what is measured is agreement with the teacher on "
            f"{len(rows)} held-out synthetic samples, no accuracy.",
        )
    yield from _warn_of_overlap(run, rows if labelled else [])
    names = arms.ARMS if labelled else (arms.TARGET_BASE, arms.TRANSFERRED)
    total = len(names) * len(rows)
    for position, arm in enumerate(names):
        done = {row.index for row in run.answers.get(arm)}
        yield Progress(Stage.EVALUATE, position * len(rows) + len(done), total, "answers", note=arm)
        for start in range(0, len(rows), CHUNK):
            chunk = list(range(start, min(start + CHUNK, len(rows))))
            if done.issuperset(chunk):
                continue
            _answer_chunk(run, pair, arm, rows, chunk)
            finished = position * len(rows) + chunk[-1] + 1
            yield Progress(Stage.EVALUATE, finished, total, "answers", note=arm)
        correct = [row.correct for row in run.answers.get(arm)]
        yield ArmFinished(arm, sum(correct) / len(correct), len(correct))


def _warn_of_overlap(run: Run, rows: list[Example]) -> Iterator[Event]:
    """Say so when what was trained on contains what is tested on."""
    found = overlap(run.samples.kept(), rows)
    if found:
        yield Warned(
            Stage.EVALUATE,
            f"{len(found)} training samples share their words with evaluation rows, so the "
            "transferred accuracy may be too high. Reject them in Review and train again to be "
            "sure.",
        )


def _answer_chunk(run: Run, pair: Pair, arm: str, rows: list[Example], chunk: list[int]) -> None:
    recipe, metric = run.recipe, metric_of(run)
    form, room = recipe.source_format, pair.source_answer_tokens
    if arm in (arms.SOURCE_BASE, arms.SOURCE_ADAPTER):
        resident, adapter = pair.source, TEACHER if arm == arms.SOURCE_ADAPTER else None
    else:
        resident, form, adapter = pair.target, recipe.target_format, None
        room = pair.target_answer_tokens
    if arm == arms.TARGET_FEW_SHOT:
        form = arms.few_shot_format(form, answered_seeds(run, pair))
    if arm == arms.TRANSFERRED:
        adapter = distill.STUDENT
        load_student(run, pair)
    answers = arms.answer_rows(
        resident,
        adapter,
        form,
        [rows[index].input for index in chunk],
        room if adapter else _tokens_of_base(metric, rows, form, resident, room),
    )
    graded = []
    for position, text in answers:
        index = chunk[position]
        right = rows[index].answers or ("",)
        correct = any(is_correct(metric, text, answer) for answer in right)
        graded.append(Answer(index, text, correct, score(metric, text, right)))
    run.answers.put(arm, graded)


def _tokens_of_base(
    metric: str, rows: list[Example], form: PromptFormat, resident: Resident, room: int
) -> int:
    """Room for a base's answer: it does not know where to end, and what goes on is wrong anyway."""
    if metric != "exact":
        return room  # the last number, JSON with other white space, or a text
    bound = bind(form, resident.tokenizer)
    longest = max(len(bound.answer_ids(row.output or "")) for row in rows)
    return min(room, longest + BEYOND)


def load_student(run: Run, pair: Pair) -> None:
    """The trained adapter from its last checkpoint, unless it is on the target already."""
    if distill.STUDENT in pair.target.adapters:
        return
    state = newest_state(run)
    assert state is not None, "EVALUATE starts only after DISTIL wrote its last checkpoint"
    pair.target.attach_new(distill.STUDENT, run.recipe.lora, run.recipe.seed)
    for name, parameter in pair.target.trainable(distill.STUDENT).items():
        parameter.data.copy_(state.tensors[f"adapter/{name}"])


def summarise(run: Run) -> dict[str, Any]:
    """The comparison part of result.json: arms with intervals, paired difference, verdict."""
    rows = {arm: run.answers.get(arm) for arm in arms.ARMS}
    summary: dict[str, Any] = {
        "measure": "accuracy" if run.inputs.evaluation else "agreement with the teacher",
        "arms": {},
        "difference": None,
        "verdict": None,
    }
    intervals = {
        arm: accuracy([row.correct for row in answers]) for arm, answers in rows.items() if answers
    }
    for arm, interval in intervals.items():
        summary["arms"][arm] = {
            "accuracy": interval.mean,
            "n": interval.n,
            "low": interval.low,
            "high": interval.high,
        }
    source, transferred = rows[arms.SOURCE_ADAPTER], rows[arms.TRANSFERRED]
    if source and transferred:
        difference = paired_difference(
            [row.correct for row in source], [row.correct for row in transferred]
        )
        judged = verdict(
            intervals[arms.SOURCE_ADAPTER],
            intervals[arms.TRANSFERRED],
            difference,
            run.recipe.evaluation.margin_points,
        )
        summary["difference"] = {
            "mean": difference.mean,
            "low": difference.low,
            "high": difference.high,
        }
        summary["verdict"] = {"kind": judged.kind, "sentence": judged.sentence}
    return summary
