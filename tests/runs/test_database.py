"""Connections by thread and process, transactions, migrations, damaged and newer files (F5)."""

import os
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests import locks
from tests.runs.making import a_round, a_run, a_sample, with_samples
from workbench.errors import RunError
from workbench.events import Warned
from workbench.runs import atomic, database
from workbench.runs.database import Database
from workbench.runs.folder import open_run
from workbench.runs.listing import list_runs
from workbench.runs.schema import MIGRATIONS
from workbench.runs.summary import summary


def test_settings_of_a_connection(tmp_path: Path) -> None:
    wanted = {"journal_mode": "wal", "busy_timeout": 30_000, "synchronous": 1, "foreign_keys": 1}
    with a_run(tmp_path).database.connection() as connection:
        got = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted}
    assert got == wanted


def test_threads_at_the_same_moment_have_connections_of_their_own(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    seen: set[int] = set()
    together = threading.Barrier(8)

    def look() -> None:
        run.journal.append(Warned("synthesize", "x"))
        with run.database.connection() as connection:
            seen.add(id(connection))
            together.wait()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(run.journal.all_of(Warned)) == 8 and len(seen) == 8


def test_a_transaction_sees_what_it_wrote(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.database.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', '1')")
        assert run.recall("a") == 1


def test_open_files_are_bounded_by_threads_not_by_runs(tmp_path: Path) -> None:
    """Fifty pages over a hundred runs; each look is a query on one of forty threads."""
    runs = [a_run(tmp_path) for _ in range(100)]
    for run in runs:
        run.database.close()
    before = len(os.listdir("/proc/self/fd"))

    def page(number: int) -> None:
        for step in range(12):
            assert summary(runs[(7 * number + step) % 100]).name == "a run"

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(page, range(50)))
    assert len(os.listdir("/proc/self/fd")) - before <= 4 * database.IDLE_CONNECTIONS


def test_a_run_that_was_put_in_the_place_of_another_is_read_anew(tmp_path: Path) -> None:
    run, other = a_run(tmp_path), a_run(tmp_path)
    other.rename("the other")
    assert run.name == "a run"
    other.database.close()
    os.replace(other.folder / "run.db", run.folder / "run.db")
    assert run.name == "the other"


def test_a_connection_does_not_cross_a_fork(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with run.database.connection() as before:
        pass
    child = os.fork()
    if child == 0:
        try:
            run.journal.append(Warned("synthesize", "from the child"))
            with run.database.connection() as own:
                os._exit(0 if own is not before else 9)
        except BaseException:
            os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [event.message for event in run.journal.all_of(Warned)] == ["from the child"]


def test_a_run_that_is_opened_again_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """To open and close the file by hand would free them: POSIX locks belong to the process.

    The last process to leave removes the write-ahead file; one that still reads must hold it.
    """
    run = with_samples(tmp_path, a_sample("before"))
    path = run.folder / "run.db"
    assert run.database.one("SELECT count(*) FROM samples") == 1
    open_run(run.folder)
    list_runs(tmp_path)
    worker = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('UPDATE samples SET input = ?', ('after',))\n"
        "connection.close()\n"
    )
    subprocess.run([sys.executable, "-c", worker, str(path)], check=True)
    assert path.with_name("run.db-wal").exists(), "it was taken from under the reader"
    assert run.database.one("SELECT input FROM samples") == "after"


def test_a_database_opened_by_hand_is_seen(
    tmp_path: Path,
) -> None:
    """Every test fails in which the program does so."""
    run = a_run(tmp_path)
    for path in (run.folder / "run.db", run.folder / "run.db-wal"):
        with pytest.raises(AssertionError, match="opens"):
            atomic.sha256_of(path)
    assert len(locks.opened) == 2
    locks.opened.clear()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with pytest.raises(ZeroDivisionError), run.database.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', '1')")
        _ = 1 / 0
    assert run.recall("a") is None
    run.remember("a", 2)
    assert run.recall("a") == 2


def test_an_older_file_is_brought_up_to_date(tmp_path: Path, monkeypatch) -> None:
    run = with_samples(tmp_path, a_sample("one"))
    run.database.close()
    later = (*MIGRATIONS, ("add a note", "ALTER TABLE samples ADD COLUMN note TEXT;\n"))
    monkeypatch.setattr(database, "MIGRATIONS", later)
    again = open_run(run.folder)
    names = [row["name"] for row in again.database.read("SELECT name FROM migrations ORDER BY at")]
    assert names == [name for name, _ in later]
    assert again.database.one("SELECT count(*) FROM samples WHERE note IS NULL") == 1
    again.database.close()
    assert open_run(run.folder).read_only_because == ""


def test_a_broken_migration_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    run = with_samples(tmp_path, a_sample("one"))
    run.database.close()
    broken = ("broken", "DROP TABLE samples;\nCREATE TABLE samples;\n")
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(sqlite3.OperationalError):
        open_run(run.folder)
    monkeypatch.undo()
    assert open_run(run.folder).samples.count() == 1


def test_f5_a_newer_file_is_shown_but_not_written(tmp_path: Path) -> None:
    run = with_samples(tmp_path, a_sample("one"))
    run.database.read(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    run.database.close()
    newer = open_run(run.folder)
    assert "Upgrade" in newer.read_only_because
    assert newer.samples.page()[0].input == "one"
    with pytest.raises(RunError, match="Upgrade"):
        newer.rename("other")
    with pytest.raises(RunError, match="readonly"):
        newer.database.read("DELETE FROM samples")
    assert "Upgrade" in list_runs(tmp_path)[0].problem


@pytest.mark.parametrize(
    "damage", ["header", "empty", "gone", "short", "another", "a folder", "a link"]
)
def test_f5_a_damaged_file_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    run = with_samples(tmp_path, a_sample("one"))
    run.database.close()
    path = run.folder / "run.db"
    content = {
        "header": b"no database at all" * 400,
        "empty": b"",
        "short": path.read_bytes()[:300],  # SQLite would take it for a new one
    }
    if damage in content:
        path.write_bytes(content[damage])
    else:
        kept = path.rename(tmp_path / "kept.db")
        if damage == "another":
            with closing(sqlite3.connect(path)) as fresh:
                fresh.execute("CREATE TABLE other (x)")
        elif damage == "a folder":
            path.mkdir()
        elif damage == "a link":
            path.symlink_to(kept)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RunError, match=r"damaged|missing|no file"):
        open_run(run.folder)
    assert (path.read_bytes() if path.is_file() else None) == before
    line = list_runs(tmp_path)[0]
    assert line.phase == "cannot be opened" and line.problem


def test_f5_damage_in_the_middle_is_found_by_the_check(tmp_path: Path) -> None:
    run = with_samples(tmp_path, *[a_sample(f"text {n} " * 40) for n in range(300)])
    run.database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    run.database.close()
    path = run.folder / "run.db"
    content = bytearray(path.read_bytes())
    content[20 * 4096 : 40 * 4096] = bytes(20 * 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match="damaged"):
        Database(path).check()


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    pages = run.database.one("PRAGMA page_count")
    run.database.read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RunError, match="full"):
        run.samples.commit_round(0, [a_sample(f"t{n}" * 50) for n in range(100)], a_round(0))
    assert run.samples.count() == 0 and run.samples.rounds() == set()
