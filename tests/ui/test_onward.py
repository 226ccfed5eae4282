"""What follows a finished run on the page: another base, the adapter moved again, another round."""

from typing import Any

import gradio as gr
import pytest

from workbench import jobs
from workbench.errors import RunError
from workbench.evaluate.lineage import lineage
from workbench.runs.folder import Run, find_run
from workbench.stages import Stage
from workbench.ui import onward, snapshot, transfer_views, write_actions

OTHER = "package:smollm2-135m-instruct"


def test_another_base_takes_samples_and_answers(finished: Run) -> None:
    run_id, tab = onward.from_same_samples(finished.id, OTHER)
    run = find_run(finished.folder.parent, run_id)
    assert run.recipe.target_base == OTHER and isinstance(tab, gr.Tabs)
    assert {s.input for s in run.samples.kept()} == {s.input for s in finished.samples.kept()}
    assert jobs.state(run).state == "ready for review"


def test_the_new_adapter_is_moved_again_and_its_way_is_shown(finished: Run) -> None:
    run_id, _ = onward.move_again(finished.id, OTHER)
    run = find_run(finished.folder.parent, run_id)
    assert run.recipe.source_base == finished.recipe.target_base
    assert run.recipe.target_base == OTHER and jobs.state(run).state == "draft"
    assert [hop["run"] for hop in lineage(run)] == [finished.id]
    shown = onward.history(snapshot.take(run_id))
    assert "Transfer 1" in shown and "SmolLM2-135M-Instruct to gemma-3-270m" in shown
    assert onward.history(snapshot.take(finished.id)) == ""


@pytest.mark.parametrize("follow", [onward.from_same_samples, onward.move_again])
def test_the_same_base_is_no_other(finished: Run, follow: Any) -> None:
    for base in (None, "", finished.recipe.target_base):
        with pytest.raises(RunError, match="another base"):
            follow(finished.id, base)


def test_a_round_without_a_weak_label_asks_for_more_of_all(
    finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(jobs, "start", lambda run, until: started.append(until))
    monkeypatch.setattr(transfer_views, "weakest", lambda _: ("", ""))
    kept = len(finished.samples.kept())
    write_actions.next_round(finished.id)
    assert started == [Stage.EXPORT] and not finished.stage_done(Stage.DISTIL)
    assert finished.recipe.synthesis.samples == kept + kept // 2
    assert len(list((finished.exports / transfer_views.EARLIER).glob("*-round-1.zip"))) == 1
    now = snapshot.take(finished.id, fresh=True)
    assert "Round 1" in onward.history(now) and "96.7" in onward.history(now)
    assert transfer_views.aimed_at(now) == ""  # nothing was chosen by these rows
