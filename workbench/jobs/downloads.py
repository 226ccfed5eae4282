"""Base models are fetched before a worker starts; then this process becomes the worker.

    python -m workbench.jobs.downloads FOLDER --until STAGE --job ID

Here, and only here, is the network and access to the Hub: the server's own on a machine of one's
own, the visitor's on a shared server (see ``models.hub_access``). Of what a person uploaded it
reads nothing but the recipe. The worker that replaces it (exec) has a clean environment and stays
offline.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from workbench.errors import BusyError, ModelError
from workbench.events import Progress, Stopped
from workbench.jobs import environment
from workbench.jobs.worker import FAILED, STOPPED, tell_failure
from workbench.models import hub_access, references
from workbench.models.hub_access import Access
from workbench.recipe import TransferRecipe
from workbench.runs import stop_request
from workbench.runs.folder import Run, open_run
from workbench.runs.lease import Lease
from workbench.stages import ORDER, Stage

WORKER_MODULE = "workbench.jobs.worker"
MODULE = "workbench.jobs.downloads"
HUB_USER = "hub user"  # the fact with the mark of the login that a run was begun with
REPORT_SECONDS = 1.0
MEGABYTE = 1_000_000


class _Asked(Exception):
    """A person asked to stop."""


def access_of(run: Run) -> Access:
    """As whom the Hub is asked for a run, and as whom its models are found again."""
    access = hub_access.current()
    if access.user:
        run.remember(HUB_USER, access.user)
    return hub_access.remembering(access, run.recall(HUB_USER, ""))


def missing(recipe: TransferRecipe) -> list[str]:
    """References of the recipe whose weights are not on this machine, source first."""
    both = dict.fromkeys((recipe.source_base, recipe.target_base))
    return [reference for reference in both if references.ready(reference) is None]


def fetch_missing(recipe: TransferRecipe, timeout_seconds: float) -> None:
    """Fetch in a process of its own and wait: conversion needs torch, the server has none.

    It asks the Hub as this process does, see ``hub_access.using``. A download that takes longer
    goes on; whoever asks again finds what it has brought.

    Raises:
        ModelError: with the sentence of the fetching process.
        BusyError: it is not done within the time.
    """
    for reference in missing(recipe):
        process = subprocess.Popen(
            environment.command("workbench", "fetch", reference),
            cwd=environment.PROJECT,
            env=fetching_environment(hub_access.current()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, errors = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            threading.Thread(target=process.communicate, daemon=True).start()  # no zombie
            raise BusyError(
                f"{reference} is still being downloaded. Ask again in a few minutes."
            ) from None
        if process.returncode != 0:
            lines = errors.strip().splitlines() or ["unknown reason"]
            raise ModelError(lines[-1].removeprefix("model: "))


def fetching_environment(access: Access) -> dict[str, str]:
    """Environment of a process that fetches for ``access``."""
    return {**hub_access.for_fetching(access), "PYTHONPATH": environment.python_path()}


def main(arguments: list[str]) -> int:
    """Fetch, then become the worker; returns only when it does not come to that."""
    parser = argparse.ArgumentParser(prog=MODULE)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--until", type=Stage, required=True)
    parser.add_argument("--job", required=True)
    options = parser.parse_args(arguments)
    run = open_run(options.folder)
    stage = next((s for s in ORDER if not run.stage_done(s)), options.until)
    with Lease(run.folder, options.job, options.until) as lease:
        try:
            for reference in missing(run.recipe):
                _fetch(run, reference, stage, options.job)
        except _Asked:
            run.journal.append(Stopped(stage, "stopped", "Stopped during a download."))
            return STOPPED
        except Exception as error:
            tell_failure(run, stage, error)
            return FAILED
        run.database.close()
        command = environment.command(
            WORKER_MODULE, str(run.folder), "--until", options.until.value, "--job", options.job,
            "--lease", str(lease.hand_over()),
        )  # fmt: skip
        os.execve(command[0], command, environment.clean_environment())


def _fetch(run: Run, reference: str, stage: Stage, job: str) -> None:
    """Fetch one model; how far it is goes into the journal."""
    told = 0.0

    def report(phase: str, done: int, total: int) -> None:
        nonlocal told
        request = stop_request.read(run.folder)
        if request is not None and request.job == job:
            raise _Asked
        if time.monotonic() - told >= REPORT_SECONDS:
            told = time.monotonic()
            note = f"{phase} ({reference})"
            run.journal.append(
                Progress(stage, done // MEGABYTE, total // MEGABYTE, "MB", note=note)
            )

    report("getting ready", 0, 0)
    references.fetch(reference, report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
