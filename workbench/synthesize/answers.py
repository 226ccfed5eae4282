"""What kind of answer is it? The unit in which coverage is counted and balanced.

For a closed set of answers ("transfer", "(B)", "yes") the kind is the answer itself. In a JSON
object the values that are copied from the input say nothing about coverage, but the names of their
fields do: it is of as many kinds as it has such fields. Pure text work: no models here.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from workbench.samples import Sample, normalise


@dataclass(frozen=True)
class Pair:
    """An input with the teacher's answer."""

    input: str
    answer: str


OPEN = ""  # the kind of every answer when answers do not recur
NEW_SHARE = 1 / 3  # answers recur when the next one is new with at most this probability
_WORD = re.compile(r"\w+")


# Asked again of every sample in every round, as the two below.
@lru_cache(maxsize=2**18)
def words(text: str) -> frozenset[str]:
    """Lower-case words, for "does the answer use a word of the input?"."""
    return frozenset(_WORD.findall(normalise(text)))


def kinds_of(answer: str, text: str) -> tuple[str, ...]:
    """What an answer covers: the parts of it that are decided rather than copied.

    Args:
        answer: of the teacher.
        text: the input that it answers.

    Returns:
        The whole answer alone; or of a JSON object with values that stand in the input a beginning
        for each of them: the first field where that is decided, and the name of the copied one.
        ``is_whole`` tells the two apart.
    """
    return _kinds_of_object(answer, text) if answer.startswith("{") else (answer,)


@lru_cache(maxsize=2**16)
def _kinds_of_object(answer: str, text: str) -> tuple[str, ...]:
    fields, copied = _fields(answer), copied_values(answer, text)
    if not fields or not copied:
        return (answer,)
    if json.dumps(fields, ensure_ascii=False) != answer:
        return ("{",)  # spelled in another way: a beginning would be cut in the wrong place
    first = next(iter(fields))
    decided = {} if first in copied else {first: fields[first]}
    head = json.dumps(decided, ensure_ascii=False)[:-1] + (", " if decided else "")
    return tuple(f"{head}{json.dumps(name, ensure_ascii=False)}:" for name in copied)


def kind_of(answer: str, text: str) -> str:
    """The first of ``kinds_of``."""
    return kinds_of(answer, text)[0]


def is_whole(kind: str) -> bool:
    """True when the kind is a complete answer, so that only the input is still to be written."""
    return kind != "{" and not (kind.startswith("{") and kind.endswith(":"))


@lru_cache(maxsize=2**16)
def begun_with(kind: str, answer: str) -> str:
    """The same JSON object with the field first whose name ends the kind, after what is decided."""
    fields = _fields(answer)
    begun = _fields(f'{kind} ""}}')
    if is_whole(kind) or not fields or not begun or begun.keys() - fields.keys():
        return answer
    return json.dumps({name: fields[name] for name in (*begun, *fields)}, ensure_ascii=False)


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


def decided_fields(pairs: Sequence[Pair]) -> frozenset[str]:
    """Fields of JSON objects whose values are the answerer's own choice in any of the pairs."""
    return frozenset(
        name
        for pair in pairs
        for name in (_fields(pair.answer) or {}).keys() - copied_values(pair.answer, pair.input)
    )


def mangles(answer: str, text: str, decided: Collection[str]) -> bool:
    """Is there a value that stands nowhere in the input, of a field that should be copied?

    Args:
        decided: names of fields that need not be copied (``decided_fields``).
    """
    return bool((_fields(answer) or {}).keys() - copied_values(answer, text).keys() - set(decided))


def recur(kinds: Sequence[str], new_share: float = NEW_SHARE) -> bool:
    """Do the answers come from a limited set? Then it pays to write for each of them.

    The share of kinds met once estimates how likely the next one is new (Good and Turing).
    """
    once = sum(count == 1 for count in Counter(kinds).values())
    return once <= max(2, new_share * len(kinds))


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


def sample_kinds(sample: Sample) -> tuple[str, ...]:
    """The kinds of a labelled sample (``kinds_of``)."""
    return kinds_of(sample.teacher_output or "", sample.input)


def sample_kind(sample: Sample) -> str:
    """The first of ``sample_kinds``."""
    return sample_kinds(sample)[0]


def consistent(sample: Sample) -> bool:
    """The teacher gave a kind of answer that the sample was written for."""
    return sample.written_for is not None and sample.written_for in sample_kinds(sample)


def coverage(samples: Sequence[Sample]) -> dict[str, Coverage]:
    """Coverage by kind over all labelled samples, most frequent first.

    A sample counts for each of its kinds, and as consistent for the one that it was written for.
    """
    found: dict[str, list[Sample]] = {}
    asked: dict[str, int] = {}
    for sample in samples:
        if sample.written_for is not None:
            asked[sample.written_for] = asked.get(sample.written_for, 0) + 1
        if sample.teacher_output:
            for kind in sample_kinds(sample):
                found.setdefault(kind, []).append(sample)
    result = {}
    for kind, members in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        certain = sorted(sample.confidence or 0.0 for sample in members)
        result[kind] = Coverage(
            len(members),
            asked.pop(kind, 0),
            sum(sample.written_for == kind for sample in members),
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
