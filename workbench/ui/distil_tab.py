"""Distil: how the new adapter is trained, what that needs, and how it learns, live."""

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from workbench import fit, jobs, machine
from workbench.errors import RunError
from workbench.events import Metric
from workbench.recipe import RECOMMENDED, override
from workbench.stages import Stage
from workbench.ui import fields, plain, snapshot, source_cards, words, workspace
from workbench.ui.failures import told
from workbench.ui.sections import Drawn, Parts, Section
from workbench.ui.snapshot import Snapshot
from workbench.ui.synthesize_tab import fields_saved

TAB = "distil"
_PLAIN = ("student.rank", "training.epochs", "training.learning_rate", "quantize_target")
_ADVANCED = (
    "student.method",
    "student.alpha",
    "student.dropout",
    "student.target_modules",
    "student.virtual_tokens",
    "training.batch_rows",
    "training.warmup_fraction",
    "training.weight_decay",
    "training.clip_norm",
    "training.soft_labels",
    "training.checkpoint_steps",
    "evaluation.metric",
    "evaluation.max_rows",
    "evaluation.base_arms",
)
FORM = _PLAIN + _ADVANCED
_ROOMS = ("student", "training")
# Gradio looks through every value that it sends: 400 points each took the server 15 ms a tick.
_LOSS_POINTS, _RATE_POINTS = 200, 40
_COLUMNS = ["step", "loss"]
MIN_SAMPLES = 8


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            choices = _choices()
        with gr.Column(scale=7, min_width=320):
            live = _live()
    with gr.Accordion("Log", open=False):
        log = gr.Textbox(
            show_label=False,
            label="Log of this run",
            lines=10,
            max_lines=18,
            interactive=False,
            autoscroll=True,
            elem_classes="mono",
            elem_id="run-log",
            buttons=["copy"],
        )
    parts.sections += _sections(choices, live, log)
    fields_saved(parts, choices.form)
    run, form = parts.run_id, choices.form
    parts.changed += [
        choices.preset.input(
            told(_preset),
            [run, choices.preset],
            [choices.preset, *form.values()],
            show_progress="hidden",
        ),
        choices.start.click(told(_start), [run, *form.values()], None, show_progress="hidden"),
    ]


@dataclass(frozen=True)
class _Choices:
    preset: gr.Radio
    form: dict[str, Any]
    need: gr.HTML
    start: gr.Button
    locked: gr.HTML


@dataclass(frozen=True)
class _Live:
    tiles: gr.HTML
    curve: gr.LinePlot
    rates: gr.LinePlot
    probes: gr.Dataframe


def _choices() -> _Choices:
    plain.block(plain.heading("Training", "A new LoRA on the target, from the samples."))
    preset = gr.Radio(fields.preset_choices(), value=RECOMMENDED, label="Preset", elem_id="preset")
    form = {name: fields.control(name) for name in _PLAIN}
    with gr.Accordion("Advanced", open=False), gr.Row():
        form |= {name: fields.control(name) for name in _ADVANCED}
    need = plain.block(elem_id="distil-fit")
    start = gr.Button("Start the training", variant="primary", elem_id="distil-start")
    return _Choices(preset, form, need, start, plain.block())


def _live() -> _Live:
    tiles = plain.block(elem_id="distil-tiles")
    curve = _line("loss", "Loss", "loss, nats per answer token", 250)
    rates = _line("rate", "Learning rate", "learning rate", 130)
    probes = gr.Dataframe(
        headers=["step", "held-out input", "student", "teacher"],
        datatype="str",
        column_count=4,
        interactive=False,
        wrap=True,
        max_height=280,
        label="Held-out inputs, answered while it learns",
        column_widths=["60px", "46%", "24%", "24%"],
        elem_id="probes",
        buttons=[],
    )
    return _Live(tiles, curve, rates, probes)


def _line(column: str, label: str, axis: str, height: int) -> gr.LinePlot:
    return gr.LinePlot(
        pd.DataFrame({"step": [], column: []}),
        x="step",
        y=column,
        x_title="optimiser step",
        y_title=axis,
        height=height,
        label=label,
        elem_id=f"{column}-curve",
        buttons=[],
    )


def _sections(choices: _Choices, live: _Live, log: gr.Textbox) -> list[Section]:
    return [
        Section(
            "distil form",
            TAB,
            [choices.preset, *choices.form.values(), choices.locked],
            lambda now: f"{now.run_id}|{now.started(Stage.DISTIL)}|{now.recipe.preset}",
            lambda now: _draw_form(now, choices.preset, choices.form, choices.locked),
        ),
        Section(
            "distil start",
            TAB,
            [choices.need, choices.start],
            lambda now: (
                f"{now.run_id}|{now.busy}|{now.kept}|{sorted(now.begun)}|"
                f"{sorted(now.done)}|{now.recipe_token}"
            ),
            lambda now: {choices.need: _need(now), choices.start: start_button(now)},
        ),
        Section(
            "distil curve",
            TAB,
            [live.tiles, live.curve, live.rates],
            lambda now: (
                f"{now.run_id}|{len(now.tail.metrics)}|{_last_step(now)}|"
                f"{now.state.remaining_seconds}"
            ),
            lambda now: {
                live.tiles: _tiles(now),
                live.curve: curve_of(now),
                live.rates: rates_of(now),
            },
        ),
        Section(
            "distil probes",
            TAB,
            [live.probes],
            lambda now: f"{now.run_id}|{hash(tuple(now.tail.probes))}",
            lambda now: {live.probes: _probes(now)},
        ),
        Section(
            "log",
            TAB,
            [log],
            lambda now: f"{now.run_id}|{len(now.tail.log)}|{now.tail.log[-1:]}",
            lambda now: {log: log_text(now)},
        ),
    ]


def _draw_form(now: Snapshot, preset: gr.Radio, form: dict[str, Any], locked: gr.HTML) -> Drawn:
    free = not now.started(Stage.DISTIL)
    drawn: Drawn = {
        box: gr.update(value=fields.shown(now.recipe, name), interactive=free)
        for name, box in form.items()
    }
    drawn[preset] = gr.update(value=now.recipe.preset, interactive=free)
    fixed = "These settings are fixed since the training began. Duplicate the run to try others."
    drawn[locked] = "" if free else plain.sentence(fixed)
    return drawn


def start_button(now: Snapshot) -> Any:
    """The primary button says what is missing."""
    if now.started(Stage.DISTIL):
        if Stage.EXPORT in now.done:
            return gr.update(value="Finished: see Compare", interactive=False)
        if now.busy:
            return gr.update(value="Working …", interactive=False)
        return gr.update(value="Continue the training", interactive=True)
    if now.busy:
        return gr.update(value="Samples are still being written …", interactive=False)
    words_, ready = source_cards.missing(now)
    if not ready:
        return gr.update(value=words_, interactive=False)
    if now.kept < MIN_SAMPLES:
        return gr.update(value="Write samples first", interactive=False)
    return gr.update(value=f"Train on {words.count(now.kept, 'sample')}", interactive=True)


def _estimate(now: Snapshot) -> fit.Estimate:
    recipe = now.recipe
    if Stage.LABEL in now.done and now.kept >= MIN_SAMPLES:  # as many as there are, not as asked
        counted = {"synthesis.samples": now.kept, "synthesis.grafts": 0}  # kept ones are counted
        recipe = override(recipe, counted)
    return fit.estimate(recipe, now.inputs)


def _need(now: Snapshot) -> str:
    if now.run is None:
        return ""
    estimate = _estimate(now)
    need, gpu = estimate.stages[2], estimate.gpu
    memory = need.gpu_memory if gpu else need.memory
    told_before = f"about {words.size(memory)} {'GPU memory' if gpu else 'memory'}"
    if need.seconds is not None:
        told_before += f", {words.duration(need.seconds)}"
    rows = [("Estimated", told_before)]
    if Stage.DISTIL not in now.done:
        # What is free while the run's own worker holds its models says nothing.
        if not now.busy:
            free = gpu.free_bytes if gpu else machine.memory_free()
            rows.append(("Free", words.size(free)))
        return plain.facts(rows)
    record = now.run.stages()[Stage.DISTIL]
    used = (record.counts or {}).get("peak_memory_bytes")
    rows.append(("Used", f"{words.size(used)} memory, {words.duration(record.seconds)}"))
    if off := _error_of(now, estimate):
        rows.append(("Estimate was off by", off))
    return plain.facts(rows)


def _error_of(now: Snapshot, estimate: fit.Estimate) -> str:
    """By how much the estimate of a finished training was wrong; "" where nothing is known."""
    need = estimate.stages[2]
    record = now.run.stages()[Stage.DISTIL] if now.run and Stage.DISTIL in now.done else None
    used = (record.counts or {}).get("peak_memory_bytes") if record else None
    if record is None or not record.seconds or not used or need.seconds is None:
        return ""
    return f"memory {_off(need.memory, used)}, time {_off(need.seconds, record.seconds)}"


def log_text(now: Snapshot) -> str:
    """The run's log; at its end, how good the estimate of the training was."""
    off = _error_of(now, _estimate(now)) if Stage.DISTIL in now.done else ""
    last = [f"Note: the estimate of the training was off: {off}"] if off else []
    return "\n".join([*now.tail.log, *last])


def _off(guess: float, truth: float) -> str:
    return f"{100 * (guess - truth) / truth:+.0f} %".replace("-", "−")


def _last_step(now: Snapshot) -> int:
    return now.tail.metrics[-1].step if now.tail.metrics else 0


def _tiles(now: Snapshot) -> str:
    if not now.tail.metrics:
        return plain.empty("The curve appears here as soon as the training begins.")
    last = now.tail.metrics[-1]
    left = now.state.remaining_seconds if now.state.stage == Stage.DISTIL else None
    return plain.tiles(
        [
            ("Loss", f"{last.loss:.3f}", "nats per answer token"),
            ("Step", f"{last.step:,}", f"of {last.steps:,}"),
            ("Learning rate", f"{last.learning_rate:.1e}", ""),
            ("Speed", f"{last.tokens_per_second:,.0f}", "tokens per second"),
            ("Memory", words.size(last.memory_bytes), ""),
            ("Left", words.duration(left), ""),
        ]
    )


def curve_of(now: Snapshot) -> pd.DataFrame:
    """The loss curve, thinned out to what a screen can show."""
    metrics = thinned(now.tail.metrics, _LOSS_POINTS)
    return pd.DataFrame({"step": [m.step for m in metrics], "loss": [m.loss for m in metrics]})


def rates_of(now: Snapshot) -> pd.DataFrame:
    """The learning rate over the steps: straight lines, so a few points show it."""
    metrics = thinned(now.tail.metrics, _RATE_POINTS)
    rates = [m.learning_rate for m in metrics]
    return pd.DataFrame({"step": [m.step for m in metrics], "rate": rates})


def thinned(metrics: list[Metric], most: int) -> list[Metric]:
    """At most so many of them, evenly, and the newest; those that were shown stay the same."""
    every = max(1, math.ceil(len(metrics) / most))
    return metrics[: len(metrics) - 1 : every] + metrics[-1:]


def _probes(now: Snapshot) -> list[list[str]]:
    newest = sorted(now.tail.probes, key=lambda probe: -probe.step)
    return [[str(p.step), p.input, p.student, p.teacher] for p in newest[:30]]


def _preset(run_id: str, preset: str) -> list[Any]:
    run = workspace.find(run_id)
    changes = {"preset": preset, **fields.preset_changes(preset, _ROOMS)}
    recipe = run.change_recipe(changes)
    return [preset, *(fields.shown(recipe, name) for name in FORM)]


def _start(run_id: str, *values: Any) -> None:
    now = snapshot.take(run_id, fresh=True)
    if now.run is None:
        raise RunError("No run is open. Begin on the Source tab.")
    if not now.started(Stage.DISTIL):
        changes = fields.differences(now.recipe, list(FORM), list(values))
        if changes:
            now.run.change_recipe(changes)
    jobs.start(now.run, Stage.EXPORT)
