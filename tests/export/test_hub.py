"""What a push sends, to the byte, and what each way to fail is called."""

import hashlib
import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.export import hub_stand_in
from tests.export.hub_stand_in import TOKEN, Hub
from tests.export.test_bundle import SAMPLES as BUNDLED
from tests.export.test_bundle import write
from workbench.errors import StageError
from workbench.export.bundle import replace_card
from workbench.export.hub import push
from workbench.recipe import TransferRecipe

SAMPLES = b'{"input": "call a cab"}\n'
SENT = {"README.md", "adapter_config.json", "adapter_model.safetensors", "recipe.json"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # What HF_HUB_OFFLINE and HF_HUB_DISABLE_XET set when huggingface_hub is imported. Xet needs
    # a content-addressed store; the weights go the LFS way instead.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between attempts
    with hub_stand_in.running() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path).folder


def test_the_very_bytes_arrive_in_a_private_repository(hub: Hub, folder: Path) -> None:
    (folder / "notes.txt").write_text("not of the bundle")
    address = push(folder, "taxi", TOKEN, endpoint=hub.address)
    assert address == f"{hub.address}/anna/taxi"
    assert hub.private == {"anna/taxi": True}
    files = hub.files["anna/taxi"]
    assert set(files) == SENT
    for name in ("adapter_model.safetensors", "adapter_config.json", "recipe.json"):
        assert files[name] == (folder / name).read_bytes(), name
    assert any(asked.startswith("PUT /storage/") for asked in hub.asked)  # weights by LFS
    assert hub.messages == ["Upload the transferred adapter"]


def test_the_card_speaks_of_the_repository(hub: Hub, folder: Path) -> None:
    push(folder, "anna/taxi", TOKEN, endpoint=hub.address)
    card = hub.files["anna/taxi"]["README.md"].decode()
    assert 'PeftModel.from_pretrained(model, "anna/taxi")' in card
    assert "samples.jsonl" not in card  # it was not sent
    assert 'base_model: "google/gemma-3-270m"' in card.split("---")[1]


def test_a_card_that_was_saved_as_something_else_is_sent_with_marks(hub: Hub, folder: Path) -> None:
    card = (folder / "README.md").read_bytes()
    (folder / "README.md").write_bytes(card + "Für Anna".encode("latin-1"))
    push(folder, "taxi", TOKEN, endpoint=hub.address)
    assert hub.files["anna/taxi"]["README.md"].decode().endswith("F\ufffdr Anna")


def test_samples_are_sent_when_asked_for(hub: Hub, folder: Path) -> None:
    push(folder, "taxi", TOKEN, samples=SAMPLES, endpoint=hub.address)
    files = hub.files["anna/taxi"]
    assert files["samples.jsonl"] == SAMPLES
    assert b"samples.jsonl" in files["README.md"]


def test_the_card_tells_of_samples_that_the_bundle_went_without(hub: Hub, tmp_path: Path) -> None:
    folder = write(tmp_path, samples=[replace(one, origin="kit") for one in BUNDLED]).folder
    push(folder, "taxi", TOKEN, samples=SAMPLES, endpoint=hub.address)
    files = hub.files["anna/taxi"]
    assert files["samples.jsonl"] == SAMPLES and b"samples.jsonl" in files["README.md"]


def test_samples_of_an_earlier_push_go_when_they_are_not_sent_again(hub: Hub, folder: Path) -> None:
    """They stayed beside a card that did not know of them."""
    push(folder, "taxi", TOKEN, samples=SAMPLES, endpoint=hub.address)
    push(folder, "taxi", TOKEN, endpoint=hub.address)
    assert set(hub.files["anna/taxi"]) == SENT
    push(folder, "taxi", TOKEN, private=False, endpoint=hub.address)  # nothing left to delete
    assert set(hub.files["anna/taxi"]) == SENT


def test_public_only_when_asked_for(hub: Hub, folder: Path) -> None:
    push(folder, "taxi", TOKEN, private=False, endpoint=hub.address)
    assert hub.private == {"anna/taxi": False}


def test_second_push_is_another_commit(hub: Hub, folder: Path) -> None:
    push(folder, "taxi", TOKEN, endpoint=hub.address)
    push(folder, "taxi", TOKEN, endpoint=hub.address)
    assert len(hub.messages) == 2
    assert sum(asked.startswith("PUT /storage/") for asked in hub.asked) == 1  # not sent twice


def test_private_never_goes_to_a_public_repository(hub: Hub, folder: Path) -> None:
    """create_repo(private=True, exist_ok=True) leaves a public repository public."""
    hub.private["anna/taxi"] = False
    with pytest.raises(StageError, match="everybody can read it"):
        push(folder, "taxi", TOKEN, endpoint=hub.address)
    assert not hub.files and not hub.stored


def test_local_base_is_asked_for_and_named(hub: Hub, tmp_path: Path) -> None:
    recipe = replace(TransferRecipe(), task_name="x", target_base=f"folder:{tmp_path / 'base'}")
    folder = write(tmp_path, recipe).folder
    for wrong in ("", str(tmp_path / "base"), "a/b/c"):
        with pytest.raises(StageError, match="Give its id on the Hub"):
            push(folder, "taxi", TOKEN, base_model=wrong, endpoint=hub.address)
    assert not hub.private  # refused before anything was made
    push(folder, "taxi", TOKEN, base_model="org/base", endpoint=hub.address)
    files = hub.files["anna/taxi"]
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "org/base"
    card = files["README.md"].decode()
    assert 'base_model: "org/base"' in card.split("---")[1] and "base = 'org/base'" in card
    assert str(tmp_path) not in card + files["adapter_config.json"].decode()
    assert hashlib.sha256(files["adapter_config.json"]).hexdigest() in card


def test_edited_card_keeps_a_base_the_hub_can_read(hub: Hub, tmp_path: Path) -> None:
    bundle = replace_card(write(tmp_path), "# My own words")
    push(bundle.folder, "taxi", TOKEN, endpoint=hub.address)
    card = hub.files["anna/taxi"]["README.md"].decode()
    assert card.startswith("---\n") and 'base_model: "google/gemma-3-270m"' in card
    assert card.endswith("# My own words\n")
    bundle = replace_card(bundle, "---\nbase_model: /models/mine\n---\n# Mine")
    with pytest.raises(StageError, match="names another base_model"):
        push(bundle.folder, "taxi", TOKEN, endpoint=hub.address)


@pytest.mark.parametrize("token", ["", "  ", None])
def test_no_token(hub: Hub, folder: Path, token: str | None) -> None:
    """Not even when this machine is logged in: that token is somebody else's."""
    with pytest.raises(StageError, match="Give a token with write permission"):
        push(folder, "taxi", token, endpoint=hub.address)
    assert not hub.asked


def test_token_that_no_header_can_hold(folder: Path) -> None:
    """The HTTP library's own complaint quotes it, and would be in the log."""
    with pytest.raises(StageError) as caught:
        push(folder, "taxi", "hf_sec\nret", endpoint="http://127.0.0.1:9")
    assert "hf_sec" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b/c", "my adapter", "../up", "a--b", "x" * 97, "-a/b"])
def test_bad_names(hub: Hub, folder: Path, name: str) -> None:
    with pytest.raises(StageError, match="name of the repository"):
        push(folder, name, TOKEN, endpoint=hub.address)
    assert not hub.asked


def test_wrong_token(hub: Hub, folder: Path) -> None:
    for name in ("taxi", "anna/taxi"):
        with pytest.raises(StageError, match=r"does not know this token \(401\)"):
            push(folder, name, "hf_wrong", endpoint=hub.address)


def test_no_permission(hub: Hub, folder: Path) -> None:
    with pytest.raises(StageError, match=r"may not write to somebody \(403\)"):
        push(folder, "somebody/taxi", TOKEN, endpoint=hub.address)
    hub.private["anna/mine"] = True
    hub.wrong["POST /api/models/anna/mine/commit"] = 403
    with pytest.raises(StageError, match=r"may not write to anna \(403\)"):
        push(folder, "mine", TOKEN, endpoint=hub.address)


@pytest.mark.parametrize(
    ("request_start", "status", "words"),
    [
        ("POST /api/repos/create", 400, "refused anna/taxi"),
        ("POST /api/validate-yaml", 400, "head of the card"),
        ("GET /api/whoami-v2", 503, "error 503"),
        ("PUT /storage/", 403, "403"),
        ("PUT /storage/", 500, "error 500"),
        ("POST /api/models/anna/taxi/commit", 0, "could not be reached, or the connection"),
        ("PUT /storage/", 0, "could not be reached, or the connection"),
        ("GET /api/whoami-v2", 0, "could not be reached, or the connection"),
    ],
)
def test_what_the_hub_may_answer(
    hub: Hub, folder: Path, request_start: str, status: int, words: str
) -> None:
    hub.wrong[request_start] = status
    with pytest.raises(StageError, match=words):
        push(folder, "taxi", TOKEN, endpoint=hub.address)
    assert not hub.files


def test_no_network(hub: Hub, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StageError, match="could not be reached"):
        push(folder, "taxi", TOKEN, endpoint=f"http://127.0.0.1:{port}")


def test_offline(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StageError, match="switched off here"):
        push(folder, "taxi", TOKEN, endpoint=hub.address)


def test_token_is_in_no_log_and_no_file(
    hub: Hub, folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    push(folder, "taxi", TOKEN, endpoint=hub.address)
    hub.wrong["POST /api/models/anna/taxi/commit"] = 403
    with pytest.raises(StageError) as caught:
        push(folder, "taxi", TOKEN, endpoint=hub.address)
    captured = capfd.readouterr()
    assert TOKEN not in caplog.text + captured.out + captured.err + str(caught.value)
    for path in folder.parent.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()
    assert all(TOKEN.encode() not in data for data in hub.files["anna/taxi"].values())
