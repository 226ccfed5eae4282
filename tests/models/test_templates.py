"""T13: a chat template of the Hub cannot take time, memory or room; it renders as transformers'."""

import json
import os
import resource
from pathlib import Path

import psutil
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from tests import tiny
from workbench.errors import ModelError
from workbench.models import templates

TURNS = [{"role": "system", "content": "s"}, {"role": "user", "content": " hé\t"}]
CHATS = [(TURNS, True), ([*TURNS, {"role": "assistant", "content": "a"}], False)]
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": ["<x>"]}

ORDINARY = [
    tiny.CHAT_TEMPLATE,
    "{{ bos_token }}{% for m in messages %}{% if loop.index > 9 %}{% break %}{% endif %}"
    "<{{ m.role }}>{{ m['content'] | trim }}{% endfor %}{{ eos_token }}",
    "{% for m in messages %}{{ m | tojson }}{% endfor %}{{ messages | tojson(indent=2) }}",
    "{% set n = namespace(a=1) %}{% for m in messages %}{% set n.a = n.a + 1 %}{% endfor %}"
    "{{ n.a }}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% endgeneration %}{% endif %}{% endfor %}end",
    "{% if tools %}t{% endif %}{% if documents is none %}d{% endif %}{{ strftime_now('%%') }}"
    "{% if add_generation_prompt %}go{% endif %}\n  {% set x = dict(a=2) %}{{ x['a'] }}",
]


@pytest.mark.parametrize("template", ORDINARY)
def test_renders_as_transformers_does(template: str) -> None:
    expected = [
        render_jinja_template(
            conversations=[turns], chat_template=template, add_generation_prompt=opens, **NAMES
        )[0][0]
        for turns, opens in CHATS
    ]
    assert templates.render(template, NAMES, CHATS) == expected


BOMBS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "memory": "{% set s = 'x' * 300000000 %}{% set t = s ~ s %}{{ (t ~ t) | length }}",
    "centre": "{{ ('x' | center(900000000)) | length }}",
    "width": "{{ ('%0900000000d' | format(1)) | length }}",
    "text": "{% for a in range(99999) %}{{ 'y' * 1000 }}{% endfor %}",
    "length": "x" * (templates.TEMPLATE_CHARACTERS + 1),
    "objects": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "private": "{% set n = namespace() %}{{ n.__init__.__globals__ }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("bomb", BOMBS)
def test_t13_a_bomb_is_a_sentence_and_costs_this_process_nothing(bomb: str) -> None:
    before, computed = psutil.Process().memory_info().rss, _seconds_of_children()
    with pytest.raises(ModelError, match="chat template"):
        templates.render(BOMBS[bomb], NAMES, CHATS)
    assert _seconds_of_children() - computed < 20  # and not all that it may take to wait
    assert psutil.Process().memory_info().rss - before < 50_000_000


def test_t13_what_is_rendered_has_a_length() -> None:
    most = templates.TEMPLATE_CHARACTERS
    assert templates.render(f"{{{{ 'y' * {most} }}}}", {}, CHATS[:1]) == ["y" * most]
    with pytest.raises(ModelError, match="too much text"):
        templates.render(f"{{{{ 'y' * {most + 1} }}}}", {}, CHATS[:1])


def test_t13_a_long_template_is_not_even_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_in_child", lambda request: pytest.fail("it was tried"))
    with pytest.raises(ModelError, match="too long"):
        templates.render("x" * (templates.TEMPLATE_CHARACTERS + 1), {}, CHATS)


def test_t13_words_of_a_template_are_quiet_in_a_sentence() -> None:
    with pytest.raises(ModelError) as refused:
        templates.render("{{ raise_exception('no\\x1b[2J way\\n' * 99) }}", {}, CHATS)
    assert refused.value.message.isprintable() and len(refused.value.message) < 500


def test_t13_rendered_once_per_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    templates.keep_in(tmp_path)
    try:
        first = templates.render(tiny.CHAT_TEMPLATE, NAMES, CHATS)
        assert list(json.loads((tmp_path / templates.KEPT_NAME).read_text()).values()) == [first]
        monkeypatch.setattr(templates, "_in_child", lambda request: pytest.fail("rendered again"))
        templates.keep_in(tmp_path)  # as another process of the same run does
        assert templates.render(tiny.CHAT_TEMPLATE, NAMES, CHATS) == first
        (tmp_path / templates.KEPT_NAME).write_text("{")
        monkeypatch.undo()
        templates.keep_in(tmp_path)
        assert templates.render(tiny.CHAT_TEMPLATE, NAMES, CHATS) == first
    finally:
        templates.keep_in(None)


def test_t13_the_child_has_no_secret_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict = {}

    def run(*_: object, **options: object) -> None:
        given.update(options["env"])  # type: ignore[arg-type]
        raise ValueError

    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setattr(templates.subprocess, "run", run)
    with pytest.raises(ModelError):
        templates.render("another {{ messages }}", {}, CHATS)
    assert set(given) == {"PYTHONPATH"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"[1]", b"3", b'{"x": 3}', b'{"x": [3]}', b"\xff\xfe",
     "a pipe", "a folder", "a terabyte"],
)  # fmt: skip
def test_what_was_kept_may_be_damaged(
    content: bytes | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / templates.KEPT_NAME
    monkeypatch.setattr(templates, "_kept_in", tmp_path)
    match content:
        case bytes():
            path.write_bytes(content)
        case "a pipe":
            os.mkfifo(path)
        case "a folder":
            path.mkdir()
        case _:
            with path.open("wb") as file:
                file.truncate(2**40)
    assert templates._read_kept() == {}
