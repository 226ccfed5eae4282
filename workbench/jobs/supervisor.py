"""Start and stop workers. Keeps nothing in memory that a restart would lose.

A worker is in a session of its own and goes on when whoever started it ends. Two threads per job
are conveniences only: one collects the exit code, one loses patience with a worker that does not
stop. Without them the state is still right, see ``state``.
"""

import contextlib
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

from workbench.errors import BusyError, RunError
from workbench.evaluate.checkers import require_own_machine
from workbench.jobs import downloads, environment, slices, turns
from workbench.jobs.worker_log import open_log
from workbench.limits import LIMITS
from workbench.models import hub_access
from workbench.runs import atomic, lease, owners, stop_request
from workbench.runs.folder import Run
from workbench.runs.lease import Holder
from workbench.stages import Stage

WORKER_MODULE = downloads.WORKER_MODULE
START_SECONDS = 30.0  # until the worker must have shown itself
GRACE_SECONDS = 60.0  # from the request until SIGTERM: a round or a slow training step
KILL_SECONDS = 10.0  # from SIGTERM until SIGKILL
WORKERS_OWN_CODES = (0, 3, 4)  # see worker
_impatient: set[tuple[Path, str]] = set()
_guard = threading.Lock()
# Starts are let in one by one: what would be one too many must be seen by the next.
_admission = threading.Lock()


def start(run: Run, until: Stage = Stage.EXPORT) -> None:
    """Start a worker that ends after a stage; returns when it has taken the run.

    It may have to wait for its turn on this machine: ``state`` says so. Where a GPU is lent in
    slices there is no worker: the page asks for one slice after the other.

    Raises:
        BusyError: a worker is on the run already, too many wait, or too many of the run's owner.
        RunError: the run is damaged or of a newer version, the disk is nearly full, or the worker
            did not come up.
    """
    if run.read_only_because:
        raise RunError(run.read_only_because)
    require_own_machine(run.recipe.evaluation)  # a worker does not know who shares this machine
    run.database.check()
    atomic.require_space(run.folder, 0, LIMITS.free_disk_bytes)
    with _admission:
        former = lease.holder(run.folder)
        if former is not None and former.alive():
            raise BusyError(f'"{run.name}" is being worked on already. Stop it first.')
        owners.require_room(run)
        if slices.active():
            slices.begin(run, until)
            return
        turns.require_room(run.folder.parent)
        _start_worker(run, until)


def _start_worker(run: Run, until: Stage) -> None:
    job = secrets.token_hex(8)
    (run.folder / "exit.json").unlink(missing_ok=True)
    access = downloads.access_of(run)
    module = WORKER_MODULE
    variables = environment.clean_environment() | hub_access.for_worker(access)
    with hub_access.using(access):
        if downloads.missing(run.recipe):
            # Fetches with access to the Hub, then becomes the worker with a clean environment.
            module, variables = downloads.MODULE, downloads.fetching_environment(access)
    with open_log(run.folder) as log:
        process = subprocess.Popen(
            environment.command(module, str(run.folder), "--until", until.value, "--job", job),
            cwd=run.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    gone = threading.Event()
    threading.Thread(
        target=_collect, args=(run.folder, job, process, gone), name="collector", daemon=True
    ).start()
    _await_lease(run, job, gone)


def stop(run: Run, mode: str = "pause", job: str = "") -> bool:
    """Ask the worker to stop; True when there was one to ask. Asking again changes nothing.

    Args:
        mode: "pause", "discard" (forget the training so far), or "keep" (end the training with
            what is learnt so far and go on).
        job: when given, only this job is meant; a later one is left alone.
    """
    holder = lease.holder(run.folder)
    if holder is None or not holder.alive():
        sliced = slices.waiting(run.folder)
        if sliced is None or (job and job != sliced.job):
            return False
        slices.end(run, mode)
        return True
    if job and job != holder.job:
        return False
    request = stop_request.ask(run.folder, holder.job, mode)
    if request.mode == "keep" or slices.active():  # a slice ends by itself
        return True
    with _guard:
        if (run.folder, holder.job) in _impatient:
            return True
        _impatient.add((run.folder, holder.job))
    threading.Thread(
        target=_insist, args=(run.folder, holder, request.at), name="impatience", daemon=True
    ).start()
    return True


def _await_lease(run: Run, job: str, gone: threading.Event) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        holder = lease.holder(run.folder)
        if holder is not None and holder.job == job:
            return
        if gone.is_set():
            if holder is not None and holder.alive():
                raise BusyError(f'"{run.name}" is being worked on already. Stop it first.')
            if atomic.read_json(run.folder / "exit.json") is None:
                return  # it was quick: the journal has what came of it
            raise RunError(f"The worker did not start; {run.folder / 'worker.log'} says why.")
        time.sleep(0.02)
    raise RunError(
        f"The worker did not show itself within {START_SECONDS:.0f} seconds. "
        "The machine may be overloaded; look again in a minute."
    )


def _collect(
    folder: Path, job: str, process: subprocess.Popen[bytes], gone: threading.Event
) -> None:
    """Reap the worker, so it is no zombie, and note an end that it could not note itself."""
    code = process.wait()
    if code not in WORKERS_OWN_CODES:  # else the journal has the story
        with contextlib.suppress(OSError, RunError):  # the run was deleted meanwhile
            atomic.write_json(folder / "exit.json", {"job": job, "code": code})
    holder = lease.holder(folder)
    if holder is not None and holder.job == job and holder.leads_group:
        lease.end_group(holder, signal.SIGKILL)  # what a killed worker has forked
    gone.set()


def _insist(folder: Path, holder: Holder, asked_at: float) -> None:
    """SIGTERM after the grace, SIGKILL to the whole group a little later."""
    try:
        for deadline, number in (
            (asked_at + GRACE_SECONDS, signal.SIGTERM),
            (asked_at + GRACE_SECONDS + KILL_SECONDS, signal.SIGKILL),
        ):
            while holder.alive():
                if time.monotonic() >= deadline:
                    lease.end_group(holder, number)
                    break
                time.sleep(0.1)
        if holder.leads_group and not holder.alive():
            lease.end_group(holder, signal.SIGKILL)
    finally:
        with _guard:
            _impatient.discard((folder, holder.job))
