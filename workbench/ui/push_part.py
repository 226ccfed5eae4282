"""Push to the Hub, the part of Take home: who, where, private or not, and what became of it.

The token is read from its field, or from the login of a Space, handed on and forgotten.
"""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.export.bundle import SAMPLES, Bundle
from workbench.export.dataset import jsonl_text
from workbench.export.hub import keep, push
from workbench.models import references
from workbench.runs import storage
from workbench.runs.folder import Run
from workbench.runs.listing import archive
from workbench.ui import consent_box, plain, words, workspace
from workbench.ui.boxes import button_row, small_button
from workbench.ui.failures import told
from workbench.ui.sections import Drawn, act
from workbench.ui.snapshot import Snapshot
from workbench.ui.waiting_line import HUB, in_line

_SIGN_IN = plain.sentence("Sign in with Hugging Face first.", "problem")
KEEP = (
    "This Space's disk is emptied when it restarts. The whole run, finished or not, can be kept as "
    "a zip in a private repository of yours. Unpacked in the folder of runs of a workbench it goes "
    "on there."
)


def login_is_offered() -> bool:
    """On a Space that has login switched on."""
    on_space = os.environ.get("SPACE_ID") and os.environ.get("OAUTH_CLIENT_ID")
    wanted = ("authlib", "itsdangerous")  # of gradio[oauth], which Spaces install
    return bool(on_space) and all(importlib.util.find_spec(name) for name in wanted)


def build(run_id: gr.Textbox, consent: gr.Checkbox) -> dict[str, Any]:
    """Place and wire the part; returns the components that follow the run.

    Args:
        consent: whether samples that may be private rows may leave.
    """
    plain.block(plain.heading("Push to the Hub", "Adapter, card and recipe, as one commit."))
    repository = gr.Textbox(
        label="Repository", placeholder="name, or owner/name", max_length=200, elem_id="push-name"
    )
    base = gr.Textbox(label="Base model on the Hub", max_length=200, elem_id="push-base")
    token = gr.Textbox(
        label="Token with write permission",
        info="Used for this push and not kept.",
        type="password",
        max_length=300,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False),
        visible=not login_is_offered(),
        elem_id="push-token",
    )
    if login_is_offered():
        gr.LoginButton(elem_id="push-login")
    with gr.Row():
        private = gr.Checkbox(True, label="Private", min_width=120, elem_id="push-private")
        samples = gr.Checkbox(
            False,
            label="With the synthetic data set",
            info="Without it, one of an earlier push is deleted; the history keeps it.",
            min_width=200,
            elem_id="push-samples",
        )
    with button_row():
        button = small_button("Push to the Hub", "push", interactive=False)
    state = plain.block(elem_id="push-state")
    if storage.is_lost_at_restart(workspace.runs_root()):
        _keeping(run_id, repository, consent, token, state)
    asked = [run_id, repository, base, private, samples, consent, token]
    # Nothing is pressed between the two, so both are about the same run.
    begun = act(button.click, _begin, [run_id, repository], [state, button])
    handler = told(push_with_login if login_is_offered() else push_with_token)
    begun.then(handler, asked, [state, token, button], show_progress="hidden")
    return {"push": button, "push_base": base, "push_state": state}


def _keeping(
    run_id: gr.Textbox, repository: gr.Textbox, consent: gr.Checkbox, token: gr.Textbox, state: Any
) -> None:
    """Where runs are lost at a restart: all of one, finished or not, into a private repository."""
    plain.block(plain.sentence(KEEP, "note"))
    with button_row():
        button = small_button("Keep the whole run", "keep-run")
    handler = keep_with_login if login_is_offered() else keep_with_token
    asked = [run_id, repository, consent, token]
    button.click(told(handler), asked, [state, token], show_progress="hidden")


def draw(now: Snapshot, boxes: dict[str, Any], ready: bool) -> Drawn:
    """The part as the run stands."""
    base = references.hub_id(now.recipe.target_base) if now.run else ""
    hint = "" if base or not now.run else "The target is a local folder: which model is it?"
    return {
        boxes["push"]: gr.update(interactive=ready),
        boxes["push_base"]: gr.update(value=base or "", info=hint, interactive=bool(hint)),
        boxes["push_state"]: "",
    }


def _begin(run_id: str, repository: str) -> tuple[str, Any]:
    _, bundle = workspace.packed(run_id)
    size = words.size(sum(path.stat().st_size for path in bundle.folder.iterdir()))
    where = (repository or "").strip() or "the Hub"
    sentence = f"Uploading up to {size} to {where} … It goes on if you leave this page."
    return plain.sentence(sentence), gr.update(interactive=False)


@in_line(HUB)
def push_with_token(
    run_id: str,
    repository: str,
    base: str,
    private: bool,
    samples: bool,
    consent: bool,
    token: str,
) -> tuple[str, Any, Any]:
    """Push; the field is emptied when it worked, so that no token stays in the page."""

    def act() -> str:
        run, bundle = workspace.packed(run_id)
        given = _data_set(run, bundle, consent) if samples else None
        return push(
            bundle.folder, repository, token, private, samples=given, base_model=base or ""
        )  # fmt: skip

    return *_said("Pushed to", act), gr.update(interactive=True)


@in_line(HUB)
def keep_with_token(run_id: str, repository: str, consent: bool, token: str) -> tuple[str, Any]:
    """Put all of the run into a private repository; the field is emptied when it worked."""

    def act() -> str:
        run = workspace.find(run_id)
        consent_box.require(run, run.samples.kept(), consent)
        packed = archive(run, workspace.export_file(f"{run.id}.zip"))
        try:
            return keep(packed, repository, token)
        finally:
            packed.unlink()

    return _said("Kept in", act)


@in_line(HUB)
def keep_with_login(
    run_id: str, repository: str, consent: bool, _field: str, login: gr.OAuthToken | None
) -> tuple[str, Any]:
    """The same with the token of the visitor who is logged in to the Space."""
    if login is None:
        return _SIGN_IN, gr.skip()
    return keep_with_token(run_id, repository, consent, login.token)


def _said(done: str, act: Callable[[], str]) -> tuple[str, Any]:
    """A sentence about what ``act`` came to, and the token's field: empty when it worked."""
    try:
        return plain.link_sentence(done, act()), ""
    except WorkbenchError as error:
        return plain.sentence(error.message, "problem"), gr.skip()


@in_line(HUB)
def push_with_login(
    run_id: str,
    repository: str,
    base: str,
    private: bool,
    samples: bool,
    consent: bool,
    _field: str,
    login: gr.OAuthToken | None,
) -> tuple[str, Any, Any]:
    """The same with the token of the visitor who is logged in to the Space."""
    if login is None:
        return _SIGN_IN, gr.skip(), gr.update(interactive=True)
    return push_with_token(run_id, repository, base, private, samples, consent, login.token)


def _data_set(run: Run, bundle: Bundle, consent: bool) -> bytes:
    """The samples as they lie in the bundle, or as the run has them where it goes without."""
    kept = run.samples.kept()
    consent_box.require(run, kept, consent)
    packed = bundle.folder / SAMPLES
    return packed.read_bytes() if packed.is_file() else jsonl_text(kept).encode()
