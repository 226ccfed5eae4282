"""Who works on a run: one writer at a time, and whether it is alive.

The lock is ``flock`` on ``lease.lock``: the system drops it when the holder and everything that it
forked are gone, so two writers are impossible on one host. ``lease.json`` beside it is for
readers: pid, the process's start time (a pid alone may have been given to another process) and a
heartbeat on the monotonic clock (changes of the wall clock and suspends do not age it).
Not for network file systems.
"""

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from workbench import activity
from workbench.errors import BusyError, WorkbenchError
from workbench.runs import atomic
from workbench.stages import Stage

BEAT_SECONDS = 2.0
# Loading a model may hold up the beating thread for a while.
STALE_SECONDS = 30.0
_MOST_PID = 2**31 - 1


@dataclass(frozen=True)
class Holder:
    """What a worker says about itself.

    Attributes:
        job: id of the job, new for every start.
        pid: of the process; also of its process group, if ``leads_group``.
        started: identity of the process: see ``identity``.
        beat: seconds on this machine's monotonic clock of the last sign of life.
        until: the stage after which it ends.
        phase: "queued" while it waits for the machine, "working", or "stopping".
        memory_bytes: resident memory now; peak_memory_bytes: its maximum so far.
        device_memory_bytes: memory taken on the accelerator; 0 without one.
        activity: how far its models are inside a piece of work, in words; "" when at none.
    """

    job: str
    pid: int
    started: str
    beat: float
    leads_group: bool = False
    until: str = ""
    phase: str = "working"
    memory_bytes: int = 0
    peak_memory_bytes: int = 0
    device_memory_bytes: int = 0
    activity: str = ""

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return identity(self.pid) == self.started

    def since(self) -> float:
        """Wall-clock seconds at which the process began; 0 when there is none."""
        try:
            return psutil.Process(self.pid).create_time()
        except psutil.Error:
            return 0.0

    def silent_seconds(self) -> float:
        """Seconds since the last sign of life."""
        return max(0.0, time.monotonic() - self.beat)


class Lease:
    """The right to write a run, held by this process. Use as a context manager.

    While it is held, a thread tells of life and memory. A clean end removes ``lease.json``; one
    that is left behind tells of a worker that died.

    Args:
        phase: at the beginning, see ``Holder``.
        watch: called at every beat; returns a new phase or "" for the same.
        descriptor: the lock as ``hand_over`` of this process's former program returned it.
    """

    def __init__(
        self,
        folder: Path,
        job: str,
        until: str = "",
        phase: str = "working",
        watch: Callable[[], str] = lambda: "",
        descriptor: int = -1,
    ) -> None:
        self.folder = folder
        self._watch = watch
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._descriptor = descriptor
        pid = os.getpid()
        self.holder = Holder(
            job=job,
            pid=pid,
            started=identity(pid) or "",
            beat=time.monotonic(),
            leads_group=os.getpgrp() == pid,
            until=str(until),
            phase=phase,
        )

    def __enter__(self) -> "Lease":
        if self._descriptor < 0:
            self._descriptor = _lock_or_clear(self.folder)
        os.set_inheritable(self._descriptor, False)
        self.beat()
        self._thread.start()
        return self

    def beat(self, phase: str = "") -> None:
        """Tell that the worker is alive, and what it is about."""
        with self._lock:
            if self._ended.is_set():
                return
            now, device = _memory()
            self.holder = replace(
                self.holder,
                beat=time.monotonic(),
                phase=phase or self.holder.phase,
                memory_bytes=now,
                peak_memory_bytes=max(now, self.holder.peak_memory_bytes),
                device_memory_bytes=device,
                activity=activity.words(),
            )
            atomic.write_json(self.folder / "lease.json", asdict(self.holder), durable=False)

    def hand_over(self) -> int:
        """Prepare for ``exec``: the program that replaces this one goes on holding the run."""
        with self._lock:
            self._ended.set()
        os.set_inheritable(self._descriptor, True)
        return self._descriptor

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.beat(self._watch())
            except (OSError, WorkbenchError):  # a full disk must not end the heartbeat for good
                continue

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended.set()
        (self.folder / "lease.json").unlink(missing_ok=True)
        os.close(self._descriptor)


def holder(folder: Path) -> Holder | None:
    """The last known worker, alive or dead; None after a clean end or before any start."""
    return read_holder(folder / "lease.json")


def read_holder(path: Path) -> Holder | None:
    """A worker's account of itself, or None when there is none that can be read."""
    found = atomic.read_as(path, Holder)
    if found is None or not 0 < found.pid <= _MOST_PID or found.until not in ("", *Stage):
        return None
    return found


def end_group(worker: Holder, number: int) -> None:
    """Signal a worker and what it has forked; nothing when its pid is another process by now.

    A process group's number is not given away while the group has a member, so what is left of
    the group of a dead worker is its own.
    """
    now = identity(worker.pid)
    if now is not None and now != worker.started:
        return
    with contextlib.suppress(ProcessLookupError):
        if worker.leads_group:
            os.killpg(worker.pid, number)
        elif now is not None:
            os.kill(worker.pid, number)


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


def _lock_or_clear(folder: Path) -> int:
    """The run's lock; children that a dead worker left behind are ended, as they hold it."""
    descriptor = lock(folder / "lease.lock")
    if descriptor >= 0:
        return descriptor
    former = holder(folder)
    if former is not None and not former.alive() and former.leads_group:
        end_group(former, signal.SIGKILL)
        for _ in range(50):
            if (descriptor := lock(folder / "lease.lock")) >= 0:
                return descriptor
            time.sleep(0.1)
    raise BusyError(f"Another worker holds the run {folder.name}. Wait until it ends, or stop it.")


def _memory() -> tuple[int, int]:
    """(resident bytes of this process, bytes taken on the accelerator)."""
    device = 0
    torch = sys.modules.get("torch")  # never imported for this
    # While another thread imports it, parts are missing.
    with contextlib.suppress(AttributeError):
        if torch is not None and torch.cuda.is_initialized():
            device = torch.cuda.memory_reserved()
    return psutil.Process().memory_info().rss, device


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
