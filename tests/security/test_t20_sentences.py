"""T20, T11: what a visitor, a log and a terminal are told: no folders of the server, no controls,
and no more than is good for the disk. Item 7: who may do what is said where strangers may come."""

import io
import logging
import sys
from pathlib import Path

import gradio as gr
import pytest

from workbench.errors import RunError
from workbench.events import Stopped
from workbench.limits import LIMITS
from workbench.runs.folder import checked_name
from workbench.ui import failures, server_log, serving, snapshot, strip, workspace
from workbench.ui.failures import for_visitor, say, told, warn


@pytest.fixture
def toasts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    for kind in ("Warning", "Info"):
        monkeypatch.setattr(failures.gr, kind, lambda text, **_: shown.append(text))
    return shown


SENTENCES = {
    "The worker did not start; /srv/runs/abc/worker.log says why.":
        "The worker did not start; worker.log says why.",
    'There is already a run "/home/anna/my runs/x".': "There is already a run",
    "Accept its terms at huggingface.co/google/gemma-3, https://huggingface.co/a/b/c.":
        "Accept its terms at huggingface.co/google/gemma-3, https://huggingface.co/a/b/c.",
    "Write owner/name, or owner/name@revision.": "Write owner/name, or owner/name@revision.",
}  # fmt: skip


@pytest.mark.parametrize("sentence", SENTENCES)
def test_t20_no_folder_of_a_shared_server_is_told(
    sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert for_visitor(sentence) == sentence  # at home the folder helps
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    told_ = for_visitor(sentence)
    assert told_.startswith(SENTENCES[sentence])
    assert "/srv" not in told_ and "/home" not in told_


def test_t20_toasts_and_strip_and_log_go_through_it(
    toasts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_SHARED", "1")

    @told
    def fails() -> None:
        raise RunError("Look at /srv/runs/abc/worker.log.")

    fails()
    warn("See /srv/x/y.log")
    say("See /srv/x/y.log")
    stopped = Stopped("distil", "failed", "It broke: /srv/runs/abc/worker.log has it.")
    lines = [*toasts, snapshot.log_line(stopped), strip.text(snapshot.nothing("/srv/a/b is gone"))]
    lines[-1] = lines[-1].replace("</", "<")
    assert len(toasts) == 3 and all("/srv" not in line for line in toasts + lines[3:4])
    monkeypatch.setattr(workspace, "find", lambda _: fails.__wrapped__())  # type: ignore[attr-defined]
    assert "/srv" not in snapshot.look("0" * 32).state.message


def test_t11_what_say_shows_is_text(toasts: list[str]) -> None:
    """Toasts render markup: whatever is in a sentence of ours arrives escaped."""
    for tell in (say, warn):
        tell("<img src=x onerror=alert(1)> & \x1b[2J\u0085")
    assert toasts == ["&lt;img src=x onerror=alert(1)&gt; &amp;  [2J "] * 2


def test_unexpected_errors_tell_an_id_and_nothing_else(
    toasts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    @told
    def breaks() -> str:
        raise ValueError("secret words")

    assert breaks() == gr.skip()
    error_id = toasts[0].rsplit(" ", 1)[1].rstrip(".")
    assert "secret" not in toasts[0] and error_id in caplog.text and "secret words" in caplog.text

    @told
    def acts() -> None:
        raise RunError("Not now.")

    assert acts() is None and toasts[-1] == "Not now."  # it has no outputs that could stay


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\u202eb", "a\x00b\x85c", "a\u2028b", "\ud800x"])
def test_controls_are_never_in_the_name_of_a_run(name: str) -> None:
    assert checked_name(name).isprintable()
    with pytest.raises(RunError):
        checked_name("\x1b\u202e\u2028")


def test_the_log_is_bounded_in_lines_and_in_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = io.StringIO()
    stream = server_log.Bounded(inner)
    stream.write("a\x1b[2Jb\u202e\n" + "x" * 1_000_000)
    stream.write("y" * 1_000_000 + "\n")
    first, second = inner.getvalue().splitlines()
    assert first == "a�[2Jb�" and len(second) < 2100
    for _ in range(5000):
        print("z" * 500, file=stream)
    assert len(inner.getvalue()) < 210_000
    monkeypatch.setattr(server_log.time, "monotonic", lambda: sys.maxsize)
    print("later", file=stream)
    assert "more lines were left out\nlater\n" in inner.getvalue()


def test_the_logs_file_begins_anew_when_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"stdout": sys.stdout, "stderr": sys.stderr}
    given: dict = {}
    monkeypatch.setattr(server_log.logging, "basicConfig", lambda **options: given.update(options))
    try:
        server_log.begin(tmp_path / "log")
    finally:
        for name, stream in kept.items():
            setattr(sys, name, stream)
    to_file = given["handlers"][0]
    record = logging.LogRecord("a", logging.INFO, "", 0, "w" * 100_000 + "\n" * 1000, (), None)
    for _ in range(LIMITS.log_bytes // 1000):
        to_file.emit(record)
    to_file.close()
    sizes = [path.stat().st_size for path in (tmp_path / "log").iterdir()]
    assert len(sizes) == 3 and max(sizes) <= LIMITS.log_bytes


def test_who_can_do_what_is_said_where_everybody_can_come(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "SPACE_ID", "WORKBENCH_SHARED", "WORKBENCH_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert serving.exposure() == "" and serving.password() is None
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert "everybody who can reach this machine can open, change" in serving.exposure()
    monkeypatch.setenv("WORKBENCH_PASSWORD", "open sesame")
    assert serving.password() == ("workbench", "open sesame") and serving.exposure() == ""


def test_a_full_disk_is_said_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = workspace.shutil.disk_usage(Path.cwd())
    full = usage._replace(free=LIMITS.free_disk_bytes - 1)
    monkeypatch.setattr(workspace.shutil, "disk_usage", lambda _: full)
    workspace._disk_notice.cache_clear()
    try:
        assert "nothing new is begun" in strip.text(snapshot.nothing())
    finally:
        workspace._disk_notice.cache_clear()
