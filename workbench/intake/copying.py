"""Copies a file in from outside, once, through one file descriptor, hashing what was read.

After this only the copy is used, so nobody can swap the file between the check and the use.
Links, devices, pipes and folders are refused. It does not guard against a person who can write
into the workspace itself.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import IntakeError
from workbench.intake.wording import shown, size_words
from workbench.limits import LIMITS

_CHUNK_BYTES = 1024**2
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Copied:
    """A file that is ours now: where it lies, the SHA-256 of its bytes, and how many."""

    path: Path
    sha256: str
    bytes: int


def copy_in(
    source: Path, target: Path, at_most: int, *, folder: int | None = None, links: bool = False
) -> Copied:
    """Copy ``source`` to the new file ``target``.

    Args:
        source: a path, or a name inside the open directory ``folder``.
        target: must not exist; it is created with mode 0600 and removed again on failure.
        at_most: ceiling in bytes, held while copying and not by trusting the stated size.
        folder: a directory descriptor, so that the folder cannot be swapped between two files.
        links: follow a link, for paths that the person at this machine typed.
    """
    name = shown(source.name)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(source, flags, dir_fd=folder)
    except OSError as error:
        raise IntakeError(_cannot_open(name, error)) from error
    except ValueError as error:  # a NUL in the name
        raise IntakeError(f"{name} is not a usable file name.") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise IntakeError(f"{name} is not an ordinary file. Hand over the file itself.")
        if found.st_size > at_most:
            raise IntakeError(_too_big(name, at_most))
        return write_new(target, _chunks(descriptor), at_most, name)
    finally:
        os.close(descriptor)


def write_new(target: Path, chunks: Iterable[bytes], at_most: int, name: str) -> Copied:
    """Write ``chunks`` to the new file ``target``; ``name`` is what error sentences call it."""
    _require_free_disk(target.parent)
    digest, total, head = hashlib.sha256(), 0, b""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(target, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                total += len(chunk)
                if total > at_most:
                    raise IntakeError(_too_big(name, at_most))
                head = head or chunk[: len(_POINTER)]
                digest.update(chunk)
                file.write(chunk)
        _refuse_pointer(head, name)
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise IntakeError(
                f"The disk is full: {name} was not copied. Free some space."
            ) from error
        raise
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Copied(path=target, sha256=digest.hexdigest(), bytes=total)


def read_small(source: Path, at_most: int) -> bytes:
    """The bytes of an ordinary file of at most ``at_most`` bytes, under the same rules."""
    name = shown(source.name)
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise IntakeError(_cannot_open(name, error)) from error
    except ValueError as error:
        raise IntakeError(f"{name} is not a usable file name.") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IntakeError(f"{name} is not an ordinary file. Hand over the file itself.")
        parts, total = [], 0
        for chunk in _chunks(descriptor):
            total += len(chunk)
            if total > at_most:
                raise IntakeError(_too_big(name, at_most))
            parts.append(chunk)
        content = b"".join(parts)
        _refuse_pointer(content, name)
        return content
    finally:
        os.close(descriptor)


def _refuse_pointer(head: bytes, name: str) -> None:
    if head.startswith(_POINTER):
        raise IntakeError(
            f"{name} is a Git LFS pointer, not the file itself: run `git lfs pull` in the "
            "repository that it is from, and hand over the file again."
        )


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        yield chunk


def _require_free_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LIMITS.free_disk_bytes:
        raise IntakeError(
            f"Only {size_words(free)} of disk are free; at least "
            f"{size_words(LIMITS.free_disk_bytes)} must stay. Free some space and try again."
        )


def _cannot_open(name: str, error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return f"{name} is a link. Hand over the file that it points to."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{name} was not found."
    if error.errno == errno.ENAMETOOLONG:
        return f"The name {name} is too long. Rename the file."
    return f"{name} cannot be opened ({error.strerror})."


def _too_big(name: str, at_most: int) -> str:
    return f"{name} is larger than {size_words(at_most)}, the most that is taken."
