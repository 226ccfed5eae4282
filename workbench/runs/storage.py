"""Where a Space keeps runs: its disk is emptied at every restart, what is under /data is not."""

import functools
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

DATA = Path("/data")


def usual_root() -> Path:
    """The folder of runs where nobody names one."""
    if os.environ.get("SPACE_ID") and holds_databases(DATA):
        return DATA / "runs"
    return Path("runs")


def is_lost_at_restart(root: Path) -> bool:
    """Whether runs are on the disk of a Space."""
    return bool(os.environ.get("SPACE_ID")) and not root.is_relative_to(DATA.resolve())


@functools.cache
def holds_databases(folder: Path) -> bool:
    """Whether a run's database works there: some mounts of remote storage know no locks, or no
    memory that two connections share, and would damage it."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".probe-") as place:
            path = Path(place) / "probe.db"
            with closing(_open(path)) as writer, closing(_open(path)) as other:
                if writer.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                    return False
                writer.execute("CREATE TABLE probe (value)")
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("INSERT INTO probe VALUES (1)")
                if _may_write(other):
                    return False
                writer.execute("COMMIT")
                return other.execute("SELECT count(*) FROM probe").fetchone()[0] == 1
    except (OSError, sqlite3.Error):
        return False


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0.0, isolation_level=None)


def _may_write(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True
