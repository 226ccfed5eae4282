"""Numbers and phases as people read them. No HTML, no Gradio."""

import time

from workbench.jobs import RunState
from workbench.stages import ARM_WORDS, Stage

_STANDING = {
    "draft": "Draft: nothing started yet",
    "ready for review": "Samples are ready: review them, then train",
    "finished": "Finished",
    "not responding": "Not responding: the worker is alive but silent",
}
_HALTED = {"stopped": "Stopped", "interrupted": "Interrupted", "failed": "Failed"}

# Who wrote a sample.
ORIGINS = {
    "target": "the target base",
    "source": "the source base",
    "own": "the source adapter",
    "kit": "the kit's writer",
    "mixed": "mixed from two inputs",
    "graft": "mixed from two inputs",
    "named": "label-name probe",
    "word": "vocabulary probe",
    "user": "you (own inputs)",
    "hand": "you (by hand)",
}


def phase(state: RunState) -> str:
    """What a run is doing, or why it stands still."""
    if state.state in _STANDING:
        return _STANDING[state.state]
    if state.state in _HALTED:
        word = _HALTED[state.state]
        return f"{word} at: {state.phase}" if state.phase else word
    step, _, note = state.phase.partition(": ")
    if state.stage is Stage.SYNTHESIZE and step:
        return step  # who writes, and why, is told beside the samples
    return f"{step}: {ARM_WORDS[note]}" if note in ARM_WORDS else state.phase or "Working"


def base_name(reference: str) -> str:
    """The last part of a base's reference."""
    return reference.rpartition("/")[2].rpartition(":")[2]


def size(count: float | None) -> str:
    """Bytes as "412 MB"; an unknown amount is a dash."""
    if count is None:
        return "–"
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            value = count / step
            return f"{value:.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    return f"{int(count)} bytes"


def duration(seconds: float | None) -> str:
    """Seconds as "about 4 min" would need: "40 s", "4 min", "1 h 20 min"."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float) -> str:
    """Seconds as "2:10", or "1:02:10" from an hour on."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def age(moment: float, now: float | None = None) -> str:
    """Time since ``moment`` (seconds since the epoch) as "3 min ago"."""
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    if seconds < 60:
        return "just now"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    if seconds < 129_600:
        return f"{round(seconds / 3600)} h ago"
    return f"{round(seconds / 86_400)} days ago"


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 seed", "1,200 seeds"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """0.935 as "93.5 %"."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def amount(number: int) -> str:
    """A model's size: 134515008 as "135 M"."""
    if number >= 1e9:
        return f"{number / 1e9:.1f} B"
    return f"{number / 1e6:.0f} M" if number >= 1e6 else f"{number:,}"
