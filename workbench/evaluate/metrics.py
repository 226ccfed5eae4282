"""Decide whether an answer is right, and how near a free text comes to what was expected.

Three metrics of right and wrong, each a stated rule and nothing hidden: no fuzzy matching, no
partial credit, no searching for the expected answer inside a longer one ("not 5, it is 6" is 6,
never 5), and nothing in an answer is ever evaluated as code.

"exact": equal after ``normalise_answer``.
"number": the last number of the text, compared as a decimal.
"json": equal JSON values; order of keys and white space do not count, strings are compared like
    "exact", and a prediction that is not one JSON value is wrong.

An expected answer that holds no number (or is no JSON) is compared like "exact", so that a row
such as "unknown" in a numeric task can be answered right.

Two of free text, which grade from 0 to 1; right is then what "exact" calls right:

"chrf": chrF (Popović 2015) as sacrebleu computes it, of one answer at a time: F2 of character
1- to 6-grams, white space left out.
"rouge": ROUGE-L (Lin 2004), F1 of the longest common subsequence of words; case and punctuation
do not count, and where a script writes no spaces each character is a word.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from rapidfuzz.distance import LCSseq

from workbench.errors import RecipeError
from workbench.limits import LIMITS
from workbench.recipe import CHECKER
from workbench.samples import UNSPACED

# Stripped from both ends only. Signs that change a value stay: + - % $ # are not in here.
_SURROUNDING = " .,;:!?…·¿¡。、()[]{}<>«»‹›\"'`´‘’‚‛“”„‟「」『』*"

_MINUS = "-−－﹣"  # hyphen-minus, minus sign, full-width and small forms
_SEPARATORS = ",\u00a0\u2009\u202f'’，"  # thousands: comma, hard and thin spaces, apostrophes
# A decimal comma: "3,5" and "1.234,50"; "1,234" is a thousand, and "1,2,3" a list.
_COMMA = (
    r"(?:\d{1,3}(?:[.\u00a0\u2009\u202f'’]\d{3})+,\d+"
    r"|(?<!\d,)(?:\d{4,},|\d{1,3},(?!\d{3}(?!\d)))\d+)(?![.,]?\d)"
)
_NUMBER = re.compile(
    rf"(?:(?<![\w.%)])(?P<minus>[{_MINUS}])[$€£¥]?)?"
    rf"(?P<digits>(?P<comma>{_COMMA})|\d{{1,3}}(?:[{_SEPARATORS}]\d{{3}})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|(?<!\d)\.\d+)"
    r"(?P<exponent>[eE][+-]?\d{1,3}(?!\w))?"
)

_WORD = re.compile(rf"{UNSPACED.pattern}|(?:(?!{UNSPACED.pattern})\w)+")


def normalise_answer(text: str) -> str:
    """Fold what does not make two answers different.

    In this order: Unicode NFKC (full-width, ligatures), case folding, invisible format characters
    removed, runs of white space to one space, punctuation, brackets, quotes and ``*`` stripped
    from both ends. A text of nothing but such characters ("] ]") stays as it is. Signs inside
    and the signs ``+ - % $ #`` anywhere are kept: "-5" is not "5" and "C++" is not "C".
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    collapsed = " ".join(visible.split())
    return collapsed.strip(_SURROUNDING) or collapsed


def last_number(text: str) -> Decimal | None:
    """The last number written in the text, or None.

    A comma, a hard or thin space or an apostrophe between groups of three digits is a thousands
    separator; the decimal sign is the point, or a comma before other than three digits. A minus
    counts when it touches the number and does not follow a letter, digit or closing bracket
    ("5-3" ends in 3). A percent or currency sign is a unit and ignored: "50 %" is 50, not 0.5.
    """
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    last = numbers[-1]
    digits = re.sub(f"[{_SEPARATORS}]", "", last["digits"])
    if last["comma"]:
        whole, _, part = last["comma"].rpartition(",")
        digits = re.sub(r"\D", "", whole) + "." + part
    return Decimal(("-" if last["minus"] else "") + digits + (last["exponent"] or ""))


def is_correct(metric: str, prediction: str, expected: str) -> bool:
    """Whether a prediction counts as right.

    Args:
        metric: "exact", "number" or "json"; "chrf", "rouge" and "checker" compare like "exact"
            (what passes a checker, ``checkers`` says).
        prediction: the model's answer, as read.
        expected: the answer of the evaluation row.

    Raises:
        RecipeError: the metric is unknown.
    """
    compare = _METRICS.get(metric)
    if compare is None:
        raise RecipeError(f'metric is one of {", ".join(_METRICS)}, not "{metric}".')
    return compare(prediction, expected)


def is_graded(metric: str) -> bool:
    """Whether the metric has degrees between right and wrong."""
    return metric in _GRADED


def score(metric: str, prediction: str, references: Sequence[str]) -> float:
    """How good a prediction is, 0..1, against the reference that it comes nearest to.

    Args:
        metric: see ``is_correct``; those of right and wrong give 1 or 0.
        references: right answers, at least one.
    """
    if any(is_correct(metric, prediction, reference) for reference in references):
        return 1.0
    grade = _GRADED.get(metric)
    return max(grade(prediction, reference) for reference in references) if grade else 0.0


def words(text: str) -> list[str]:
    """The words of a text, case folded, without punctuation; characters where none are spaced."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def is_json_structure(text: str) -> bool:
    """Whether the text is one JSON object or list."""
    try:
        return isinstance(_parse(text), dict | list)
    except (ValueError, RecursionError):
        return False


def chrf(prediction: str, reference: str) -> float:
    """chrF of one answer, 0..1."""
    return _chrf().sentence_score(prediction, [reference]).score / 100


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F1 of one answer, 0..1."""
    found, wanted = words(prediction), words(reference)
    total = len(found) + len(wanted)
    return 2 * LCSseq.similarity(found, wanted) / total if total else 0.0


@cache
def _chrf() -> Any:
    # Read when it is first needed: it takes as long as all the rest of this room.
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415

    return CHRF()


def _exact(prediction: str, expected: str) -> bool:
    return normalise_answer(prediction) == normalise_answer(expected)


def _number(prediction: str, expected: str) -> bool:
    wanted = last_number(expected)
    if wanted is None:
        return _exact(prediction, expected)
    found = last_number(prediction)
    return found is not None and found == wanted


def _json(prediction: str, expected: str) -> bool:
    try:
        wanted = _parse(expected)
    except (ValueError, RecursionError):
        return _exact(prediction, expected)
    try:
        found = _parse(prediction)
    except (ValueError, RecursionError):
        return False
    return _equal(found, wanted)


_METRICS: dict[str, Callable[[str, str], bool]] = {
    "exact": _exact,
    "number": _number,
    "json": _json,
    "chrf": _exact,
    "rouge": _exact,
    CHECKER: _exact,
}
# What the mean over rows is called.
MEASURES = {
    **dict.fromkeys(("exact", "number", "json", CHECKER), "accuracy"),
    "chrf": "chrF",
    "rouge": "ROUGE-L",
}
_GRADED: dict[str, Callable[[str, str], float]] = {"chrf": chrf, "rouge": rouge_l}


def _parse(text: str) -> Any:
    """One JSON value; repeated keys, NaN and deep nesting are ValueError, numbers are Decimal."""
    value = json.loads(
        text,
        parse_int=Decimal,
        parse_float=Decimal,
        parse_constant=_refuse_constant,
        object_pairs_hook=_object,
    )
    if _depth(value) > LIMITS.json_depth:
        raise ValueError("nested too deeply")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is repeated")
    return fields


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(entry) for entry in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(entry) for entry in value), default=0)
    return 0


def _equal(left: Any, right: Any) -> bool:
    """Equal JSON values; ``true`` is not 1, and lists are ordered."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, str):
        return _exact(left, right)
    return left == right
