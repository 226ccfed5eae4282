"""A pool without Ray: one worker in this process."""

from workbench.fleet.schedule import Bases, Outcome, Task
from workbench.fleet.worker import Worker


class OneByOne:
    """Does what it is given at once, when it is waited for."""

    def __init__(self, place_url: str, scratch: str = "") -> None:
        self._worker = Worker(place_url, scratch)
        self._resident: Bases | None = None
        self._task: Task | None = None

    def idle(self) -> list[tuple[int, Bases | None]]:
        """The one worker, unless it has been given something."""
        return [(0, self._resident)] if self._task is None else []

    def give(self, worker: int, task: Task) -> None:
        """Remember it; it is done in ``wait``."""
        self._task = task

    def wait(self) -> list[tuple[Task, Outcome]]:
        """Do the task that was given."""
        task = self._task
        assert task is not None, "work_off gives before it waits"
        outcome = self._worker.do(task)
        self._task, self._resident = None, task.bases
        return [(task, outcome)]

    def close(self) -> None:
        """Remove the worker's folder."""
        self._worker.close()
