"""What kind of task a set of answers belongs to, and the metric that fits it.

One rule for page, terminal and result: answers that are objects are JSON, answers that recur (or
are a word or four) are labels, answers that end in a number are numbers, the rest is free text.
"""

import re
from collections.abc import Sequence
from statistics import median

from workbench.evaluate.metrics import is_json_structure, normalise_answer
from workbench.recipe import AUTO
from workbench.runs.folder import Run
from workbench.samples import UNSPACED
from workbench.synthesis_plan import LABEL_WORDS

LABELS, JSON, NUMBERS, FREE_TEXT = "labels", "JSON", "numbers", "free text"
KINDS = (LABELS, JSON, NUMBERS, FREE_TEXT)
METRIC_OF = {LABELS: "exact", JSON: "json", NUMBERS: "number", FREE_TEXT: "chrf"}

NEARLY_ALL = 0.9  # of the answers, to be objects or numbers
RECURRING = 0.5  # distinct answers per answer, below which they recur whatever their length
ALL_DIFFERENT = 0.8  # distinct answers per answer, above which many short ones are no set either
MANY = 40  # answers from which "all different" says something
FEW_VALUES = 5  # numbers of so few values are labels: grades, true as 1 and false as 0
# A number with its sign and unit, alone or where a text says that its result follows.
_NUMBER = r"[-−+]?\s?[$€£¥]?\s?\d[\d.,'\u00a0\u2009\u202f ]*[%$€£¥]?(?:\s?[^\W\d_]{1,12})?"
_ALONE = re.compile(rf"\W{{0,2}}{_NUMBER}\W{{0,2}}")
_RESULT = re.compile(
    rf"(?:####|=|\b(?:answer|result|total)\b(?:\s+is)?\s*:?)\s*\**\s*{_NUMBER}\W*\Z", re.IGNORECASE
)
SEED_ANSWERS = "seeds"  # where the teacher's answers to seeds are stored among a run's answers


def task_kind(answers: Sequence[str]) -> str:
    """One of ``KINDS``; no answers at all are taken for labels, as the plainest metric fits."""
    texts = [text for answer in answers if (text := answer.strip())]
    if not texts:
        return LABELS
    if _nearly_all([is_json_structure(text) for text in texts]):
        return JSON
    distinct = len({normalise_answer(text) for text in texts})
    recur = distinct <= RECURRING * len(texts)
    if _nearly_all([_is_number(text) for text in texts]):
        return LABELS if recur and distinct <= FEW_VALUES else NUMBERS
    lengths = [_length(text) for text in texts]
    if recur or _nearly_all([length <= 1 for length in lengths]):
        return LABELS
    short = _nearly_all([length <= 2 * LABEL_WORDS for length in lengths])
    set_of_answers = len(texts) < MANY or distinct <= ALL_DIFFERENT * len(texts)
    return LABELS if short and median(lengths) <= LABEL_WORDS and set_of_answers else FREE_TEXT


def metric_for(chosen: str, answers: Sequence[str]) -> str:
    """The metric itself where a person chose one, else the one of the answers' kind."""
    return METRIC_OF[task_kind(answers)] if chosen == AUTO else chosen


def known_answers(run: Run) -> list[str]:
    """What tells the kind of a run: people's answers; without any, the teacher's."""
    inputs = run.inputs
    # A row that is among both is counted once: its answer does not recur by that.
    people = {row.input: row.output for row in (*inputs.seeds, *inputs.evaluation) if row.output}
    if people:
        return list(people.values())
    to_seeds = [row.prediction for row in run.answers.get(SEED_ANSWERS)]
    return to_seeds + [sample.teacher_output or "" for sample in run.samples.kept()]


def kind_of(run: Run) -> str:
    """The kind of task of a run, as far as its answers are known."""
    return task_kind(known_answers(run))


def metric_of(run: Run) -> str:
    """The metric that a run is measured with."""
    chosen = run.recipe.evaluation.metric
    return chosen if chosen != AUTO else METRIC_OF[kind_of(run)]


def _nearly_all(flags: Sequence[bool]) -> bool:
    return sum(flags) >= NEARLY_ALL * len(flags)


def _length(text: str) -> float:
    """In words; where no spaces stand between words, two characters are about one."""
    return len(UNSPACED.sub(" ", text).split()) + len(UNSPACED.findall(text)) / 2


def _is_number(text: str) -> bool:
    return bool(_ALONE.fullmatch(text) or _RESULT.search(text))
