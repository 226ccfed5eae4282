"""What a terminal shows while models work."""

import time

import pytest

from workbench import terminal
from workbench.activity import counting
from workbench.events import Progress, StageFinished, StageStarted, Warned
from workbench.stages import WORDS, Stage


def wait_for(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed until ``text`` has come."""
    shown, deadline = "", time.monotonic() + 20
    while text not in shown:
        assert time.monotonic() < deadline, shown[-500:]
        shown += capsys.readouterr().err
    return shown


def test_a_number_moves_between_two_events(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There was none for half a minute of imports, and for the minute of a round."""
    monkeypatch.setattr(terminal, "_MOVES_SECONDS", 0.01)

    def work():
        wait_for("Starting 00:00", capsys)
        yield StageStarted(Stage.SYNTHESIZE)
        with counting(96, "written") as count:
            count.done = 1
            wait_for(f"{WORDS[Stage.SYNTHESIZE]} 00:00, 1 of 96 texts written", capsys)
            yield Progress(Stage.SYNTHESIZE, 0, 600, "samples", note="by itself")
            count.done, count.tokens = 2, 1204
            wait_for("2 of 96 texts written, 1,204 tokens, by itself", capsys)
        yield Warned(Stage.SYNTHESIZE, "Few are new.")
        yield Progress(Stage.SYNTHESIZE, 90, 600, "samples")
        assert "Few are new." in wait_for("90/600", capsys)
        yield StageFinished(Stage.SYNTHESIZE, 1.0)

    terminal.show(work())


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show([StageStarted(Stage.LABEL), Warned(Stage.LABEL, "Note.")], quiet=True)
    assert capsys.readouterr().err == ""
