"""Adapters from the Hub, with a stand-in that answers as the Hub does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.ui.fake_run import write_adapter
from workbench.errors import IntakeError
from workbench.intake import hub
from workbench.intake.adapter import read_adapter

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Files of "someone/adapter" that the stand-in serves; a test may change them."""
    folder = write_adapter(tmp_path / "served")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            if path.startswith("/api/models/someone/adapter"):
                listed = [{"rfilename": n, "size": len(c)} for n, c in files.items()]
                answer = {"id": "someone/adapter", "sha": COMMIT, "siblings": listed}
                self.answer(json.dumps(answer).encode())
            elif path.startswith(f"/someone/adapter/resolve/{COMMIT}/"):
                self.answer(files[path.removeprefix(f"/someone/adapter/resolve/{COMMIT}/")])
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{len(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hub, "HfApi", lambda: huggingface_hub.HfApi(endpoint=address))
    yield files
    server.shutdown()


def test_two_files_are_fetched_and_accepted(stand_in: dict[str, bytes], tmp_path: Path) -> None:
    stand_in["tokenizer.json"] = b"never fetched"
    (tmp_path / "in").mkdir()
    paths = hub.fetch_adapter("someone/adapter@main", tmp_path / "in")
    assert {path.name for path in paths} == {"adapter_config.json", "adapter_model.safetensors"}
    assert not (tmp_path / "in" / "tokenizer.json").exists()
    assert read_adapter(paths, tmp_path).settings.fields["r"] == 8


@pytest.mark.parametrize(
    "typed",
    [
        "someone/adapter/checkpoint-10",
        "hub:someone/adapter/checkpoint-10@main",
        "https://huggingface.co/someone/adapter/tree/main/checkpoint-10/",
    ],
)
def test_one_of_several_adapters_of_a_repository(
    stand_in: dict[str, bytes], tmp_path: Path, typed: str
) -> None:
    both = dict(stand_in)
    stand_in.clear()
    for step in (10, 20):
        stand_in.update({f"checkpoint-{step}/{name}": raw for name, raw in both.items()})
    with pytest.raises(IntakeError, match=r"checkpoint-10, checkpoint-20\. Write someone/adapter/"):
        hub.fetch_adapter("someone/adapter", tmp_path)
    paths = hub.fetch_adapter(typed, tmp_path)
    assert {path.parent.name for path in paths} == {"checkpoint-10"}
    assert read_adapter(paths, tmp_path).settings.fields["r"] == 8
    if typed.startswith("hub:"):
        files = hub.read_given([Path(typed)], tmp_path / "work")
        assert files.settings.fields["r"] == 8
        assert not [path for path in (tmp_path / "work").iterdir() if path != files.weights.parent]


def test_pickles_are_named(stand_in: dict[str, bytes], tmp_path: Path) -> None:
    stand_in["adapter_model.bin"] = stand_in.pop("adapter_model.safetensors")
    with pytest.raises(IntakeError, match="Pickles"):
        hub.fetch_adapter("someone/adapter", tmp_path)


def test_unknown_repository_is_a_sentence(stand_in: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="is not on the Hub"):
        hub.fetch_adapter("someone/else", tmp_path)


@pytest.mark.parametrize(
    "wrong", ["", "name", "../../etc/passwd", "a/b/../c", "http://x/y", "a/b@"]
)
def test_other_texts_are_no_ids(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="no id on the Hub"):
        hub.fetch_adapter(wrong, tmp_path)
