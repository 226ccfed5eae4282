"""What the Transfer tab says of a run: what moves, what it will do, how it goes, what came of it.

Text and numbers of ours only; nothing is changed here.
"""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.errors import ModelError
from workbench.evaluate import verdict as judge
from workbench.evaluate.kinds import FREE_TEXT, JSON, LABELS, NUMBERS, task_kind
from workbench.evaluate.outcome import is_labelled
from workbench.inputs import AdapterFiles
from workbench.intake.adapter import Inspection
from workbench.intake.adapter_sizes import base_mismatch
from workbench.intake.kit import WRITER_REPEATS
from workbench.intake.kit_about import writer_words
from workbench.limits import LIMITS
from workbench.models import references
from workbench.recipe import PromptFormat, recommended
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED
from workbench.stages import Stage
from workbench.synthesis_plan import mixes
from workbench.ui import compare_views, fields, plain, slices_part, words, workspace, write_views
from workbench.ui.snapshot import Snapshot

FEWEST_SEEDS = 3  # where a base writes the inputs
ROWS_SHOWN = 5
_SEEDED = ("list", "label")  # writers that need examples
_NEWEST = 6
ROUNDS = "rounds"  # fact: what came of the rounds before this one, the first one first
EARLIER = "earlier"  # the folder below exports/ with the adapters of earlier rounds
_MORE_OF_ALL = 100  # samples at least
_PROBES = 3


def base_choices() -> list[tuple[str, str]]:
    """(title with size and licence, reference) of the catalogue."""
    return [(f"{entry.title} · {entry.licence}", entry.reference) for entry in references.CATALOGUE]


# Before the start -------------------------------------------------------------------------------


def needs_seeds(now: Snapshot) -> bool:
    """Whether it cannot begin without examples: a base writes, and was asked to."""
    whole = now.alone and now.recipe.synthesis.writer == "auto"
    seeded = whole or now.recipe.synthesis.writer in _SEEDED
    return getattr(now.inputs, "writer", None) is None and seeded


def missing(now: Snapshot) -> str:
    """The first thing that keeps a transfer from starting, as a person would do it; or ""."""
    if not now.has_teacher:
        return "Add an adapter first"
    if base_problem(now):
        return "Choose the base that the adapter was trained on"
    if not_a_base(now.recipe.target_base):
        return "Choose another new base"
    short = FEWEST_SEEDS - len(now.inputs.seeds)
    if needs_seeds(now) and short > 0:
        more = "more example" if now.inputs.seeds else "example"
        return f"Add at least {words.count(short, more)}"
    return ""


def base_problem(now: Snapshot) -> str:
    """Why the chosen source base cannot be the adapter's, or the teacher itself, or ""."""
    adapter, base = now.inputs.adapter, now.recipe.source_base
    return not_a_base(base) or (base_mismatch(adapter.weights, base) if adapter else "")


def not_a_base(reference: str) -> str:
    """Why a reference can be no base: nothing that is one, or a folder that holds none; or ""."""
    try:
        references.ready(reference)
    except ModelError as error:
        return error.message
    return ""


def adapter_card(now: Snapshot, asked: Sequence[tuple[str, str]] = ()) -> str:
    """What was found out about the adapter; ``asked`` are checks that the base itself answered."""
    adapter = now.inputs.adapter
    if adapter is None:
        return ""
    settings = adapter.settings
    facts = [
        ("Adapter", f"{settings.title} · {words.amount(adapter.parameters)} parameters · "
         f"{words.size(adapter.weights.stat().st_size)}"),
        ("Shape", settings.shape),
        *(("Note", note) for note in adapter.notes),
        ("Task", task(now)),
        ("Prompt", _prompt_words(now.recipe.source_format)),
        *_writer_facts(now),
    ]  # fmt: skip
    return plain.facts(facts) + plain.checks([_base_check(now, adapter), *asked])


def _writer_facts(now: Snapshot) -> list[tuple[str, str]]:
    """What the kit says of its writer: how much it repeats of its owner's rows."""
    told = now.run.recall(WRITER_REPEATS) if now.run else None
    return [("Writer", writer_words(told))] if told else []


def refused(inspection: Inspection) -> str:
    """What of a refused adapter was as it should be, and what was not."""
    rows = [
        (plain.BAD, c.problem) if c.problem else (plain.GOOD, c.words) for c in inspection.checks
    ]
    return plain.sentence("This adapter was not taken.", "problem") + plain.checks(rows)


def _base_check(now: Snapshot, adapter: AdapterFiles) -> tuple[str, str]:
    if problem := base_problem(now):
        return plain.BAD, problem
    chosen = references.hub_id(now.recipe.source_base) or now.recipe.source_base
    if adapter.base_hint in (chosen, now.recipe.source_base):
        return plain.GOOD, "Base model matches the adapter's config"
    if not adapter.base_hint:
        return plain.UNSURE, "The adapter's config names no base model: choose it yourself"
    hint = adapter.base_hint[:80]
    return plain.UNSURE, f"The adapter's config names {hint}: choose that under Trained on"


_KINDS = {NUMBERS: "numbers", JSON: "JSON answers", FREE_TEXT: "free text answers"}


def task(now: Snapshot) -> str:
    """The task's name, where it has one, and what kind of answers were seen."""
    told_of = [] if now.recipe.task_name == recommended().task_name else [now.recipe.task_name]
    known = [row.output for row in (*now.inputs.seeds, *now.inputs.evaluation) if row.output]
    if known:
        kind = task_kind(known)
        labels = f"labels, {len(set(known))} of them seen"
        told_of.append(labels if kind == LABELS else _KINDS[kind])
    return " · ".join(told_of) or "not known without examples or evaluation rows"


def _prompt_words(form: PromptFormat) -> str:
    around = "" if form.template == "{input}" else f": {form.template!r}"
    return ("chat template of the base" if form.kind == "chat" else "plain text") + around


def examples_sentence(now: Snapshot) -> str:
    """How many examples there are, whether they are needed, and by what it is judged."""
    inputs = now.inputs
    answered = sum(seed.output is not None for seed in inputs.seeds)
    rest = len(inputs.seeds) - answered
    parts = []
    if inputs.seeds:
        note = f", {rest} to be answered by the source" if rest else ""
        parts.append(f"{words.count(len(inputs.seeds), 'example')}{note}")
    elif getattr(inputs, "writer", None) is not None:
        parts.append("No examples needed: the kit brings a writer")
    elif needs_seeds(now):
        parts.append(f"{FEWEST_SEEDS} to {LIMITS.seeds} examples of the task are needed")
    else:
        parts.append("Examples are optional where the adapter can write its own inputs")
    rows = words.count(len(inputs.evaluation), "evaluation row")
    if is_labelled(inputs.evaluation):
        parts.append(f"judged by {rows}")
    else:
        given = f"{rows} without right answers" if inputs.evaluation else "no evaluation rows"
        parts.append(f"{given}: compared with the source's own answers")
    if inputs.unlabelled:
        parts.append(f"{words.count(len(inputs.unlabelled), 'own input')} used first")
    return plain.sentence(" · ".join(parts) + ".")


def uploaded_rows(now: Snapshot) -> list[list[str]]:
    """The first rows of each uploaded file, as they were understood."""
    found = (("evaluation", now.inputs.evaluation), ("own input", now.inputs.unlabelled))
    return [
        [word, row.input, row.output or ""] for word, rows in found for row in rows[:ROWS_SHOWN]
    ]


def seed_table(now: Snapshot | Run) -> list[list[str]]:
    """Rows of the editable table; three empty ones to begin with."""
    rows = [[seed.input, seed.output or ""] for seed in now.inputs.seeds]
    return rows or [["", ""] for _ in range(FEWEST_SEEDS)]


def prompt_preview(now: Snapshot) -> str:
    """The first row in the source prompt; a chat template is filled in by the base itself."""
    rows = now.inputs.seeds or now.inputs.evaluation
    return render(now.recipe.source_format, rows[0].input if rows else "{input}")


def render(form: PromptFormat, text: str) -> str:
    """A prompt as text, with the turns of a chat in brackets."""
    filled = form.template.replace("{input}", text)
    if form.kind == "text":
        return filled
    system = f"[system] {form.system}\n" if form.system else ""
    return f"{system}[user] {filled}\n[assistant]"


def plan(now: Snapshot) -> str:
    """What a start would do, how long it takes and what it needs; what is short first."""
    if not now.has_teacher:
        return ""
    recipe, estimate = now.recipe, now.estimate
    samples = write_views.wanted(now)
    form = " in 4-bit" if recipe.quantize_target else ""
    method = fields.in_words(recipe, "student.method")
    rows = len(now.inputs.evaluation[: recipe.evaluation.max_rows or None])
    mixed = round(samples * recipe.synthesis.mixed)
    steps = [
        f"write about {samples:,} inputs",
        *([f"mix {mixed:,} more from them"] if mixed and mixes(recipe, now.inputs) else []),
        "answer them with the source",
        *(["wait for your review"] if recipe.pause_for_review else []),
        f"train {method}{form}",
        f"compare on {rows:,} rows" if rows else "compare with the source's answers",
    ]
    known = estimate.seconds_by_stage
    time = f"about {words.duration(max(5, sum(known.values())))}" if known else "time not known"
    memory = f"{words.size(estimate.memory)} memory"
    if estimate.gpu:
        most = max(need.gpu_memory for need in estimate.stages)
        memory = f"{words.size(most)} GPU memory"
    short = [check for check in estimate.checks if check[0] != plain.GOOD]
    basis = "measured on this machine" if estimate.calibrated else "a rough guess: nothing ran here"
    steps[0] = steps[0].capitalize()
    return plain.plan(
        " · ".join(steps),
        f"{time} · {memory}",
        " ".join(
            filter(
                None,
                (
                    f"Time is {basis}. Nothing leaves this machine.",
                    slices_part.plan(now),
                    workspace.storage_notice(),
                ),
            )
        ),
    ) + (plain.checks(short) if short and not now.busy else "")


# At work ----------------------------------------------------------------------------------------


def live_sentence(now: Snapshot) -> str:
    """How far the present step is, in one line."""
    stage = now.state.stage
    if now.state.state == "ready for review":
        return plain.sentence(
            f"{words.count(now.kept, 'sample')} are written and answered. Look at them under "
            "Review, then train.",
            "note",
        )
    if stage in (Stage.SYNTHESIZE, Stage.LABEL) and not now.counts and now.busy:
        return plain.sentence("The first inputs appear here as soon as they are written …")
    if stage in (Stage.SYNTHESIZE, Stage.LABEL):
        told_of = now.state.total if now.state.unit == "samples" else 0
        wanted = told_of or max(now.kept, write_views.wanted(now))
        labels = len(now.run.samples.label_counts()) if now.run else 0
        kinds = f" · {words.count(labels, 'different answer')}" if labels else ""
        return plain.sentence(f"{now.kept:,} kept of {wanted:,} wanted{kinds} · newest first:")
    if stage is Stage.DISTIL and now.tail.metrics:
        last = now.tail.metrics[-1]
        both = " · held-out inputs, answered by both:" if now.tail.probes else ""
        return plain.sentence(f"Step {last.step:,} of {last.steps:,} · loss {last.loss:.3f}{both}")
    if stage is Stage.EVALUATE:
        return plain.sentence(f"All models answer the same rows{':' if now.tail.arms else ' …'}")
    return plain.sentence(f"{words.phase(now.state)} …") if now.busy else ""


def live_rows(now: Snapshot) -> dict[str, Any]:
    """The newest inputs with their answers; while training, what both models answer."""
    if now.run is None or now.state.stage in (Stage.EVALUATE, Stage.EXPORT):
        return gr.update(visible=False)
    if now.started(Stage.DISTIL):
        newest = sorted(now.tail.probes, key=lambda probe: -probe.step)[:_PROBES]
        rows = [[probe.input, probe.teacher, probe.student] for probe in newest]
        return gr.update(
            value={"headers": ["input", "source", "new adapter"], "data": rows}, visible=bool(rows)
        )
    samples = now.run.samples.page(limit=_NEWEST)
    # What is rejected unanswered stays so.
    rows = [
        [
            s.input,
            s.teacher_output or ("" if s.status == REJECTED else "…"),
            sure(s.confidence, s.status),
        ]
        for s in samples
    ]
    return gr.update(
        value={"headers": ["input", "answer", "confidence"], "data": rows}, visible=bool(rows)
    )


def sure(confidence: float | None, status: str) -> str:
    """The source's confidence, and whether the sample is kept."""
    share = "" if confidence is None else f"{100 * confidence:.0f} %"
    return share if status == KEPT else f"{share} not kept".strip()


def made_with(now: Snapshot) -> str:
    """The inputs and settings of a run that has begun."""
    recipe = now.recipe
    bases = (recipe.source_base, recipe.target_base)
    source, target = (references.hub_id(name) or name for name in bases)
    chosen = (now.run.recall("writer") if now.run else None) or {}
    rows = [
        ("From", source),
        ("To", target),
        ("Task", task(now)),
        ("Inputs", str(chosen.get("why") or words.count(len(now.inputs.seeds), "example"))),
        ("Samples", f"{now.kept:,} kept"),
    ]  # fmt: skip
    return plain.facts(rows, "What this run was made with")


# Done -------------------------------------------------------------------------------------------


def aimed_at(now: Snapshot) -> str:
    """What a person has to know of a verdict on rows that were looked at before."""
    rounds = (now.run.recall(ROUNDS) if now.run else None) or []
    labels = [str(one["aimed_at"]) for one in rounds if one["aimed_at"]]
    if not labels:
        return ""
    return plain.sentence(
        f"Round {len(rounds) + 1}: inputs were added for what these rows had shown to be weak "
        f"({', '.join(labels)[:120]}), so they flatter this result.",
        "warning",
    )


def first_to_try(now: Snapshot, kind: str) -> str:
    """What may help where no label stands out, by the kind of verdict; "" where nothing is owed."""
    usual = write_views.wanted(now, by_itself=True)
    if kind in (judge.WORSE, judge.CANNOT_TELL) and now.kept < usual:
        return f"{now.kept:,} samples are few: {usual:,} are usual for such answers."
    return "More samples are the first thing to try." if kind == judge.WORSE else ""


def more_of_all(now: Snapshot) -> int:
    """Samples that a next round adds where no label stands out."""
    return max(_MORE_OF_ALL, now.kept // 2)


def weakest(now: Snapshot) -> tuple[str, str]:
    """(label, sentence) of what the new adapter lost most on; ("", "") where there is none."""
    compared = compare_views.read(now)
    rows = compare_views.label_rows(compared) if compared else []
    lost = [row for row in rows if row[3] < row[2]]
    if not lost:
        return "", ""
    label, n, source, target = min(lost, key=lambda row: (row[3] - row[2], row[0]))
    return label, f"{words.percent(target, 0)} against {words.percent(source, 0)} on {n} rows"
