"""T20, T5: strangers' requests never go to the Hub with the server's own login.

A stand-in of the Hub notes the header of every request: looking up, listing, downloading, for
adapters and for bases (whose tokenizer and chat template are files of the same download).
"""

import ast
import dataclasses
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import huggingface_hub
import huggingface_hub.constants
import pytest

from tests.ui import fake_run
from workbench.errors import IntakeError, ModelError, WorkbenchError
from workbench.export.hub import push
from workbench.intake.hub import fetch_adapter
from workbench.jobs import downloads, environment
from workbench.models import hub_access, references
from workbench.models.hub_access import Access
from workbench.recipe import TransferRecipe
from workbench.runs.folder import create
from workbench.ui import visitors

COMMIT = "a" * 40
SERVER, ANNA, BERT = "hf_serversOwnLogin", "hf_annasLogin", "hf_bertsLogin"
WORKBENCH = Path(__file__).parents[2] / "workbench"


@dataclasses.dataclass
class RecordingHub:
    """Repositories with files; who may read which; and all (path, Authorization) asked."""

    files: dict[str, dict[str, bytes]]
    readers: dict[str, set[str]] = field(default_factory=dict)  # private ones
    gated: dict[str, set[str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path, sent = request.url.path, request.headers.get("authorization")
        self.asked.append((path, sent))
        token = (sent or "").removeprefix("Bearer ")
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name = "/".join(parts[:2])
        if name not in self.files or token not in self.readers.get(name, {token}):
            return httpx2.Response(401, headers={"X-Error-Code": "RepoNotFound"}, json={})
        files = self.files[name]
        if path.startswith("/api/models"):
            if "tree" in parts:
                return httpx2.Response(200, json=[
                    {"type": "file", "path": file, "size": len(body), "oid": f"{file}-{len(body)}"}
                    for file, body in files.items()
                ])  # fmt: skip
            siblings = [{"rfilename": file, "size": len(body)} for file, body in files.items()]
            return httpx2.Response(200, json={"id": name, "sha": COMMIT, "siblings": siblings})
        if token not in self.gated.get(name, {token}):
            return httpx2.Response(403, headers={"X-Error-Code": "GatedRepo"}, json={})
        body = files[parts[-1]]
        headers = {"ETag": f'"{parts[-1]}-{len(body)}"', "X-Repo-Commit": COMMIT,
                   "Content-Length": str(len(body))}  # fmt: skip
        content = b"" if request.method == "HEAD" else body
        return httpx2.Response(200, headers=headers, content=content)

    def logins(self) -> set[str | None]:
        """Every Authorization header that was sent, without repetition."""
        return {sent and sent.removeprefix("Bearer ") for _, sent in self.asked}


@pytest.fixture
def hub(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RecordingHub]:
    adapter = fake_run.write_adapter(tmp_path / "adapter")
    files = {path.name: path.read_bytes() for path in adapter.iterdir()}
    base = {path.name: path.read_bytes() for path in tiny_source.iterdir()}
    fake = RecordingHub(
        files=dict.fromkeys(("open/adapter", "server/adapter", "anna/adapter"), files)
        | dict.fromkeys(("open/base", "server/base", "anna/base", "gated/base"), base),
        readers={"server/adapter": {SERVER}, "server/base": {SERVER}, "anna/adapter": {ANNA},
                 "anna/base": {ANNA}},
        gated={"gated/base": {SERVER, ANNA}},
    )  # fmt: skip
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", SERVER)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(transport=httpx2.MockTransport(fake.answer))
    )
    yield fake
    huggingface_hub.set_client_factory(huggingface_hub.utils._http.default_client_factory)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_SHARED", "1")


def as_anna() -> Any:
    return hub_access.using(hub_access.of_visitor(ANNA, "anna"))


@pytest.mark.usefixtures("shared")
def test_t20_adapters_are_looked_up_and_fetched_without_the_servers_login(
    hub: RecordingHub, tmp_path: Path
) -> None:
    assert fetch_adapter("open/adapter", tmp_path / "1")
    for private in ("server/adapter", "anna/adapter"):
        with pytest.raises(IntakeError, match="private and you are not logged in"):
            fetch_adapter(private, tmp_path / "2")
    assert hub.logins() == {None} and len(hub.asked) >= 7


@pytest.mark.usefixtures("shared")
def test_t20_a_visitor_reads_private_adapters_of_the_own_login_only(
    hub: RecordingHub, tmp_path: Path
) -> None:
    with as_anna():
        assert fetch_adapter("open/adapter", tmp_path / "1")
        assert hub.logins() == {None}  # what is public is not asked for with a login
        assert fetch_adapter("anna/adapter", tmp_path / "2")
        with pytest.raises(IntakeError, match="private"):
            fetch_adapter("server/adapter", tmp_path / "3")
    assert hub.logins() == {None, ANNA}


@pytest.mark.usefixtures("shared")
def test_t20_bases_are_fetched_without_the_servers_login(hub: RecordingHub) -> None:
    folder = references.fetch("hub:open/base")
    assert (folder / "tokenizer.json").is_file()
    for name in ("server/base", "anna/base", "gated/base"):
        with pytest.raises(ModelError, match=r"logged in|gated"):
            references.fetch(f"hub:{name}")
    assert hub.logins() == {None}


@pytest.mark.usefixtures("shared")
def test_t20_what_a_login_could_read_is_kept_for_that_visitor(hub: RecordingHub) -> None:
    with as_anna():
        for name in ("anna/base", "gated/base"):
            assert references.fetch(f"hub:{name}") == references.ready(f"hub:{name}")
        public = references.fetch("hub:open/base")
    assert hub.logins() == {None, ANNA}
    bert = hub_access.of_visitor(BERT, "bert")
    for who in (bert, Access(own=False)):
        with hub_access.using(who):
            assert references.ready("hub:anna/base") is None
            assert references.ready(f"hub:anna/base@{COMMIT}") is None
            assert references.ready("hub:gated/base") is None
            assert references.ready("hub:open/base") == public
    with hub_access.using(bert), pytest.raises(ModelError):
        references.fetch("hub:anna/base")


def test_t20_what_the_server_fetched_for_itself_is_not_for_visitors(
    hub: RecordingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert references.fetch("hub:server/base") == references.ready("hub:server/base")
    assert hub.logins() == {SERVER}  # at home the login is one's own
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    assert references.ready("hub:server/base") is None
    with pytest.raises(ModelError):
        references.fetch("hub:server/base")


@pytest.mark.usefixtures("shared")
def test_t20_processes_that_fetch_have_no_secret_of_the_server(
    hub: RecordingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HUGGING_FACE_HUB_TOKEN", "OAUTH_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SERVER)
    for access in (Access(own=False), hub_access.of_visitor(ANNA, "anna")):
        variables = downloads.fetching_environment(access)
        assert SERVER not in variables.values()
        assert variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
        assert variables.get(hub_access.TOKEN, "") == access.token
        for name in ("HF_TOKEN", *(k for k in variables if k.startswith("WORKBENCH"))):
            monkeypatch.delenv(name, raising=False)
            if name in variables:
                monkeypatch.setenv(name, variables[name])
        assert hub_access.current() == access  # as the process reads it
        worker = environment.clean_environment() | hub_access.for_worker(access)
        assert ANNA not in worker.values() and SERVER not in worker.values()
        assert worker[hub_access.AS] == (access.user or "public")


@pytest.mark.usefixtures("shared")
def test_t20_a_run_finds_the_private_base_of_its_login_again(tmp_path: Path) -> None:
    run = create(tmp_path / "runs", TransferRecipe())
    with as_anna():
        user = downloads.access_of(run).user
    with hub_access.using(Access(own=False)):  # the login is over
        access = downloads.access_of(run)
    assert access.user == user and not access.token and len(access.caches()) == 2


def request_of(login: dict[str, Any] | None) -> Any:
    inner = SimpleNamespace(scope={"session": {"oauth_info": login} if login else {}})
    return SimpleNamespace(request=inner)


def test_t20_a_login_counts_until_it_is_over() -> None:
    login = {"access_token": ANNA, "expires_at": 4e9, "userinfo": {"preferred_username": "anna"}}
    assert visitors._login(request_of(login)) == (ANNA, "anna")
    assert visitors._login(request_of({**login, "expires_at": 1})) == ("", "")
    assert visitors._login(request_of(None)) == ("", "")


@pytest.mark.usefixtures("shared")
def test_t20_a_push_without_a_token_is_none(hub: RecordingHub, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError):
        push(tmp_path, "server/model", "", True)
    assert not hub.asked


def test_t20_every_call_of_the_hub_says_with_which_login() -> None:
    """So that none can fall back to the one of the environment."""
    wanted = {"model_info", "hf_hub_download", "snapshot_download", "list_repo_tree",
              "build_hf_headers"}  # fmt: skip
    found = 0
    for path in WORKBENCH.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            names = [ast.unparse(node.func), *(ast.unparse(a) for a in node.args[:1])]
            for name in names:
                if name.split(".")[-1].split("(")[0] in wanted and name.split(".")[0] != "api":
                    found += 1
                    assert "token" in {k.arg for k in node.keywords}, f"{path}:{node.lineno}"
            if names[0] == "HfApi" and path.name == "hub.py" and path.parent.name == "export":
                assert "token" in {k.arg for k in node.keywords}
    assert found >= 4


def test_the_space_asks_for_the_scope_that_reads_private_repositories() -> None:
    readme = (WORKBENCH.parent / "README.md").read_text().split("---")[1]
    assert "hf_oauth_scopes: [read-repos, contribute-repos]" in readme
