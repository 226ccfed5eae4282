"""What can happen to the files of a run: each corruption changes one finished run in one way.

Every file of a run is taken away, emptied, cut, zeroed, made unreadable, given wrong types, or has
a folder or a link in its place. ``CORRUPTIONS`` has them by name.
"""

import json
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Change = Callable[[Path], object]


@dataclass(frozen=True)
class Corruption:
    """One way of damage.

    Attributes:
        name: of file and damage.
        apply: changes a run's folder.
        told: the check must name it; False for what is made again without a word.
        spares_adapter: the packed adapter's zip is untouched and must still be had.
    """

    name: str
    apply: Change
    told: bool = True
    spares_adapter: bool = True


def _in_place(path: Path) -> dict[str, Callable[[], object]]:
    """Damage that can happen to any file, whatever it holds."""
    size = path.stat().st_size if path.is_file() else 0
    return {
        "missing": path.unlink,
        "empty": lambda: path.write_bytes(b""),
        "cut in half": lambda: os.truncate(path, size // 2),
        "zeroed": lambda: path.write_bytes(bytes(size)),
        "a folder": lambda: (path.unlink(), path.mkdir()),
        "a dangling link": lambda: (path.unlink(), path.symlink_to("nowhere")),
        "a link to itself": lambda: (path.unlink(), path.symlink_to(path.name)),
        "a pipe": lambda: (path.unlink(), os.mkfifo(path)),
        "unreadable": lambda: path.chmod(0),
    }


_JSON_TEXTS = {
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"7",
    "no UTF-8": b'{"a": "\xff\xfe"}',
    "nested without end": b"[" * 100_000,
    "an endless number": b'{"schema": ' + b"9" * 5000 + b"}",
}


def _wrong_types(path: Path, key: str, value: Any) -> None:
    content = json.loads(path.read_text())
    content[key] = value
    path.write_text(json.dumps(content))


def _sql(statement: str) -> Change:
    def change(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "run.db", isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = 1")
            connection.execute(statement)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    return change


def _overwrite(name: str, offset: float, content: bytes) -> Change:
    """Bytes at a fraction of the file."""

    def change(folder: Path) -> None:
        path = folder / name
        with path.open("r+b") as file:
            file.seek(int(path.stat().st_size * offset))
            file.write(content)

    return change


_DATABASE = {
    "facts half JSON": "UPDATE facts SET value = '{\"a' WHERE key = 'created_at'",
    "name half JSON": "UPDATE facts SET value = '\"a' WHERE key = 'name'",
    "name is a number": "UPDATE facts SET value = '3' WHERE key = 'name'",
    "facts nested without end": "UPDATE facts SET value = printf('%.100000c', '[')",
    "facts of endless numbers": "UPDATE facts SET value = printf('%.9000c', '9')",
    "created at no time": "UPDATE facts SET value = 'Infinity' WHERE key = 'created_at'",
    "name is bytes": "UPDATE facts SET value = x'ff00ff' WHERE key = 'name'",
    "events half JSON": "UPDATE events SET body = substr(body, 1, 5)",
    "events of wrong types": "UPDATE events SET body = '{\"stage\": 3, \"done\": \"x\"}'",
    "events are lists": "UPDATE events SET body = '[1]'",
    "events are bytes": "UPDATE events SET body = x'ff'",
    "events of nonsense times": "UPDATE events SET at = 'noon', body = 1",
    "events of an unknown step": "UPDATE events SET body = '{\"stage\": \"dance\"}'",
    "events nested without end": "UPDATE events SET body = printf('%.100000c', '[')",
    "events at no time": "UPDATE events SET at = 9e999",
    "events of the last number": "UPDATE events SET cursor = 9223372036854775807 WHERE cursor = 1",
    "counts of a step half JSON": "UPDATE stages SET counts = '{'",
    "times of a step are words": "UPDATE stages SET started_at = 'noon', seconds = 'long'",
    "counts of a step nested without end": "UPDATE stages SET counts = printf('%.100000c', '[')",
    "times of a step without end": "UPDATE stages SET started_at = -9e999, seconds = 9e999",
    "a step of bytes": "UPDATE stages SET stage = x'ff00' WHERE stage = 'export'",
    "scores without end": "UPDATE samples SET discriminator_score = 9e999, confidence = -9e999",
    "samples of the last number": "UPDATE samples SET version = 9223372036854775807, round = -5",
    "tallies of bytes": "UPDATE tallies SET status = x'ff' WHERE status = 'kept'",
    "answers to no row": "UPDATE answers SET row = 9223372036854775807 WHERE row = 1",
    "answers of scores without end": "UPDATE answers SET score = 9e999",
    "samples with words for scores": "UPDATE samples SET discriminator_score = 'high' WHERE seq=5",
    "samples of bytes": "UPDATE samples SET input = x'ff00' WHERE seq = 5",
    "samples with words for numbers": "UPDATE samples SET version = 'old', round = 'last'",
    "tallies are words": "UPDATE tallies SET n = 'many'",
    "answers of bytes": "UPDATE answers SET prediction = x'ff00', correct = 'yes'",
    **{
        f"no table {table}": f"DROP TABLE {table}"
        for table in ("facts", "events", "stages", "samples", "tallies", "answers", "edits",
                      "changes", "rounds")
    },
}  # fmt: skip
_HARMLESS_ROWS = {
    "events of an unknown step", "events of the last number", "scores without end",
    "samples of the last number", "answers to no row",
}  # fmt: skip


def _of_files() -> Iterator[Corruption]:
    kinds = (
        "missing", "empty", "cut in half", "zeroed", "a folder", "a dangling link",
        "a link to itself", "a pipe",
    )  # fmt: skip
    files = (
        "recipe.json", "result.json", "inputs/inputs.json", "run.db", "inputs/adapter-*",
        "inputs/evaluation-*", "inputs/seeds-*", "exports/*.zip",
        "checkpoints/step-000002/tensors.safetensors",
        "checkpoints/step-000002/manifest.json", "checkpoints/step-000002/meta.json",
        "lease.json", "stop.json", "exit.json", "worker.log",
    )  # fmt: skip
    ours = ("lease.json", "stop.json", "exit.json", "worker.log")  # made again at need
    for name in files:
        for kind in (*kinds, "unreadable"):

            def change(folder: Path, name: str = name, kind: str = kind) -> None:
                _in_place(next(folder.glob(name)))[kind]()

            told = kind == "a folder" if name in ours else kind != "unreadable"
            yield Corruption(f"{name}: {kind}", change, told, not name.endswith(".zip"))


def _of_json() -> Iterator[Corruption]:
    for name in ("recipe.json", "result.json", "inputs/inputs.json", "lease.json", "stop.json"):
        for kind, text in _JSON_TEXTS.items():
            yield Corruption(
                f"{name}: {kind}",
                lambda folder, name=name, text=text: (folder / name).write_bytes(text),
            )
    wrong = {
        "recipe.json": {"synthesis": 3, "training": [], "schema": "new", "seed": "one"},
        "result.json": {"arms": {"a": {"n": 3}}, "counts": 3, "verdict": "good", "task_name": 4},
        "inputs/inputs.json": {"adapter": 1, "seeds": {"file": "../../x"}, "evaluation": []},
        "checkpoints/step-000002/manifest.json": {"step": "two", "schema": [], "files": 1},
        "lease.json": {"pid": "x", "started": 4, "beat": [], "until": "dance", "phase": {}},
        "stop.json": {"mode": "dance", "at": "noon", "job": 4},
    }
    for name, changes in wrong.items():
        for key, value in changes.items():
            yield Corruption(
                f'{name}: wrong type of "{key}"',
                lambda folder, name=name, key=key, value=value: _wrong_types(
                    folder / name, key, value
                ),
                told=name not in ("lease.json", "stop.json") or key not in ("until", "mode"),
            )
    pids = {"negative": -5, "huge": 2**70, "of init": 1, "zero": 0}
    for kind, pid in pids.items():
        yield Corruption(
            f"lease.json: a {kind} pid",
            lambda folder, pid=pid: _wrong_types(folder / "lease.json", "pid", pid),
            told=False,
        )
    for kind, code in {"a word": "bad", "no signal": -500, "nothing": None}.items():
        yield Corruption(
            f"exit.json: the code is {kind}",
            lambda folder, code=code: _wrong_types(folder / "exit.json", "code", code),
            told=False,
        )


def _of_database() -> Iterator[Corruption]:
    for name, statement in _DATABASE.items():
        yield Corruption(f"run.db: {name}", _sql(statement), told=name not in _HARMLESS_ROWS)
    middles = {"the header": 0.0, "a third": 0.3, "the middle": 0.5, "the end": 0.9}
    for name, place in middles.items():
        yield Corruption(
            f"run.db: noise over {name}", _overwrite("run.db", place, os.urandom(9000))
        )
    for name, bytes_left in {"100 bytes": 100, "one page": 4096, "511 bytes": 511}.items():
        yield Corruption(
            f"run.db: cut to {name}",
            lambda folder, n=bytes_left: os.truncate(folder / "run.db", n),
        )
    yield Corruption("run.db: of a newer version", _sql("PRAGMA user_version = 99"))
    yield Corruption(
        "run.db: another text", lambda f: (f / "run.db").write_text("Dear all,\n" * 99)
    )
    yield Corruption(
        "run.db: another database",
        lambda f: ((f / "run.db").unlink(), _sql("CREATE TABLE other (x)")(f)),
    )
    yield Corruption(
        "run.db-wal: noise", lambda f: (f / "run.db-wal").write_bytes(os.urandom(9000)), told=False
    )
    yield Corruption("run.db-wal: a folder", lambda f: (f / "run.db-wal").mkdir())
    yield Corruption("run.db-shm: a folder", lambda f: (f / "run.db-shm").mkdir())


def _of_folders() -> Iterator[Corruption]:
    for name in ("inputs", "checkpoints", "exports"):
        spared = name != "exports"
        yield Corruption(
            f"{name}/: missing", lambda f, n=name: shutil.rmtree(f / n), spares_adapter=spared
        )
        yield Corruption(
            f"{name}/: a file",
            lambda f, n=name: (shutil.rmtree(f / n), (f / n).write_text("")),
            spares_adapter=spared,
        )
        yield Corruption(f"{name}/: read-only", lambda f, n=name: (f / n).chmod(0o500), told=False)
        yield Corruption(
            f"{name}/: shut", lambda f, n=name: (f / n).chmod(0), False, spares_adapter=False
        )
    yield Corruption("the run: read-only", lambda f: f.chmod(0o500), told=False)
    yield Corruption("the run: shut", lambda f: f.chmod(0), told=False, spares_adapter=False)
    yield Corruption(
        "exports/*.zip: a flipped byte",
        lambda f: _overwrite(f"exports/{next(f.glob('exports/*.zip')).name}", 0.5, b"\xff\x00")(f),
        spares_adapter=False,
    )
    yield Corruption(
        "inputs/adapter: a flipped byte",
        lambda f: _overwrite(f"inputs/{next(f.glob('inputs/adapter-*')).name}", 0.9, b"\x01")(f),
    )


_RECORDS = ("recipe.json", "result.json", "inputs/inputs.json", "lease.json", "stop.json",
            "exit.json", "templates.json", "slices.json", "run.db", "worker.log",
            "checkpoints/step-000002/manifest.json", "checkpoints/step-000002/meta.json",
            "exports/adapter/README.md", "exports/adapter/adapter_config.json")  # fmt: skip


def _replaced(path: Path, make: Change) -> None:
    path.unlink(missing_ok=True)
    make(path)


def _socket(path: Path) -> None:
    """A socket that nobody listens at, by a short name: theirs may not be long."""
    with closing(socket.socket(socket.AF_UNIX)) as made, tempfile.TemporaryDirectory() as place:
        made.bind(f"{place}/s")
        os.rename(f"{place}/s", path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _of_endless() -> Iterator[Corruption]:
    """What never ends, or is larger than any memory, where a small file is expected."""
    kinds: dict[str, Change] = {
        "endless zeros": lambda path: path.symlink_to("/dev/zero"),
        "a terabyte of nothing": _sparse,
        "a socket": _socket,
    }
    for name in _RECORDS:
        for kind, make in kinds.items():
            yield Corruption(
                f"{name}: {kind}",
                lambda folder, name=name, make=make: _replaced(folder / name, make),
                told=name in ("recipe.json", "result.json", "inputs/inputs.json", "run.db"),
            )


def _of_texts() -> Iterator[Corruption]:
    """JSON that can be read and says what cannot be."""
    changes: dict[str, dict[str, Any]] = {
        "recipe.json": {"name": [], "evaluation": None, "source_base": 7, "unknown": {"a": 1}},
        "result.json": {"verdict": {"kind": 1}, "arms": [float("nan")], "versions": "new",
                        "task_name": "\x1b[2J\u202e", "device": [],
                        "counts": {"kept": -(10**400)}},
        "inputs/inputs.json": {"seeds": None, "attribution": 3,
                               "discriminator": {"file": "/etc/passwd"}},
        "templates.json": {"x": 3}, "slices.json": {"job": 3, "at": "x"},
    }  # fmt: skip
    for name, fields in changes.items():
        for key, value in fields.items():

            def change(folder: Path, name: str = name, key: str = key, value: Any = value) -> None:
                path = folder / name
                content = json.loads(path.read_text()) if path.exists() else {}
                path.write_text(json.dumps(content | {key: value}))

            yield Corruption(f"{name}: {key} is {str(value)[:20]!r}", change, told=False)
    marked = b"\xef\xbb\xbf"
    for name in ("recipe.json", "result.json", "inputs/inputs.json"):

        def mark(folder: Path, name: str = name) -> None:
            (folder / name).write_bytes(marked + (folder / name).read_bytes())

        def double(folder: Path, name: str = name) -> None:
            text = (folder / name).read_text()
            (folder / name).write_text(text.rstrip()[:-1] + ', "schema": 1, "schema": {}}')

        yield Corruption(f"{name}: a mark before it", mark, told=False)
        yield Corruption(f"{name}: a key twice", double, told=False)


def _of_strangers() -> Iterator[Corruption]:
    """Things beside a run's files, and files of other runs or times in their place."""

    def junk(folder: Path) -> None:
        for number in range(3000):
            (folder / f"{number}.part").touch()

    def loop(folder: Path) -> None:
        (folder / "inputs" / "again").symlink_to("..")
        (folder / "exports" / "again").symlink_to("..")

    def times(folder: Path) -> None:
        for path, at in zip(sorted(folder.rglob("*")), (0, 2**33, -(2**31), 1) * 99, strict=False):
            os.utime(path, (at, at))

    def steps(folder: Path) -> None:
        for name in ("step-9" + "9" * 99, "step-٣", "step-", "step--1", "step-1e9", "bad-step-1"):
            (folder / "checkpoints" / name).mkdir()
        (folder / "checkpoints" / "step-000009").write_text("x")

    def two_zips(folder: Path) -> None:
        whole = next(folder.glob("exports/*.zip"))
        shutil.copy(whole, folder / "exports" / "a second.zip")
        os.truncate(folder / "exports" / "a second.zip", 50)

    def swapped(folder: Path) -> None:
        seeds, rows = next(folder.glob("inputs/seeds-*")), next(folder.glob("inputs/evaluation-*"))
        kept = seeds.read_bytes()
        seeds.write_bytes(rows.read_bytes())
        rows.write_bytes(kept)

    def lying(folder: Path) -> None:
        path = folder / "checkpoints/step-000002/tensors.safetensors"
        path.write_bytes((2**63 - 1).to_bytes(8, "little") + path.read_bytes()[8:])

    def journal(folder: Path) -> None:
        (folder / "run.db-journal").write_bytes(os.urandom(8000))

    def upper(folder: Path) -> None:
        (folder / "run.db").rename(folder / "RUN.DB")

    def bare(folder: Path) -> None:
        shutil.rmtree(folder / "exports" / "adapter", ignore_errors=True)

    def card(folder: Path) -> None:
        (folder / "exports" / "adapter").mkdir(exist_ok=True)
        (folder / "exports" / "adapter" / "README.md").write_bytes(b"\xff\xfe\x00")

    yield Corruption("thousands of left-overs", junk, told=False)
    yield Corruption("links that lead back", loop, told=False)
    yield Corruption("times of another age", times, told=False)
    yield Corruption("checkpoints of no step", steps, told=False)
    yield Corruption("a second zip that is damaged", two_zips, told=False, spares_adapter=False)
    yield Corruption("seeds and rows swapped", swapped)
    yield Corruption("a checkpoint whose header lies", lying)
    yield Corruption("a journal that is none", journal, told=False)
    yield Corruption("run.db in capitals", upper)
    yield Corruption("no packed folder", bare, told=False)
    yield Corruption("a card of no text", card, told=False)


CORRUPTIONS = {
    entry.name: entry
    for family in (
        *(_of_files, _of_json, _of_database, _of_folders),
        *(_of_endless, _of_texts, _of_strangers),
    )
    for entry in family()
}
