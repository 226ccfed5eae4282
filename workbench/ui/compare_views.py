"""The comparison of a run as the page shows it, from ``result.json`` and the committed answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from workbench.evaluate import coverage
from workbench.evaluate import verdict as judge
from workbench.evaluate.kinds import FREE_TEXT, JSON, kind_of
from workbench.evaluate.outcome import asked_rows, is_labelled, measure_of, outcome
from workbench.evaluate.texts import (
    ADDED,
    REMOVED,
    SAME,
    ScoredRow,
    distribution,
    word_difference,
    worst_first,
)
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.stages import ARM_WORDS
from workbench.ui import plain, words
from workbench.ui.snapshot import Snapshot

KIND_LOOKS = {judge.INSIDE: "good", judge.BETTER: "good", judge.WORSE: "bad"}
SOURCE, TARGET = "source_adapter", "transferred"
_RIGHT = "Right answers"
_AGREES = "Agreement with the teacher"
_ROWS_SHOWN = 200
_BESIDE = {"exact": "Equal answers, percent", "rouge": "ROUGE-L", "chrf": "chrF"}
_MISSED = 0.999  # below this an answer is not right in full
_WHICH: dict[str, Callable[[ScoredRow], bool]] = {
    "lost": lambda row: row.target_score < row.source_score,
    "gained": lambda row: row.target_score > row.source_score,
    "missed": lambda row: max(row.target_score, row.source_score) < _MISSED,
    "all": lambda row: True,
}
# Marks are signs, not markup: what stands between them is a model's.
_MARKED = {SAME: "{}", REMOVED: "[−{}−]", ADDED: "[+{}+]"}


@dataclass(frozen=True)
class Compared:
    """What was measured.

    Attributes:
        arms: arm -> accuracy, n, low, high.
        labelled: True when the rows have people's answers, else they are the teacher's.
        measure: what was counted or scored, as a heading.
        rows: that were asked; empty for runs of old that held out samples.
        answers: arm -> predictions; right: arm -> one flag per row; grades: the same in 0..1.
        texts: answers are no labels: they can be partly right.
    """

    arms: dict[str, dict[str, float]]
    labelled: bool
    measure: str
    rows: tuple[Example, ...]
    answers: dict[str, list[str]]
    right: dict[str, list[bool]]
    grades: dict[str, list[float]]
    texts: bool

    @property
    def paired(self) -> bool:
        """Source and target answered the same rows."""
        right = self.right
        return bool(right.get(SOURCE)) and len(right[SOURCE]) == len(right.get(TARGET, []))


def read(now: Snapshot) -> Compared | None:
    """The comparison of a run, or None before there is one."""
    return read_run(now.run) if now.run and now.result else None


def read_run(run: Run) -> Compared | None:
    """The same from the run itself."""
    result = run.result()
    if not result or not result.get("arms"):
        return None
    answers = {arm: run.answers.get(arm) for arm in result["arms"]}
    labelled = is_labelled(run.inputs.evaluation)
    return Compared(
        arms={arm: values for arm, values in result["arms"].items() if values},
        labelled=labelled,
        measure=_heading(str(result.get("measure", "")), labelled),
        rows=tuple(asked_rows(run)[: len(answers.get(SOURCE, ()))]),
        answers={arm: [row.prediction for row in rows] for arm, rows in answers.items()},
        right={arm: [row.correct for row in rows] for arm, rows in answers.items()},
        grades={arm: [row.grade for row in rows] for arm, rows in answers.items()},
        texts=kind_of(run) in (FREE_TEXT, JSON),
    )


def _heading(measure: str, labelled: bool) -> str:
    if measure == judge.SIMILARITY:
        return "Similarity to answers sampled from the source, whose own differ too,"
    if measure in ("", judge.ACCURACY):
        return _RIGHT if labelled else _AGREES
    return measure


def verdict(now: Snapshot, compared: Compared) -> tuple[str, str]:
    """(sentence, kind) for the margin as it stands now."""
    if now.run and compared.paired and (found := outcome(now.run, (SOURCE, TARGET)).verdict):
        return found.sentence, found.kind
    if not compared.labelled:  # of a run that asked the new adapter alone
        arm = compared.arms[TARGET]
        return (
            f"Agrees with the teacher on {words.percent(arm['accuracy'])} of "
            f"{int(arm['n'])} held-out made-up inputs (95 % interval {100 * arm['low']:.1f} to "
            f"{100 * arm['high']:.1f}). There are no labelled rows: this says nothing about "
            "being right.",
            judge.CANNOT_TELL,
        )
    return "Source and target have not answered the same rows yet.", judge.CANNOT_TELL


def live_bars(now: Snapshot) -> str:
    """The models that have answered the evaluation rows so far."""
    if now.run is None or not now.tail.arms:
        return ""
    measure = _heading(measure_of(now.run), is_labelled(now.inputs.evaluation))
    return arm_bars(now.tail.arms, measure, now.alone)


def arm_bars(
    arms: Mapping[str, Mapping[str, float]], measure: str = _RIGHT, alone: bool = False
) -> str:
    """The models' shares or mean scores as bars, the two that matter first.

    Args:
        alone: the source base is the teacher by itself.
    """
    titles = {**ARM_WORDS, SOURCE: "Source model"} if alone else ARM_WORDS
    order = (SOURCE, TARGET, *(name for name in arms if name not in (SOURCE, TARGET)))
    rows = []
    for name in order:
        if name in arms:
            arm = arms[name]
            span = f" ({100 * arm['low']:.1f}–{100 * arm['high']:.1f})" if "low" in arm else ""
            mean = arm["accuracy"]
            share = words.percent(mean) if measure in (_RIGHT, _AGREES) else f"{100 * mean:.1f}"
            rows.append((titles.get(name, name), f"{share}{span}", mean, name == TARGET))
    most, least = (pick((int(arm["n"]) for arm in arms.values()), default=0) for pick in (max, min))
    caption = f"{measure} on {words.count(most, 'row')}" if most else ""
    if least < most:
        caption += f"; without an adapter on {least:,} of them"
    return plain.bars(rows, caption) if rows else ""


def beside(now: Snapshot) -> str:
    """What was measured beside the main number: of texts, and where only the teacher is known."""
    arms, teacher = now.result.get("arms") or {}, now.result.get("teacher") or {}
    pair = [arms.get(arm) or {} for arm in (TARGET, SOURCE)]
    rows = [
        (title, " against ".join(f"{100 * arm[name]:.1f}" for arm in pair))
        for name, title in _BESIDE.items()
        if all(name in arm for arm in pair)
    ]
    if agreed := teacher.get("agreement"):
        span = f"{100 * agreed['low']:.1f}–{100 * agreed['high']:.1f}"
        rows.append(("Same answer as the source", f"{words.percent(agreed['mean'])} ({span})"))
    if likely := teacher.get("likelihood"):
        mean, low, high = (f"{likely[end]:+.2f}" for end in ("mean", "low", "high"))
        words_of = f"{mean} nats per character against its own samples ({low} to {high})"
        rows.append(("Log-likelihood under the source", words_of))
    if "excess" in teacher:
        both = f"{teacher['excess']:+.2f} against {teacher['own_excess']:+.2f}"
        rows.append(("What the adapter adds to it", f"{both} nats per character"))
    rows = [(name, value.replace("-", "−")) for name, value in rows]
    return plain.facts(rows, "New adapter against source, measured beside it") if rows else ""


def label_rows(compared: Compared) -> list[tuple[str, int, float, float]]:
    """(label, n, source, target) where answers are labels; [] for free text."""
    if not compared.labelled or not compared.paired:
        return []
    expected = [row.output or "" for row in compared.rows]
    if len(set(expected)) > max(2, 0.5 * len(expected)):
        return []
    rows = coverage.per_label_accuracy(expected, compared.right[SOURCE], compared.right[TARGET])
    return [(row.label, row.n, row.source.mean, row.target.mean) for row in rows]


def score_table(compared: Compared) -> str:
    """How many answers are how near to the expected ones; "" for labels."""
    if not compared.texts or not compared.paired:
        return ""
    source, target = (distribution(compared.grades[arm]) for arm in (SOURCE, TARGET))
    width = 100 // len(source)
    rows = [
        (f"{width * place}–{width * (place + 1)}", f"{source[place]:,}", f"{target[place]:,}")
        for place in reversed(range(len(source)))
        if source[place] or target[place]
    ]
    score = compared.measure if compared.labelled else "similarity"
    return plain.table((score, "source", "new adapter"), rows, "Answers by score")


def confused(compared: Compared) -> list[tuple[str, str]]:
    """(expected, answered by the new adapter) where answers are labels; [] for free text."""
    if not label_rows(compared):
        return []
    answers = compared.answers[TARGET]
    return [
        (row.output or "", answer.strip())
        for row, answer in zip(compared.rows, answers, strict=False)
    ]


def row_columns(compared: Compared) -> dict[str, int]:
    """Columns of the rows with their widths in percent; a difference where answers are texts."""
    width = 20 if compared.texts else 18
    known = {"expected": width} if compared.labelled else {}
    columns = {**known, "source says": width, "new adapter says": width}
    if compared.texts:
        columns["source → new, word by word"] = 22
    return {"input": 100 - sum(columns.values()), **columns}


def compared_rows(compared: Compared, which: str) -> list[list[str]]:
    """Evaluation rows with both answers, the worst for the new adapter first.

    Args:
        which: "lost" (the source is better), "gained" (the reverse), "missed" (neither is right)
            or "all".
    """
    if not compared.rows or not compared.paired:
        return []
    answers, grades = compared.answers, compared.grades
    rows = [
        ScoredRow(at, row.input, row.output or "", answers[SOURCE][at], answers[TARGET][at],
                  grades[SOURCE][at], grades[TARGET][at])
        for at, row in enumerate(compared.rows)
    ]  # fmt: skip
    wanted = [row for row in worst_first(rows) if _WHICH[which](row)]
    if which == "gained":
        wanted.reverse()
    return [_compared_row(row, compared) for row in wanted[:_ROWS_SHOWN]]


def _compared_row(row: ScoredRow, compared: Compared) -> list[str]:
    known = [row.expected] if compared.labelled else []
    cells = [row.input, *known, row.source_answer, row.target_answer]
    if compared.texts:
        parts = word_difference(row.source_answer, row.target_answer)
        cells.append("".join(_MARKED[part.mark].format(part.text) for part in parts))
    return cells
