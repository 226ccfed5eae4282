"""Train: how the new adapter learns, live, and how good the estimate was."""

import math
from typing import Any

import gradio as gr
import pandas as pd

from workbench import machine
from workbench.events import Metric
from workbench.runs.folder import Run
from workbench.stages import Stage
from workbench.ui import plain, words
from workbench.ui.boxes import code_shown, rows_table
from workbench.ui.sections import Parts, Section
from workbench.ui.snapshot import Snapshot

TAB = "train"
# Gradio looks through every value that it sends: 400 points each took the server 15 ms a tick.
_LOSS_POINTS = 200
TOLD = "told of training"  # fact: bytes and seconds that the page estimated before the start
_FEW_STEPS = 20  # are named one by one: an axis of so few numbers has marks at half steps


def build(parts: Parts) -> None:
    """Place the tab's components and wire them."""
    tiles = plain.block(elem_id="train-tiles")
    curve = loss_curve("loss-curve", 250)
    probes = rows_table(
        {"step": "60px", "held-out input": "46%", "new adapter": "24%", "source": "24%"},
        "Held-out inputs, answered while it learns", "probes", max_height=280,
    )  # fmt: skip
    need = plain.block(elem_id="train-fit")
    with gr.Accordion("Log", open=False):
        log = code_shown("Log of this run", "run-log", show_label=False, lines=10, max_lines=18)
    parts.sections += [
        Section(
            "train need", TAB, [need], "busy kept done recipe_token", lambda now: (_need(now),)
        ),
        Section(
            "train curve",
            TAB,
            [tiles, curve],
            lambda now: f"{now.run_id}|{now.tail.metrics[-1:]}|{now.state.remaining_seconds}",
            lambda now: (_tiles(now), curve_of(now, bool(now.tail.metrics))),
        ),
        Section(
            "train probes",
            TAB,
            [probes],
            lambda now: f"{now.run_id}|{hash(tuple(now.tail.probes))}",
            lambda now: (gr.update(value=_probes(now), visible=bool(now.tail.probes)),),
        ),
        Section(
            "log",
            TAB,
            [log],
            lambda now: f"{now.run_id}|{len(now.tail.log)}|{now.tail.log[-1:]}",
            lambda now: ("\n".join(now.tail.log),),
        ),
    ]


def loss_curve(element: str, height: int) -> gr.LinePlot:
    """An empty curve of the training loss."""
    return gr.LinePlot(
        pd.DataFrame({"step": [], "loss": []}),
        x="step",
        y="loss",
        x_title="optimiser step",
        y_title="training loss",
        height=height,
        label="Training loss",
        elem_id=element,
        buttons=[],
    )


def _need(now: Snapshot) -> str:
    if now.run is None:
        return ""
    if Stage.DISTIL in now.done:
        return plain.facts(_used(now.run))
    need, gpu = now.estimate.stages[2], now.estimate.gpu
    kind = "GPU memory" if gpu else "memory"
    rows = [("Estimated", _amounts(need.gpu_memory if gpu else need.memory, need.seconds, kind))]
    # What is free while the run's own worker holds its models says nothing.
    if not now.busy:
        rows.append(("Free", words.size(gpu.free_bytes if gpu else machine.memory_free())))
    return plain.facts(rows)


def _used(run: Run) -> list[tuple[str, str]]:
    """What the training took, beside what was told when it was started from the page."""
    record = run.stages()[Stage.DISTIL]
    used = (record.counts or {}).get("peak_memory_bytes")
    rows = [("Used", _amounts(used, record.seconds))]
    memory, seconds = run.recall(TOLD, [None, None])
    if memory and seconds and used and record.seconds:
        off = f"memory {_off(memory, used)}, time {_off(seconds, record.seconds)}"
        rows += [("Estimated", _amounts(memory, seconds)), ("Estimate was off by", off)]
    return rows


def _amounts(memory: float | None, seconds: float | None, kind: str = "memory") -> str:
    time = "" if seconds is None else f", {words.duration(seconds)}"
    return f"{words.size(memory)} {kind}{time}"


def _off(guess: float, truth: float) -> str:
    return f"{100 * (guess - truth) / truth:+.0f} %".replace("-", "−")


def _tiles(now: Snapshot) -> str:
    if not now.tail.metrics:
        return plain.empty("The curve appears here as soon as the training begins.")
    last = now.tail.metrics[-1]
    left = now.state.remaining_seconds if now.state.stage == Stage.DISTIL else None
    return plain.tiles(
        [
            ("Training loss", f"{last.loss:.3f}", "nats per answer token"),
            ("Step", f"{last.step:,}", f"of {last.steps:,}"),
            ("Learning rate", f"{last.learning_rate:.1e}", ""),
            ("Speed", f"{last.tokens_per_second:,.0f}", "tokens per second"),
            ("Memory", words.size(last.memory_bytes), ""),
            ("Left", words.duration(left), ""),
        ]
    )


def curve_of(now: Snapshot, visible: bool) -> dict[str, Any]:
    """The loss curve, thinned out to what a screen can show."""
    metrics = thinned(now.tail.metrics, _LOSS_POINTS)
    curve = pd.DataFrame({"step": [m.step for m in metrics], "loss": [m.loss for m in metrics]})
    if metrics and metrics[-1].steps <= _FEW_STEPS:
        curve["step"] = curve["step"].astype(str)
    return gr.update(value=curve, visible=visible)


def thinned(metrics: list[Metric], most: int) -> list[Metric]:
    """At most so many of them, evenly, and the newest; those that were shown stay the same."""
    every = max(1, math.ceil(len(metrics) / most))
    return metrics[: len(metrics) - 1 : every] + metrics[-1:]


def _probes(now: Snapshot) -> list[list[str]]:
    newest = sorted(now.tail.probes, key=lambda probe: -probe.step)
    return [[str(p.step), p.input, p.student, p.teacher] for p in newest[:30]]
