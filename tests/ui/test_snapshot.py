"""What pages see of a run: shared, fresh after a change, honest about the state."""

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from tests.ui import fake_run
from workbench import jobs
from workbench.activity import counting
from workbench.events import Metric, Probe, StageStarted, Stopped
from workbench.jobs import RunState
from workbench.runs.folder import Run
from workbench.runs.lease import Lease
from workbench.samples import KEPT
from workbench.stages import Stage
from workbench.ui import saves, snapshot, strip
from workbench.ui.sections import Drawings, Section, pulse_of, without_typed
from workbench.ui.snapshot import Tail


def test_all_pages_share_one_look(draft: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = snapshot.take(draft.id)
    monkeypatch.setattr(snapshot, "_read", lambda entry: pytest.fail("read twice in a second"))
    assert snapshot.take(draft.id) is first


def test_a_change_is_seen_at_once_when_asked_for(draft: Run) -> None:
    snapshot.take(draft.id)
    draft.rename("Another name")
    assert snapshot.take(draft.id, fresh=True).name == "Another name"


def test_resumed_training_replaces_the_steps_that_it_repeats() -> None:
    """A curve that went on from a checkpoint showed the repeated steps twice."""
    tail = Tail()
    events = [StageStarted(Stage.DISTIL)]
    events += [Metric(Stage.DISTIL, step, 9, 1.0, 0.1, 1.0, 1) for step in (1, 2, 3)]
    events += [StageStarted(Stage.DISTIL, resumed=True)]
    events += [Metric(Stage.DISTIL, step, 9, 0.5, 0.1, 1.0, 1) for step in (2, 3, 4)]
    for cursor, event in enumerate(events):
        tail.take(cursor, event)
    assert [metric.step for metric in tail.metrics] == [1, 2, 3, 4]
    assert [metric.loss for metric in tail.metrics] == [1.0, 0.5, 0.5, 0.5]
    tail.take(99, StageStarted(Stage.DISTIL))
    assert tail.metrics == []


def test_probes_of_a_former_try_go() -> None:
    tail = Tail()
    for step in (40, 80, 40):
        tail.take(0, Probe(step, "in", "student", "teacher"))
    assert [probe.step for probe in tail.probes] == [40, 40]


def test_tokens_change_only_with_what_they_are_about(reviewable: Run) -> None:
    before = snapshot.take(reviewable.id, fresh=True)
    sample = reviewable.samples.kept()[0]
    reviewable.samples.edit(sample.id, sample.version, status="rejected")
    after = snapshot.take(reviewable.id, fresh=True)
    assert before.samples_token != after.samples_token
    assert before.inputs_token == after.inputs_token
    assert before.recipe_token == after.recipe_token
    assert after.counts[KEPT] == before.counts[KEPT] - 1


def test_deleted_run_is_told_in_the_strip(draft: Run) -> None:
    snapshot.take(draft.id)
    draft.delete()
    now = snapshot.look(draft.id, fresh=True)
    assert now.run is None and "no such run" in now.state.message
    assert "no such run" in strip.text(now)


@pytest.mark.parametrize("wrong", ["../../etc", "x" * 500, "..", "a/b", "\0"])
def test_addresses_are_ids_and_no_paths(runs: Path, wrong: str) -> None:
    assert snapshot.look(wrong).run is None


def test_pulse_names_what_is_in_sight(draft: Run) -> None:
    def section(name: str, tab: str, token: str) -> Section:
        return Section(name, tab, [], lambda now: token, lambda now: {})

    sections = [
        section("strip", "", "1"),
        section("here", "one", "2"),
        section("there", "two", "3"),
    ]
    now = snapshot.take(draft.id)
    first = pulse_of(sections, now, "one", "")
    assert set(json.loads(first)) == {"#", "strip", "here"}
    assert pulse_of(sections, now, "one", first) == first
    again = pulse_of(sections, now, "one", first, afresh=True)
    assert json.loads(again)["here"] != json.loads(first)["here"]
    assert pulse_of(sections, now, "one", again) == again


def test_a_form_drawn_before_an_edit_is_not_shown_after_it(draft: Run) -> None:
    """A reloaded page showed the task name that the form had when it was first drawn."""
    box = object()
    form = Section(
        "form", "", [box], lambda now: "as ever", lambda now: {box: now.recipe.task_name}
    )
    drawings = Drawings(form)
    before = drawings.of(snapshot.take(draft.id, fresh=True))[box]
    draft.change_recipe({"task_name": "Another name"})
    assert drawings.of(snapshot.take(draft.id, fresh=True))[box] == "Another name" != before


def test_a_field_is_left_alone_while_it_is_typed_into() -> None:
    """Loading the example drew over a task name that was being typed."""
    name, base = object(), object()
    form = Section(
        "form", "", [name, base], lambda now: "", lambda now: {},
        {"task-name": name, "source-base": base},
    )  # fmt: skip
    drawn = {name: "drawn", base: "drawn"}
    assert without_typed(form, drawn, '["component-7", "task-name"]', "") == {base: "drawn"}
    for nothing in ("", "[]", "source"):
        assert without_typed(form, drawn, nothing, "") == drawn


def test_strip_says_that_samples_wait_for_a_person(reviewable: Run) -> None:
    """It said "Stopped at: Training" after all samples were written, and offered a Continue that
    had nothing to do."""
    now = snapshot.take(reviewable.id, fresh=True)
    assert "Samples are ready" in strip.text(now) and "Stopped" not in strip.text(now)
    assert not strip._resumable(now)
    reviewable.journal.append(Stopped(Stage.LABEL, "stopped", "Stopped by request.", ""))
    now = snapshot.take(reviewable.id, fresh=True)
    assert "Stopped" in strip.text(now)
    assert strip._resumable(now)


def test_strip_says_what_a_dead_run_is(runs: Path) -> None:
    """Other tools went on showing "running" after the trainer had crashed."""
    run = fake_run.distil(fake_run.synthesize(fake_run.draft(runs)), upto=5)
    run.journal.append(Stopped(Stage.DISTIL, "failed", "The disk is full.", "run"))
    made = strip.text(snapshot.take(run.id, fresh=True))
    assert "Failed at" in made and "The disk is full." in made


def test_a_clock_moves_while_a_worker_starts(draft: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on after an hour showed that hour, and stood still until its step began."""
    fake_run.synthesize(draft)
    monkeypatch.setattr(snapshot.time, "time", lambda: began + 7)
    for state in ("queued", "running"):  # the latter while libraries and models are read
        began = 4e9  # seconds since the epoch: after all that the made-up run has done
        state = RunState(state, Stage.DISTIL, worker_since=began)
        monkeypatch.setattr(jobs, "state", lambda run, state=state: state)
        now = snapshot.take(draft.id, fresh=True)
        assert now.past_seconds > 0
        assert now.elapsed_seconds == pytest.approx(now.past_seconds + 7)
        assert now.present_since == began


def test_a_number_moves_inside_a_round(draft: Run) -> None:
    """It was "0 of 600 samples" for the minute that a round takes on a small machine."""
    fake_run.synthesize(draft, rounds=1, finish=False)
    with Lease(draft.folder, "job", Stage.EXPORT) as lease, counting(96, "written") as count:
        for count.done in (1, 2):
            lease.beat()
            now = snapshot.take(draft.id, fresh=True)
            assert f"now {count.done} of 96 texts written" in strip.text(now)


def test_a_form_on_its_way_does_not_draw_over_what_a_person_begins_to_type() -> None:
    """It was asked for before, so nobody could tell what would be typed: only changes are drawn."""
    box, other = gr.Number(), gr.Number()
    drawn = {box: gr.update(value=300), other: gr.update(value=2)}
    held = saves.drawn_for("run", {"samples": 300, "epochs": 1})
    fields = {"samples": box, "epochs": other}
    kept = saves.without_shown("page", "run", held, fields, drawn)
    assert "value" not in kept[box] and kept[other]["value"] == 2
    saves.remember("page", "run", "samples", 20, held)  # saved since, and set back by a preset
    assert saves.without_shown("page", "run", held, fields, drawn)[box]["value"] == 300
    saves.remember("page", "run", "samples", 300, held)  # typed, while a form of before came
    assert "value" not in saves.without_shown("page", "run", held, fields, drawn)[box]
    late = saves.drawn_for("run", {"samples": 40, "epochs": 1})
    assert saves.without_shown("page", "run", late, fields, drawn)[box]["value"] == 300
    for nonsense in ("", "[", "[]", '{"run": "run"}', saves.drawn_for("else", {"samples": 300})):
        assert saves.without_shown("p", "run", nonsense, fields, drawn)[box]["value"] == 300


def test_a_field_left_alone_keeps_what_the_form_says_of_it() -> None:
    held = saves.drawn_for("run", {"seeds": 1, "name": 1})
    drawn = saves.drawn_for("run", {"seeds": 2, "name": 2})
    kept = json.loads(saves.with_former(held, drawn, ["seeds"]))["fields"]
    assert kept["seeds"] == json.loads(held)["fields"]["seeds"]
    assert kept["name"] == json.loads(drawn)["fields"]["name"]


def test_what_is_still_to_come_goes_at_the_pace_of_what_is_done(draft: Run) -> None:
    """Writing took nine times what was thought, and the rest was still told as before."""
    state = RunState("running", Stage.DISTIL, worker_since=time.time())
    now = snapshot.take(draft.id, fresh=True)
    now = replace(now, state=state, past_seconds=200.0, present_since=time.time(),
                  earlier_seconds=200.0)  # fmt: skip
    ahead = {Stage.SYNTHESIZE: 40.0, Stage.LABEL: 10.0, Stage.DISTIL: 30.0, Stage.EVALUATE: 20.0}
    now.__dict__["estimate"] = SimpleNamespace(seconds_by_stage=ahead)
    assert now.expected_seconds == pytest.approx(200 + 4 * 50, abs=5)


def test_a_step_s_own_progress_tells_how_long_it_takes(draft: Run) -> None:
    """In a first run it said 100 s until writing was over, after ten minutes."""
    now = snapshot.take(draft.id, fresh=True)
    ahead = {Stage.SYNTHESIZE: 40.0, Stage.LABEL: 10.0, Stage.DISTIL: 30.0, Stage.EVALUATE: 20.0}
    state = RunState(
        "running", Stage.SYNTHESIZE, done=50, total=100, unit="samples", remaining_seconds=60.0,
        worker_since=time.time() - 60,
    )  # fmt: skip
    now = replace(now, state=state, present_since=time.time() - 60)
    now.__dict__["estimate"] = SimpleNamespace(seconds_by_stage=ahead)
    # Half of it is known to take 60 s more, of the other half nothing was left: 90 s for 40 s.
    assert now.expected_seconds == pytest.approx(90 + 60 * 90 / 40, abs=5)
    # It waits for a review after the answers: what comes after that is not told yet.
    now = replace(now, state=replace(state, until=Stage.LABEL))
    now.__dict__["estimate"] = SimpleNamespace(seconds_by_stage=ahead)
    assert now.expected_seconds == pytest.approx(90 + 10 * 90 / 40, abs=5)
