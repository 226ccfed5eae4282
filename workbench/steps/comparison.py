"""Step 4: answer the held-out rows with every arm, count, and compare source with target."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from workbench import distill
from workbench.errors import ModelError
from workbench.evaluate import arms
from workbench.evaluate.checkers import metric_checker
from workbench.evaluate.intervals import Difference
from workbench.evaluate.kinds import metric_of
from workbench.evaluate.lineage import against_first_source, lineage
from workbench.evaluate.outcome import (
    ASKED,
    DRAWS,
    asked_rows,
    besides,
    drawn_indices,
    drawn_rows,
    graded,
    is_labelled,
    outcome,
    teacher_view,
)
from workbench.events import ArmFinished, Event, Progress, Warned
from workbench.intake.overlap import overlap
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.recipe import MODEL, PromptFormat
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.stages import Stage
from workbench.steps.distillation import newest_state, split_examples
from workbench.steps.seed_answers import answered_seeds
from workbench.steps.teacher_view import read_by_teacher, sample_teacher, teacher_samples
from workbench.teach import TEACHER

CHUNK = 128  # rows per commit; the same chunks after an interruption
COPY = "copy"  # name of the source adapter on the target base
BEYOND = 8  # tokens after which an answer that is longer than all right ones is read no further


def evaluation_rows(run: Run, pair: Pair) -> list[Example]:
    """Labelled rows; without any, held-out samples with the teacher's answers."""
    return drawn_rows(split_examples(run, pair)[1], run.recipe.evaluation.max_rows)


def compare(run: Run, pair: Pair) -> Iterator[Event]:
    """Both adapters on every row, bare bases on some; what is answered is not asked again."""
    rows = evaluation_rows(run, pair)
    if not rows:
        yield Warned(
            Stage.EVALUATE,
            "There are no evaluation rows and too few samples to hold some out: "
            "nothing was compared.",
        )
        return
    labelled = is_labelled(run.inputs.evaluation)
    if not labelled:
        run.remember(ASKED, [row.input for row in rows])
        what = "evaluation inputs" if run.inputs.evaluation else "held-out synthetic samples"
        yield Warned(
            Stage.EVALUATE,
            "There are no right answers: what is measured is how like the teacher the new adapter "
            f"answers {len(rows)} {what}, no accuracy.",
        )
    yield from _warn_of_overlap(run, rows if labelled else [])
    names = asked_arms(run)
    if copied_fits(run, pair):
        names = (*names[:-1], arms.COPIED, names[-1])
    samples = () if labelled else DRAWS
    some = drawn_indices(rows, run.recipe.evaluation.base_rows)
    asked = {arm: some if arm in arms.BARE else range(len(rows)) for arm in (*samples, *names)}
    total, finished = sum(map(len, asked.values())), 0
    for arm, indices in asked.items():
        done = {row.index for row in run.answers.get(arm)}
        told = arm if arm in names else "the source samples answers"
        yield Progress(Stage.EVALUATE, finished, total, "answers", note=told)
        for start in range(0, len(indices), CHUNK):
            chunk = list(indices[start : start + CHUNK])
            finished += len(chunk)
            if done.issuperset(chunk):
                continue
            if arm in samples:
                sample_teacher(run, pair, arm, rows, chunk)
            else:
                _answer_chunk(run, pair, arm, rows, chunk)
            yield Progress(Stage.EVALUATE, finished, total, "answers", note=told)
        if arm in names:
            grades = [row.grade for row in run.answers.get(arm)]
            yield ArmFinished(arm, sum(grades) / len(grades), len(grades))
    if not labelled:
        read_by_teacher(run, pair, rows)


def asked_arms(run: Run) -> tuple[str, ...]:
    """The arms of this comparison; examples in a prompt need right answers to be told from."""
    bare = run.recipe.evaluation.base_arms
    if is_labelled(run.inputs.evaluation):
        wanted = arms.ARMS if bare else (arms.SOURCE_ADAPTER, arms.TRANSFERRED)
        if run.recipe.teacher == MODEL:  # the source base is the teacher: it is asked once
            wanted = tuple(arm for arm in wanted if arm != arms.SOURCE_BASE)
        # Without seeds there is nothing to show as examples.
        return tuple(a for a in wanted if run.inputs.seeds or a != arms.TARGET_FEW_SHOT)
    return (arms.SOURCE_ADAPTER, *((arms.TARGET_BASE,) if bare else ()), arms.TRANSFERRED)


def copied_fits(run: Run, pair: Pair) -> bool:
    """Attach the source adapter to the target base, as it is, where every tensor has its place."""
    if COPY in pair.target.adapters:
        return True
    files = run.inputs.adapter
    if files is None:  # the source base is the teacher by itself
        return False
    try:
        bind(run.recipe.source_format, pair.target.tokenizer)
        pair.target.attach(COPY, files.settings, files.weights)
    except ModelError:
        return False
    return True


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
    if arm == arms.COPIED:
        form, adapter = recipe.source_format, COPY
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
    put_graded(run, arm, rows, ((chunk[at], text) for at, text in answers))


def put_graded(
    run: Run, arm: str, rows: Sequence[Example], answers: Iterable[tuple[int, str]]
) -> None:
    """Grade and commit an arm's answers, each with the index of its row."""
    metric, labelled = metric_of(run), is_labelled(run.inputs.evaluation)
    right = [row.answers or ("",) for row in rows] if labelled else teacher_samples(run)
    with metric_checker(run.recipe.evaluation) as checker:
        found = [graded(metric, at, text, right[at], labelled, checker) for at, text in answers]
    run.answers.put(arm, found)


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
    pair.target.attach_new(distill.STUDENT, run.recipe.student, run.recipe.seed)
    for name, parameter in pair.target.trainable(distill.STUDENT).items():
        parameter.data.copy_(state.tensors[f"adapter/{name}"])


def summarise(run: Run) -> dict[str, Any]:
    """The comparison part of result.json: arms with intervals, paired difference, verdict.

    An arm's "accuracy" is the mean of what "measure" names. Arms that were not asked are empty.
    """
    found = outcome(run, (*arms.ARMS, arms.COPIED))
    rows = asked_rows(run)
    summary: dict[str, Any] = {
        "task_kind": found.task_kind,
        "metric": found.metric,
        "measure": found.measure,
        "arms": {arm: {} for arm in arms.ARMS} if found.arms else {},
        "difference": None,
        "verdict": None,
    }
    for arm, interval in found.arms.items():
        summary["arms"][arm] = {
            "accuracy": interval.mean,
            "n": interval.n,
            "low": interval.low,
            "high": interval.high,
        }
        if found.labelled:
            summary["arms"][arm] |= besides(found.metric, run.answers.get(arm), rows)
    if found.difference and found.verdict:
        summary["difference"] = _ends(found.difference)
        summary["verdict"] = {"kind": found.verdict.kind, "sentence": found.verdict.sentence}
    if arms.COPIED in found.arms:
        copied = outcome(run, (arms.SOURCE_ADAPTER, arms.COPIED), arms.COPIED).verdict
        summary["copied"] = copied and {"kind": copied.kind, "sentence": copied.sentence}
    if hops := lineage(run):
        summary["lineage"] = hops
        if first := against_first_source(run):
            summary["against_first_source"] = _ends(first)
    if not found.labelled and (view := teacher_view(run, found.metric)):
        agreement = view.agreement
        summary["teacher"] = {
            "agreement": {
                "mean": agreement.mean,
                "low": agreement.low,
                "high": agreement.high,
            },
            "likelihood": _ends(view.likelihood),
        }
        if run.recipe.teacher != MODEL:
            summary["teacher"] |= {
                "excess": view.excess,
                "own_excess": view.own_excess,
                "excess_difference": _ends(view.excess_difference),
            }
    return summary


def _ends(difference: Difference) -> dict[str, float]:
    return {"mean": difference.mean, "low": difference.low, "high": difference.high}
