"""F5: damaged rows and files of a run are told in a sentence; the rest of the run stays usable."""

import json
from pathlib import Path

import pytest

from tests.runs.making import a_round, a_run, a_sample, with_samples
from workbench.errors import RunError
from workbench.events import Metric, StageStarted, Warned
from workbench.runs import damage
from workbench.runs.folder import open_run
from workbench.runs.listing import list_runs
from workbench.runs.results import Answer
from workbench.runs.summary import summary
from workbench.stages import Stage


def test_f5_a_damaged_sample_is_a_sentence_that_names_it(tmp_path: Path) -> None:
    run = with_samples(tmp_path, a_sample("one"), a_sample("two"))
    run.database.read("UPDATE samples SET discriminator_score = 'high' WHERE seq = 2")
    with pytest.raises(RunError, match=r"Sample 2 .*damaged"):
        run.samples.all()
    assert [sample.input for sample in damage.left_in(run.folder).samples] == ["one"]
    assert any("Sample 2" in problem.what for problem in damage.problems(run.folder))


@pytest.mark.parametrize("body", ['{"stage": ', "[1]", '{"stage": 3, "message": "x"}', "7"])
def test_f5_a_damaged_event_is_skipped_and_counted(tmp_path: Path, body: str) -> None:
    run = a_run(tmp_path)
    run.journal.append(Warned("distil", "before"))
    run.database.read("INSERT INTO events (at, kind, body) VALUES (1.0, 'Warned', ?)", (body,))
    run.journal.append(Warned("distil", "after"))
    assert [event.message for event in run.journal.all_of(Warned)] == ["before", "after"]
    assert len(run.journal.since(0)) == 2
    (problem,) = damage.problems(run.folder)
    assert problem.file == "run.db" and "1 events" in problem.what


@pytest.mark.parametrize("at", ["noon", float("inf"), b"x"])
def test_f5_an_event_whose_time_is_damaged_is_kept(tmp_path: Path, at: object) -> None:
    run = a_run(tmp_path)
    run.journal.append(Warned("distil", "said"))
    run.database.read("UPDATE events SET at = ?", (at,))
    assert [(entry.at, entry.event) for entry in run.journal.log()] == [
        (0.0, Warned("distil", "said"))
    ]


def test_f5_damaged_facts_and_steps_are_sentences(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.remember("script", 1)
    run.journal.append(StageStarted(Stage.SYNTHESIZE))
    run.database.read("UPDATE facts SET value = '{' WHERE key = 'script'")
    with pytest.raises(RunError, match="script"):
        run.recall("script")
    run.database.read("UPDATE stages SET started_at = 'noon'")
    with pytest.raises(RunError, match='step "Write"'):
        run.stages()
    run.database.read("UPDATE facts SET value = '3' WHERE key = 'name'")
    assert open_run(run.folder).name == run.id == summary(run).name


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", '{"arms": 3}', '{"arms": {"a": {"n": "x"}}}', '{"arms": {"a": {"n": 3}}}',
        '{"arms": {"a": {"accuracy": 0.5, "n": 3, "low": null, "high": 1}}}',
    ],
)  # fmt: skip
def test_f5_a_damaged_result_is_a_sentence(tmp_path: Path, content: str) -> None:
    run = a_run(tmp_path)
    (run.folder / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"result\.json is damaged"):
        run.result()
    (line,) = list_runs(tmp_path)
    assert "damaged" in line.problem and "the recipe" in line.problem


def test_numbers_that_are_none_are_kept_in_the_journal(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.journal.append(Metric("distil", 1, 9, float("nan"), 1e-4, 100.0, 5))
    (point,) = run.journal.all_of(Metric)
    assert point.loss != point.loss


def test_the_list_is_read_again_only_where_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.runs import listing  # noqa: PLC0415

    monkeypatch.setattr(listing, "_SETTLED_NS", 0)
    monkeypatch.setattr(listing, "_WORTH_WRITING", 1)
    runs = [a_run(tmp_path) for _ in range(3)]
    for run in runs:
        run.database.close()
    looked: list[str] = []
    look = listing._look
    monkeypatch.setattr(
        listing, "_look", lambda folder, stamp: (looked.append(folder.name), look(folder, stamp))[1]
    )
    assert len(list_runs(tmp_path)) == 3 and len(looked) == 3
    assert len(list_runs(tmp_path)) == 3 and len(looked) == 3
    listing._memory.clear()  # as in another process
    assert len(list_runs(tmp_path)) == 3 and len(looked) == 3
    runs[1].rename("changed")
    runs[1].samples.commit_round(0, [a_sample("x")], a_round(0))
    assert "changed" in [line.name for line in list_runs(tmp_path)]
    assert looked[3:] == [runs[1].id]
    (tmp_path / listing.KNOWN).write_text(json.dumps({"schema": 1, "runs": {"x": 3}}))
    listing._memory.clear()
    assert len(list_runs(tmp_path)) == 3


def test_a_run_that_cannot_be_looked_into_stays_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path)
    (tmp_path / "holiday photos").mkdir()

    def refused(path: Path) -> list[str]:
        if Path(path) == run.folder:
            raise PermissionError(13, "Permission denied")
        return []

    monkeypatch.setattr(damage.os, "listdir", refused)
    assert [line.id for line in list_runs(tmp_path)] == [run.id]


@pytest.mark.parametrize("change", ["correct = 7", "score = 1.5", "prediction = x'00'"])
def test_f5_a_damaged_answer_is_told(tmp_path: Path, change: str) -> None:
    run = a_run(tmp_path)
    run.answers.put("source_base", [Answer(0, "a", True)])
    assert not list(damage.problems(run.folder))
    run.database.read(f"UPDATE answers SET {change}")
    (problem,) = damage.problems(run.folder)
    assert problem.file == "run.db" and "source_base" in problem.what
