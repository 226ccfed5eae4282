"""How many tokens an answer may have, where the recipe leaves it to the answers that are known."""

import math
from collections.abc import Sequence

from workbench.models.formats import BoundFormat

LEAST, MOST = 32, 1024  # tokens
SLACK = 1.5  # an answer may be so many times as long as the longest that is known
MEASURED = 64  # answers, the longest in characters, whose tokens are counted


def answer_room(chosen: int, answers: Sequence[str], form: BoundFormat) -> int:
    """Ceiling of an answer's length in tokens of this base.

    Args:
        chosen: of the recipe; 0 is automatic.
        answers: known ones; without any there is room for the most.
    """
    if chosen:
        return chosen
    longest = sorted({answer for answer in answers if answer}, key=len)[-MEASURED:]
    if not longest:
        return MOST
    tokens = max(len(form.answer_ids(answer)) for answer in longest)
    return min(MOST, max(LEAST, math.ceil(SLACK * tokens)))
