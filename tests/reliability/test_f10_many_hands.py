"""F10: many tabs and the pipeline change the same samples; nothing is lost, nothing contradicts."""

import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.runs.making import a_round, a_run, a_sample, with_samples
from workbench.errors import ConflictError, RunError
from workbench.events import RoundFinished
from workbench.runs.folder import open_run
from workbench.runs.sample_queries import SampleFilter
from workbench.samples import KEPT, PENDING, REJECTED, Example, Sample, sample_id

TEXTS = ["a", "b", "c", "d", "e"]


def test_twenty_tabs_lose_no_edit(tmp_path: Path) -> None:
    """Every tab adds a letter to the same answer; each addition is in it, or was a conflict."""
    run = with_samples(tmp_path, sample := a_sample("a", teacher_output=""))
    saved: list[str] = []

    def tab(letter: str) -> None:
        own = open_run(run.folder).samples
        for _ in range(4):
            before = own.get(sample.id)
            assert before is not None
            try:
                own.edit(
                    sample.id, before.version, teacher_output=f"{before.teacher_output}{letter}"
                )
                saved.append(letter)
            except ConflictError:
                continue

    tabs = [threading.Thread(target=tab, args=(chr(ord("a") + n),)) for n in range(20)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join()
    after = run.samples.get(sample.id)
    assert after is not None and after.teacher_output is not None
    assert sorted(after.teacher_output) == sorted(saved) and after.version == len(saved) > 0
    while run.samples.undo():
        pass
    back = run.samples.get(sample.id)
    assert back is not None and back.teacher_output == ""


def test_rounds_and_edits_at_once(tmp_path: Path) -> None:
    run = a_run(tmp_path)

    def pipeline() -> None:
        own = open_run(run.folder).samples
        for number in range(15):
            samples = [a_sample(f"{number} {n}", status=PENDING) for n in range(10)]
            own.commit_round(number, samples, a_round(number, 10))
            owed = own.owed_scores()
            own.update_many([replace(s, status=KEPT, discriminator_score=0.5) for s in owed])

    def person() -> None:
        own = open_run(run.folder).samples
        for _ in range(30):
            own.bulk(SampleFilter(search="3"), REJECTED)
            own.undo()
            own.redo()

    threads = [threading.Thread(target=pipeline), threading.Thread(target=person)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.samples.count() == 150 and len(run.journal.all_of(RoundFinished)) == 15
    run.samples.bulk(SampleFilter(search="3"), REJECTED)
    for sample in run.samples.all():
        assert (sample.decided_by == "person") == ("3" in sample.input)
        assert sample.status == (REJECTED if "3" in sample.input else KEPT)


class ManyHands(RuleBasedStateMachine):
    """People and the pipeline in any order, against a model of plain lists."""

    def __init__(self) -> None:
        super().__init__()
        # In memory where there is such a place: nothing here is about the disk.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(dir=memory)
        self.run = a_run(Path(self.folder.name))
        self.rounds = 0
        # For each undoable action: what a person's samples looked like before it and after it.
        self.past: list[tuple[dict, dict]] = []
        self.future: list[tuple[dict, dict]] = []

    def teardown(self) -> None:
        self.run.database.close()
        self.folder.cleanup()

    def word_of_people(self) -> dict[str, tuple]:
        """What people decided: it must change by their actions only."""
        return {
            s.id: (
                s.input if s.edited else None,
                s.status if s.decided_by == "person" else None,
                s.teacher_output if s.answered_by == "person" else None,
            )
            for s in self.run.samples.all()
            if s.edited or s.decided_by == "person" or s.answered_by == "person"
        }

    def act(self, action) -> None:
        before = self.word_of_people()
        depth = self.run.samples.history()
        count = self.run.database.one("SELECT count(*) FROM edits WHERE NOT undone")
        try:
            action()
        except (ConflictError, RunError):
            assert self.word_of_people() == before
            assert self.run.samples.history() == depth
            return
        if self.run.database.one("SELECT count(*) FROM edits WHERE NOT undone") > count:
            self.past.append((before, self.word_of_people()))
            self.future = []
        else:
            assert self.word_of_people() == before

    def samples(self) -> list[Sample]:
        return self.run.samples.all()

    @rule(texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3))
    def a_round_is_committed(self, texts: list[str]) -> None:
        before = self.word_of_people()
        samples = [a_sample(text, status=PENDING) for text in texts]
        for _ in range(2):  # a replay changes nothing
            self.run.samples.commit_round(self.rounds, samples, a_round(self.rounds))
        self.rounds += 1
        assert self.word_of_people() == before

    @rule(status=st.sampled_from([KEPT, REJECTED]), score=st.floats(0, 1))
    def the_pipeline_settles_what_is_owed(self, status: str, score: float) -> None:
        before = self.word_of_people()
        owed = self.run.samples.owed_scores()
        self.run.samples.update_many(
            [replace(s, status=status, discriminator_score=score, teacher_output="t") for s in owed]
        )
        assert self.run.samples.owed_scores() == []
        assert self.word_of_people() == before

    @precondition(lambda self: self.samples())
    @rule(data=st.data(), stale=st.booleans())
    def a_person_edits(self, data: st.DataObject, stale: bool) -> None:
        sample = data.draw(st.sampled_from(self.samples()))
        changes = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "input": st.sampled_from([*TEXTS, "x", "y", ""]),
                    "teacher_output": st.sampled_from(["t", "p", ""]),
                    "status": st.sampled_from([KEPT, REJECTED, PENDING]),
                },
            )
        )
        version = sample.version - int(stale)
        self.act(lambda: self.run.samples.edit(sample.id, version, **changes))

    @rule(status=st.sampled_from([KEPT, REJECTED, PENDING]), text=st.sampled_from(["", *TEXTS]))
    def a_person_decides_for_many(self, status: str, text: str) -> None:
        chosen = SampleFilter(search=text)
        count = self.run.samples.count(chosen)
        self.act(lambda: self._bulk(chosen, status, count))

    def _bulk(self, chosen: SampleFilter, status: str, count: int) -> None:
        assert self.run.samples.bulk(chosen, status) == count
        assert self.run.samples.count(replace(chosen, status=status)) == count

    @rule(texts=st.lists(st.sampled_from(["by hand", "by hand too", " "]), max_size=2))
    def a_person_adds(self, texts: list[str]) -> None:
        self.act(lambda: self.run.samples.add([Example(text) for text in texts]))

    @rule()
    def undo(self) -> None:
        what = self.run.samples.undo()
        assert (what is None) == (not self.past)
        if self.past:
            before, after = self.past.pop()
            assert self.word_of_people() == before
            self.future.append((before, after))

    @rule()
    def redo(self) -> None:
        what = self.run.samples.redo()
        assert (what is None) == (not self.future)
        if self.future:
            before, after = self.future.pop()
            assert self.word_of_people() == after
            self.past.append((before, after))

    @rule()
    def the_server_restarts(self) -> None:
        self.run.database.close()
        self.run = open_run(self.run.folder)

    @invariant()
    def counters_and_searches_agree_with_the_rows(self) -> None:
        rows = self.samples()
        counts = self.run.samples.status_counts()
        for status in (KEPT, REJECTED, PENDING):
            assert counts.get(status, 0) == sum(row.status == status for row in rows)
        for row in rows:
            assert row in self.run.samples.page(SampleFilter(search=row.input))

    @invariant()
    def nothing_undecided_is_forgotten(self) -> None:
        owed = {sample.id for sample in self.run.samples.owed_scores()}
        assert {row.id for row in self.samples() if row.status == PENDING} <= owed

    @invariant()
    def ids_stay(self) -> None:
        for row in self.samples():
            assert row.edited or row.id == sample_id(row.input)


ManyHands.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestManyHands = ManyHands.TestCase
