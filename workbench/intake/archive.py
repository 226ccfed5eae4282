"""Takes named files out of a zip from a stranger; nothing is ever extracted wholesale.

The list of members is bounded before Python's zipfile reads it. ``opened`` gives the names and
takes the members that are asked for, ``unpack`` insists that all others are harmless; contents are
streamed through a hard ceiling into new files whose names are ours. What is not asked for is never
opened. Tar, 7z, rar and encrypted members are not read.
"""

import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from workbench.errors import IntakeError
from workbench.intake.copying import Copied, copy_in, write_new
from workbench.intake.file_names import is_archive_name, is_harmless_name, is_pickle_name
from workbench.intake.header import REMEDY_PICKLE
from workbench.intake.wording import shown, size_words
from workbench.limits import LIMITS

_END, _END_BYTES = b"PK\x05\x06", 22
_ZIP64_LOCATOR, _ZIP64_LOCATOR_BYTES = b"PK\x06\x07", 20
_ZIP64_END, _ZIP64_END_BYTES = b"PK\x06\x06", 56
_COMMENT_BYTES = 0xFFFF
_DIRECTORY_BYTES = 512 * 1024
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED_BITS = 0x1 | 0x20 | 0x40 | 0x2000
_RATIO_FREE_BYTES = 1024**2  # below this an expansion of any ratio is harmless
_CHUNK_BYTES = 1024**2


class Archive:
    """An open zip: ``names`` of its files, with "/", and their contents on demand."""

    def __init__(self, archive: zipfile.ZipFile, label: str) -> None:
        self._archive, self._label = archive, label
        infos = [(_checked_name(info, label), info) for info in archive.infolist()]
        _refuse_overlaps([info for _, info in infos], label)
        self._members = {
            name: info for name, info in infos if not _is_folder(info, name, self._label)
        }
        self._times = Counter(_folded(name) for name, _ in infos)
        self.names = tuple(self._members)
        if len(self.names) > LIMITS.archive_listed:
            raise IntakeError(_too_many(label, LIMITS.archive_listed))

    def require_plain(self, name: str) -> None:
        """Refuse a member that is there twice, or is a link or a device."""
        if self._times[_folded(name)] > 1:
            raise IntakeError(f"{self._label} holds {shown(name)} twice. Pack it again.")
        if stat.S_IFMT(self._members[name].external_attr >> 16) not in (0, stat.S_IFREG):
            raise IntakeError(
                f"{self._label}: {shown(name)} is not an ordinary file. Pack the files anew."
            )

    def take(self, name: str, target: Path, at_most: int) -> Copied:
        """Write one member to the new file ``target``."""
        self.require_plain(name)
        info = self._members[name]
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _extract(self._archive, info, target, at_most, f"{self._label}: {shown(name)}")


@contextmanager
def opened(source: Path, folder: Path) -> Iterator[Archive]:
    """Copy a zip to ``folder`` for as long as the block lasts, and read its list of members."""
    label = shown(source.name)
    copy = copy_in(source, folder / "upload.zip", LIMITS.archive_bytes)
    try:
        with _opened(copy.path, label) as archive:
            yield Archive(archive, label)
    finally:
        copy.path.unlink(missing_ok=True)


def unpack(source: Path, folder: Path, wanted: Mapping[str, int]) -> dict[str, Copied]:
    """Take the ``wanted`` members (name -> ceiling in bytes); all others must be harmless.

    All members may lie in one common parent folder. Files are written below ``folder``.
    """
    label = shown(source.name)
    with opened(source, folder) as archive:
        if len(archive.names) > LIMITS.archive_members:
            raise IntakeError(_too_many(label, LIMITS.archive_members))
        names = _without_parent(archive.names, wanted)
        for name, member in names.items():
            if name not in wanted:
                _require_harmless(name, label)
            archive.require_plain(member)
        return {
            name: archive.take(member, folder / PurePosixPath(name), wanted[name])
            for name, member in names.items()
            if name in wanted
        }


def holds(source: Path, name: str) -> bool:
    """Whether a zip has a member of this file name; False for what cannot be read as a zip."""
    try:
        with _opened(source, shown(source.name)) as archive:
            return any(PurePosixPath(member).name == name for member in archive.namelist())
    except IntakeError:
        return False


@contextmanager
def _opened(path: Path, label: str) -> Iterator[zipfile.ZipFile]:
    """Whatever zipfile raises about a broken archive becomes one sentence."""
    try:
        _check_directory(path, label)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except IntakeError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError) as error:
        raise IntakeError(f"{label} is damaged. Pack it again and upload it anew.") from error
    except (ValueError, RuntimeError, OverflowError) as error:
        raise IntakeError(f"{label} is not a zip that can be read. Pack it again.") from error


def _check_directory(path: Path, label: str) -> None:
    """Bound the list of members before zipfile builds an object for each.

    zipfile trusts the size in the end record; a list of 600 MB would cost gigabytes of memory.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) not in (b"PK\x03\x04", _END):
            raise IntakeError(f"{label} is not a zip. Pack the files as an ordinary zip.")
        reach = min(total, _COMMENT_BYTES + _END_BYTES + _ZIP64_LOCATOR_BYTES + _ZIP64_END_BYTES)
        file.seek(total - reach)
        tail = file.read(reach)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise IntakeError(f"{label} is cut off or damaged. Pack it again and upload it anew.")
    comment = int.from_bytes(tail[at + 20 : at + 22], "little")
    members = int.from_bytes(tail[at + 10 : at + 12], "little")
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if len(tail) - at - _END_BYTES != comment:
        raise IntakeError(f"{label} has an ambiguous end. Pack it again.")
    at -= _ZIP64_LOCATOR_BYTES
    if at >= 0 and tail.startswith(_ZIP64_LOCATOR, at):  # of more than 2 GiB
        # zipfile looks for the record right before the locator, others where that points.
        at, said = at - _ZIP64_END_BYTES, int.from_bytes(tail[at + 8 : at + 16], "little")
        if at < 0 or not tail.startswith(_ZIP64_END, at) or said != total - len(tail) + at:
            raise IntakeError(f"{label} has an ambiguous end. Pack it again.")
        members = int.from_bytes(tail[at + 32 : at + 40], "little")
        size = int.from_bytes(tail[at + 40 : at + 48], "little")
    if size > _DIRECTORY_BYTES or members > 2 * LIMITS.archive_listed:
        raise IntakeError(_too_many(label, LIMITS.archive_listed))


def _too_many(label: str, at_most: int) -> str:
    return (
        f"{label} has too many members; at most {at_most} files are taken. "
        "Pack only the files that are needed."
    )


def _folded(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name.rstrip("/")).casefold()


def _checked_name(info: zipfile.ZipInfo, label: str) -> str:
    # orig_filename is the stored name; zipfile cuts ``filename`` at a NUL.
    name = info.orig_filename
    if "/" not in name:
        name = name.replace("\\", "/")  # as Windows' own packer once wrote them
    if len(name) > LIMITS.member_name_characters:
        raise IntakeError(f"{label} has a member with a name that is too long: {shown(name)}.")
    parts = name.removesuffix("/").split("/")
    odd = any(unicodedata.category(mark)[0] == "C" for mark in name.removesuffix("Icon\r"))
    if odd or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
        raise IntakeError(
            f"{label} has a member with an unsafe name: {shown(name)}. Pack it again."
        )
    return name


def _is_folder(info: zipfile.ZipInfo, name: str, label: str) -> bool:
    folder = name.endswith("/")
    if folder and info.file_size:
        raise IntakeError(f"{label}: the folder {shown(name)} has contents of its own.")
    return folder


def _refuse_overlaps(members: list[zipfile.ZipInfo], label: str) -> None:
    """Two members that share bytes multiply a small file (Python 3.11.7 does not look)."""
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise IntakeError(f"{label} has members that overlap. Pack it again.")
        name_bytes = len(info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"))
        end = info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + info.compress_size


def _without_parent(names: tuple[str, ...], wanted: Mapping[str, int]) -> dict[str, str]:
    """Members by the name without what macOS adds and the one folder that may hold everything."""
    kept = [name for name in names if not name.startswith("__MACOSX/")]
    parents = {name.split("/", 1)[0] if "/" in name else "" for name in kept}
    if len(parents) == 1 and "" not in parents and not any(name in wanted for name in kept):
        return {name.split("/", 1)[1]: name for name in kept}
    return {name: name for name in kept}


def _require_harmless(name: str, label: str) -> None:
    if is_pickle_name(name):
        raise IntakeError(f"{label}: {shown(name)} is a pickle. {REMEDY_PICKLE}")
    if is_archive_name(name):
        raise IntakeError(f"{label}: {shown(name)} is an archive in the archive. Unpack it first.")
    if "/" in name or not is_harmless_name(name):
        raise IntakeError(
            f"{label}: {shown(name)} does not belong in it. Pack only the files that are needed."
        )


def _extract(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, at_most: int, label: str
) -> Copied:
    if info.flag_bits & _ENCRYPTED_BITS:
        raise IntakeError(f"{label} is encrypted. Pack it without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise IntakeError(f"{label} is packed in an unusual way. Pack it as an ordinary zip.")
    if info.file_size > at_most:
        raise IntakeError(f"{label} is larger than {size_words(at_most)}, the most that is taken.")
    expands = info.file_size > LIMITS.archive_ratio * max(1, info.compress_size)
    if expands and info.file_size > _RATIO_FREE_BYTES:
        raise IntakeError(
            f"{label} would expand more than {LIMITS.archive_ratio} times. Hand it over unpacked."
        )
    with archive.open(info) as stream:
        # Reading to the end makes zipfile check the CRC.
        copied = write_new(target, _chunks(stream.read), info.file_size, label)
    if copied.bytes != info.file_size:
        raise IntakeError(f"{label} is damaged: it is shorter than stated. Pack it again.")
    return copied


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while chunk := read(_CHUNK_BYTES):
        yield chunk
