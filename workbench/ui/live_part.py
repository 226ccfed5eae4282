"""A run that has begun, on the Transfer tab: how it goes, and in the end the verdict."""

from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import RunError
from workbench.stages import Stage
from workbench.ui import (
    compare_views,
    onward,
    plain,
    slices_part,
    transfer_views,
    workspace,
    write_actions,
)
from workbench.ui.boxes import button_row, rows_table, small_button
from workbench.ui.failures import with_clock
from workbench.ui.sections import Drawn, Parts, Section
from workbench.ui.snapshot import Snapshot
from workbench.ui.train_tab import curve_of, loss_curve

TAB = "transfer"
# tab -> words of the link to it, by what the run is doing
_DETAILS = {"write": "Open in Write", "review": "Review them", "train": "Open in Train"}
_MAY_CLOSE = "You may close this page: the work goes on, and this address shows it."
_ONWARD = (
    ("takehome", "Take it home"),
    ("compare", "Compare in detail"),
)
# words of the button -> what the browser does
_REPORTS = {
    "Report as picture": "() => window.workbench_report()",
    "Print or PDF": "() => window.print()",
}


def build(parts: Parts) -> None:
    """Place the part and wire it."""
    with gr.Column(visible=False, elem_id="live") as live:
        sentence = plain.block(elem_id="live-sentence")
        rows = rows_table(
            {"input": "58%", "answer": "24%", "confidence": "18%"},
            "Newest",
            "live-rows",
            visible=False,
            max_height=330,
            show_label=False,
        )
        curve = loss_curve("live-curve", 170)
        bars = plain.block(elem_id="live-bars")
        with button_row():
            train = small_button("Train now", "live-train", variant="primary")
            notify = small_button("Tell me when it is done", "notify")
            links = {name: small_button(words, f"open-{name}") for name, words in _DETAILS.items()}
        closing = plain.block(elem_id="may-close")
    notify.click(None, None, None, js="() => { window.Notification?.requestPermission(); }")
    done = _done(parts)
    shown = [live, sentence, rows, curve, bars, train, closing, notify, *links.values()]
    parts.sections.append(Section("live", TAB, shown, _token, lambda now: _draw(now, shown, links)))
    parts.press(train, _train, [parts.run_id])
    for name, button in (*links.items(), *done.items()):
        button.click(None, None, parts.tabs, js=plain.update(selected=name))


def _done(parts: Parts) -> dict[str, gr.Button]:
    with gr.Column(visible=False, elem_id="done") as part:
        verdict = plain.block(elem_id="transfer-verdict")
        bars = plain.block(elem_id="transfer-bars")
        aimed = plain.block(elem_id="aimed-at")
        with button_row(elem_id="next-round"):
            weak = plain.block(elem_id="weakest")
            again = small_button("Write more", "write-and-train")
        waiting = plain.block(elem_id="next-round-state")
        with button_row(elem_id="onward-buttons"):
            buttons = {
                name: gr.Button(
                    words,
                    variant="primary" if name == "takehome" else "secondary",
                    elem_id=f"go-{name}",
                )
                for name, words in _ONWARD
            }
            for words, script in _REPORTS.items():
                gr.Button(words).click(None, js=script)
    with gr.Column(visible=False) as made:
        led = plain.block(elem_id="lineage")
        facts = plain.block(elem_id="made-with")
    onward.build(parts, TAB)
    parts.sections += [
        Section(
            "done",
            TAB,
            shown := [part, verdict, bars, aimed, weak, again],
            "done recipe.evaluation busy",
            lambda now: _draw_done(now, shown),
        ),
        Section(
            "made with",
            TAB,
            [made, led, facts],
            "begun done kept",
            lambda now: (
                gr.update(visible=bool(now.begun)),
                onward.history(now),
                transfer_views.made_with(now) if now.begun else "",
            ),
        ),
    ]
    parts.changed.append(
        with_clock(
            again.click, "beginning the next round", waiting, write_actions.next_round,
            [parts.run_id], None,
        )
    )  # fmt: skip
    return buttons


def _token(now: Snapshot) -> str:
    return (
        f"{now.run_id}|{now.state.state}|{now.state.stage}|{sorted(now.done)}|{now.kept}"
        f"|{now.tail.rounds}|{len(now.tail.metrics)}|{len(now.tail.probes)}|{len(now.tail.arms)}"
        f"|{now.samples_token}"
    )


def _draw(now: Snapshot, shown: list[Any], links: dict[str, gr.Button]) -> Drawn:
    live, sentence, rows, curve, bars, train, closing, notify = shown[:8]
    stage = now.state.stage
    waits = now.state.state == "ready for review"
    training = stage is Stage.DISTIL and now.started(Stage.DISTIL)
    writing = stage in (Stage.SYNTHESIZE, Stage.LABEL)
    open_link = {"write": writing, "review": waits, "train": training}
    drawn: Drawn = {live: gr.update(visible=bool(now.begun or now.busy) and not finished(now))}
    if finished(now) or not (now.begun or now.busy):
        return drawn
    return drawn | {
        sentence: transfer_views.live_sentence(now),
        rows: transfer_views.live_rows(now),
        curve: curve_of(now, training and bool(now.tail.metrics)),
        bars: compare_views.live_bars(now) if stage is Stage.EVALUATE else "",
        train: gr.update(visible=waits),
        notify: gr.update(visible=now.busy),
        closing: plain.sentence(slices_part.closing(now, _MAY_CLOSE) if now.busy else ""),
        **{links[name]: gr.update(visible=there) for name, there in open_link.items()},
    }


def finished(now: Snapshot) -> bool:
    """There is a verdict, and nothing is being made that would change it."""
    return Stage.EVALUATE in now.done


def _draw_done(now: Snapshot, shown: list[Any]) -> Drawn:
    part, verdict, bars, aimed, weak, again = shown
    compared = compare_views.read(now) if finished(now) else None
    if compared is None:
        return {part: gr.update(visible=False)}
    sentence, kind = compare_views.verdict(now, compared)
    label, shares = transfer_views.weakest(now)
    lacking, number = "", f"{write_actions.NEXT_ROUND} more for it"
    if label:
        lacking = f'Weakest: "{label}", {shares}.'
    elif lacking := transfer_views.first_to_try(now, kind):
        number = f"{transfer_views.more_of_all(now):,} more"
    return {
        part: gr.update(visible=True),
        verdict: plain.verdict(sentence, compare_views.KIND_LOOKS.get(kind, "unsure")),
        bars: compare_views.arm_bars(compared.arms, compared.measure, now.alone),
        aimed: transfer_views.aimed_at(now),
        again: gr.update(
            value=f"Write {number} and train again",
            visible=bool(lacking) and not now.busy and Stage.EXPORT in now.done,
        ),
        weak: plain.sentence(lacking),
    }


def _train(run_id: str) -> None:
    run = workspace.find(run_id)
    if not run.stage_done(Stage.LABEL):
        raise RunError("The samples are not all answered yet.")
    jobs.start(run, Stage.EXPORT)
