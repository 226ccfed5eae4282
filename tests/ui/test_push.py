"""Take home's push as Gradio calls it: the sentence it shows, the token that does not stay."""

import io
import time
import zipfile
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
from workbench.runs.folder import Run, open_run
from workbench.ui import push_part, snapshot, workspace
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


def test_a_run_is_kept_whole_in_a_private_repository(
    hub: Hub, reviewable: Run, tmp_path: Path
) -> None:
    """Finished or not; unpacked elsewhere it is the run."""
    said, token = push_part.keep_with_token(reviewable.id, "kept", False, TOKEN)
    assert f'href="{hub.address}/anna/kept"' in said and token == ""
    assert hub.private == {"anna/kept": True}
    name, content = next(iter(hub.files["anna/kept"].items()))
    assert name == f"{reviewable.id}.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        packed.extractall(tmp_path / "elsewhere")
    run = open_run(tmp_path / "elsewhere" / reviewable.id)
    assert run.recipe == reviewable.recipe and run.inputs.seeds == reviewable.inputs.seeds
    there, here = run.inputs.adapter, reviewable.inputs.adapter
    assert there and here and there.sha256 == here.sha256
    assert run.samples.all() == reviewable.samples.all()
    assert not list(workspace.export_file("x").parent.parent.rglob("*.zip"))


def test_what_may_be_private_rows_is_kept_only_with_consent(hub: Hub, runs: Path) -> None:
    run = fake_run.finished(runs, origin="own")
    said, token = push_part.keep_with_token(run.id, "kept", False, TOKEN)
    assert "trained on, word for word" in said and token == gr.skip() and not hub.files
    assert "Kept in" in push_part.keep_with_token(run.id, "kept", True, TOKEN)[0]


def test_a_run_is_not_kept_where_everybody_reads_it(hub: Hub, finished: Run) -> None:
    hub.private["anna/open"] = False
    said, _ = push_part.keep_with_token(finished.id, "anna/open", False, TOKEN)
    assert "everybody can read it" in said and not hub.files
    assert "Sign in" in push_part.keep_with_login(finished.id, "kept", False, "", None)[0]


def test_keeping_is_offered_where_a_restart_loses_runs(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "keep-run" not in element_ids(build_page())
    monkeypatch.setenv("SPACE_ID", "anna/space")
    assert "keep-run" in element_ids(build_page())
    assert "keep the whole run" in workspace.storage_notice()


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
