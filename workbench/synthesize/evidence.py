"""Which kinds of answers belong to the task, judged by how sure the teacher was of them.

Outside its task a teacher makes answers up. Two facts tell them apart: an answer of the task was
given with near certainty to some text, and the more texts are written for it, the more of them are
certain. What was made up is met again where the texts suggest its words, and is less often sure;
where there are many answers as many pass as belong. That an answer is as likely where it is wrong
as the known ones says where to look first.

The counts in this module are of runs for 30 and 150 intents (CLINC150) and for SNIPS as JSON, with
the names of the training rows as truth; docs/method.md has the table.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from workbench.samples import CROSSED, GRAFT, Sample
from workbench.synthesize.answers import (
    Coverage,
    Pair,
    coverage,
    is_whole,
    kinds_of,
    recur,
    sample_kind,
    sample_kinds,
    words,
)
from workbench.synthesize.selection import UNSURE

Evidence = Sequence[tuple[float, int]]  # any of: a confidence, and texts that reach it

EVIDENCE: Evidence = ((0.97, 1), (0.8, 2), (0.6, 4))
# What is made up comes from words that it reads: only certainty counts where one of them stands in
# the text. Many answers that are none pass; each costs a few rows, one that is missing all of its.
EVIDENCE_IN_WORDS: Evidence = ((0.97, 1),)
# What is made up hardly ever comes unasked: with it 2 of 8 answers were found that three runs for
# 150 intents had missed ("calories": four times with 0.94 or more), and 36 others.
UNASKED: Evidence = ((0.9, 3),)
# Certain twice, and given twice to texts without any of its words, or given unasked, an answer is
# well known: so were 421 of 444 real answers of those runs and 403 of 1,693 others; without the
# last 396 and 219.
CERTAIN: Evidence = ((0.97, 2),)
GIVEN_ELSEWHERE: Evidence = ((0.5, 2),)
# What is made up is hardly ever the answer to a text that was written for something else: an answer
# comes by itself when it came so as often as this part of what is usual among the seeds' answers.
# In six runs for 30 intents so did 84 of 87 real answers that were well known and 63 of 234 others.
BY_ITSELF = 0.05
# A word that so many texts have, as a part of all and at least, says nothing ("what is your").
COMMON, FEWEST_COMMON = 0.05, 10
KNOWN_ABOVE = 0.75  # part of the seeds' answers that lies above the level of the known ones
# Of JSON objects: fields are made up for many inputs alike.
EVIDENCE_OF_FIELDS: Evidence = ((0.95, 3),)
# Once so many texts that were written for an answer got it, some must have convinced: got it
# with 0.97, or with 0.9 though they were written for something else. As a part of the former.
JUDGED_AFTER = 8
CONVINCED, CONVINCED_UNASKED = 0.97, 0.9
LEAST_CONVINCED = 0.08


@dataclass(frozen=True)
class Findings:
    """What a run's samples say about the answers of its task, counted once a round (``weigh``).

    Attributes:
        seeds: with the teacher's answers, as are the samples.
        samples: all but the grafts that are made of them at the end.
        kinds: those that belong to the task (``task_kinds``).
        known: those that are well known (``well_known``).
        sought: those that get a full share of texts (``sought_answers``).
        states: coverage by kind.
        surest: the teacher's highest confidence by answer.
        unasked: the teacher's confidences by answer in what was written, but not for that answer.
    """

    seeds: Sequence[Pair]
    samples: Sequence[Sample]
    kinds: list[str]
    known: set[str]
    sought: set[str]
    states: dict[str, Coverage]
    surest: dict[str, float]
    unasked: dict[str, list[float]]


def weigh(seeds: Sequence[Pair], samples: Sequence[Sample]) -> Findings:
    """Count everything that a round asks of its samples."""
    surest: dict[str, float] = {}
    unasked: dict[str, list[float]] = {}
    for sample in samples:
        answer, confidence = sample.teacher_output or "", sample.confidence or 0.0
        surest[answer] = max(surest.get(answer, 0.0), confidence)
        if sample.origin not in CROSSED and sample.written_for != answer:
            unasked.setdefault(answer, []).append(confidence)
    known = well_known(seeds, samples)
    return Findings(
        seeds,
        samples,
        task_kinds(seeds, samples),
        known,
        sought_answers(seeds, unasked, known),
        coverage(samples),
        surest,
        unasked,
    )


def closed(kinds: Sequence[str]) -> bool:
    """Do the answers form a set? Partly copied ones do not, though their beginnings recur."""
    return recur(kinds) and all(map(is_whole, kinds))


def structured(kinds: Sequence[str]) -> bool:
    """Are the answers objects with values from the input, whose beginnings recur?"""
    return recur(kinds) and not all(map(is_whole, kinds))


def task_kinds(seeds: Sequence[Pair], samples: Sequence[Sample]) -> list[str]:
    """Kinds of answers that belong to the task: those of the seeds, then as they were found.

    Args:
        samples: with the teacher's answers.
    """
    of_seeds = [kind for pair in seeds for kind in kinds_of(pair.answer, pair.input)]
    given = _by_kind(samples)
    if closed([*of_seeds, *map(sample_kind, samples)]):
        common = _common_words(samples)
        found = [
            kind
            for kind, texts in given.items()
            if (_was_certain(words(kind) - common, texts) or _came_unasked(kind, texts))
            and not _stays_in_doubt(kind, texts)
        ]
    else:
        found = [kind for kind, texts in given.items() if _meets(texts, EVIDENCE_OF_FIELDS)]
    return list(dict.fromkeys([*of_seeds, *found]))


def well_known(seeds: Sequence[Pair], samples: Sequence[Sample]) -> set[str]:
    """Answers of the seeds, and those that are likely to belong to a closed set."""
    common = _common_words(samples)
    known = {
        answer
        for answer, texts in _by_kind(samples).items()
        if _came_unasked(answer, texts)
        or (
            _meets(texts, CERTAIN)
            and _meets(_apart(words(answer) - common, texts), GIVEN_ELSEWHERE)
        )
    }
    return known | {pair.answer for pair in seeds}


def sought_answers(
    seeds: Sequence[Pair], unasked: Mapping[str, Sequence[float]], known: Collection[str]
) -> set[str]:
    """Answers of the seeds, and those of the well-known ones that come by themselves."""
    of_seeds = {pair.answer for pair in seeds}
    usual = median(times_unasked(unasked, answer) for answer in of_seeds) if of_seeds else 0
    least = max(1, BY_ITSELF * usual)
    return of_seeds | {answer for answer in known if times_unasked(unasked, answer) >= least}


def times_unasked(unasked: Mapping[str, Sequence[float]], answer: str) -> int:
    """Written texts that got the answer, not quite unsure, though written for something else."""
    return sum(confidence >= UNSURE for confidence in unasked.get(answer, ()))


def on_level(seeds: Sequence[Pair], levels: Mapping[str, float]) -> set[str]:
    """Answers that are as likely where they are wrong as most of the seeds' answers are."""
    answers = {pair.answer for pair in seeds}
    known = sorted((levels[a] for a in answers if a in levels), reverse=True)
    if not known:
        return set()
    least = known[int(KNOWN_ABOVE * (len(known) - 1))]
    return {answer for answer, level in levels.items() if level >= least}


def _by_kind(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    given: dict[str, list[Sample]] = {}
    for sample in samples:
        for kind in sample_kinds(sample):
            given.setdefault(kind, []).append(sample)
    return given


def _common_words(samples: Sequence[Sample]) -> frozenset[str]:
    met = Counter(word for sample in samples for word in words(sample.input))
    least = max(FEWEST_COMMON, COMMON * len(samples))
    return frozenset(word for word, texts in met.items() if texts >= least)


def _was_certain(of_kind: frozenset[str], texts: Sequence[Sample]) -> bool:
    """Were there texts that the teacher gave an answer of these words for certain?"""
    return _meets(_apart(of_kind, texts), EVIDENCE) or _meets(texts, EVIDENCE_IN_WORDS)


def _apart(of_kind: frozenset[str], texts: Sequence[Sample]) -> list[Sample]:
    """Those of the texts that have none of these words."""
    return [sample for sample in texts if of_kind.isdisjoint(words(sample.input))]


def _came_unasked(kind: str, texts: Sequence[Sample]) -> bool:
    """Was it given for certain to texts that were not written for it?"""
    unasked = [s for s in texts if s.written_for != kind and s.origin != GRAFT]
    return _meets(unasked, UNASKED)


def _stays_in_doubt(kind: str, texts: Sequence[Sample]) -> bool:
    """Were enough texts written for it, and hardly any convinced the teacher?"""
    asked = [(sample.confidence or 0.0) for sample in texts if sample.written_for == kind]
    others = [(sample.confidence or 0.0) for sample in texts if sample.written_for != kind]
    convinced = sum(c >= CONVINCED for c in asked) + sum(c >= CONVINCED_UNASKED for c in others)
    return len(asked) >= JUDGED_AFTER and convinced < LEAST_CONVINCED * len(asked)


def _meets(texts: Sequence[Sample], evidence: Evidence) -> bool:
    confidences = [sample.confidence or 0.0 for sample in texts]
    return any(sum(c >= least for c in confidences) >= count for least, count in evidence)
