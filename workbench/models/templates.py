"""Chat templates, rendered in a process of its own.

A template is a program of whoever published the base. transformers' sandbox keeps it from other
objects, but bounds neither time nor memory nor output, so it runs where it can hurt nobody: in a
child with little of each, once per run; the result is kept beside the run.

    python -m workbench.models.templates <request.json  # writes the texts as JSON
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.errors import ModelError

TEMPLATE_CHARACTERS = 64 * 1024  # of a template's source, and of what it renders
MEMORY_BYTES = 512 * 1024**2  # of the child, address space
PROCESSOR_SECONDS = 3
_ROOT = Path(__file__).parents[2]
SECONDS = 30
KEPT_NAME = "templates.json"
KEPT_BYTES = 64 * 1024**2
_REMEMBERED = 64

Turns = Sequence[Mapping[str, str]]
_kept_in: Path | None = None
_rendered: OrderedDict[str, list[str]] = OrderedDict()


def keep_in(folder: Path | None) -> None:
    """Keep what is rendered from now on in a run's folder, and take from there what it has."""
    global _kept_in
    _kept_in = folder
    _rendered.clear()


def render(
    template: str, names: Mapping[str, Any], chats: Sequence[tuple[Turns, bool]]
) -> list[str]:
    """The texts of some chats.

    Args:
        template: Jinja source, as of transformers.
        names: special tokens by name, which templates may use.
        chats: turns, and whether the beginning of an answer is to follow.

    Raises:
        ModelError: it cannot be rendered, or takes too much of something.
    """
    if len(template) > TEMPLATE_CHARACTERS:
        raise ModelError("This base's chat template is too long to be trusted.")
    request = json.dumps([template, dict(names), [[list(t), o] for t, o in chats]], default=str)
    key = hashlib.sha256(request.encode()).hexdigest()
    if key not in _rendered:
        kept = _read_kept()
        if key not in kept:
            kept[key] = _in_child(request)
            _write_kept(kept)
        _rendered[key] = kept[key]
        while len(_rendered) > _REMEMBERED:
            _rendered.popitem(last=False)
    return list(_rendered[key])


def _in_child(request: str) -> list[str]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "workbench.models.templates"],
            input=request.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=SECONDS,
            # "" in sys.path is the working folder, which the child does not look in.
            env={"PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path)])},
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise ModelError(
            "This base's chat template takes too much time, memory or text to render. Choose "
            'another base, or the format kind "text".'
        ) from error
    if isinstance(answer, str):
        raise ModelError(
            f"This base's chat template cannot render these turns: {answer}. If a system text is "
            'set, leave it empty, or choose the format kind "text".'
        )
    return answer


def _read_kept() -> dict[str, list[str]]:
    """By the digest of its request; nothing of a file that is damaged, or none of ours."""
    if _kept_in is None:
        return {}
    path = _kept_in / KEPT_NAME
    try:
        if not path.is_file() or path.stat().st_size > KEPT_BYTES:
            return {}
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    whole = isinstance(kept, dict) and all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        for texts in kept.values()
    )
    return kept if whole else {}


def _write_kept(kept: dict[str, list[str]]) -> None:
    if _kept_in is None:
        return
    path = _kept_in / f".{KEPT_NAME}.{os.getpid()}.part"
    with suppress(OSError):  # a full disk or a run that is gone: rendered again next time
        path.write_text(json.dumps(kept), encoding="utf-8")
        path.replace(_kept_in / KEPT_NAME)


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    template, names, chats = json.loads(sys.stdin.buffer.read())
    try:
        compiled = _environment().from_string(template)
        texts = [
            _bounded(
                compiled.generate(
                    messages=turns, tools=None, documents=None, add_generation_prompt=opens, **names
                )
            )
            for turns, opens in chats
        ]
        answer: list[str] | str = texts
    except Exception as error:  # whatever a stranger's program may raise
        words = "".join(mark if mark.isprintable() else " " for mark in str(error))
        answer = words.strip()[:200].rstrip(".") or type(error).__name__
    sys.stdout.write(json.dumps(answer))


def _bounded(pieces: Any) -> str:
    text = ""
    for piece in pieces:
        text += piece
        if len(text) > TEMPLATE_CHARACTERS:
            raise ValueError("it renders too much text to be trusted")
    return text


def _environment() -> Any:
    """As transformers makes it; a test holds the two together."""
    import jinja2  # noqa: PLC0415  the parent must not pay for it
    import jinja2.ext  # noqa: PLC0415
    import jinja2.nodes  # noqa: PLC0415
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    class Generation(jinja2.ext.Extension):
        """{% generation %} marks what an assistant writes; for rendering it is nothing."""

        tags = {"generation"}  # noqa: RUF012  as jinja2 wants it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.Scope(body).set_lineno(line)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, **options: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **options})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


if __name__ == "__main__":
    _main()
