"""T6: whatever address or path is written into whatever field, nothing is fetched or opened there.

Every function of the page is called with them in every box for text.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.security.serving import Site, served
from tests.security.watching import watched
from workbench.ui import visitors

CANARY = "canary-of-a-file-of-the-server"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("addresses"), WORKBENCH_SHARED="1") as site:
        yield site


def _values(function: Any, address: str) -> list[Any]:
    """The address wherever text is taken; everything else as on a new page."""
    return [
        address if isinstance(box, gr.Textbox | gr.Code | gr.HTML) else getattr(box, "value", None)
        for box in function.inputs
    ]


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest/meta-data", "{file}"])
def test_t6_no_function_fetches_or_opens_what_a_text_names(
    site: Site, tmp_path: Path, address: str
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    address = address.format(file=secret)

    def call(name: str) -> str:
        function = site.page.fns[site.numbers[name]]
        caller = site.visitor(f"t6-{site.numbers[name]}", **{visitors.HEADER: "a" * 32})
        values = _values(function, address)
        ask = caller.call if function.queue else caller.direct
        answer = ask(name, *values)
        return getattr(answer, "text", str(answer))

    names = [
        name
        for name, number in site.numbers.items()
        if site.page.fns[number].fn is not None and site.page.fns[number].inputs
    ]
    assert len(names) > 50
    with watched() as seen, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, names))
    assert not any(CANARY in answer for answer in answers)
    assert not [path for path in seen.opened if Path(path) == secret]
    ours = ("127.0.0.1", "localhost")
    assert not [place for place in seen.connected if not any(name in place for name in ours)]
