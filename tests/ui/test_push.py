"""Take home's push as Gradio calls it: the sentence it shows, the token that does not stay."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import gradio.routes
import huggingface_hub.constants
import pytest

from tests.export import hub_stand_in
from tests.export.hub_stand_in import TOKEN, Hub
from tests.ui import fake_run
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run
from workbench.ui import push_part, snapshot
from workbench.ui.page import build_page


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with hub_stand_in.running() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        yield hub


def test_pushes_what_take_home_shows_and_empties_the_token(hub: Hub, finished: Run) -> None:
    sentence, token, button = push_part.push_with_token(
        finished.id, "moved", "", True, False, False, TOKEN
    )
    assert f'href="{hub.address}/anna/moved"' in sentence
    assert token == "" and button["interactive"]
    sent = hub.files["anna/moved"]["adapter_model.safetensors"]
    assert sent == (finished.exports / "adapter/adapter_model.safetensors").read_bytes()
    assert hub.private["anna/moved"]
    for path in finished.folder.parent.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


def test_samples_that_may_be_private_rows_are_sent_only_with_consent(hub: Hub, runs: Path) -> None:
    run = fake_run.finished(runs, origin="own")
    said, *_ = push_part.push_with_token(run.id, "moved", "", True, True, False, TOKEN)
    assert "trained on, word for word" in said and "problem" in said and not hub.files
    said, *_ = push_part.push_with_token(run.id, "moved", "", True, True, True, TOKEN)
    assert "Pushed to" in said
    lines = hub.files["anna/moved"]["samples.jsonl"].decode().splitlines()
    assert len(lines) == len(run.samples.kept())


def test_failure_is_said_beside_the_button(hub: Hub, finished: Run, draft: Run) -> None:
    for run, token, words in (
        (finished, "", "Give a token"),
        (finished, "hf_wrong", "does not know this token"),
        (draft, TOKEN, "not packed yet"),
    ):
        said = push_part.push_with_token(run.id, "moved", "", True, False, False, token)
        assert words in said[0] and "problem" in said[0]
        assert said[1] == gr.skip() and said[2]["interactive"]
    assert not hub.files


def test_it_says_that_it_works(finished: Run) -> None:
    sentence, button = push_part._begin(finished.id, "anna/moved")
    assert "Uploading up to" in sentence and "anna/moved" in sentence
    assert not button["interactive"]


def test_login_of_a_space_stands_in_for_the_token(hub: Hub, finished: Run) -> None:
    asked = (finished.id, "moved", "", True, False, False, "")
    assert "Sign in" in push_part.push_with_login(*asked, None)[0]
    login = gr.OAuthToken(token=TOKEN, scope="", expires_at=0)
    assert "anna/moved" in push_part.push_with_login(*asked, login)[0]


def element_ids(page: gr.Blocks) -> set[str | None]:
    return {part["props"].get("elem_id") for part in page.get_config_file()["components"]}


def test_login_button_only_on_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the button would end the launch with an error."""
    assert not push_part.login_is_offered()
    monkeypatch.setattr(push_part, "login_is_offered", lambda: True)
    monkeypatch.setattr(gradio.routes, "attach_oauth", lambda app: None)  # wants authlib
    assert "push-login" in element_ids(build_page())
    monkeypatch.setattr(push_part, "login_is_offered", lambda: False)
    page = build_page()
    assert "push-login" not in element_ids(page)
    parts = page.get_config_file()["components"]
    (token,) = (part for part in parts if part["props"].get("elem_id") == "push-token")
    assert token["props"]["type"] == "password"


def test_local_target_is_asked_for_its_id(finished: Run, runs: Path) -> None:
    boxes = {name: object() for name in ("push", "push_base", "push_state")}
    now = snapshot.take(finished.id, fresh=True)
    base = push_part.draw(now, boxes, ready=True)[boxes["push_base"]]
    assert base["value"] == "google/gemma-3-270m" and not base["interactive"]
    local = TransferRecipe(target_base=f"folder:{runs}")
    base = push_part.draw(replace(now, recipe=local), boxes, ready=True)[boxes["push_base"]]
    assert base["value"] == "" and base["interactive"]
