"""The status strip: always in sight, says what the run does, and stops or continues it."""

import gradio as gr

from workbench import jobs
from workbench.stages import ORDER, WORDS, Stage
from workbench.ui import plain, slices_part, snapshot, words, workspace
from workbench.ui.boxes import button_row, small_button
from workbench.ui.failures import say, told
from workbench.ui.sections import ALWAYS, HIDDEN, Parts, Section
from workbench.ui.snapshot import Snapshot

_SOON = 10.0  # seconds in which nothing takes longer than thought
_REVIEW = "Review"  # between Answer and Train, where it waits for a person
_RESUMABLE = ("stopped", "interrupted", "failed")


def build(parts: Parts) -> gr.HTML:
    """Place the strip and wire its buttons; the caller keeps the returned text up to date."""
    with gr.Column(elem_id="status"):
        with gr.Row(elem_id="status-row"):
            strip = plain.block(elem_id="strip")
            go_on = small_button("Continue", "continue", variant="primary", visible=False)
            stop = small_button("Stop", "stop", variant="stop", visible=False)
        with gr.Column(visible=False, elem_id="stop-choices") as choices:
            question = plain.block()
            with button_row():
                pause = small_button("Stop, continue later", "stop-pause")
                keep = small_button("Stop, keep what is learnt", "stop-keep")
                discard = small_button("Stop, discard this step", "stop-discard", variant="stop")
                stay = small_button("Keep running", "stop-go-on", variant="primary")

    parts.sections.append(
        Section(
            "strip buttons",
            ALWAYS,
            [go_on, stop],
            lambda now: f"{now.busy}|{_resumable(now)}",
            lambda now: (gr.update(visible=_resumable(now)), gr.update(visible=now.busy)),
        )
    )
    stop.click(
        _ask, [parts.run_id], [choices, question, keep], show_progress="hidden", queue=False
    ).then(None, js="() => document.getElementById('stop-pause')?.focus()")
    stay.click(None, None, choices, js=plain.update(visible=False))
    parts.readings.append((None, {choices: HIDDEN}))
    for button, handler in ((pause, _pause), (keep, _keep), (discard, _discard)):
        parts.press(button, handler, [parts.run_id], [choices])
    parts.press(go_on, _continue, [parts.run_id])
    return strip


def _resumable(now: Snapshot) -> bool:
    return now.state.state in _RESUMABLE


def text(now: Snapshot) -> str:
    """The strip's HTML for one look at a run."""
    if now.run is None:
        return plain.strip(name="No run open", state="draft", phase="", message=_message(now))
    complete = now.state.state in ("finished", "ready for review")
    return plain.strip(
        name=now.name,
        state=now.state.state,
        phase=words.phase(now.state),
        done=1 if complete else now.state.done,
        total=1 if complete else now.state.total,
        numbers=_numbers(now),
        rail=_rail(now) if now.begun or now.busy else [],
        message=_message(now),
    )


def _rail(now: Snapshot) -> list[tuple[str, str]]:
    rail = [(WORDS[stage], _when(now, stage)) for stage in ORDER]
    waits = now.state.state == "ready for review"
    if waits or now.recipe.pause_for_review:
        past = now.busy and now.state.stage is Stage.DISTIL
        when = "now" if waits else "done" if past or now.started(Stage.DISTIL) else "later"
        if waits:
            rail[2] = (rail[2][0], "later")
        rail.insert(2, (_REVIEW, when))
    return rail


def _message(now: Snapshot) -> str:
    own = now.state.message if now.state.state != "finished" else ""
    return " ".join(part for part in (own, workspace.disk_notice()) if part)


def _numbers(now: Snapshot) -> str:
    state = now.state
    shown = []
    if state.total and state.state != "finished":
        shown.append(f"{state.done:,} of {state.total:,} {state.unit}".strip())
    if state.activity:
        shown.append(f"now {state.activity}")
    if now.busy:
        total, spent = now.expected_seconds, now.elapsed_seconds
        about = f" of about {words.clock(total)}" if total is not None else ""
        if total is not None and total < spent + 1:
            about = ", longer than thought" if spent > _SOON else ""
        shown.append(f"{words.clock(spent)}{about}")
        if slice_numbers := slices_part.numbers(now):
            shown.append(slice_numbers)
        if state.memory_bytes:
            shown.append(f"{words.size(state.memory_bytes)} memory")
    return " · ".join(shown)


def _when(now: Snapshot, stage: Stage) -> str:
    if stage in now.done:
        return "done"
    return "now" if now.state.stage == stage and now.state.state != "draft" else "later"


@told
def _ask(run_id: str) -> tuple[dict, str, dict]:
    now = snapshot.take(run_id, fresh=True)
    learning = now.state.stage == Stage.DISTIL
    sentence = (
        "The training has learnt something already. What should become of it?"
        if learning
        else "What is finished stays in any case. Continue later from here, or discard this step?"
    )
    return gr.update(visible=True), plain.sentence(sentence, "note"), gr.update(visible=learning)


def _stop(run_id: str, mode: str, sentence: str) -> dict:
    jobs.stop(workspace.find(run_id), mode)
    say(sentence, "Stopping")
    return gr.update(visible=False)


def _pause(run_id: str) -> dict:
    return _stop(run_id, "pause", "It stops at the next safe point. Continue whenever you like.")


def _keep(run_id: str) -> dict:
    return _stop(run_id, "keep", "It stops training and goes on with what is learnt so far.")


def _discard(run_id: str) -> dict:
    return _stop(run_id, "discard", "It stops and forgets this step. Earlier steps stay.")


def _continue(run_id: str) -> None:
    now = snapshot.take(run_id, fresh=True)
    assert now.run is not None
    jobs.start(now.run, until(now))


def until(now: Snapshot) -> Stage:
    """How far a run goes when it is started: up to a review that was asked for, or to the end."""
    waits = now.recipe.pause_for_review and Stage.LABEL not in now.done
    return Stage.LABEL if waits and not now.started(Stage.DISTIL) else Stage.EXPORT
