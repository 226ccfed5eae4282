"""One short question to the models of a run, answered in a process of its own.

The page never loads a model. The process gets the question on stdin and answers on stdout, both
JSON; it has the worker's clean environment and is ended, with all it started, when time is up.
Questions are answered one at a time per root: each may hold two models in memory.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workbench import errors
from workbench.errors import BusyError, WorkbenchError
from workbench.evaluate.checkers import require_own_machine
from workbench.jobs import downloads, environment, slices
from workbench.jobs.worker_log import open_log
from workbench.models import hub_access
from workbench.runs.folder import open_run
from workbench.runs.lease import lock

CONSULT_MODULE = "workbench.jobs.consult_worker"
TIMEOUT_SECONDS = 600.0
WITHOUT_GPU = ("merge",)
_asked: dict[Path, subprocess.Popen[bytes]] = {}  # run folder -> the process that answers


def consult(
    run_folder: Path,
    question: str,
    arguments: dict[str, Any] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Ask and wait; the run's folder is passed on as ``arguments["run"]``.

    Where a GPU is lent in slices it is answered in one, see ``slices``.

    Raises:
        WorkbenchError: of the same kind as in the process; or one sentence about time or memory.
    """
    deadline = time.monotonic() + timeout_seconds
    folder = run_folder.absolute()
    run = open_run(folder)
    require_own_machine(run.recipe.evaluation)
    access = downloads.access_of(run)
    with hub_access.using(access):
        downloads.fetch_missing(run.recipe, timeout_seconds)
    asked = {"question": question, "arguments": {**(arguments or {}), "run": str(folder)}}
    if slices.active() and question not in WITHOUT_GPU:
        return _unpack(slices.answer(asked))
    with _one_at_a_time(folder.parent, deadline), open_log(folder) as log:
        process = subprocess.Popen(
            environment.command(CONSULT_MODULE, str(int(timeout_seconds) + 5)),
            cwd=folder,
            env=environment.clean_environment() | hub_access.for_worker(access),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        _asked[folder] = process
        try:
            left = max(0.1, deadline - time.monotonic())
            output, _ = process.communicate(json.dumps(asked).encode(), timeout=left)
        except subprocess.TimeoutExpired as error:
            raise BusyError(
                f"There was no answer within {timeout_seconds:.0f} seconds. "
                "The machine may be busy with a run; try again later."
            ) from error
        finally:
            cancelled = _asked.pop(folder, None) is None
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if cancelled:
        raise BusyError("Cancelled.")
    return _unpack(_read(output, process.returncode, folder))


def cancel(run_folder: Path) -> bool:
    """End the process that answers a question about this run; True when there was one."""
    process = _asked.pop(run_folder.absolute(), None)
    if process is None:
        return False
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return True


def _read(output: bytes, code: int, folder: Path) -> dict[str, Any]:
    try:
        return json.loads(output)
    except ValueError:
        how = "for want of memory, perhaps" if code == -signal.SIGKILL else f"exit code {code}"
        raise WorkbenchError(
            f"The models gave no answer ({how}); {folder / 'worker.log'} has the details."
        ) from None


def _unpack(reply: dict[str, Any]) -> dict[str, Any]:
    if "error" not in reply:
        return reply["answer"]
    kind = getattr(errors, reply["error"]["type"], WorkbenchError)
    if not (isinstance(kind, type) and issubclass(kind, WorkbenchError)):
        kind = WorkbenchError
    raise kind(reply["error"]["message"])


@contextmanager
def _one_at_a_time(root: Path, deadline: float) -> Iterator[None]:
    (root / ".queue").mkdir(mode=0o700, exist_ok=True)
    descriptor = -1
    while descriptor < 0:
        descriptor = lock(root / ".queue" / "consult.lock")
        if descriptor < 0 and time.monotonic() > deadline:
            raise BusyError("Other questions are being answered. Try again in a minute.")
        if descriptor < 0:
            time.sleep(0.1)
    try:
        yield
    finally:
        os.close(descriptor)
