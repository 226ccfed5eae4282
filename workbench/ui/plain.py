"""The only place that writes HTML, and the only caller of ``gr.HTML``.

Every value passes through ``html.escape``. Shown here are our own sentences, numbers and facts
about files; text that a model wrote never comes here: it goes to Dataframe and Textbox.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from markdown_it import MarkdownIt

_DOCS = Path(__file__).resolve().parents[2] / "docs"
# State words of a check: the mark is read out, so colour is never the only sign.
GOOD, BAD, UNSURE = "good", "bad", "unsure"
_MARKS = {GOOD: ("✓", "passed"), BAD: ("✕", "failed"), UNSURE: ("–", "not checked")}


def block(value: str = "", **options: Any) -> gr.HTML:
    """An HTML component for what the functions below return."""
    return gr.HTML(value, apply_default_css=False, padding=False, **options)


def masthead(title: str, text: str, sign: str) -> str:
    """The page's own title; ``sign`` is a drawing of ours as SVG."""
    words = f"<h1>{escape(title)}</h1><p>{escape(text)}</p>"
    return f'<header id="masthead"><span aria-hidden="true">{sign}</span>{words}</header>'


def heading(title: str, sentence: str = "") -> str:
    """Title of a part of a tab, with one sentence of what it is for."""
    text = f'<p class="part-sentence">{escape(sentence)}</p>' if sentence else ""
    return f'<div class="part"><h2>{escape(title)}</h2>{text}</div>'


def small_heading(title: str) -> str:
    """Title within a part."""
    return f'<h3 class="small-heading">{escape(title)}</h3>'


def update(**properties: Any) -> str:
    """Script of an event that sets properties of its output, without asking the server."""
    return f"() => ({json.dumps({'__type__': 'update', **properties})})"


def sentence(text: str, kind: str = "quiet") -> str:
    """One sentence; ``kind`` is quiet, note, warning or problem."""
    if not text:
        return ""
    word = {"warning": "Note: ", "problem": "Problem: "}.get(kind, "")
    prefix = f'<span class="unseen">{word}</span>' if word else ""
    return f'<p class="sentence {escape(kind)}">{prefix}{escape(text)}</p>'


def help_part(page: str) -> None:
    """A closed part with a page of docs/, where there is one."""
    path = _DOCS / f"{page}.md"
    if path.is_file():
        with gr.Accordion("Help", open=False, elem_classes="help"):
            block(document(path.read_text(encoding="utf-8")))


def document(text: str) -> str:
    """A text of our own in Markdown; markup in it is shown as text, and so are links."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    for rule in ("link_open", "link_close"):
        reader.add_render_rule(rule, _no_link)
    return f'<div class="document">{reader.render(text)}</div>'


def _no_link(*_: Any) -> str:
    return ""


def working(text: str) -> str:
    """A sentence about what is being waited for, with a clock that the page's script moves."""
    return (
        '<p class="sentence note" role="status"><span class="clock" data-clock>0:00</span> '
        f"{escape(text)} …</p>"
    )


def link_sentence(text: str, address: str) -> str:
    """A sentence that ends with a link to a page of ours on the Hub."""
    target = escape(address, quote=True)
    return (
        f'<p class="sentence note">{escape(text)} '
        f'<a href="{target}" target="_blank" rel="noopener noreferrer">{target}</a></p>'
    )


def facts(rows: Sequence[tuple[str, str]], title: str = "") -> str:
    """A card of names and values."""
    body = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    head = f"<h3>{escape(title)}</h3>" if title else ""
    return f'<div class="card">{head}<dl class="facts">{body}</dl></div>'


def checks(rows: Sequence[tuple[str, str]]) -> str:
    """A list of (GOOD | BAD | UNSURE, sentence)."""
    items = []
    for state, text in rows:
        mark, word = _MARKS[state]
        items.append(
            f'<li class="{state}"><span aria-hidden="true">{mark}</span>'
            f'<span class="unseen">{word}: </span>{escape(text)}</li>'
        )
    return '<ul class="checks">' + "".join(items) + "</ul>"


def tiles(rows: Sequence[tuple[str, str, str]]) -> str:
    """Large numbers: (name, value, small addition)."""
    cells = []
    for name, value, extra in rows:
        small = f"<small>{escape(extra)}</small>" if extra else ""
        cells.append(
            f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}{small}</dd></div>'
        )
    return '<dl class="tiles">' + "".join(cells) + "</dl>"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A small table of our own words and numbers."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in headers)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(cell)}</th>' if first else f"<td>{escape(cell)}</td>"
            for first, cell in ((number == 0, cell) for number, cell in enumerate(row))
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="table-wrap" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="plain-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def plan(steps: str, needs: str, note: str) -> str:
    """What a start would do, what it takes, and a note in small."""
    return (
        f'<div class="card plan"><h3>What it will do</h3><p>{escape(steps)}</p>'
        f'<p class="needs">{escape(needs)}</p><p class="quiet">{escape(note)}</p></div>'
    )


def bars(rows: Sequence[tuple[str, str, float, bool]], caption: str) -> str:
    """Lying bars of shares: (name, words for the value, share in 0..1, whether it stands out)."""
    body = "".join(
        f'<tr{" class=strong" if strong else ""}><th scope="row">{escape(name)}</th>'
        f'<td class="track"><i style="width:{100 * min(1.0, max(0.0, share)):.1f}%"></i></td>'
        f"<td>{escape(value)}</td></tr>"
        for name, value, share, strong in rows
    )
    return f'<table class="bars"><caption>{escape(caption)}</caption><tbody>{body}</tbody></table>'


def verdict(text: str, kind: str) -> str:
    """The one sentence of Compare, its conclusion first; ``kind`` is good, bad or unsure."""
    first, colon, rest = escape(text).replace(" %", "\N{NO-BREAK SPACE}%").partition(": ")
    rest = rest if rest.startswith("chrF") else rest[:1].upper() + rest[1:]
    told = f'<strong>{first}</strong><span class="unseen">: </span><span class="why">{rest}</span>'
    body = told if colon else first
    return f'<p class="verdict {escape(kind)}">{body}</p>'


def empty(text: str) -> str:
    """What an empty place says: why it is empty and what to do."""
    return f'<p class="empty">{escape(text)}</p>'


def strip(
    *,
    name: str,
    state: str,
    phase: str,
    done: int = 0,
    total: int = 0,
    numbers: str = "",
    rail: Sequence[tuple[str, str]] = (),
    message: str = "",
) -> str:
    """The status strip. ``rail`` is (word, "done" | "now" | "later") per stage."""
    if not rail:
        return _waiting_strip(name, state, phase, message)
    percent = min(100, round(100 * done / total)) if total else 0
    steps = "".join(
        f'<li class="{when}">{escape(word)}<span class="unseen"> ({when})</span></li>'
        for word, when in rail
    )
    bar = (
        f'<div class="bar" role="progressbar" aria-label="Progress of this phase" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}">'
        f'<i style="width:{percent}%"></i></div>'
    )
    note = f'<p class="strip-message">{escape(message)}</p>' if message else ""
    return (
        f'<div class="strip" data-state="{escape(state)}">'
        f'<div class="strip-line"><strong class="strip-name">{escape(name)}</strong>'
        f'<span class="strip-phase"><span class="dot" aria-hidden="true"></span>'
        f"{escape(phase)}</span>"
        f'<span class="strip-numbers">{escape(numbers)}</span></div>{bar}'
        f'<ol class="rail" aria-label="Stages">{steps}</ol>{note}</div>'
    )


def _waiting_strip(name: str, state: str, phase: str, message: str) -> str:
    """One line of a run that has not begun; only its name where there is nothing to say."""
    note = f'<p class="strip-message">{escape(message)}</p>' if message else ""
    none = "" if phase or message else " none"
    return (
        f'<div class="strip waiting{none}" data-state="{escape(state)}"><div class="strip-line">'
        f'<strong class="strip-name">{escape(name)}</strong>'
        f'<span class="strip-phase">{escape(phase)}</span></div>{note}</div>'
    )
