"""Uploads: bounded in all, for each visitor and in time, counted while they come in.

Gradio stores what is uploaded before a handler of ours is asked, and keeps form fields that are no
files in memory. So every part must be a file, and every byte is counted on its way.
"""

import asyncio
import os
import shutil
import stat
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from workbench.limits import LIMITS
from workbench.runs import owners
from workbench.ui.calls import Refused

SWEEP_SECONDS = 60.0
_AT_ONCE = 3  # of one address
_SILENCE_SECONDS = 60.0
_ENVELOPE = 64 * 1024  # of names and boundaries around the files


class Gone(Exception):
    """The browser left in the middle of an upload."""


class Folder:
    """The folder that uploads are kept in, for all visitors of one server."""

    def __init__(self) -> None:
        self._taken: dict[str, list[list[float]]] = defaultdict(list)  # address -> [when, bytes]
        self._under_way: dict[str, int] = defaultdict(int)

    async def take(
        self, inner: Any, scope: Any, headers: dict[str, str], address: str, receive: Any, send: Any
    ) -> None:
        """Let one upload through, counted.

        Raises:
            Refused: too large, too much, too many at once, or no upload at all.
        """
        announced = headers.get("content-length", "")
        size = int(announced) if announced.isdecimal() else 0
        if self._under_way[address] >= _AT_ONCE:
            raise Refused(429, "Three of your uploads are under way. Wait for one to end.")
        entry = [time.monotonic(), 0.0]
        folder_bytes = await asyncio.to_thread(bytes_in, Path(get_upload_folder()))
        self._require(address, size, folder_bytes)
        check = _Check(headers.get("content-type", ""))
        self._taken[address].append(entry)
        self._under_way[address] += 1
        refusal: Refused | None = None

        async def counted() -> MutableMapping[str, Any]:
            nonlocal refusal
            try:
                message = await asyncio.wait_for(receive(), _SILENCE_SECONDS)
                if message["type"] == "http.request":
                    part = message.get("body", b"")
                    entry[1] += len(part)
                    self._require(address, 0, folder_bytes + int(entry[1]))
                    if entry[1] > LIMITS.archive_bytes + _ENVELOPE:
                        raise Refused(413, _too_large())
                    check.write(part)
                return message
            except Refused as error:
                refusal = error
            except TimeoutError:
                refusal = Refused(408, "The upload stood still for a minute.")
            return {"type": "http.disconnect"}

        try:
            await inner(scope, counted, _unless(lambda: refusal is not None, send))
        except Exception as error:
            if refusal is None:
                raise Gone from error
        finally:
            self._under_way[address] -= 1
        if refusal is not None:
            raise refusal

    def _require(self, address: str, size: int, folder_bytes: int) -> None:
        if size > LIMITS.archive_bytes + _ENVELOPE:
            raise Refused(413, _too_large())
        since = time.monotonic() - kept_seconds()
        self._taken[address] = [entry for entry in self._taken[address] if entry[0] > since]
        mine = sum(entry[1] for entry in self._taken[address])
        if owners.shared() and mine + size > LIMITS.upload_visitor_bytes:
            minutes = kept_seconds() // 60
            raise Refused(
                429,
                f"You have uploaded {mine / 1e6:,.0f} MB in the last {minutes} minutes, which is "
                "the most that this shared server takes. Try again later.",
            )
        if folder_bytes + size > LIMITS.upload_folder_bytes:
            raise Refused(503, "The folder for uploads is full. Try again in an hour.")
        place = Path(get_upload_folder())
        free = shutil.disk_usage(place if place.is_dir() else place.parent).free
        if free - size < LIMITS.free_disk_bytes:
            raise Refused(507, "The disk of this server is nearly full, so nothing is taken in.")


def _too_large() -> str:
    return f"A file of more than {LIMITS.archive_bytes // 1024**2} MB is not taken."


def _unless(stopped: Callable[[], bool], send: Any) -> Callable[[Any], Awaitable[None]]:
    async def send_on(message: Any) -> None:
        if not stopped():
            await send(message)

    return send_on


class _Check:
    """Reads along and refuses parts that are no files, and too many of them."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
            raise Refused(400, "That is no upload.")
        self._files = 0
        self._field = self._value = b""
        self._named = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_end,
                "on_headers_finished": self._finished,
            },
        )

    def write(self, part: bytes) -> None:
        """Check the next bytes."""
        try:
            self._parser.write(part)
        except FormParserError as error:
            raise Refused(400, "That is no upload.") from error

    def _begin(self) -> None:
        self._files += 1
        self._named = False
        if self._files > LIMITS.upload_files:
            raise Refused(413, f"At most {LIMITS.upload_files} files at once.")

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            name = parse_options_header(self._value)[1].get(b"filename", b"")
            self._named = bool(name)
            if len(name) > LIMITS.member_name_characters * 4:
                raise Refused(400, "The name of a file is too long. Rename it.")
        self._field = self._value = b""

    def _finished(self) -> None:
        if not self._named:
            raise Refused(400, "That is no upload of a file.")


def kept_seconds() -> int:
    """How long uploads, and copies of what was downloaded, are kept."""
    return LIMITS.upload_seconds if owners.shared() else 24 * LIMITS.upload_seconds


def bytes_in(folder: Path) -> int:
    """Of all files below a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def sweep(folder: Path, age_seconds: float) -> None:
    """Delete files that nobody has touched for so long, also what aborted uploads left behind."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(place, name)
            with suppress(OSError):
                status = os.lstat(path)
                old = time.time() - max(status.st_mtime, status.st_ctime) > age_seconds
                if old and (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                    os.unlink(path)
        if place != str(folder):
            with suppress(OSError):  # not empty
                os.rmdir(place)


async def sweep_for_ever() -> None:
    """Sweep the folder for uploads every minute."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        place = Path(get_upload_folder())
        await asyncio.to_thread(sweep, place, kept_seconds())
