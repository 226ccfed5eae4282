"""A worker whose pipeline is a dozen lines: what it does stands in the run as ``script``.

Run as ``python -m tests.jobs.fake_worker`` in place of the real module.
"""

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator

from tests.runs.making import a_round, a_sample
from workbench.errors import StageError
from workbench.events import Event, Progress, StageFinished, StageStarted
from workbench.jobs import worker
from workbench.runs import checkpoints
from workbench.runs.folder import Run
from workbench.stages import ORDER, Stage

UNITS = 4


def advance(run: Run, until: Stage, stop_reason: Callable[[], str]) -> Iterator[Event]:
    """Four rounds in each stage, ``pause`` seconds each; oddities by the script.

    Round ``gated`` waits until the test has said ``run.remember("open", True)``, or for a stop.
    """
    script = run.recall("script", {})
    for stage in ORDER[: ORDER.index(until) + 1]:
        if run.stage_done(stage):
            continue
        run.journal.append(StageStarted(stage, resumed=run.stages()[stage].started_at is not None))
        for unit in range(UNITS):
            number = ORDER.index(stage) * UNITS + unit
            if number in run.samples.rounds():
                continue
            _oddity(run, script, stage)
            gated = number >= script.get("gated", 10**9)
            while gated and not run.recall("open") and not stop_reason():
                time.sleep(0.02)
            time.sleep(script.get("pause", 0.02))
            run.samples.commit_round(number, [a_sample(f"{stage} {unit}")], a_round(number, 1))
            event = Progress(stage, unit + 1, UNITS, "rounds", rate=2.0)
            run.journal.append(event)
            yield event
            if stop_reason() in ("pause", "discard") and not script.get("deaf"):
                return
            if stop_reason() == "keep":
                break
        if stage is Stage.EXPORT:
            pack(run)
        run.finish_stage(stage, StageFinished(stage, 1.0))


def pack(run: Run) -> None:
    """What the last step leaves behind."""
    run.write_result({"task_name": "fake"})
    with zipfile.ZipFile(run.exports / "adapter.zip", "w") as archive:
        archive.writestr("README.md", "fake")


def _oddity(run: Run, script: dict, stage: Stage) -> None:
    if script.get("at") not in (None, stage):
        return
    match script.get("odd"):
        case "refuse":
            raise StageError("Too few samples are kept. Keep more of them.")
        case "defect":
            raise KeyError("the secret cause")
        case "memory":
            raise MemoryError
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fork":
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            sleeper = subprocess.Popen(["/bin/sleep", "600"])
            run.remember("sleeper", sleeper.pid)
            run.remember("script", script | {"odd": ""})
            script["odd"] = ""
        case "write checkpoint":
            checkpoints.write(run.checkpoints, 1, {}, {})
        case "look around":
            seen = {"environment": dict(os.environ), "umask": os.umask(0o077), "path": sys.path}
            run.remember("seen", seen)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], advance))
