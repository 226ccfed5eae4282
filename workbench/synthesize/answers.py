"""What kind of answer is it? The unit in which coverage is counted and balanced.

For a closed set of answers ("transfer", "(B)", "yes") the kind is the answer itself. In a JSON
object the values that are copied from the input say nothing about coverage, so its kind is the
text up to the first copied value. Pure text work: no models here.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.samples import Sample, normalise


@dataclass(frozen=True)
class Pair:
    """An input with the teacher's answer."""

    input: str
    answer: str


OPEN = ""  # the kind of every answer when answers do not recur
NEW_SHARE = 1 / 3  # answers recur when the next one is new with at most this probability
_WORD = re.compile(r"\w+")


def words(text: str) -> frozenset[str]:
    """Lower-case words, for "does the answer use a word of the input?"."""
    return frozenset(_WORD.findall(normalise(text)))


def kind_of(answer: str, text: str) -> str:
    """The part of an answer that is decided rather than copied.

    Args:
        answer: of the teacher.
        text: the input that it answers.

    Returns:
        The whole answer, or of a JSON object the beginning up to the name of the first field whose
        value stands in the input. ``is_whole`` tells the two apart.
    """
    fields = _fields(answer)
    if fields is None:
        return answer
    folded = normalise(text)
    decided: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, str) and normalise(value) in folded:
            before = json.dumps(decided, ensure_ascii=False)[:-1] + (", " if decided else "")
            beginning = f"{before}{json.dumps(name, ensure_ascii=False)}:"
            return beginning if answer.startswith(beginning) else "{"
        decided[name] = value
    return answer


def is_whole(kind: str) -> bool:
    """True when the kind is a complete answer, so that only the input is still to be written."""
    return not kind.startswith("{") or _fields(kind) is not None


def first_field(kind: str) -> str:
    """Of the kind of a JSON object the first decided field, as an object; else the whole kind.

    An answer about "PlayMusic" stays one whichever of its values are copied from the input.
    """
    fields = _fields(kind) or _fields(f'{kind} ""}}')
    if fields is None:
        return kind
    name, value = next(iter(fields.items()))
    return json.dumps({name: value}, ensure_ascii=False)


def is_object(answer: str) -> bool:
    """A JSON object that has no field twice: a teacher that is lost repeats itself."""
    return _fields(answer) is not None


def copied_values(answer: str, text: str) -> dict[str, str]:
    """The fields of a JSON object whose values stand in the input, in order."""
    folded = normalise(text)
    return {
        name: value
        for name, value in (_fields(answer) or {}).items()
        if isinstance(value, str) and value.strip() and normalise(value) in folded
    }


def recur(kinds: Sequence[str]) -> bool:
    """Do the answers come from a limited set? Then it pays to write for each of them.

    The share of kinds met once estimates how likely the next one is new (Good and Turing).
    """
    once = sum(count == 1 for count in Counter(kinds).values())
    return once <= max(2, NEW_SHARE * len(kinds))


@dataclass(frozen=True)
class Coverage:
    """What is known about one kind.

    Attributes:
        samples: answered with it.
        asked: samples that were written for it.
        consistent: those of them that the teacher then answered with it.
        confidence: of the teacher, the median over its samples, 0..1.
    """

    samples: int
    asked: int
    consistent: int
    confidence: float


def sample_kind(sample: Sample) -> str:
    """The kind of a labelled sample."""
    return kind_of(sample.teacher_output or "", sample.input)


def consistent(sample: Sample) -> bool:
    """The teacher gave the kind of answer that the sample was written for."""
    return sample.written_for is not None and sample.written_for == sample_kind(sample)


def coverage(samples: Sequence[Sample]) -> dict[str, Coverage]:
    """Coverage by kind over all labelled samples, most frequent first."""
    found: dict[str, list[Sample]] = {}
    asked: dict[str, int] = {}
    for sample in samples:
        if sample.written_for is not None:
            asked[sample.written_for] = asked.get(sample.written_for, 0) + 1
        if sample.teacher_output:
            found.setdefault(sample_kind(sample), []).append(sample)
    result = {}
    for kind, members in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        certain = sorted(sample.confidence or 0.0 for sample in members)
        result[kind] = Coverage(
            len(members),
            asked.pop(kind, 0),
            sum(consistent(sample) for sample in members),
            certain[len(certain) // 2],
        )
    for kind, times in sorted(asked.items()):
        result[kind] = Coverage(0, times, 0, 0.0)
    return result


def _fields(answer: str) -> dict[str, object] | None:
    if not answer.startswith("{"):
        return None
    try:
        fields = json.loads(answer, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and fields else None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field comes twice")
    return fields
