"""Text of Western Europe as Excel and older programs for Windows save it, told from what is not.

Nearly any bytes can be read that way, so it is done only where the result looks like such text: a
damaged UTF-8 file, another alphabet and anything that is no text would become nonsense.
"""

import re
from collections import Counter

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
# Marks of 0x80 to 0x9f that stand within no word; of DOS and of a Mac they are letters.
_MARKS = "€‚ƒ„†‡ˆ‰‹“”•˜›"
_WITHIN = re.compile(f"[A-Za-z][{_MARKS}][a-z]")
_MOST_UTF8 = 0.1  # of what is beyond ASCII, that may be UTF-8 by chance
_MOST_LETTERS = 0.35  # of all letters, that may be beyond ASCII; in French every eighth is
_FEW_LETTERS = 8


def read(raw: bytes) -> str:
    """The text; "" for what is UTF-8, or no such text."""
    try:
        raw.decode("utf-8-sig")
        return ""
    except UnicodeDecodeError:
        whole = sum(_beyond_ascii(raw.decode("utf-8", "ignore")).values())
        broken = raw.decode("utf-8", "replace").count("\ufffd")
    if whole > _MOST_UTF8 * (whole + broken) or _CONTROLS.search(raw):
        return ""
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    letters = sum(count for character, count in Counter(text).items() if character.isalpha())
    beyond = sum(count for character, count in _beyond_ascii(text).items() if character.isalpha())
    if beyond > max(_FEW_LETTERS, _MOST_LETTERS * letters) or _WITHIN.search(text):
        return ""
    return text


def _beyond_ascii(text: str) -> Counter[str]:
    return Counter(re.sub("[\\x00-\\x7f]+", "", text))


def example(text: str) -> str:
    """The first word with a character beyond ASCII."""
    return next((word for word in text.split() if not word.isascii()), "")
