"""Where an adapter comes from: the transfers before this one, and what the first source could do.

A hop is a plain dictionary, kept among a run's facts, in result.json and on the card.
"""

import hashlib
import json
from typing import Any

from workbench.evaluate.intervals import (
    Difference,
    paired_difference,
    paired_score_difference,
)
from workbench.evaluate.kinds import metric_of
from workbench.evaluate.metrics import is_graded
from workbench.evaluate.outcome import SOURCE, TRANSFERRED, is_labelled
from workbench.runs.folder import Run

LINEAGE = "lineage"  # fact: hops before this run, the first one first
FIRST_SOURCE = "first_source"  # fact: how the first source did on the same evaluation rows


def hop(run: Run) -> dict[str, Any]:
    """One transfer: bases, method, samples and what came of it."""
    result = run.result() or {}
    arms = result.get("arms") or {}
    return {
        "run": run.id,
        "task_name": run.recipe.task_name,
        "source_base": run.recipe.source_base,
        "target_base": run.recipe.target_base,
        "teacher": run.recipe.teacher,
        "method": run.recipe.student.method,
        "samples": (result.get("counts") or {}).get("kept"),
        "measure": result.get("measure"),
        "source": (arms.get(SOURCE) or {}).get("accuracy"),
        "transferred": (arms.get(TRANSFERRED) or {}).get("accuracy"),
        "verdict": result.get("verdict"),
    }


def lineage(run: Run) -> list[dict[str, Any]]:
    """The hops that led to this run's source adapter; [] where it was trained on real rows."""
    return run.recall(LINEAGE, [])


def first_source(run: Run) -> dict[str, Any] | None:
    """What a run that goes on from this one is to remember of the first source of all."""
    earlier = run.recall(FIRST_SOURCE)
    if earlier is not None:
        return earlier
    answers = run.answers.get(SOURCE)
    if not answers or not is_labelled(run.inputs.evaluation):
        return None
    return {
        "metric": metric_of(run),
        "rows": _digest(run),
        "grades": [answer.grade for answer in answers],
    }


def against_first_source(run: Run) -> Difference | None:
    """The new adapter minus the first source, where both were graded on the same rows."""
    first, new = run.recall(FIRST_SOURCE), run.answers.get(TRANSFERRED)
    if not first or first["rows"] != _digest(run) or first["metric"] != metric_of(run):
        return None
    if len(first["grades"]) != len(new):
        return None
    grades = [answer.grade for answer in new]
    if is_graded(first["metric"]):
        return paired_score_difference(first["grades"], grades)
    return paired_difference([g == 1 for g in first["grades"]], [g == 1 for g in grades])


def _digest(run: Run) -> str:
    rows = [[row.input, list(row.answers)] for row in run.inputs.evaluation]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
