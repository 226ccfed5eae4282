"""T18: uploads are files, few at once, bounded in all and for each visitor, private, and swept."""

import dataclasses
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.security.serving import Site, served
from workbench.limits import LIMITS
from workbench.ui import uploads
from workbench.ui.gate import Gate


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("served"), WORKBENCH_SHARED="1") as site:
        yield site


def gate_of(site: Site) -> Gate:
    """The gate of a server."""
    return site.page.app.middleware_stack


def folder() -> Path:
    return Path(os.environ["GRADIO_TEMP_DIR"])


def test_t18_uploads_are_for_this_server_alone(site: Site) -> None:
    path = Path(site.visitor("mode").upload("a.json", b"{}").json()[0])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_t18_a_thousand_files_or_one_that_is_none_are_refused(site: Site) -> None:
    http = site.visitor("many").http
    many = [("files", (f"{n}.json", b"{}")) for n in range(1000)]
    assert http.post("/gradio_api/upload", files=many).status_code == 413
    long = http.post("/gradio_api/upload", files={"files": ("x" * 5000, b"{}")})
    assert long.status_code == 400
    # A field that is no file would be kept in memory.
    field = http.post("/gradio_api/upload", files={"files": (None, b"x" * 1_000_000)})
    assert field.status_code == 400
    assert http.post("/gradio_api/upload", content=b"x").status_code == 400


def test_t18_a_file_and_a_visitor_have_their_bound(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = site.visitor("large")
    small = dataclasses.replace(LIMITS, archive_bytes=300_000)
    monkeypatch.setattr(uploads, "LIMITS", small)
    assert caller.upload("a.zip", b"x" * 400_000).status_code == 413
    port = int(site.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as announced:
        announced.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: "
            b"multipart/form-data; boundary=b\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in announced.recv(200)  # before any of it has come

    def unannounced() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.zip"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 65536

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    sent = caller.http.post("/gradio_api/upload", content=unannounced(), headers=kind)
    assert sent.status_code == 413
    # Whatever was sent so far counts, what was refused as well.
    held = int(sum(entry[1] for entry in gate_of(site).uploads._taken["127.0.0.1"]))
    assert held > 300_000
    monkeypatch.setattr(
        uploads, "LIMITS", dataclasses.replace(small, upload_visitor_bytes=held + 500_000)
    )
    statuses = [caller.upload(f"{n}.zip", bytes([n]) * 200_000).status_code for n in range(4)]
    assert statuses == [200, 200, 429, 429]
    # A token costs nothing, an address does.
    other = site.visitor("large2", **{"X-Workbench-Owner": "c" * 32})
    assert other.upload("b.zip", b"z" * 200_000).status_code == 429


def test_t18_three_uploads_of_an_address_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = gate_of(site).uploads._under_way
    monkeypatch.setitem(under_way, "127.0.0.1", 2)
    assert site.visitor("third").upload("a.json", b"{}").status_code == 200
    deadline = time.monotonic() + 10  # it is answered before it is counted out
    while under_way["127.0.0.1"] != 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    monkeypatch.setitem(under_way, "127.0.0.1", 3)
    fourth = site.visitor("fourth").upload("a.json", b"{}")
    assert fourth.status_code == 429 and "under way" in fourth.json()["detail"]


def test_t18_the_folder_has_a_bound_and_the_disk_keeps_its_rest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = site.visitor("full")
    monkeypatch.setattr(uploads, "LIMITS", dataclasses.replace(LIMITS, upload_folder_bytes=1000))
    assert caller.upload("a.zip", b"x" * 2000).status_code == 503
    monkeypatch.undo()
    monkeypatch.setattr(uploads, "LIMITS", dataclasses.replace(LIMITS, free_disk_bytes=10**18))
    full = caller.upload("a.zip", b"x")
    assert full.status_code == 507 and "disk" in full.json()["detail"]


def test_t18_an_upload_that_ends_in_the_middle_is_swept(site: Site) -> None:
    before = set(folder().rglob("*"))
    host, port = site.address.removeprefix("http://").split(":")
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: "
        'form-data; name="files"; filename="half.zip"\r\n\r\n' + "x" * 100_000
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        deadline = time.monotonic() + 10
        while set(folder().rglob("*")) == before and time.monotonic() < deadline:
            time.sleep(0.05)
    left = [path for path in set(folder().rglob("*")) - before if path.is_file()]
    assert left
    old = time.time() - 7200
    for path in left:
        os.utime(path, (old, old))
    uploads.sweep(folder(), 10**9)
    assert all(path.exists() for path in left)
    uploads.sweep(folder(), -1.0)
    assert not any(path.exists() for path in left) and folder().is_dir()
    assert httpx.get(f"{site.address}/config").status_code == 200
