"""Who works on a run: one writer at a time, and whether it is alive.

The lock is ``flock`` on ``lease.lock``: the system drops it when the holder and everything that it
forked are gone, so two writers are impossible on one host. ``lease.json`` beside it is for
readers: pid, the process's start time (a pid alone may have been given to another process) and a
heartbeat on the monotonic clock (changes of the wall clock and suspends do not age it).
Not for network file systems.
"""

import fcntl
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

from workbench.errors import BusyError
from workbench.runs import atomic

BEAT_SECONDS = 2.0
# Loading a model may hold up the beating thread for a while.
STALE_SECONDS = 30.0


@dataclass(frozen=True)
class Holder:
    """What a worker says about itself.

    Attributes:
        job: id of the job, new for every start.
        pid: also the id of its process group.
        started: identity of the process: see ``identity``.
        beat: seconds on this machine's monotonic clock of the last sign of life.
        until: the stage after which it ends.
        phase: "queued" while it waits for the machine, "working", or "stopping".
        memory_bytes: resident memory now; peak_memory_bytes: its maximum so far.
        device_memory_bytes: memory taken on the accelerator; 0 without one.
    """

    job: str
    pid: int
    started: str
    beat: float
    until: str = ""
    phase: str = "working"
    memory_bytes: int = 0
    peak_memory_bytes: int = 0
    device_memory_bytes: int = 0

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return identity(self.pid) == self.started

    def silent_seconds(self) -> float:
        """Seconds since the last sign of life."""
        return max(0.0, time.monotonic() - self.beat)


class Lease:
    """The right to write a run, held by this process. Use as a context manager.

    A clean end removes ``lease.json``; one that is left behind tells of a worker that died.
    """

    def __init__(self, folder: Path, job: str, until: str = "") -> None:
        self.folder = folder
        self.holder = Holder(
            job=job,
            pid=os.getpid(),
            started=identity(os.getpid()) or "",
            beat=time.monotonic(),
            until=until,
        )
        self._descriptor = -1

    def __enter__(self) -> "Lease":
        self._descriptor = lock(self.folder / "lease.lock")
        if self._descriptor < 0:
            raise BusyError(
                f"Another worker holds the run {self.folder.name}. Wait until it ends, or stop it."
            )
        self.beat()
        return self

    def beat(self, **changes: str | int) -> None:
        """Tell that the worker is alive, with what has changed of the ``Holder``'s fields."""
        values = asdict(self.holder) | {"beat": time.monotonic()} | changes
        self.holder = Holder(**values)
        atomic.write_json(self.folder / "lease.json", values, durable=False)

    def __exit__(self, *_: object) -> None:
        (self.folder / "lease.json").unlink(missing_ok=True)
        os.close(self._descriptor)


def holder(folder: Path) -> Holder | None:
    """The last known worker, alive or dead; None after a clean end or before any start."""
    values = atomic.read_json(folder / "lease.json")
    if not isinstance(values, dict):
        return None
    known = {field.name for field in fields(Holder)}
    try:
        return Holder(**{key: value for key, value in values.items() if key in known})
    except TypeError:
        return None


def lock(path: Path) -> int:
    """Take an exclusive lock without waiting: an open descriptor, or -1 when it is taken.

    The lock is given up by closing the descriptor.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor


def identity(pid: int) -> str | None:
    """What tells a process from a later one with the same pid; None when there is none.

    On Linux: boot id and start time in clock ticks since boot; both ignore the wall clock.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _portable_identity(pid)
    # The command name is in parentheses and may hold anything; the state follows the last one.
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] in ("Z", "X") else f"{boot}:{after_name[19]}"


def _portable_identity(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{psutil.boot_time():.0f}:{process.create_time():.2f}"
    except psutil.Error:
        return None
