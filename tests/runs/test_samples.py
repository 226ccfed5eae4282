"""Samples: rounds, updates by the pipeline, edits by people, undo and redo."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.making import a_round, a_run, a_sample, with_samples
from workbench.errors import ConflictError, RunError
from workbench.events import RoundFinished, StageFinished, StageStarted
from workbench.runs.folder import open_run
from workbench.runs.sample_queries import SampleFilter
from workbench.samples import KEPT, PENDING, REJECTED, SPAN_SWAP, Example, sample_id
from workbench.stages import Stage


def test_f14_a_replayed_round_changes_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    samples = [a_sample("One text"), a_sample("one  TEXT"), a_sample("another")]
    assert run.samples.commit_round(0, samples, a_round(0, 2))
    before = run.samples.all()
    assert not run.samples.commit_round(0, [*samples, a_sample("late")], a_round(0, 9))
    assert run.samples.commit_round(1, samples, a_round(1, 0))
    assert run.samples.all() == before and len(before) == 2
    assert run.samples.rounds() == {0, 1}
    assert run.journal.all_of(RoundFinished) == [a_round(0, 2), a_round(1, 0)]


def test_every_field_survives(tmp_path: Path) -> None:
    sample = a_sample(
        'Ünïcode "text"\nwith lines 😀', written_for="label", status=REJECTED, reason="why",
        teacher_output="answer", discriminator_score=0.25, excess=-1.5, confidence=0.5,
        nearest_seed=3, edited=True, version=7,
    )  # fmt: skip
    run = with_samples(tmp_path, sample)
    assert run.samples.get(sample.id) == sample
    assert open_run(run.folder).samples.all() == [sample]
    assert run.samples.get("missing") is None


def test_counters_are_right_after_everything(tmp_path: Path) -> None:
    run = with_samples(tmp_path, a_sample("a"), a_sample("b", status=PENDING))
    run.samples.update_many([a_sample("b", status=REJECTED)])
    run.samples.bulk(SampleFilter(status=KEPT), REJECTED)
    run.samples.add([Example("c")])
    run.samples.undo()
    run.samples.undo()
    run.samples.redo()
    counted = dict(run.database.read("SELECT status, count(*) FROM samples GROUP BY status"))
    assert {k: v for k, v in run.samples.status_counts().items() if v} == counted


def test_one_answer_for_all_of_a_filter_is_one_action(tmp_path: Path) -> None:
    run = with_samples(
        tmp_path,
        a_sample("a", teacher_output="wrong", confidence=0.9, status=REJECTED),
        a_sample("b", teacher_output="wrong", excess=1.0),
        a_sample("c", teacher_output="right", confidence=0.8),
    )
    before = {sample.input: sample for sample in run.samples.all()}
    assert run.samples.relabel(SampleFilter(label="wrong"), "right") == 2
    after = {sample.input: sample for sample in run.samples.all()}
    assert {sample.teacher_output for sample in after.values()} == {"right"}
    assert after["c"] == before["c"] and after["a"].status == REJECTED
    assert after["a"].answered_by == "person" and after["a"].confidence is None
    assert {s.input for s in run.samples.page(SampleFilter(search="WRONG"), "made", 0, 9)} == set()
    assert run.samples.relabel(SampleFilter(), "right") == 0
    assert run.samples.undo() == "answered 2"
    undone = {sample.input: sample for sample in run.samples.all()}
    for text, sample in before.items():
        assert replace(undone[text], version=sample.version) == sample
    assert run.samples.redo() == "answered 2" and run.samples.undo() == "answered 2"
    with pytest.raises(RunError, match="Write the answer"):
        run.samples.relabel(SampleFilter(), " ")


def test_fresh_samples_take_the_place_of_others_in_one_action(tmp_path: Path) -> None:
    """A regenerated sample counted as edited and answered by a person."""
    run = with_samples(
        tmp_path,
        a_sample("a", teacher_output="x", written_for="x", nearest_seed=1, confidence=0.4),
        a_sample("b", teacher_output="y", discriminator_score=0.6),
        a_sample("c", teacher_output="y"),
    )
    run.samples.edit(sample_id("b"), 0, status=REJECTED)
    a, b, c = run.samples.all()
    fresh = [
        a_sample(text, teacher_output="z", confidence=0.9, nearest_seed=2, discriminator_score=0.8)
        for text in ("new a", "new b", "A")
    ]
    there = run.samples.rewrite(list(zip((a, b, c), fresh, strict=True)))
    assert [sample.input for sample in there] == ["new a", "new b"]  # "A" is the former "a"
    assert run.samples.all() == [*there, c]
    new_a, new_b = there
    assert new_a == replace(fresh[0], id=a.id, version=1)
    assert (new_b.status, new_b.decided_by, new_b.answered_by) == (KEPT, "filter", "teacher")
    assert not new_b.edited and run.samples.owed_scores() == []
    assert [s.input for s in run.samples.page(SampleFilter(search="NEW"), "made")] == [
        "new a", "new b",
    ]  # fmt: skip
    assert run.samples.undo() == "regenerated 2"
    assert [replace(sample, version=0) for sample in run.samples.all()] == [
        replace(sample, version=0) for sample in (a, b, c)
    ]
    assert run.samples.redo() == "regenerated 2"
    assert [replace(s, version=0) for s in run.samples.all()[:2]] == [
        replace(s, version=0) for s in there
    ]
    assert run.samples.rewrite([(new_a, a_sample("newest"))]) == []  # changed since it was read
    assert run.samples.history() == ("regenerated 2", None)


def test_a_line_is_one_action(tmp_path: Path) -> None:
    """Undo after moving the line took back half of it."""
    scores = {"low kept": 0.2, "high kept": 0.9, "high rejected": 0.8, "low rejected": 0.1}
    run = with_samples(
        tmp_path,
        *(
            a_sample(text, status=KEPT if "kept" in text else REJECTED, confidence=score)
            for text, score in scores.items()
        ),
        a_sample("a person's", status=KEPT, confidence=0.0, decided_by="person"),
        replace(a_sample("asked only", status=REJECTED, confidence=0.9), origin=SPAN_SWAP),
    )
    before = {sample.input: sample.status for sample in run.samples.all()}
    assert run.samples.draw_line("confidence", 0.5) == (1, 1)
    after = {sample.input: sample.status for sample in run.samples.all()}
    assert after == {
        "low kept": REJECTED, "high kept": KEPT, "high rejected": KEPT,
        "low rejected": REJECTED, "a person's": KEPT, "asked only": REJECTED,
    }  # fmt: skip
    assert run.samples.undo() == "line at 0.50"
    assert {sample.input: sample.status for sample in run.samples.all()} == before
    assert run.samples.undo() is None
    run.samples.redo()
    assert {sample.input: sample.status for sample in run.samples.all()} == after
    assert run.samples.draw_line("confidence", 0.5) == (0, 0)
    assert run.samples.history() == ("line at 0.50", None)


class TestPipelineAgainstPerson:
    def test_an_update_brings_scores_label_and_decision(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, a_sample("a", status=PENDING))
        assert [sample.input for sample in run.samples.owed_scores()] == ["a"]
        new = a_sample("a", status=REJECTED, reason="score", discriminator_score=0.1)
        assert run.samples.update_many([replace(new, teacher_output="x", confidence=0.5)]) == 1
        stored = run.samples.get(new.id)
        assert stored == replace(new, teacher_output="x", confidence=0.5, version=1)
        assert run.samples.owed_scores() == []

    def test_a_persons_decision_stays(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", status=PENDING))
        run.samples.edit(sample.id, 0, status=KEPT)
        run.samples.update_many([replace(sample, status=REJECTED, discriminator_score=0.1)])
        stored = run.samples.get(sample.id)
        assert stored is not None
        assert (stored.status, stored.decided_by) == (KEPT, "person")
        assert stored.discriminator_score == 0.1

    def test_a_persons_answer_stays(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        run.samples.edit(sample.id, 0, teacher_output="mine")
        run.samples.update_many([replace(sample, teacher_output="theirs", confidence=0.9)])
        stored = run.samples.get(sample.id)
        assert stored is not None
        assert (stored.teacher_output, stored.answered_by) == ("mine", "person")
        assert stored.confidence is None, "confidence in another answer"

    def test_scores_of_an_input_that_is_gone_are_dropped(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", status=PENDING))
        run.samples.edit(sample.id, 0, input="b")
        assert run.samples.update_many([replace(sample, discriminator_score=0.9)]) == 0
        stored = run.samples.get(sample.id)
        assert stored is not None and stored.discriminator_score is None
        assert [owed.input for owed in run.samples.owed_scores()] == ["b"]

    def test_a_score_alone_does_not_disturb_who_is_editing(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", teacher_output="x"))
        run.samples.update_many([replace(sample, discriminator_score=0.9)])
        assert run.samples.edit(sample.id, 0, status=REJECTED).version == 1

    def test_labels_are_owed_to_kept_samples_only(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, a_sample("a"), a_sample("b", status=REJECTED))
        assert [sample.input for sample in run.samples.unlabelled()] == ["a"]


class TestEditing:
    def test_a_new_input_is_owed_score_and_label(self, tmp_path: Path) -> None:
        run = with_samples(
            tmp_path, sample := a_sample("a", teacher_output="x", discriminator_score=0.9)
        )
        after = run.samples.edit(sample.id, 0, input="b")
        assert after == replace(
            sample, input="b", teacher_output=None, discriminator_score=None, status=PENDING,
            edited=True, version=1,
        )  # fmt: skip
        assert run.samples.get(sample.id) == after
        assert run.samples.owed_scores() == [after]

    def test_a_stale_version_is_a_conflict_and_changes_nothing(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        first = run.samples.edit(sample.id, 0, teacher_output="tab one")
        with pytest.raises(ConflictError, match="not saved"):
            run.samples.edit(sample.id, 0, teacher_output="tab two")
        assert run.samples.get(sample.id) == first

    def test_an_edit_without_difference_is_none(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", teacher_output="x"))
        assert run.samples.edit(sample.id, 0, input="a", teacher_output="x") == sample
        assert run.samples.history() == (None, None)

    @pytest.mark.parametrize("text", ["", "  \n"])
    def test_an_empty_input_is_refused(self, tmp_path: Path, text: str) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        with pytest.raises(RunError, match="empty"):
            run.samples.edit(sample.id, 0, input=text)

    def test_an_input_that_another_sample_has_is_refused(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"), a_sample("b"))
        with pytest.raises(RunError, match="already"):
            run.samples.edit(sample.id, 0, input=" B ")

    def test_characters_that_no_file_can_hold_are_dropped(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        after = run.samples.edit(sample.id, 0, input="x\0y\ud800z", teacher_output="\udfff")
        assert (after.input, after.teacher_output) == ("xy?z", "?")
        assert run.samples.get(sample.id) == after

    def test_an_unknown_status_is_refused(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        with pytest.raises(RunError):
            run.samples.edit(sample.id, 0, status="maybe")
        with pytest.raises(RunError):
            run.samples.bulk(SampleFilter(), "maybe")

    def test_editing_opens_the_labelling_again(self, tmp_path: Path) -> None:
        """A sample that was edited after the labelling went unlabelled into the training."""
        run = with_samples(tmp_path, sample := a_sample("a", teacher_output="x"))
        for stage in (Stage.SYNTHESIZE, Stage.LABEL):
            run.journal.append(StageStarted(stage))
            run.finish_stage(stage, StageFinished(stage, 1.0))
        run.samples.edit(sample.id, 0, teacher_output="mine")
        assert run.stage_done(Stage.LABEL), "nothing is owed"
        run.samples.edit(sample.id, 1, input="b")
        assert run.stage_done(Stage.SYNTHESIZE) and not run.stage_done(Stage.LABEL)
        assert run.stages()[Stage.LABEL].started_at is not None

    def test_samples_are_fixed_once_the_training_began(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", teacher_output="x"))
        run.journal.append(StageStarted(Stage.DISTIL))
        for action in (
            lambda: run.samples.edit(sample.id, 0, status=REJECTED),
            lambda: run.samples.bulk(SampleFilter(), REJECTED),
            lambda: run.samples.relabel(SampleFilter(), "y"),
            lambda: run.samples.add([Example("b")]),
            run.samples.undo,
        ):
            with pytest.raises(ConflictError, match="training"):
                action()
        run.reopen_from(Stage.DISTIL)
        run.samples.edit(sample.id, 0, status=REJECTED)


class TestUndo:
    def test_back_and_forth_across_a_restart(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", teacher_output="x", excess=1.5))
        run.samples.edit(sample.id, 0, input="b")
        run.samples.edit(sample.id, 1, teacher_output="mine")
        edited = run.samples.edit(sample.id, 2, status=REJECTED)
        assert edited.reason == "rejected by hand"
        again = open_run(run.folder).samples
        assert again.history() == ("rejected", None)
        assert [again.undo() for _ in range(4)] == ["rejected", "edit", "edit", None]
        assert again.get(sample.id) == replace(sample, version=6)
        assert [again.redo() for _ in range(4)] == ["edit", "edit", "rejected", None]
        assert again.get(sample.id) == replace(edited, version=9)

    def test_a_new_action_forgets_what_was_undone(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        run.samples.edit(sample.id, 0, input="b")
        run.samples.undo()
        run.samples.edit(sample.id, 2, status=REJECTED)
        assert run.samples.history() == ("rejected", None)
        assert run.samples.redo() is None

    def test_what_the_pipeline_found_for_the_edited_text_does_not_stay(
        self, tmp_path: Path
    ) -> None:
        """The score of the edited text was left on the old text when the edit was undone."""
        run = with_samples(tmp_path, sample := a_sample("a", status=PENDING))
        after = run.samples.edit(sample.id, 0, input="b")
        run.samples.update_many(
            [replace(after, status=KEPT, discriminator_score=0.9, teacher_output="of b")]
        )
        run.samples.undo()
        stored = run.samples.get(sample.id)
        assert stored is not None
        assert (stored.input, stored.discriminator_score, stored.teacher_output) == (
            "a", None, None,
        )  # fmt: skip
        assert stored.status == PENDING and run.samples.owed_scores() == [stored]

    def test_a_decision_taken_back_is_the_filters_again(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a", status=PENDING))
        run.samples.edit(sample.id, 0, status=REJECTED)
        run.samples.update_many([replace(sample, status=KEPT, discriminator_score=0.9)])
        run.samples.undo()
        stored = run.samples.get(sample.id)
        assert stored is not None and stored.discriminator_score == 0.9
        assert (stored.status, stored.decided_by) == (PENDING, "filter")
        assert run.samples.owed_scores() == [stored], "the filter must look at it again"

    def test_rows_by_hand_go_and_come_back(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, a_sample("known"))
        added = run.samples.add(
            [Example("mine", "x"), Example("KNOWN"), Example(" "), Example("2")]
        )
        assert [sample.input for sample in added] == ["mine", "2"]
        assert all(s.origin == "hand" and s.decided_by == "person" for s in added)
        assert [s.input for s in run.samples.unlabelled()] == ["known", "2"]
        assert run.samples.undo() == "add 2"
        assert run.samples.count() == 1
        run.samples.commit_round(1, [a_sample("meanwhile")], a_round(1))
        run.samples.redo()
        assert run.samples.get(sample_id("mine")) == added[0]
        assert {s.input for s in run.samples.all()} == {"known", "mine", "2", "meanwhile"}

    def test_a_row_by_hand_that_the_pipeline_wrote_meanwhile_is_left_alone(
        self, tmp_path: Path
    ) -> None:
        run = a_run(tmp_path)
        run.samples.add([Example("same"), Example("mine")])
        run.samples.undo()
        run.samples.commit_round(0, [written := a_sample("Same")], a_round(0))
        assert run.samples.redo() == "add 2"
        assert run.samples.get(written.id) == written and run.samples.count() == 2
        run.samples.undo()
        assert run.samples.all() == [written]

    def test_an_action_without_effect_keeps_what_can_be_redone(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, sample := a_sample("a"))
        run.samples.edit(sample.id, 0, input="b")
        run.samples.undo()
        assert run.samples.bulk(SampleFilter(search="nothing"), KEPT) == 0
        assert run.samples.redo() == "edit"

    def test_inputs_of_the_run_are_no_action_of_a_person(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        run.samples.add([Example("own input")], origin="user")
        assert run.samples.undo() is None and run.samples.count() == 1


class TestBulk:
    def test_decides_for_all_of_a_filter_and_says_how_many(self, tmp_path: Path) -> None:
        samples = [a_sample(f"text {n}", discriminator_score=n / 10) for n in range(10)]
        run = with_samples(tmp_path, *samples)
        low = SampleFilter(max_score=0.45)
        assert run.samples.count(low) == 5
        assert run.samples.bulk(low, REJECTED) == 5
        assert run.samples.status_counts() == {KEPT: 5, REJECTED: 5}
        assert {s.decided_by for s in run.samples.page(low)} == {"person"}
        assert run.samples.undo() == "rejected 5"
        assert [replace(s, version=0) for s in run.samples.all()] == samples
        run.samples.redo()
        assert run.samples.count(SampleFilter(status=REJECTED, decided_by="person")) == 5

    def test_nothing_new_is_no_action(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, a_sample("a"))
        run.samples.bulk(SampleFilter(), REJECTED)
        assert run.samples.bulk(SampleFilter(), REJECTED) == 1
        assert run.samples.undo() == "rejected 1"
        assert run.samples.undo() is None

    def test_giving_back_to_the_filter(self, tmp_path: Path) -> None:
        run = with_samples(tmp_path, a_sample("a"), a_sample("b"))
        run.samples.bulk(SampleFilter(), KEPT)
        assert run.samples.bulk(SampleFilter(), PENDING) == 2
        assert {s.decided_by for s in run.samples.all()} == {"filter"}
        assert len(run.samples.owed_scores()) == 2
