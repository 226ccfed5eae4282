"""The comparison of a run as the page shows it, from ``result.json`` and the committed answers."""

from dataclasses import dataclass
from typing import Any

from workbench.evaluate import coverage
from workbench.evaluate import verdict as judge
from workbench.evaluate.outcome import is_labelled, outcome
from workbench.runs.folder import Run
from workbench.samples import Example
from workbench.ui import plain, words
from workbench.ui.snapshot import Snapshot

SOURCE, TARGET = "source_adapter", "transferred"
_ARM_WORDS = {
    "source_base": "Source base",
    "source_adapter": "Source + adapter",
    "target_base": "Target base",
    "target_few_shot": "Target base, seeds as examples",
    "copied": "Target + source adapter as it is",
    "transferred": "Target + new adapter",
}
_CHANGED_SHOWN = 200


@dataclass(frozen=True)
class Compared:
    """What was measured.

    Attributes:
        arms: arm -> accuracy, n, low, high.
        labelled: True when the rows have people's answers, else they are the teacher's.
        measure: what was counted or scored, as a heading.
        rows: the evaluation rows that were asked; empty when they were held-out samples.
        answers: arm -> predictions; right: arm -> one flag per row.
    """

    arms: dict[str, dict[str, float]]
    labelled: bool
    measure: str
    rows: tuple[Example, ...]
    answers: dict[str, list[str]]
    right: dict[str, list[bool]]

    @property
    def paired(self) -> bool:
        """Source and target answered the same rows."""
        right = self.right
        return bool(right.get(SOURCE)) and len(right[SOURCE]) == len(right.get(TARGET, []))


def read(now: Snapshot) -> Compared | None:
    """The comparison of a run, or None before there is one."""
    return read_run(now.run) if now.run else None


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
        rows=run.inputs.evaluation if labelled else (),
        answers={arm: [row.prediction for row in rows] for arm, rows in answers.items()},
        right={arm: [row.correct for row in rows] for arm, rows in answers.items()},
    )


def _heading(measure: str, labelled: bool) -> str:
    if labelled:
        return "Right answers" if measure in ("", judge.ACCURACY) else measure
    return (
        "Similarity to the teacher" if measure == judge.SIMILARITY else "Agreement with the teacher"
    )


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


def arms_table(compared: Compared) -> str:
    """All arms with n and interval."""
    rows = [
        [
            _ARM_WORDS.get(name, name),
            words.percent(arm["accuracy"]),
            f"{100 * arm['low']:.1f} – {100 * arm['high']:.1f}",
            f"{int(arm['n'])}",
        ]
        for name, arm in compared.arms.items()
    ]
    what = compared.measure
    return plain.table(("Arm", what, "95 % interval", "Rows"), rows, f"{what} of all arms")


def label_rows(compared: Compared) -> list[tuple[str, int, float, float]]:
    """(label, n, source, target) where answers are labels; [] for free text."""
    if not compared.labelled or not compared.paired:
        return []
    expected = [row.output or "" for row in compared.rows[: len(compared.right[SOURCE])]]
    if len(set(expected)) > max(2, 0.5 * len(expected)):
        return []
    rows = coverage.per_label_accuracy(expected, compared.right[SOURCE], compared.right[TARGET])
    return [(row.label, row.n, row.source.mean, row.target.mean) for row in rows]


def no_labels(compared: Compared) -> str:
    """Why there is no chart per label."""
    if not compared.labelled:
        return "Needs evaluation rows with answers."
    return "The answers are free text: nearly each one is its own."


def changed_rows(compared: Compared, which: str) -> list[list[str]]:
    """Rows that source and target differ on, with both answers."""
    if not compared.labelled or not compared.paired:
        return []
    count = len(compared.right[SOURCE])
    rows = compared.rows[:count]
    changes = coverage.changed_rows(
        [row.input for row in rows],
        [row.output or "" for row in rows],
        compared.answers[SOURCE],
        compared.answers[TARGET],
        compared.right[SOURCE],
        compared.right[TARGET],
    )
    chosen: Any = changes.lost if which == "lost" else changes.gained
    return [
        [row.input, row.expected, row.source_answer, row.target_answer]
        for row in chosen[:_CHANGED_SHOWN]
    ]
