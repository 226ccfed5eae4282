"""Whether a model ends its answers. One that is cut at the limit is no answer.

An adapter that was trained without an end token goes on with whatever came next in its training:
often always with the same text, which then can stand for the missing token.
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.errors import StageError

ENOUGH = 32  # answers, after which it is clear whether most of them end
_LONGEST = 24  # characters of a stop text
_LOOKED_AT = 64  # unfinished answers
_SHARED = 0.75  # of them, in which a stop text stands


@dataclass
class Endings:
    """Counts answers that ended and keeps the others' texts."""

    ended: int = 0
    cut: list[str] = field(default_factory=list)

    def take(self, text: str, finished: bool) -> None:
        """Note one answer."""
        if finished:
            self.ended += 1
        else:
            self.cut.append(text)

    def require(self, limit: int, enough: int = ENOUGH) -> None:
        """Stop where most answers do not end.

        Args:
            limit: tokens that an answer may have.
            enough: answers, below which nothing is said.

        Raises:
            StageError: with both remedies.
        """
        total = self.ended + len(self.cut)
        if total < max(1, enough) or 2 * len(self.cut) <= total:
            return
        stop = common_stop(self.cut)
        shown = stop.replace("\n", "\\n")
        found = (
            f'it goes on with "{shown}", which can be set as its stop text '
            "(source_format.stop_text)"
            if stop
            else "if it goes on with a text that is always the same, set that as its stop text "
            "(source_format.stop_text)"
        )
        raise StageError(
            f"The source adapter did not end {len(self.cut)} of its first {total} answers within "
            f"{limit} tokens, and a cut answer is no label: {found}; if its answers are longer, "
            "allow more tokens (evaluation.answer_tokens)."
        )


def common_stop(texts: Sequence[str]) -> str:
    """What most of these go on with after a first answer: a line break and more; "" for nothing.

    Of all that stands in most texts the earliest, of those the longest.
    """
    texts = [text for text in texts if text][:_LOOKED_AT]
    found: Counter[str] = Counter()
    for text in texts:
        breaks = [at for at in range(1, len(text)) if text[at] == "\n" and text[at - 1] != "\n"]
        found.update({text[at : at + size] for at in breaks for size in range(1, _LONGEST + 1)})
    shared = [stop for stop, count in found.items() if count >= _SHARED * max(2, len(texts))]
    if not shared:
        return ""

    def place(stop: str) -> tuple[float, int]:
        return statistics.median(t.find(stop) for t in texts if stop in t), -len(stop)

    return min(shared, key=place)
