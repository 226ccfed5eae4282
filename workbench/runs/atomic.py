"""Writing files so that a kill or a full disk at any moment leaves the old or the new content.

A file is written under a partial name beside its place, synced, and renamed; then the folder is
synced. Partial names end in ``.part``: ``sweep`` removes those that a dead process left behind.
This protects against the death of the process; against power loss only as far as the disk honours
``fsync``.
"""

import ctypes
import errno
import functools
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import TypeAdapter

from workbench.errors import RunError

Record = TypeVar("Record")
PART = ".part"
_READ_BYTES = 256 * 1024**2
# A partial of a living writer is younger than this; nothing of ours takes longer for one file.
SWEEP_AGE_SECONDS = 3600.0
_BLOCK = 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace ``path`` by ``content``. ``durable=False`` skips the syncs (heartbeats)."""
    _replace(path, lambda file: file.write(content), durable)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace ``path`` by UTF-8 text."""
    write_bytes(path, text.encode(), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace ``path`` by readable JSON with a trailing newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", durable=durable)


def read_bytes(path: Path) -> bytes:
    """The content of an ordinary small file; OSError for whatever else has its name.

    A pipe would be waited for without end, and a file that is larger than any of ours may not fit
    into memory.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file", str(path))
        if os.fstat(descriptor).st_size > _READ_BYTES:
            raise OSError(errno.EFBIG, "it is too large to be one of this program", str(path))
        return file.read()


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote, or None when the file is missing or unreadable as JSON."""
    try:
        return json.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return None


def read_as(path: Path, kind: type[Record]) -> Record | None:
    """A dataclass that was written as JSON, every field of its type.

    None when the file is missing, no JSON, or of another shape; unknown fields are dropped.
    """
    try:
        return _reader(kind).validate_json(read_bytes(path), strict=True)
    except (OSError, ValueError):
        return None


@functools.cache
def _reader(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def copy_in(source: Path, path: Path) -> tuple[int, str]:
    """Copy a regular file, never through a symbolic link; returns (bytes, SHA-256 hex).

    The hash is of the bytes that were written, so what is checked later is this copy.
    """
    digest, size = hashlib.sha256(), 0

    def copy(target: BinaryIO) -> None:
        nonlocal size
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            while block := file.read(_BLOCK):
                target.write(block)
                digest.update(block)
                size += len(block)

    require_space(path.parent, source.stat().st_size)
    _replace(path, copy, durable=True)
    return size, digest.hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 hex of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """A full disk, whoever meets it inside, is one sentence: RunError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise RunError(_full_sentence(folder, None, shutil.disk_usage(folder).free)) from error


def replace_folder(partial: Path, folder: Path) -> None:
    """Put a folder in the place of ``folder``; what was there is removed.

    Both change places in one call, so that there is no moment without one. A file system that
    cannot do that (some network drives) has such a moment.
    """
    former = partial
    try:
        _exchange(partial, folder)
    except OSError:
        former = partial_name(folder)
        with suppress(FileNotFoundError):  # there was none
            folder.rename(former)
        partial.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Swap two names, which Python has no function for."""
    exchange = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
    call = getattr(_libc(), "renameatx_np" if sys.platform == "darwin" else "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    # Of absolute names the descriptors, here 0, mean nothing.
    if call(0, os.fsencode(one.absolute()), 0, os.fsencode(other.absolute()), exchange):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a closed file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_space(folder: Path, need_bytes: int, left_bytes: int = 0) -> None:
    """Raise RunError unless half as much again as ``need_bytes`` is free (see F4).

    Args:
        left_bytes: that have to stay free beside it.
    """
    free, wanted = shutil.disk_usage(folder).free, need_bytes * 1.5 + left_bytes
    if free < wanted:
        raise RunError(_full_sentence(folder, wanted, free))


def sweep(
    folder: Path, older_than_seconds: float = SWEEP_AGE_SECONDS, *, deep: bool = True
) -> list[Path]:
    """Remove partial files and folders that a dead writer left in ``folder``.

    Args:
        deep: look into its folders as well.
    """
    removed = []
    limit = time.time() - older_than_seconds
    for path in sorted(folder.rglob(f"*{PART}") if deep else folder.glob(f".*{PART}")):
        try:
            if path.lstat().st_mtime > limit:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # gone meanwhile, or not ours to remove
            continue
        removed.append(path)
    return removed


def partial_name(path: Path) -> Path:
    """A fresh partial name beside ``path``."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def _replace(path: Path, fill: Callable[[BinaryIO], object], durable: bool) -> None:
    partial = partial_name(path)
    try:
        with open(partial, "xb", opener=_private) as file:
            fill(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in _FULL:
            free = shutil.disk_usage(path.parent).free
            raise RunError(_full_sentence(path.parent, None, free)) from error
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _full_sentence(folder: Path, need_bytes: float | None, free_bytes: int) -> str:
    need = f" {need_bytes / 1e6:.0f} MB are needed," if need_bytes is not None else ""
    return (
        f"The disk that holds {folder} is full:{need} {free_bytes / 1e6:.0f} MB are free. "
        "Nothing was lost. Free some space and continue the run."
    )
