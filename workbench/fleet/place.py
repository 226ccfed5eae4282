"""The output place of a fleet: a folder, an object store or a Hub repository, through fsspec.

A run's copy is good at every moment: files of one name are replaced whole, its database goes last
(what it does not know of yet is made again, the same), and ``standing.json`` after that. SQLite
itself never works here: it is not for network file systems.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from workbench.errors import RunError, WorkbenchError
from workbench.runs import atomic
from workbench.runs.folder import Run

STANDING = "standing.json"
DATABASE = "run.db"
# Of the process that works on the run, not of the run.
_STAYS = ("lease.json", "lease.lock", "stop.json", "exit.json", "run.db-wal", "run.db-shm")


class PlaceError(WorkbenchError):
    """The output place cannot be reached or written."""

    code = "place"


class Place:
    """Where the copies of runs are, each in a folder of its name.

    Args:
        url: a local folder, or s3://, gs://, hf:// and what else fsspec knows here.

    Raises:
        PlaceError: the package for this kind of place is not installed, or the address is wrong.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            files, root = fsspec.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise PlaceError(f"{url}: {error}.") from error
        except (ValueError, OSError) as error:
            raise PlaceError(f"{url} is no place to write to: {error}.") from error
        self.files: Any = files
        self.root = root.rstrip("/")
        self.is_folder = isinstance(files, LocalFileSystem)
        if self.is_folder and Path(self.root).is_file():
            raise PlaceError(f"{url} is a file. Results go into a folder: say another one.")

    def names(self) -> list[str]:
        """Names of all runs that have a copy here, sorted."""
        with _told(self.url):
            if not self.files.exists(self.root):
                return []
            listed = self.files.ls(self.root, detail=True)
            found = (entry["name"] for entry in listed if entry["type"] == "directory")
            return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)

    def standings(self, names: Sequence[str]) -> dict[str, bytes]:
        """The content of ``standing.json`` by run; runs without one are left out."""
        paths = {self._path(name, STANDING): name for name in names}
        if self.is_folder:  # a pipe would be waited for without end
            paths = {path: name for path, name in paths.items() if Path(path).is_file()}
        if not paths:
            return {}
        with _told(self.url):
            found = self.files.cat(list(paths), on_error="omit")
        content = found if isinstance(found, dict) else dict.fromkeys(paths, found)
        by_name = {name: content.get(path) for path, name in paths.items()}
        return {name: text for name, text in by_name.items() if text is not None}

    def write_standing(self, name: str, standing: dict[str, Any]) -> None:
        """Replace ``standing.json`` of a run."""
        self.write(f"{name}/{STANDING}", json.dumps(standing, indent=2, ensure_ascii=False) + "\n")

    def write(self, relative: str, text: str) -> None:
        """Replace a file of text."""
        path = self._path(relative)
        with _told(self.url):
            if self.is_folder:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                atomic.write_text(Path(path), text)
            else:
                self.files.pipe_file(path, text.encode())

    def fetch(self, name: str, folder: Path) -> None:
        """Make ``folder`` the run as its copy here is.

        Raises:
            PlaceError: there is none, or the place cannot be reached.
        """
        partial = atomic.partial_name(folder)
        root = self._path(name)
        with _told(self.url):
            found = self.files.find(root)
            if self._path(name, DATABASE) not in found:
                raise PlaceError(f"{self.url} has no run {name} any more: its database is missing.")
            for path in found:
                relative = path[len(root) :].lstrip("/")
                if relative == STANDING or relative.endswith(atomic.PART):
                    continue
                target = partial / relative
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.files.get_file(path, str(target))
            for inner in ("inputs", "checkpoints", "exports"):
                (partial / inner).mkdir(mode=0o700, exist_ok=True)
            atomic.replace_folder(partial, folder)

    def _path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))


class Copier:
    """Keeps the copy of one run in step with the run; sends what has changed since it last did."""

    def __init__(self, place: Place, run: Run) -> None:
        self._place, self._run = place, run
        self._sent: dict[str, tuple[int, int]] = {}

    def copy(self) -> None:
        """Send what is new, then the database, then remove what the run no longer has.

        To be called between two events of the pipeline, when nothing else writes the run.

        Raises:
            PlaceError: the place cannot be reached; what is there is still good.
        """
        here = {
            path.relative_to(self._run.folder).as_posix(): path
            for path in sorted(self._run.folder.rglob("*"))
            if path.is_file() and not path.is_symlink() and not _stays(path)
        }
        here.pop(DATABASE, None)
        with _told(self._place.url):
            for relative, path in here.items():
                status = path.stat()
                stamp = (status.st_size, status.st_mtime_ns)
                if self._sent.get(relative) != stamp:
                    self._put(path, relative)
                    self._sent[relative] = stamp
            self._put_database()
            for relative in set(self._sent) - set(here):
                self._place.files.rm_file(self._there(relative))
                del self._sent[relative]

    def know_the_copy(self) -> None:
        """The run is as its copy: nothing of it has to be sent again."""
        for path in self._run.folder.rglob("*"):
            if path.is_file() and path.name != DATABASE and not _stays(path):
                status = path.stat()
                relative = path.relative_to(self._run.folder).as_posix()
                self._sent[relative] = (status.st_size, status.st_mtime_ns)

    def _put_database(self) -> None:
        with tempfile.TemporaryDirectory(dir=self._run.folder.parent) as scratch:
            whole = Path(scratch) / DATABASE
            target = sqlite3.connect(whole)
            try:
                with self._run.database.connection() as connection:
                    connection.backup(target)
            finally:
                target.close()
            self._put(whole, DATABASE)

    def _put(self, path: Path, relative: str) -> None:
        there = self._there(relative)
        if self._place.is_folder:
            Path(there).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.copy_in(path, Path(there))
        else:
            self._place.files.put_file(str(path), there)

    def _there(self, relative: str) -> str:
        return "/".join((self._place.root, self._run.id, relative))


def _stays(path: Path) -> bool:
    return path.name in _STAYS or any(part.endswith(atomic.PART) for part in path.parts)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Whatever goes wrong with a place is one sentence; each kind of place has its own errors."""
    try:
        yield
    except PlaceError:
        raise
    except Exception as error:
        what = error.message if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
        raise PlaceError(f"{url} cannot be used: {what}") from error
