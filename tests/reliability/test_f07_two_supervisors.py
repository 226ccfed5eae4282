"""F7, F9: whoever watches may die or be two; there is one writer, and everyone sees the same."""

import subprocess
import sys
import textwrap
import time

from tests.jobs.conftest import wait_for, wait_until
from tests.jobs.fake_worker import UNITS
from workbench import jobs
from workbench.events import RoundFinished, StageStarted
from workbench.jobs import environment
from workbench.runs.folder import Run, open_run
from workbench.stages import ORDER, Stage

_STARTS = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from workbench import jobs
    from workbench.errors import BusyError
    from workbench.jobs import downloads, supervisor
    from workbench.runs.folder import open_run
    supervisor.WORKER_MODULE = "tests.jobs.fake_worker"
    downloads.missing = lambda recipe: []
    run = open_run(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        jobs.start(run)
    except BusyError:
        sys.exit(5)
    """
)


def _supervisor(run: Run) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _STARTS, str(run.folder)],
        env=environment.clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_f7_two_supervisors_at_once_make_one_worker(run_with) -> None:
    run = run_with(gated=0)
    servers = [_supervisor(run) for _ in range(3)]
    for server in servers:
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
    for server in servers:
        assert server.stdin is not None
        server.stdin.write("go\n")
        server.stdin.flush()
    for server in servers:
        server.communicate()
    run.remember("open", True)
    assert sorted(server.returncode for server in servers) == [0, 5, 5]
    wait_for(run, "finished")
    assert len(run.journal.all_of(StageStarted)) == len(ORDER)
    rounds = [event.round for event in run.journal.all_of(RoundFinished)]
    assert rounds == list(range(UNITS * len(ORDER)))


def test_f9_a_reader_that_comes_late_sees_the_same(run_with) -> None:
    run = run_with(pause=0.05)
    jobs.start(run, Stage.LABEL)
    early: list[object] = []
    cursor = 0
    while not run.stage_done(Stage.LABEL):
        batch = run.journal.since(cursor, limit=3)
        early += [event for _, event in batch]
        cursor = batch[-1][0] if batch else cursor
        time.sleep(0.01)
    early += [event for _, event in run.journal.since(cursor)]
    late = [event for _, event in open_run(run.folder).journal.since(0)]
    assert early == late
    wait_until(lambda: jobs.state(run).state == "ready for review")
