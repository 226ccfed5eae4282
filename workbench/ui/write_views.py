"""What the Write tab shows of a run: counters, newest rows, scores, coverage."""

from typing import Any

import gradio as gr

from workbench import machine
from workbench.evaluate.coverage import LabelCount, label_coverage
from workbench.evaluate.kinds import LABELS, kind_of
from workbench.evaluate.texts import text_coverage
from workbench.recipe import override
from workbench.runs.folder import Run
from workbench.runs.sample_queries import SampleFilter, above_line, below_line
from workbench.samples import KEPT, PENDING, REJECTED, SPAN_SWAP, Sample
from workbench.stages import Stage
from workbench.synthesis_plan import expected_samples
from workbench.ui import charts, plain, words
from workbench.ui.boxes import plotted
from workbench.ui.snapshot import Snapshot

_NEWEST = 20
_ANSWERS_SHOWN = 200
STATUS_WORDS = {KEPT: "✓ kept", REJECTED: "✕ rejected", PENDING: "… waiting"}
# column of a sample -> the chart's word for it
_CHART_SCORE = {
    "discriminator_score": "discriminator",
    "excess": "excess",
    "confidence": "confidence",
}
_SCORE_WORDS = {
    "discriminator_score": "P(real) of the discriminator.",
    "excess": "How much the adapter changes the answer.",
    "confidence": "How sure the source is of its answer.",
}


def locked(now: Snapshot) -> bool:
    """The settings of the synthesis are fixed once it has begun."""
    return now.started(Stage.SYNTHESIZE)


def can_grow(now: Snapshot) -> bool:
    """More samples can be asked for until the distillation begins."""
    return locked(now) and not now.started(Stage.DISTIL) and not now.busy


def more(now: Snapshot) -> tuple[Any, Any, Any]:
    """Whether more can be asked for, a preview, and a map of what is there."""
    preview, a_map = (gr.update(interactive=there) for there in (now.has_teacher, bool(now.counts)))
    return gr.update(visible=can_grow(now)), preview, a_map


def made(now: Snapshot) -> tuple[str, str, list[list[str]]]:
    """Counters, who writes the inputs and why, and the newest samples."""
    if now.run is None:
        return tiles(now), "", []
    chosen = now.run.recall("writer") or {}
    newest = [row(sample) for sample in now.run.samples.page(limit=_NEWEST)]
    return tiles(now), plain.sentence(str(chosen.get("why", ""))), newest


def wanted(now: Snapshot, by_itself: bool = False) -> int:
    """Samples that the run will ask for, or would by itself, as far as its answers tell."""
    recipe = override(now.recipe, {"synthesis.samples": 0}) if by_itself else now.recipe
    return expected_samples(recipe, now.inputs, machine.first_gpu() is not None).count


def tiles(now: Snapshot) -> str:
    """Counters: made, kept, duplicate, rejected."""
    totals = now.tail.totals
    mixed = now.run.samples.count(SampleFilter(origin=SPAN_SWAP, status=KEPT)) if now.run else 0
    asked = "" if now.started(Stage.LABEL) else f"of about {wanted(now):,} wanted"
    if mixed:
        asked = f"{now.kept - mixed:,} written + {mixed:,} mixed"
    repeated = totals.get("duplicates", 0) + totals.get("copied", 0)
    made = totals.get("made", 0)
    share = f"{100 * repeated / made:.0f} % of all" if made else ""
    who = "filtered out, by you, or probes"
    return plain.tiles(
        [
            ("Written", f"{made:,}", words.count(now.tail.rounds, "round")),
            ("Kept", f"{now.kept:,}", asked),
            ("Rejected", f"{now.counts.get(REJECTED, 0):,}", who),
            ("Waiting", f"{now.counts.get(PENDING, 0):,}", "for score or label"),
            ("Repeated", f"{repeated:,}", share),
        ]
    )


def row(sample: Sample) -> list[str]:
    """One sample as the table shows it."""
    return [
        sample.input,
        sample.teacher_output or "",
        score_text(sample),
        STATUS_WORDS[sample.status],
    ]


def score_text(sample: Sample) -> str:
    """The score that decided: P(real), else the excess, else the teacher's confidence."""
    if sample.discriminator_score is not None:
        return f"{sample.discriminator_score:.2f}"
    if sample.excess is not None:
        return f"{sample.excess:+.2f}"
    return "" if sample.confidence is None else f"{sample.confidence:.2f}"


def used_score(now: Snapshot | Run) -> str:
    """The column that the histogram and its line are about: what decides, else what there is."""
    has_discriminator = now.inputs.discriminator is not None
    settings = now.recipe.synthesis
    if settings.filter == "excess":
        return "excess"
    if has_discriminator:
        return "discriminator_score"
    listed = settings.writer == "list" and settings.filter == "auto"
    return "excess" if listed else "confidence"


def scores(now: Snapshot) -> tuple[Any, Any, str, Any]:
    """Histogram, slider, sentence and button as the run stands."""
    score = used_score(now)
    span = now.run.samples.score_range(score) if now.run else None
    if now.run is None or span is None:
        there = "These samples have no scores." if now.counts else ""
        empty = plain.empty(there or "Scores appear with the first samples.")
        return gr.update(visible=False), gr.update(visible=False), empty, gr.update(visible=False)
    low, high = span if score == "excess" else (0.0, 1.0)
    line = default_line(now)
    slider = gr.update(
        visible=True, minimum=low, maximum=max(high, low + 0.01), value=line, step=0.01
    )
    chart, kept, apply = threshold(now, line)
    return chart, slider, kept, apply


def default_line(now: Snapshot) -> float:
    """Where the filter itself draws the line: P(yes) above P(no), or the lowest score kept."""
    if used_score(now) == "discriminator_score" or now.run is None:
        return 0.5
    kept = now.run.samples.score_array(used_score(now), KEPT)
    return round(min(kept), 2) if kept else 0.0


def threshold(now: Snapshot, line: float) -> tuple[Any, str, Any]:
    """Chart with the line, what it keeps in words, and the button that would do it."""
    assert now.run is not None
    score = used_score(now)
    samples = now.run.samples
    chart = charts.score_histogram(
        real=now.run.recall("seed_scores", []) if score == "discriminator_score" else [],
        kept=samples.score_array(score, KEPT),
        rejected=samples.score_array(score, REJECTED),
        threshold=line,
        score=_CHART_SCORE[score],
    )
    above = samples.count(SampleFilter(score=score, min_score=line))
    total = samples.count(SampleFilter(score=score, min_score=-1e9))
    loses = samples.count(below_line(score, line))
    wins = samples.count(above_line(score, line))
    told_of = f"{_SCORE_WORDS[score]} From {line:.2f} on: {above:,} of {total:,} scored samples."
    free = not now.started(Stage.DISTIL)
    if free:
        told_of += (
            f" Applying it rejects {loses:,} and brings back {wins:,}; what you decided stays."
        )
    return (
        plotted(chart),
        plain.sentence(told_of),
        gr.update(visible=free, interactive=bool(loses or wins)),
    )


def consistency(now: Snapshot) -> tuple[str, Any]:
    """Whether the teacher gives the answers that samples were written for, worst first."""
    found = now.run.samples.consistency() if now.run else {}
    if not found:
        return "", gr.update(visible=False)
    asked = sum(entry[0] for entry in found.values())
    given = sum(entry[1] for entry in found.values())
    sentence = plain.sentence(
        f"Of {asked:,} samples written for a label, the source gave it to {given:,} "
        f"({words.percent(given / asked, 0)})."
    )
    rows = [
        [label, f"{count:,}", f"{hits:,}", words.percent(hits / count, 0)]
        for label, (count, hits) in list(found.items())[:_ANSWERS_SHOWN]
    ]
    return sentence, gr.update(value=rows, visible=True)


def write_for(now: Snapshot) -> tuple[Any, Any]:
    """Whether answers come from a set that more can be written for, and these, thinnest first."""
    rows = _covered(now) if can_grow(now) else ()
    if not rows or not _labelled(now):
        return gr.update(visible=False), gr.update(choices=[], value=None)
    ordered = sorted(rows, key=lambda row: row.count)[:_ANSWERS_SHOWN]
    choices = [(f"{row.label[:60]} ({row.count:,})", row.label) for row in ordered]
    return gr.update(visible=True), gr.update(choices=choices, value=ordered[0].label)


def _covered(now: Snapshot) -> tuple[LabelCount, ...]:
    counts = now.run.samples.label_counts() if now.run else {}
    known = {seed.output for seed in now.inputs.seeds if seed.output}
    answers = [label for label, count in counts.items() for _ in range(count)]
    return label_coverage(answers, sorted(known)) if counts else ()


def _labelled(now: Snapshot) -> bool:
    return now.run is not None and kind_of(now.run) == LABELS


def coverage(now: Snapshot) -> tuple[str, Any, Any, Any]:
    """Thin labels in words and as a chart; of free text lengths, opening words and groups."""
    rows, hidden = _covered(now), gr.update(visible=False)
    if not rows:
        return plain.empty("Labels appear when the source has answered."), hidden, hidden, hidden
    if not _labelled(now):
        counts = now.run.samples.label_counts() if now.run else {}
        found = text_coverage([text for text, count in counts.items() for _ in range(count)])
        _, lower, middle, upper, longest = found.words
        sentence = plain.sentence(
            f"{found.distinct:,} of {found.answers:,} answers differ. Half of them have "
            f"{lower} to {upper} words ({middle} in the middle), the longest {longest}."
        )
        openings = [[text, f"{count:,}"] for text, count in found.openings]
        groups = [[text, words.percent(share, 0)] for text, share in found.groups]
        shown = gr.update(value=groups, visible=bool(groups))
        return sentence, hidden, gr.update(value=openings, visible=True), shown
    thin = sum(row.thin for row in rows)
    sentence = f"{words.count(len(rows), 'different answer')}; {thin} of them thin."
    chart = charts.coverage_chart([(row.label, row.count, row.thin) for row in rows])
    return plain.sentence(sentence), plotted(chart), hidden, hidden
