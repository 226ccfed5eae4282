"""One SQLite file per run: connections, transactions, migrations.

A connection belongs to one thread of one process: it is opened on first use there and never
crosses a fork. A file that a newer version wrote is opened read-only; a file that is no database
is refused. Neither is ever deleted or repaired. Not for network file systems: WAL needs shared
memory on one host.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import BusyError, RunError
from workbench.runs.schema import MIGRATIONS

BUSY_SECONDS = 30
MAPPED_BYTES = 1 << 30


class Database:
    """Access to one run's ``run.db``.

    Attributes:
        read_only_because: "" or the sentence why nothing can be written (newer schema).
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        self.read_only_because = ""
        self._local = threading.local()
        if not create and not path.is_file():
            raise RunError(f"{path} is missing: this folder is not a complete run.")
        if not create and path.stat().st_size == 0:  # SQLite would take it for a new database
            raise RunError(_damaged(path, "it is empty"))
        if create:
            path.touch(mode=0o600)  # SQLite gives its side files the same rights
        with _sentences(path):
            connection = _open(path, "rw")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(MIGRATIONS):
                self.read_only_because = (
                    f"{path} was written by a newer version (schema {version}, this one knows "
                    f"{len(MIGRATIONS)}): it can be looked at but not continued. Upgrade first."
                )
                connection.close()
                return
            if version < len(MIGRATIONS):
                _migrate(connection)
            self._keep(connection)

    def connection(self) -> sqlite3.Connection:
        """This thread's connection; prefer ``read`` and ``write``."""
        held = getattr(self._local, "held", None)
        # After a fork the parent's handle must not be used, nor closed: SQLite's file locks are
        # the parent's.
        if held is not None and held[0] == os.getpid():
            return held[1]
        with _sentences(self.path):
            connection = _open(self.path, "ro" if self.read_only_because else "rw")
        self._keep(connection)
        return connection

    def read(self, sql: str, values: Any = ()) -> list[sqlite3.Row]:
        """All rows of one query."""
        with _sentences(self.path):
            return self.connection().execute(sql, values).fetchall()

    def one(self, sql: str, values: Any = ()) -> Any:
        """First column of the first row, or None."""
        rows = self.read(sql, values)
        return rows[0][0] if rows else None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Does not nest."""
        if self.read_only_because:
            raise RunError(self.read_only_because)
        connection = self.connection()
        with _sentences(self.path):
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

    def close(self) -> None:
        """Close this thread's connection; the next use opens a new one."""
        held = getattr(self._local, "held", None)
        self._local.held = None
        if held is not None and held[0] == os.getpid():
            held[1].close()

    def _keep(self, connection: sqlite3.Connection) -> None:
        self._local.held = (os.getpid(), connection)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        # Each thread uses its own; this only lets the collector close one from another thread.
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    # The timeout comes first, because switching the journal mode takes a lock.
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    if mode != "ro":
        connection.execute("PRAGMA journal_mode = WAL")
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
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise RunError(_damaged(path, str(error))) from error
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR")):
            raise RunError(f"{path} cannot be used: {error}. Check the folder's rights.") from error
        raise


def _damaged(path: Path, detail: str) -> str:
    return (
        f"{path} is damaged ({detail}). It is left as it is; duplicate the run as a new draft, "
        "or restore the folder from a copy."
    )
