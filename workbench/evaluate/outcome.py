"""What a comparison came to, from a run's committed answers: intervals, difference, verdict.

One reading for result.json and for the page, whose margin may have changed since. With people's
answers it is accuracy or a score; without, similarity to what the teacher itself writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.evaluate import verdict as judge
from workbench.evaluate.checkers import Checker, right
from workbench.evaluate.intervals import (
    Difference,
    Interval,
    accuracy,
    mean_score,
    paired_difference,
    paired_score_difference,
)
from workbench.evaluate.kinds import kind_of, metric_of
from workbench.evaluate.metrics import MEASURES, is_correct, is_graded, score
from workbench.recipe import CHECKER
from workbench.runs.folder import Run
from workbench.runs.results import Answer
from workbench.samples import Example, sample_id

SOURCE, TRANSFERRED = "source_adapter", "transferred"
MERGED = "merged"  # the new adapter and the target base as one model, in 16 bit: when asked for
# The teacher's samples stand in for reference answers: two, so that chance weighs less.
DRAWS = ("teacher_sample_1", "teacher_sample_2")
ASKED = "asked"  # fact: the inputs of a comparison that has no right answers
LIKELIHOODS = "likelihoods"  # where ``Likelihood`` rows are stored among a run's facts


@dataclass(frozen=True)
class Outcome:
    """Everything that follows from the answers.

    Attributes:
        task_kind: see ``evaluate.kinds``.
        metric: how single answers are graded.
        measure: what the mean is called: "accuracy", "chrF", "ROUGE-L" or ``verdict.SIMILARITY``.
        labelled: the rows have people's answers.
        arms: arm -> mean with interval, of arms that answered.
        difference: new adapter minus source adapter on the same rows; None when one is missing.
        verdict: None while there is no difference.
    """

    task_kind: str
    metric: str
    measure: str
    labelled: bool
    arms: dict[str, Interval]
    difference: Difference | None
    verdict: judge.Verdict | None


@dataclass(frozen=True)
class Teacher:
    """How the new adapter's texts look to the teacher, where no reference answers are.

    Attributes:
        agreement: share of inputs that both answer alike, each with its likeliest answer.
        likelihood: log-likelihood of the new adapter's text minus that of the teacher's own
            sample, under the teacher, in nats per character.
        excess, own_excess: the same with the source adapter minus without, of the new adapter's
            texts and of the teacher's samples: what the adapter adds shows in them.
        excess_difference: the first minus the second, row by row.
    """

    agreement: Interval
    likelihood: Difference
    excess: float
    own_excess: float
    excess_difference: Difference


def is_labelled(rows: Sequence[Example]) -> bool:
    """Whether evaluation rows bring right answers."""
    return any(row.answers for row in rows)


def drawn_rows(rows: Sequence[Example], count: int) -> list[Example]:
    """So many of the rows in their order, 0 for all.

    Drawn by the hash of their text, the same in every run: files are often sorted by label, so
    that the first rows would all have the same one.
    """
    return [rows[index] for index in drawn_indices(rows, count)]


def drawn_indices(rows: Sequence[Example], count: int) -> list[int]:
    """Where ``drawn_rows`` stand."""
    ranked = sorted(range(len(rows)), key=lambda index: (sample_id(rows[index].input), index))
    return sorted(ranked[: count or len(rows)])


def asked_rows(run: Run) -> list[Example]:
    """The rows of a run's comparison, as its answers count them; [] where that is not known."""
    rows = run.inputs.evaluation
    if is_labelled(rows):
        return drawn_rows(rows, run.recipe.evaluation.max_rows)
    return [Example(text) for text in run.recall(ASKED, [])]


def graded(
    metric: str,
    index: int,
    text: str,
    expected: Sequence[str],
    labelled: bool,
    checker: Checker | None = None,
) -> Answer:
    """An answer with its grade: against the nearest reference, or the mean over the samples."""
    correct = right(checker, metric, text, expected)
    if checker is not None:
        return Answer(index, text, correct)
    if labelled:
        return Answer(index, text, correct, score(metric, text, expected))
    mean = sum(score(metric, text, [answer]) for answer in expected) / len(expected)
    return Answer(index, text, correct, mean)


def mean_of(metric: str, rows: Sequence[Answer]) -> Interval:
    """The mean score where the metric has degrees, else the share of right answers."""
    if is_graded(metric):
        return mean_score([row.grade for row in rows])
    return accuracy([row.correct for row in rows])


def measure_of(run: Run) -> str:
    """What the mean of a run's comparison is called, see ``Outcome.measure``."""
    metric = metric_of(run)
    counted = is_labelled(run.inputs.evaluation) or metric == CHECKER  # which needs no answers
    return MEASURES[metric] if counted else judge.SIMILARITY


def outcome(run: Run, arms: Sequence[str], judged: str = TRANSFERRED) -> Outcome:
    """Read the answers of these arms and judge one of them with the margin as it stands."""
    kind, metric, labelled = kind_of(run), metric_of(run), is_labelled(run.inputs.evaluation)
    measure = measure_of(run)
    answers = {arm: rows for arm in arms if (rows := run.answers.get(arm))}
    degrees = is_graded(metric) or measure == judge.SIMILARITY
    intervals = {
        arm: mean_score([row.grade for row in rows])
        if degrees
        else accuracy([row.correct for row in rows])
        for arm, rows in answers.items()
    }
    difference = found = None
    source, new = answers.get(SOURCE, []), answers.get(judged, [])
    if source and len(source) == len(new):
        difference = (
            paired_score_difference([row.grade for row in source], [row.grade for row in new])
            if degrees
            else paired_difference([row.correct for row in source], [row.correct for row in new])
        )
        found = judge.verdict(
            intervals[SOURCE],
            intervals[judged],
            difference,
            run.recipe.evaluation.margin_points,
            measure,
        )
    return Outcome(kind, metric, measure, labelled, intervals, difference, found)


def teacher_view(run: Run, metric: str) -> Teacher | None:
    """Agreement, likelihood and excess of the new adapter's texts; None before they were read."""
    rows = run.recall(LIKELIHOODS) or []
    source = [row.prediction for row in run.answers.get(SOURCE)]
    new = [row.prediction for row in run.answers.get(TRANSFERRED)]
    if not rows or len(source) != len(new):
        return None
    own = [row["own"] - row["own_base"] for row in rows]
    excess = [row["new"] - row["new_base"] for row in rows]
    return Teacher(
        agreement=accuracy([is_correct(metric, b, a) for a, b in zip(source, new, strict=True)]),
        likelihood=paired_score_difference(
            [row["own"] for row in rows], [row["new"] for row in rows]
        ),
        excess=sum(excess) / len(excess),
        own_excess=sum(own) / len(own),
        excess_difference=paired_score_difference(own, excess),
    )


def besides(metric: str, answers: Sequence[Answer], rows: Sequence[Example]) -> Mapping[str, float]:
    """For free text, what is told beside the main measure: exact answers and the other score."""
    if not is_graded(metric) or not answers:
        return {}
    other = "rouge" if metric == "chrf" else "chrf"
    values = [score(other, row.prediction, rows[row.index].answers or ("",)) for row in answers]
    return {
        "exact": sum(row.correct for row in answers) / len(answers),
        other: sum(values) / len(values),
    }
