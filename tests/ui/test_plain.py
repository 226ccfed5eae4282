"""Whatever comes in, what goes out as HTML carries no markup of others."""

import html
from html.parser import HTMLParser

import pytest

from workbench.ui import plain

HOSTILE = '<img src=x onerror="alert(1)">&amp;\'"</dd><script>'


class Tags(HTMLParser):
    """Names of tags and attributes as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names.update(name for name, _ in attrs)

    @classmethod
    def of(cls, text: str) -> tuple[set[str], set[str]]:
        parser = cls()
        parser.feed(text)
        return parser.tags, parser.names


@pytest.mark.parametrize(
    "made",
    [
        plain.heading(HOSTILE, HOSTILE),
        plain.small_heading(HOSTILE),
        plain.sentence(HOSTILE, HOSTILE),
        plain.link_sentence(HOSTILE, HOSTILE),
        plain.facts([(HOSTILE, HOSTILE)], HOSTILE),
        plain.checks([(plain.GOOD, HOSTILE)]),
        plain.tiles([(HOSTILE, HOSTILE, HOSTILE)]),
        plain.table([HOSTILE], [[HOSTILE, HOSTILE]], HOSTILE),
        plain.verdict(HOSTILE, HOSTILE),
        plain.empty(HOSTILE),
        plain.masthead(HOSTILE, HOSTILE, ""),
        plain.strip(
            name=HOSTILE, state=HOSTILE, phase=HOSTILE, done=1, total=2, numbers=HOSTILE,
            rail=[(HOSTILE, "now")], message=HOSTILE,
        ),
    ],
)  # fmt: skip
def test_everything_is_escaped(made: str) -> None:
    tags, attributes = Tags.of(made)
    assert not tags & {"img", "script"}
    assert not {name for name in attributes if name.startswith("on") or name == "src"}
    assert html.escape(HOSTILE) in made


def test_only_this_module_calls_gradio_html() -> None:
    from pathlib import Path  # noqa: PLC0415

    folder = Path(plain.__file__).parent
    callers = [path.name for path in folder.glob("*.py") if "gr.HTML(" in path.read_text()]
    assert callers == ["plain.py"]


def test_marks_are_words_as_well() -> None:
    made = plain.checks([(plain.GOOD, "a"), (plain.BAD, "b"), (plain.UNSURE, "c")])
    for word in ("passed", "failed", "not checked"):
        assert word in made
    assert 'aria-valuenow="50"' in plain.strip(
        name="", state="running", phase="", done=1, total=2, numbers="", rail=[("Write", "now")]
    )
