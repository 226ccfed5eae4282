"""Events in order, read with a cursor; stages; one glance for the status strip."""

from pathlib import Path

import pytest

from tests.runs.making import a_round, a_run, a_sample
from workbench.events import (
    Metric,
    Progress,
    StageFinished,
    StageStarted,
    Stopped,
    Warned,
)
from workbench.runs import checkpoints
from workbench.runs.folder import open_run
from workbench.runs.results import Answer
from workbench.runs.summary import summary
from workbench.samples import Example
from workbench.stages import ORDER, Stage


def test_a_reader_sees_every_event_once_and_in_order(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    for number in range(25):
        run.journal.append(Progress("synthesize", number, 25, "samples"))
    seen, cursor = [], 0
    while batch := run.journal.since(cursor, limit=7):
        seen += [event.done for _, event in batch]  # type: ignore[union-attr]
        cursor = batch[-1][0]
    assert seen == list(range(25))
    assert cursor == run.journal.cursor()
    second = open_run(run.folder).journal.since(0)
    assert [event for _, event in second] == [event for _, event in run.journal.since(0)]


def test_last_and_all_of_a_kind(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    assert run.journal.last(Metric) is None
    points = [Metric("distil", step, 9, 1.5, 1e-4, 100.0, 5) for step in range(3)]
    run.journal.append(*points, Warned("distil", "slow"))
    assert run.journal.last(Metric) == points[-1]
    assert run.journal.all_of(Metric) == points
    assert [entry.event for entry in run.journal.recent(Metric, 2)] == points[1:]


def test_kinds_of_a_newer_version_are_skipped_and_do_not_stall(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    for _ in range(20):
        run.database.read(
            "INSERT INTO events (at, kind, body) VALUES (0, 'FromTheFuture', '{\"x\": 1}')"
        )
    run.journal.append(Warned("distil", "known"))
    assert [event for _, event in run.journal.since(0, limit=5)] == [Warned("distil", "known")]


def test_stages_finish_and_open_again(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    for stage in ORDER:
        assert not run.stage_done(stage)
        run.journal.append(StageStarted(stage))
        run.finish_stage(stage, StageFinished(stage, 2.5, {"kept": 3}))
    assert all(run.stage_done(stage) for stage in ORDER)
    assert run.stages()[Stage.LABEL].counts == {"kept": 3}
    assert run.journal.last(StageFinished) == StageFinished("export", 2.5, {"kept": 3})
    run.reopen_from(Stage.DISTIL)
    assert [stage for stage in ORDER if run.stage_done(stage)] == [Stage.SYNTHESIZE, Stage.LABEL]
    assert run.stages()[Stage.DISTIL].started_at is None


def test_opening_again_forgets_what_depended_on_it(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.put_examples("evaluation", [Example("q", "a")])
    run.samples.commit_round(0, [a_sample("kept text")], a_round(0))
    run.answers.put("source_adapter", [Answer(0, "a", True)])
    run.answers.put("transferred", [Answer(0, "b", False)])
    run.write_result({"arms": {}})
    checkpoints.write(run.checkpoints, 1, {}, {})
    run.reopen_from(Stage.EXPORT)
    assert run.result() is not None and run.answers.counts()["transferred"] == (1, 0)
    run.reopen_from(Stage.DISTIL)
    assert run.result() is None
    assert checkpoints.newest(run.checkpoints) is None
    assert run.answers.counts() == {"source_adapter": (1, 1)}
    assert run.samples.count() == 1
    run.reopen_from(Stage.EVALUATE)
    assert run.answers.counts() == {}


def test_held_out_samples_may_change_so_all_answers_go(tmp_path: Path) -> None:
    """Without evaluation rows the arms answer held-out samples; other samples, other rows."""
    run = a_run(tmp_path)
    run.answers.put("source_adapter", [Answer(0, "a", True)])
    run.reopen_from(Stage.LABEL)
    assert run.answers.counts() == {}


def test_finishing_needs_the_event_of_that_stage(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        a_run(tmp_path).finish_stage(Stage.LABEL, StageFinished("distil", 1.0))


def test_answers_are_committed_by_row(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.answers.put("source_base", [Answer(2, "c", False), Answer(0, "a", True)])
    run.answers.put("source_base", [Answer(1, "b", True), Answer(2, "c2", True)])
    rows = open_run(run.folder).answers.get("source_base")
    assert rows == [Answer(0, "a", True), Answer(1, "b", True), Answer(2, "c2", True)]
    run.answers.forget("source_base")
    assert run.answers.get("source_base") == []


def test_summary_of_a_draft(tmp_path: Path) -> None:
    glance = summary(a_run(tmp_path))
    assert (glance.name, glance.cursor, glance.counts) == ("a run", 0, {})
    assert glance.progress is None and glance.begun is None and not glance.stands


def test_summary_follows_the_run(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.journal.append(StageStarted("synthesize"), Progress("synthesize", 3, 9, "samples"))
    run.samples.commit_round(0, [a_sample("a"), a_sample("b", status="rejected")], a_round(0))
    glance = summary(run)
    assert glance.counts == {"kept": 1, "rejected": 1}
    assert glance.progress == Progress("synthesize", 3, 9, "samples")
    assert glance.started == {Stage.SYNTHESIZE} and not glance.stands
    run.journal.append(Stopped("synthesize", "failed", "No.", "stage"))
    glance = summary(run)
    assert glance.halted == Stopped("synthesize", "failed", "No.", "stage") and glance.stands
    run.journal.append(StageStarted("synthesize", resumed=True))
    glance = summary(run)
    assert glance.halted is None and glance.progress is None and not glance.stands
    run.finish_stage(Stage.SYNTHESIZE, StageFinished("synthesize", 1.0))
    assert summary(run).done == {Stage.SYNTHESIZE} and summary(run).stands
