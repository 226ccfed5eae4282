"""How foreign words are shown inside our own sentences.

File names, field names and values come from strangers and end up in messages, logs and toasts.
``shown`` keeps letters, digits and quiet punctuation; it is for showing only, never for opening.
"""

import unicodedata

_QUIET = frozenset(" ._-+=@/,:()")


def shown(text: object, at_most: int = 60) -> str:
    """One line of harmless characters; everything else becomes "?", long text ends in "…"."""
    raw = str(text)[: at_most + 1]
    kept = "".join(mark if mark.isalnum() or mark in _QUIET else "?" for mark in raw)
    kept = unicodedata.normalize("NFC", kept)
    return kept[:at_most] + "…" if len(kept) > at_most else kept


def size_words(count: int) -> str:
    """Bytes in the unit that people read: "64 KB", "512 MB"."""
    for unit, factor in (("GB", 1024**3), ("MB", 1024**2), ("KB", 1024)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}"
    return f"{count} bytes"
