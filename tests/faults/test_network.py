"""Downloads over networks that break, fall silent, bring something else, or are given up."""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import huggingface_hub
import pytest

from tests.models.test_references import COMMIT, FakeHub
from workbench.errors import ModelError
from workbench.models import cache, hub, references

pytestmark = pytest.mark.faults
WEIGHTS = "model.safetensors"


class WeakHub(FakeHub):
    """A Hub whose answers with the weights are damaged by ``harm``, once for each entry."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.harm: list[Callable[[bytes], Iterator[bytes]]] = []
        self.begun_at: list[int] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith(WEIGHTS) or request.method != "GET":
            return super().answer(request)
        body, first = self.files[WEIGHTS], 0
        if wanted := request.headers.get("Range"):
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
        self.begun_at.append(first)
        headers = {
            "ETag": f'"{WEIGHTS}-{len(body)}"',
            "X-Repo-Commit": COMMIT,
            "Content-Length": str(len(body) - first),
        }
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        harm = self.harm.pop(0) if self.harm else lambda rest: iter([rest])
        return httpx2.Response(206 if wanted else 200, headers=headers, content=harm(body[first:]))

    def _listing(self) -> dict:
        listing = super()._listing()
        for entry in listing["siblings"]:
            if entry["rfilename"] == WEIGHTS:
                body = self.files[WEIGHTS]
                sha256 = hashlib.sha256(body).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(body), "pointerSize": 100}
        return listing


def _breaks(rest: bytes) -> Iterator[bytes]:
    yield rest[: len(rest) // 3]
    raise httpx2.ReadError("the connection is gone")


@pytest.fixture
def weak_hub(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WeakHub]:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # of tiny files
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.02)
    fake = WeakHub({path.name: path.read_bytes() for path in tiny_source.iterdir()})
    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(transport=httpx2.MockTransport(fake.answer))
    )
    yield fake
    huggingface_hub.set_client_factory(huggingface_hub.utils._http.default_client_factory)


def _require_whole(folder: Path, weak_hub: WeakHub) -> None:
    assert (folder / WEIGHTS).read_bytes() == weak_hub.files[WEIGHTS]
    assert references.ready("owner/name") == folder


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_connection_that_breaks_goes_on_where_it_was(
    weak_hub: WeakHub, times: int, count: Callable[..., None]
) -> None:
    weak_hub.harm = [_breaks] * times
    _require_whole(references.fetch("hub:owner/name"), weak_hub)
    assert weak_hub.begun_at[0] == 0 and weak_hub.begun_at[-1] > 0, "it began anew"
    count("damaged downloads", times)


def test_silence_ends_with_a_sentence_and_what_came_is_kept(
    weak_hub: WeakHub, monkeypatch: pytest.MonkeyPatch, count: Callable[..., None]
) -> None:
    monkeypatch.setattr(hub, "SILENCE_SECONDS", 1.0)
    over = threading.Event()

    def falls_silent(rest: bytes) -> Iterator[bytes]:
        yield rest[: len(rest) // 2]
        over.wait(30)
        raise httpx2.ReadError("the connection is gone")

    weak_hub.harm = [falls_silent]
    with pytest.raises(ModelError, match="What has come is kept"):
        references.fetch("hub:owner/name")
    over.set()
    _require_whole(references.fetch("hub:owner/name"), weak_hub)
    count("damaged downloads")


def test_a_download_that_is_given_up_goes_on_the_next_time(
    weak_hub: WeakHub, count: Callable[..., None]
) -> None:
    class GivenUp(Exception):
        pass

    go_on = threading.Event()

    def slow(rest: bytes) -> Iterator[bytes]:
        yield rest[: len(rest) // 2]
        go_on.wait(30)
        yield rest[len(rest) // 2 :]

    def report(phase: str, done: int, total: int) -> None:
        if done:
            raise GivenUp

    weak_hub.harm = [slow]
    with pytest.raises(GivenUp):
        references.fetch("hub:owner/name", report)
    go_on.set()
    _require_whole(references.fetch("hub:owner/name"), weak_hub)
    count("damaged downloads")


def test_other_bytes_of_the_same_size_are_refused_and_fetched_again(
    weak_hub: WeakHub, count: Callable[..., None]
) -> None:
    weak_hub.harm = [lambda rest: iter([bytes(len(rest))])]
    with pytest.raises(ModelError, match="came damaged"):
        references.fetch("hub:owner/name")
    assert references.ready("owner/name") is None
    _require_whole(references.fetch("hub:owner/name"), weak_hub)
    count("damaged downloads")


def test_two_who_want_the_same_share_one_download(
    weak_hub: WeakHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAIT_SECONDS", 0.02)
    waiting = threading.Event()
    told: list[str] = []

    def slow(rest: bytes) -> Iterator[bytes]:
        yield rest[:1000]
        waiting.wait(30)
        yield rest[1000:]

    def report(phase: str, done: int, total: int) -> None:
        told.append(phase)
        if "another process" in phase:
            waiting.set()

    weak_hub.harm = [slow]
    first = threading.Thread(target=references.fetch, args=("hub:owner/name",))
    first.start()
    while not weak_hub.begun_at:
        first.join(0.01)
    folder = references.fetch("hub:owner/name", report)
    first.join()
    _require_whole(folder, weak_hub)
    assert weak_hub.downloads.count(WEIGHTS) + len(weak_hub.begun_at) == 1
    assert any("another process" in phase for phase, _ in itertools.groupby(told))
