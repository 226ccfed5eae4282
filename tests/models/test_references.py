"""The grammar of references, and the Hub behind a fake transport."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ModelError
from workbench.models import folders, hub, references
from workbench.models.cache import MARKER, cache_folder
from workbench.models.packages import PACKAGES
from workbench.models.references import CATALOGUE, parse

COMMIT, LATER = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("text", "kind", "name", "revision"),
    [
        ("package:gemma-3-270m", "package", "gemma-3-270m", None),
        ("gemma-3-270m", "package", "gemma-3-270m", None),
        ("hub:Qwen/Qwen2.5-0.5B", "hub", "Qwen/Qwen2.5-0.5B", None),
        (" Qwen/Qwen2.5-0.5B@refs/pr/1 ", "hub", "Qwen/Qwen2.5-0.5B", "refs/pr/1"),
        (f"hub:a/b@{COMMIT}", "hub", "a/b", COMMIT),
        ("folder:/models/mine", "folder", "/models/mine", None),
    ],
)
def test_parse(text: str, kind: str, name: str, revision: str | None) -> None:
    parsed = parse(text)
    assert (parsed.kind, parsed.name, parsed.revision) == (kind, name, revision)
    assert parse(str(parsed)) == parsed


def test_a_folder_that_cannot_be_is_one_sentence() -> None:
    for name in ("~nobody-of-this-name", "/" + "x" * 900, "~/" + "y" * 300):
        assert folders.named(name) is None
        with pytest.raises(ModelError, match="no folder"):
            references.ready(f"folder:{name}")


def test_an_existing_path_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse(str(tmp_path)).kind == "folder"
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert str(parse("owner/name")) == f"folder:{tmp_path}/owner/name"
    assert parse("hub:owner/name").kind == "hub"


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "a/b/c", "hub:", "hub:a", "hub:../b", "hub:a/..", "hub:a/../../etc/passwd"),
        *("hub:/etc/passwd", "hub:a\\b", "\\\\server\\share", "hub:a/b@", "hub:a/b@../x"),
        *("hub:a/b\0", "http://169.254.169.254/x/y", "file:///etc/passwd", "hub:a/b@-x"),
        *("package:nothing", "package:../x", "folder:", "hub:" + "a" * 300 + "/b", "a--b/c"),
        *("~nobody-of-this-name", "/" + "x" * 900, "~/" + "y" * 300, "x" * 9000),  # no folders
    ],
)
def test_t5_other_names_are_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_one_sentence(text: str) -> None:
    try:
        parsed = parse(f"hub:{text}")
    except ModelError as error:
        assert len(error.message) < 400
    else:
        folder = hub._repository_folder(cache_folder() / "hub", parsed.name)
        assert folder.parent == cache_folder() / "hub"
        assert folder.name not in (".", "..")


def test_catalogue_is_well_formed() -> None:
    known = [entry.reference for entry in CATALOGUE]
    assert len(set(known)) == len(known)
    assert {f"package:{name}" for name in PACKAGES} <= set(known)
    for entry in CATALOGUE:
        assert str(parse(entry.reference)) == entry.reference
        assert references.hub_id(entry.reference) == entry.hub_id
        assert entry.format.kind in ("chat", "text")
        assert "Gemma" not in entry.licence or "ai.google.dev/gemma/terms" in entry.notice


def test_hub_id_is_never_a_local_path(tmp_path: Path) -> None:
    assert references.hub_id(f"folder:{tmp_path}") is None
    assert references.hub_id("package:gemma-3-270m") == "google/gemma-3-270m"
    assert references.hub_id(f"hub:a/b@{COMMIT}") == "a/b"


def test_folders_are_checked_when_asked_for(tiny_source: Path, tmp_path: Path) -> None:
    assert references.ready(str(tiny_source)) == tiny_source
    assert references.fetch(f"folder:{tiny_source}") == tiny_source
    with pytest.raises(ModelError, match=r"no config\.json"):
        references.ready(f"folder:{tmp_path}")


def test_no_torch_is_imported() -> None:
    """The page and the command line list models long before they load one."""
    script = (
        "import sys, workbench.models.references\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", script], cwd=root).returncode == 0


class FakeHub:
    """One repository behind the Hub's HTTP interface; counts what is asked of it."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.sizes: dict[str, int] = {}  # what the listing claims, where it lies
        self.commit = COMMIT
        self.security: dict | None = None
        self.status = 200
        self.downloads: list[str] = []
        self.on_listing = lambda: None

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if self.status != 200:
            code = {401: "RepoNotFound", 403: "GatedRepo", 404: "RevisionNotFound"}[self.status]
            return httpx2.Response(self.status, headers={"X-Error-Code": code}, json={})
        if path.startswith("/api/models/owner/name/tree"):
            return httpx2.Response(200, json=[self._entry(name) for name in self.files])
        if path.startswith("/api/models/owner/name"):
            answer = httpx2.Response(200, json=self._listing())
            self.on_listing()
            return answer
        _, _, name = path.partition(f"/owner/name/resolve/{COMMIT}/")
        if name not in self.files:
            return httpx2.Response(404, headers={"X-Error-Code": "EntryNotFound"})
        if request.method == "GET":
            self.downloads.append(name)
        body = self.files[name]
        headers = {"ETag": f'"{name}-{len(body)}"', "X-Repo-Commit": COMMIT}
        headers["Content-Length"] = str(len(body))
        content = b"" if request.method == "HEAD" else body
        return httpx2.Response(200, headers=headers, content=content)

    def _listing(self) -> dict:
        return {
            "id": "owner/name",
            "sha": self.commit,
            "siblings": [
                {"rfilename": name, "size": self.sizes.get(name, len(body))}
                for name, body in self.files.items()
            ],
            "securityRepoStatus": self.security,
        }

    def _entry(self, name: str) -> dict:
        size = len(self.files[name])
        return {"type": "file", "path": name, "size": size, "oid": f"{name}-{size}"}


@pytest.fixture
def fake_hub(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    fake = FakeHub({path.name: path.read_bytes() for path in tiny_source.iterdir()})
    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(transport=httpx2.MockTransport(fake.answer))
    )
    yield fake
    huggingface_hub.set_client_factory(huggingface_hub.utils._http.default_client_factory)


def test_fetch_takes_only_model_files_of_one_commit(fake_hub: FakeHub, tmp_path: Path) -> None:
    wanted = set(fake_hub.files)
    fake_hub.files |= {
        "README.md": b"card",
        "pytorch_model.bin": b"\x80\x04pickle",
        "modeling_evil.py": b"raise SystemExit",
        "training_args.bin": b"\x80",
        "onnx/model.safetensors": b"other",
        "../outside.json": b"escape",
        "/etc/config.json": b"escape",
    }
    assert references.ready("owner/name") is None
    folder = references.fetch("hub:owner/name")
    assert {path.name for path in folder.iterdir()} == wanted | {"README.md", MARKER}
    assert set(fake_hub.downloads) <= wanted | {"README.md"}
    assert folder.name == COMMIT
    assert references.ready("owner/name") == folder
    assert references.ready(f"hub:owner/name@{COMMIT}") == folder
    assert json.loads((folder / MARKER).read_text())["reference"] == f"hub:owner/name@{COMMIT}"
    assert not [path for path in tmp_path.rglob("*") if "outside" in path.name]


def test_t5_a_branch_that_moves_between_listing_and_fetch(fake_hub: FakeHub) -> None:
    """The files of the commit that was listed are fetched, whatever the branch says by then."""

    def move() -> None:
        fake_hub.commit = LATER

    fake_hub.on_listing = move
    assert references.fetch("hub:owner/name@main").name == COMMIT


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"adapter_config.json": b"{}"}, "is an adapter"),
        ({"config.json": b'{"model_type": "x", "auto_map": {}}'}, "auto_map"),
        ({"config.json": b"{"}, "not valid JSON"),
    ],
)
def test_t5_repositories_that_are_refused(
    fake_hub: FakeHub, files: dict[str, bytes], sentence: str
) -> None:
    fake_hub.files |= files
    with pytest.raises(ModelError, match=sentence):
        references.fetch("hub:owner/name")
    assert references.ready("owner/name") is None


def test_t5_too_large_is_refused_before_a_byte_is_fetched(fake_hub: FakeHub) -> None:
    fake_hub.sizes["model.safetensors"] = 200 * 1024**3
    with pytest.raises(ModelError, match="Choose a smaller base"):
        references.fetch("hub:owner/name")
    assert fake_hub.downloads == []


def test_t5_a_listing_that_lies_about_sizes_is_refused(fake_hub: FakeHub) -> None:
    fake_hub.sizes["model.safetensors"] = 17
    with pytest.raises(ModelError, match="otherwise than the Hub listed"):
        references.fetch("hub:owner/name")
    assert references.ready("owner/name") is None


def test_t5_flagged_files_are_not_fetched(fake_hub: FakeHub) -> None:
    issue = {"path": "model.safetensors", "level": "unsafe"}
    fake_hub.security = {"scansDone": True, "filesWithIssues": [issue]}
    with pytest.raises(ModelError, match=r'flags model\.safetensors of owner/name as "unsafe"'):
        references.fetch("hub:owner/name")
    assert fake_hub.downloads == []


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "not on the Hub"), (403, "is gated"), (404, "has no revision")]
)
def test_hub_errors_are_one_sentence(fake_hub: FakeHub, status: int, sentence: str) -> None:
    fake_hub.status = status
    with pytest.raises(ModelError, match=sentence):
        references.fetch("hub:owner/name@main")


def test_no_network_is_one_sentence(fake_hub: FakeHub) -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route")

    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(transport=httpx2.MockTransport(refuse))
    )
    with pytest.raises(ModelError, match="could not be reached"):
        references.fetch("hub:owner/name")


def test_t5_a_file_with_another_hash_than_the_hub_lists_is_not_kept(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    hub._require_hashes("owner/name", {"good": sha256}, tmp_path)
    with pytest.raises(ModelError, match="came damaged"):
        hub._require_hashes("owner/name", {"good": sha256, "bad": "0" * 64}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["good"]
