"""T6: whatever address or path is written into whatever field, nothing is fetched or opened there.

Every function of the page is called with it in every box for text. That a file of a call is one
that was uploaded is tests/security/test_t19_gate.py's.
"""

import asyncio
import inspect
import socket
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.security.watching import watched
from workbench.runs import owners
from workbench.runs.owners import Visitor
from workbench.ui.page import build_page

CANARY = "canary-of-a-file-of-the-server"


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return build_page()


def _answer(function: Any, address: str) -> str:
    values = [
        address if isinstance(box, gr.Textbox | gr.Code | gr.HTML) else getattr(box, "value", None)
        for box in function.inputs
    ]
    try:
        made = function.fn(*values)
        return str(asyncio.run(made) if inspect.iscoroutine(made) else made)
    except Exception as error:  # nonsense may be refused in any way
        return str(error)


@pytest.mark.parametrize(
    "address",
    ["http://169.254.169.254/latest/meta-data", "hub:../../{file}", "file://{file}", "{file}"],
)
def test_t6_no_function_fetches_or_opens_what_a_text_names(
    page: gr.Blocks, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    address = address.format(file=secret)
    functions = [one for one in page.fns.values() if one.fn is not None and one.inputs]
    assert len(functions) > 50
    with watched() as seen, owners.visited_by(Visitor("10.0.0.1", (owners.mark("a" * 32),))):
        answers = [_answer(function, address) for function in functions]
    assert not any(CANARY in answer for answer in answers)
    assert not [path for path in seen.opened if path.startswith(str(secret))]
    assert not seen.connected


def test_t6_the_watch_sees_both(tmp_path: Path) -> None:
    with watched() as seen, pytest.raises(ConnectionError):
        (tmp_path / "x").touch()
        socket.create_connection(("127.0.0.1", 1), timeout=0.2)
    assert seen.connected and str(tmp_path / "x") in seen.opened
