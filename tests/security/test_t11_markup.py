"""T11: model text is never markup. Here what holds without a browser: sources and card."""

import ast
import re
from pathlib import Path

import pytest

from workbench.intake.wording import shown

UI = sorted((Path(__file__).parents[2] / "workbench" / "ui").rglob("*.py"))
# plain.py turns values into HTML and escapes each; page.py puts our own script into the head.
MAY_BUILD = {"plain.py", "page.py"}
# Charts may set words in bold: Plotly knows b, i, br and a few more, and they get fixed words.
TAG = re.compile(r"<\s*(?!/?(?:b|i|br|sub|sup|extra)\b)/?[a-zA-Z!]")


def strings(tree: ast.AST) -> list[str]:
    return [
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]


@pytest.mark.parametrize("path", UI, ids=lambda path: path.name)
def test_t11_no_table_column_is_html_or_markdown(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "datatype":
                    kinds = set(strings(keyword.value))
                    assert not kinds & {"html", "markdown"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", UI, ids=lambda path: path.name)
def test_t11_html_strings_are_built_in_one_module(path: Path) -> None:
    """An f-string with a tag in it is markup made of values; only one module may do that."""
    if path.name in MAY_BUILD:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            fixed = "".join(
                part.value if isinstance(part, ast.Constant) else "0" for part in node.values
            )
            assert not TAG.search(fixed), f"line {node.lineno}: {fixed}"


def test_t11_that_module_escapes() -> None:
    plain = [path.read_text() for path in UI if path.name == "plain.py"]
    assert all("html.escape" in text or "from html import escape" in text for text in plain)


PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[a](javascript:alert(1))",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "![beacon](http://evil/x.png)",
    "\u202egnp.exe",
    "a\x1b[2Jb",
    "`code` **bold** | cell",
    "&lt;script&gt;",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_t11_foreign_words_in_sentences_are_quiet(payload: str) -> None:
    assert not set(shown(payload)) & set("<>[]`*|&\\!'\"\x1b\u202e;$#")
    assert shown(payload).isprintable()
    assert len(shown("x" * 10_000)) == 61
