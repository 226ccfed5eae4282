"""What of a list is still to be done, by what the output place holds; new runs are made there."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from workbench.errors import BusyError
from workbench.fleet import standing
from workbench.fleet.lines import BadLines, Transfer
from workbench.fleet.place import Copier, Place
from workbench.fleet.schedule import LOST, Outcome, Task, again
from workbench.fleet.standing import DONE, FAILED, RUNNING, WAITING, Attempt, Standing
from workbench.runs import lease
from workbench.runs.folder import create

_INTERRUPTED = Attempt(LOST, "It ended without a word: killed, or its machine was lost.")


@contextmanager
def alone(place: Place, shard: tuple[int, int]) -> Iterator[None]:
    """Only one command at a time works off a shard of a local folder; elsewhere see ``holder``.

    Raises:
        BusyError: another one does.
    """
    if not place.is_folder:
        yield
        return
    folder = Path(place.root)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = lease.lock(folder / f".fleet-{shard[0]}-of-{shard[1]}.lock")
    if descriptor < 0:
        raise BusyError(f"Another fleet works on {folder}. Wait until it ends, or stop it.")
    try:
        yield
    finally:
        os.close(descriptor)


def owed(place: Place, transfers: Sequence[Transfer], retry_failed: bool) -> list[Task]:
    """Tasks for all that is not done; runs that are not there yet are made.

    Args:
        retry_failed: also those that were given up, as if they had never been tried.

    Raises:
        BadLines: a name that stands for something else in this place; nothing is changed then.
    """
    known = standing.read(place, [transfer.name for transfer in transfers])
    problems = [
        f'{transfer.where}: "{transfer.name}" was made from something else in {place.url}. '
        "Give the transfer another name."
        for transfer in transfers
        if transfer.name in known and known[transfer.name].fingerprint != transfer.fingerprint
    ]
    if problems:
        raise BadLines(problems, len(transfers))
    tasks = []
    for transfer in transfers:
        found = known.get(transfer.name) or _draft(place, transfer)
        if (waiting := _waiting(place, found, retry_failed)) is not None:
            tasks.append(_task(transfer, waiting))
    return tasks


def put_back_meanwhile(place: Place, transfers: Sequence[Transfer]) -> list[Task]:
    """Tasks for what waits after all was worked off: a person has let it be tried again."""
    known = standing.read(place, [transfer.name for transfer in transfers])
    found = ((transfer, known.get(transfer.name)) for transfer in transfers)
    return [_task(transfer, now) for transfer, now in found if now and now.state == WAITING]


def note(place: Place, task: Task, outcome: Outcome, waits: bool) -> Standing | None:
    """Write down an attempt that did not end well; None where there is no standing any more."""
    found = standing.read(place, [task.name]).get(task.name)
    if found is None or found.state == DONE:
        return found
    ended = Attempt(outcome.reason, outcome.message, outcome.seconds)
    state = WAITING if waits else FAILED
    attempts = (*task.attempts, ended)
    return standing.write(place, replace(found, state=state, holder="", attempts=attempts))


def put_back(place: Place, tasks: Sequence[Task]) -> None:
    """After a stop: what was being worked on waits again, and that was no failure of its own."""
    for found in standing.read(place, [task.name for task in tasks]).values():
        if found.state == RUNNING:
            standing.write(place, replace(found, state=WAITING, holder=""))


def _draft(place: Place, transfer: Transfer) -> Standing:
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
        workspace = Path(scratch) / "files"
        workspace.mkdir()
        given = transfer.open(workspace)
        run = create(
            Path(scratch) / "runs",
            given.recipe,
            id=transfer.name,
            inputs=given.inputs,
            facts=given.facts(),
        )
        Copier(place, run).copy()
        run.database.close()
    bases = transfer.recipe.source_base, transfer.recipe.target_base
    made = Standing(transfer.name, transfer.fingerprint, *bases, transfer.recipe.task_name)
    return standing.write(place, made)


def _waiting(place: Place, found: Standing, retry_failed: bool) -> Standing | None:
    """The standing of what is to be done, brought up to date; None for what is not."""
    if found.state == DONE or (found.state == FAILED and not retry_failed):
        return None
    if found.state == WAITING:
        return found
    if found.state == FAILED:
        return standing.retry(place, found)
    found = replace(found, holder="", attempts=(*found.attempts, _INTERRUPTED))
    task = Task(found.name, attempts=found.attempts)
    if not again(task):
        standing.write(place, replace(found, state=FAILED))
        return None
    return standing.write(place, replace(found, state=WAITING))


def _task(transfer: Transfer, found: Standing) -> Task:
    return Task(
        transfer.name,
        (found.source_base, found.target_base),
        transfer.line.priority,
        transfer.options.time_limit_minutes * 60,
        transfer.options.memory_limit_gb * 1e9,
        found.attempts,
    )
