"""Who works on what next, and what is tried again."""

from dataclasses import replace

from workbench.fleet.schedule import (
    DONE,
    LOST,
    MEMORY,
    TAKEN,
    TIME,
    UNEXPECTED,
    Bases,
    Outcome,
    Schedule,
    Task,
    work_off,
)

A, B = ("a", "t"), ("b", "t")


def test_higher_priorities_come_first_and_bases_change_seldom() -> None:
    tasks = [Task("a1", A), Task("b1", B), Task("b2", B), Task("urgent", A, priority=1)]
    schedule = Schedule(tasks)
    resident: Bases | None = None
    order = []
    while (task := schedule.next(resident)) is not None:
        order.append(task.name)
        resident = task.bases
    assert order == ["urgent", "a1", "b1", "b2"]
    assert Schedule(tasks[:3]).next(None) == tasks[1]  # most wait for these bases


def attempts_until_given_up(reason: str) -> list[Task]:
    schedule = Schedule([Task("one")])
    tried = []
    while (task := schedule.next(None)) is not None:
        tried.append(task)
        schedule.settle(task, Outcome(reason, "because"))
    assert schedule.left == 0
    return tried


def test_each_reason_is_tried_again_as_often_as_it_is_worth() -> None:
    reasons = (LOST, MEMORY, UNEXPECTED, TIME, "model", "intake", DONE, TAKEN)
    counts = {reason: len(attempts_until_given_up(reason)) for reason in reasons}
    assert counts == {
        LOST: 5, MEMORY: 4, UNEXPECTED: 2, TIME: 1, "model": 1, "intake": 1, DONE: 1, TAKEN: 1,
    }  # fmt: skip
    assert [task.scale for task in attempts_until_given_up(MEMORY)] == [1, 0.5, 0.25, 0.125]
    assert [task.scale for task in attempts_until_given_up(LOST)] == [1] * 5


def test_a_task_that_waits_again_is_reported_and_done_in_the_end() -> None:
    class Flaky:
        """Loses every task once."""

        given: Task | None = None

        def idle(self) -> list[tuple[int, Bases | None]]:
            return [(0, None)] if self.given is None else []

        def give(self, worker: int, task: Task) -> None:
            self.given = task

        def wait(self) -> list[tuple[Task, Outcome]]:
            task, self.given = self.given, None
            assert task is not None
            return [(task, Outcome(DONE if task.attempts else LOST, seconds=2))]

    told = []
    tasks = [Task("x"), replace(Task("y"), priority=3)]
    work_off(Schedule(tasks), Flaky(), lambda task, outcome, waits: told.append((
        task.name, outcome.reason, waits,
    )))  # fmt: skip
    assert told == [
        ("y", LOST, True), ("y", DONE, False), ("x", LOST, True), ("x", DONE, False),
    ]  # fmt: skip
