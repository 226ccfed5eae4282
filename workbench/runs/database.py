"""One SQLite file per run: connections, transactions, migrations.

A connection is lent to one thread at a time and kept for the next; over all runs of a process at
most ``IDLE_CONNECTIONS`` wait, so open files are bounded by the threads and not by the runs or the
pages. None crosses a fork, which waits until none is lent. A file that a newer version wrote, or
in a folder that may not be written, is opened read-only; a file that is no database is refused.
None is ever deleted or repaired. Not for network file systems: WAL needs shared memory on one host.
"""

import os
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import BusyError, RunError
from workbench.runs.schema import MIGRATIONS

BUSY_SECONDS = 30
MAPPED_BYTES = 1 << 30
_UNLOCKED = "ro&immutable=1"
IDLE_CONNECTIONS = 48  # three open files each
FORK_SECONDS = 10.0  # that a fork waits for transactions of other threads at most

# Of errors that SQLite has no name of their own for.
_OF_THE_CONTENT = re.compile(
    r"no such (table|column)|malformed JSON|JSON cannot hold|Could not decode to UTF-8"
)

_Key = tuple[str, int, int, str]  # path, device, inode, mode
_idle: list[tuple[_Key, sqlite3.Connection]] = []  # the longest unused first
_lent: Counter[int] = Counter()  # thread -> connections that take locks
_guard = threading.Condition(threading.Lock())


class Database:
    """Access to one run's ``run.db``.

    Args:
        glance: for reading a file that nobody writes: no locks are taken, no files made.

    Attributes:
        read_only_because: "" or the sentence why nothing can be written.
    """

    def __init__(self, path: Path, *, create: bool = False, glance: bool = False) -> None:
        self.path = path
        self.read_only_because = ""
        self._mode = _UNLOCKED if glance else "rw"
        self._keeps = glance  # its one connection goes with it
        self._local = threading.local()
        if create:
            path.touch(mode=0o600, exist_ok=False)  # SQLite gives its side files the same rights
        else:
            _require_database(path)
            self._require_rights()
        with self.connection() as connection, _sentences(path):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if not version and not create:
                raise RunError(_damaged(path, "it has no tables of a run"))
            if version > len(MIGRATIONS):
                self._read_only(
                    f"{path} was written by a newer version (schema {version}, this one knows "
                    f"{len(MIGRATIONS)}): it can be looked at but not continued. Upgrade first."
                )
            elif version < len(MIGRATIONS) and self._mode == "rw":
                if create:
                    connection.execute("PRAGMA journal_mode = WAL")  # noted in the file
                _migrate(connection)

    def _require_rights(self) -> None:
        if not os.access(self.path, os.W_OK) or not os.access(self.path.parent, os.W_OK):
            self._read_only(
                f"{self.path.parent} may not be written: it can be looked at but not continued. "
                "Give yourself the right to write the folder and its files."
            )
            if not os.access(self.path.parent, os.W_OK):
                self._mode = _UNLOCKED  # there is no place for the files of WAL

    def _read_only(self, sentence: str) -> None:
        self.read_only_because, self._mode = sentence, "ro"

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of this thread's for a while; prefer ``read`` and ``write``."""
        held = getattr(self._local, "held", None)
        if held is not None:  # inside of a transaction the same one
            yield held
            return
        key, connection = _borrow(self.path, self._mode)
        self._local.held = connection
        try:
            yield connection
        finally:
            if not self._keeps:
                self._local.held = None
                _give_back(key, connection)

    def read(self, sql: str, values: Any = ()) -> list[sqlite3.Row]:
        """All rows of one query."""
        with self.connection() as connection, _sentences(self.path):
            return connection.execute(sql, values).fetchall()

    def one(self, sql: str, values: Any = ()) -> Any:
        """First column of the first row, or None."""
        rows = self.read(sql, values)
        return rows[0][0] if rows else None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Does not nest."""
        if self.read_only_because:
            raise RunError(self.read_only_because)
        with self.connection() as connection, _sentences(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def check(self) -> None:
        """Raise RunError when SQLite finds the file damaged; reads the whole file."""
        verdict = self.one("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise RunError(_damaged(self.path, str(verdict)))

    def damaged(self, detail: str) -> RunError:
        """The error about content that is not as it was written."""
        return RunError(_damaged(self.path, detail))

    def close(self) -> None:
        """Close the connections that wait for this file: before it is moved."""
        _close_idle(str(self.path))


def _require_database(path: Path) -> None:
    """Raise RunError for what SQLite would take for a new database, or follow elsewhere."""
    if path.is_symlink() or not path.is_file():
        what = "is no file" if path.is_symlink() or path.exists() else "is missing"
        raise RunError(f"{path} {what}: this folder is not a complete run.")
    # Looked at from outside only: to open and close the file here would free every lock that this
    # process's connections hold on it (fcntl), and a worker that ends would take away their WAL.
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    if size < 512:  # SQLite would take it for a new one
        raise RunError(_damaged(path, "it is cut off" if size else "it is empty"))


def _borrow(path: Path, mode: str) -> tuple[_Key, sqlite3.Connection]:
    try:
        status = path.stat()
    except OSError as error:
        raise RunError(f"{path} is missing: this folder is not a complete run.") from error
    key = (str(path), status.st_dev, status.st_ino, mode)
    if mode == _UNLOCKED:
        return key, _opened(path, mode)
    me = threading.get_ident()
    with _guard:
        # Who holds one may take another, or a fork would wait for it for ever.
        _guard.wait_for(lambda: not _forking or me in _lent)
        _lent[me] += 1
        for place in range(len(_idle) - 1, -1, -1):
            if _idle[place][0] == key:
                return _idle.pop(place)
    try:
        return key, _opened(path, mode)
    except BaseException:
        with _guard:
            _is_back()
        raise


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    with _sentences(path):
        return _open(path, mode)


def _give_back(key: _Key, connection: sqlite3.Connection) -> None:
    if key[3] == _UNLOCKED:  # it would not see what is written later
        connection.close()
        return
    with _guard:
        _is_back()
        _idle.append((key, connection))
        while len(_idle) > IDLE_CONNECTIONS:
            _idle.pop(0)[1].close()


def _is_back() -> None:
    """One connection of this thread's is no longer lent; under the guard."""
    thread = threading.get_ident()
    _lent[thread] -= 1
    if _lent[thread] <= 0:  # less in a child of a thread that forked with one
        del _lent[thread]
    _guard.notify_all()


def _close_idle(path: str = "") -> None:
    """Close what waits, of one file or of all."""
    with _guard:
        wanted = [entry for entry in _idle if path in ("", entry[0][0])]
        _idle[:] = [entry for entry in _idle if entry not in wanted]
        for _, connection in wanted:
            connection.close()


def _before_fork() -> None:
    """Let no connection of another thread's cross: SQLite would take its locks for the child's.

    The guard is held from here on, so that none is lent meanwhile.
    """
    global _forking
    me = threading.get_ident()
    _guard.acquire()
    _forking += 1
    _guard.wait_for(lambda: not set(_lent) - {me}, timeout=FORK_SECONDS)
    _forking -= 1
    while _idle:
        _idle.pop()[1].close()


def _after_fork() -> None:
    _guard.notify_all()
    _guard.release()


def _begin_child() -> None:
    """No other thread is here; this one goes on under its own number."""
    global _guard, _forking
    _guard = threading.Condition(threading.Lock())
    _forking = 0
    _lent.clear()


_forking = 0  # threads that wait to fork
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_begin_child)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # one thread after the other
    )
    connection.row_factory = sqlite3.Row
    if mode == "rw":
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    # Searching reads the whole file: from the system's cache, shared by all threads' connections.
    connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply what is missing, in one transaction; two processes at once are safe."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, at REAL NOT NULL)"
        )
        done = {row["name"] for row in connection.execute("SELECT name FROM migrations")}
        for name, script in MIGRATIONS:
            if name not in done:
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute("INSERT INTO migrations VALUES (?, ?)", (name, time.time()))
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """Split at the semicolons that end a statement (``executescript`` would commit midway)."""
    pending = ""
    for line in script.strip().splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file into sentences for a person."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise BusyError(
                f"{path} was locked by another process for {BUSY_SECONDS} seconds. Try again."
            ) from error
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE")):
            raise RunError(
                f"The disk that holds {path} is full. Nothing was lost. Free some space and "
                "continue the run."
            ) from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or _OF_THE_CONTENT.search(
            str(error)
        ):
            raise RunError(_damaged(path, str(error))) from error
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR")):
            raise RunError(f"{path} cannot be used: {error}. Check the folder's rights.") from error
        raise


def _damaged(path: Path, detail: str) -> str:
    return (
        f"{path} is damaged ({detail}). It is left as it is. "
        f"`python -m workbench runs --check {path.parent.name}` says what can still be taken."
    )
