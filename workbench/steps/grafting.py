"""Step 1, what nobody writes: words of the vocabulary after beginnings of seeds, and grafts.

Both are nonsense with the teacher's answer. Words come first, since they show which answers there
are; most grafts last, since they are made of what was written, some before, since they show answers
too. Each is made again alike after a kill.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from workbench.events import Event, Progress, RoundFinished
from workbench.models.batches import for_device
from workbench.models.pair import Pair as ModelPair
from workbench.recipe import SynthesisSettings
from workbench.runs.folder import Run
from workbench.samples import (
    CROSSED,
    GRAFT,
    KEPT,
    REJECTED,
    WORD,
    Example,
    Sample,
    normalise,
    sample_id,
)
from workbench.stages import Stage
from workbench.steps.finding import (
    CROSSED_EARLY,
    NEAREST,
    asked_samples,
    before_last_grafts,
    note_given,
    written,
)
from workbench.steps.rounds import label, room_for_items
from workbench.synthesize import grafts, vocabulary
from workbench.synthesize.answers import (
    OPEN,
    Pair,
    decided_fields,
    is_whole,
    recur,
    sample_kind,
)
from workbench.synthesize.evidence import Findings, closed, structured, task_kinds, weigh
from workbench.synthesize.selection import DOUBTFUL, ENOUGH, FOREIGN, by_chance, what_is_wrong

# Grafts that are labelled and committed together: a GPU wants many at a time.
GRAFT_ROUND = {"cpu": 512, "cuda": 2048}
OBJECT_TIMES = 5  # as many grafts where answers are objects: there the number of rows decides
# And for many answers: with 150 intents 35,000 rows instead of 12,000 beyond what was written were
# worth three points; twice as many with 30 and with 7 intents were worth nothing.
MANY_ANSWERS, MANY_TIMES = 100, 2
EARLY_SHARE = 0.2  # of all grafts that are wanted, while there is still writing
ASKED = {WORD: ("words", "asking about words"), GRAFT: ("grafts", "crossing inputs")}
WORD_SHARE = 0.5  # of all grafts, where answers form a set
WORDS_PER_SAMPLE = 8  # that are asked about, up to the most frequent ones: a text costs fifty
# Words are worth asking about when the next answer is new with at most this probability: with 30
# and 150 intents it was 0.4 after the first round, made-up answers among them.
SEEM_TO_RECUR = 0.5
NO_WORDS = "vocabulary without words"  # where the run remembers that there was nothing to ask
SURE_GRAFT = 0.9  # teacher's confidence from which a graft with an object as answer is kept
# And from which an object may be shown to the generator: a teacher that copies most of its answer
# is sure of it even outside its task (0.99 in the median over real inputs, 0.94 over written ones).
SURE_OBJECT = 0.95


def grafts_wanted(
    settings: SynthesisSettings, of_written: Sequence[str], known: Collection[str]
) -> int:
    """Rows beyond the number asked for; none where answers do not recur.

    What was written beyond it counts, words and named inputs count; the rest is crossed.
    """
    if not recur(of_written):
        return 0
    times = MANY_TIMES if len(known) > MANY_ANSWERS else 1
    if structured(of_written):
        times = OBJECT_TIMES
    return round(times * settings.grafts * settings.samples)


def owes_words(run: Run, samples: Sequence[Sample]) -> bool:
    """Is it time to ask about words? Once, as soon as answers seem to form a set."""
    if not run.recipe.synthesis.grafts or run.recall(NO_WORDS):
        return False
    if not samples or any(sample.origin == WORD for sample in samples):
        return False
    kinds = [sample_kind(sample) for sample in samples]
    return all(map(is_whole, kinds)) and recur(kinds, SEEM_TO_RECUR)


def ask_words(run: Run, pair: ModelPair, seeds: Sequence[Pair], number: int) -> Iterator[Event]:
    """One round of beginnings of seeds with a word of the source's vocabulary, committed whole."""
    settings, inputs = run.recipe.synthesis.settled(), [seed.input for seed in seeds]
    known = _normalised(seeds, run.samples.all())
    count = max(
        round(WORD_SHARE * settings.grafts * settings.samples),
        min(WORDS_PER_SAMPLE * settings.samples, vocabulary.MOST_FREQUENT),
    )
    most = max(count, vocabulary.MOST_FREQUENT)
    texts = vocabulary.put_words(
        vocabulary.frequent_words(pair.source.tokenizer, inputs, most),
        inputs,
        count,
        run.recipe.seed,
        known,
    )
    if not texts:
        run.remember(NO_WORDS, True)
    yield from _ask(run, pair, seeds, texts, WORD, number)


def owes_grafts(run: Run, found: Findings, number: int) -> bool:
    """Is it time for early grafts? Once, where answers form a set."""
    if not run.recipe.synthesis.grafts or run.recall(CROSSED_EARLY) not in (None, number):
        return False
    return closed([sample_kind(sample) for sample in found.samples])


def ask_grafts(run: Run, pair: ModelPair, found: Findings, number: int) -> Iterator[Event]:
    """One round of grafts while more is written, committed whole.

    They bring answers that no written text has: 1.00 for *uber* by a few words of a text about
    something else, in a run whose 37,000 texts had not found it.
    """
    settings, there = run.recipe.synthesis.settled(), written(found.samples)
    kinds = set(found.kinds)
    kept = [s for s in there if s.status == KEPT and sample_kind(s) in kinds]
    pairs = [Pair(sample.input, sample.teacher_output or "") for sample in kept]
    wanted = grafts_wanted(settings, [sample_kind(sample) for sample in there], found.known)
    texts = grafts.cross(
        found.seeds,
        pairs,
        round(EARLY_SHARE * wanted),
        run.recipe.seed + number,
        _normalised(found.seeds, run.samples.all()),
        _words_by_answer(found),
    )
    run.remember(CROSSED_EARLY, number)  # first: a kill before the commit repeats this round
    yield from _ask(run, pair, found.seeds, texts, GRAFT, number)


def decide_asked(run: Run, seeds: Sequence[Pair]) -> None:
    """Keep what nobody wrote whose answers belong to the task, by all that was found out.

    All early grafts. Of words and named inputs first words that tell an answer, of every answer
    alike, then the others by chance: half of what is wanted besides what was written, at most half
    of the grafts; the rest is crossed.
    """
    settings, samples = run.recipe.synthesis.settled(), asked_samples(run)
    found, there = weigh(seeds, samples), written(samples)
    kinds = set(found.kinds)
    wanted = grafts_wanted(settings, [sample_kind(sample) for sample in there], found.known)
    room = settings.samples + wanted - sum(sample.status == KEPT for sample in there)
    room = round(WORD_SHARE * min(room, settings.grafts * settings.samples))
    telling = vocabulary.in_turns(words_that_tell(found).values())
    first = {sample.id: place for place, sample in enumerate(telling)}
    asked = [s for s in samples if s.origin in CROSSED and s.decided_by == "filter"]
    asked.sort(key=lambda sample: (first.get(sample.id, len(first)), by_chance(sample)))
    asked = [_decided(sample, kinds) for sample in asked]
    fitting = [s for s in asked if s.status == KEPT and s.origin != GRAFT]
    too_many = {sample.id for sample in fitting[max(0, room) :]}
    run.samples.update_many(
        [
            replace(sample, status=REJECTED, reason=ENOUGH) if sample.id in too_many else sample
            for sample in asked
        ]
    )


def words_that_tell(found: Findings) -> dict[str, list[Sample]]:
    """By well-known answer, what was asked about words that tell it and that no kept text has."""
    kept = [sample for sample in written(found.samples) if sample.status == KEPT]
    pairs = [Pair(sample.input, sample.teacher_output or "") for sample in kept]
    asked = [sample for sample in found.samples if sample.origin == WORD]
    return vocabulary.telling_words(asked, found.known, [*found.seeds, *pairs])


def add_grafts(run: Run, pair: ModelPair, seeds: Sequence[Pair]) -> Iterator[Event]:
    """Cross known inputs, let the teacher answer: rows that cost no writing (``grafts``).

    As many as are wanted besides what is there, but no more in proportion to what was written.
    """
    settings, found = run.recipe.synthesis.settled(), weigh(seeds, asked_samples(run))
    of_written = [sample_kind(sample) for sample in written(found.samples)]
    wanted = grafts_wanted(settings, of_written, found.known)
    if not wanted:
        return
    samples = before_last_grafts(run)
    known = _normalised(seeds, samples)
    kept = [s for s in samples if s.status == KEPT and s.origin not in CROSSED]
    asked_kept = sum(s.status == KEPT and s.origin in CROSSED for s in samples)
    there = asked_kept + max(0, len(kept) - settings.samples)
    count = max(0, min(wanted, wanted * len(kept) // settings.samples) - there)
    crossed: list[str] = []
    pairs = [Pair(s.input, s.teacher_output or "") for s in kept]
    real, others = seeds, pairs
    if structured(of_written):
        yield Progress(Stage.SYNTHESIZE, 0, count, "grafts", note="writing values")
        values = new_values(run, pair, seeds, kept, count // 2)
        crossed = grafts.swap(seeds, pairs, count // 2, run.recipe.seed, known, values)
        known |= {normalise(text) for text in crossed}
        # Whole objects hardly ever recur: here any seed may take the place of any input.
        real, others = ([Pair(p.input, OPEN) for p in some] for some in (seeds, pairs))
    crossed += grafts.cross(
        real,
        others,
        count - len(crossed),
        run.recipe.seed,
        known,
        _words_by_answer(found),
    )
    decided = decided_fields(seeds) if structured(of_written) else None
    kinds = set(found.kinds)
    made_before = {sample.id for sample in run.samples.all()}
    crossed = [text for text in crossed if sample_id(text) not in made_before]
    number = len(run.samples.rounds())
    together = for_device(GRAFT_ROUND, pair.source.device)
    what, note = ASKED[GRAFT]
    for start in range(0, len(crossed), together):
        yield Progress(Stage.SYNTHESIZE, start, len(crossed), what, note=note)
        part = crossed[start : start + together]
        made = [Sample(sample_id(text), text, GRAFT, round=number, status=KEPT) for text in part]
        made = [_decided(sample, kinds, decided) for sample in label(pair, run.recipe, made)]
        yield from _commit(run, made, number)
        number += 1


def new_values(
    run: Run, pair: ModelPair, seeds: Sequence[Pair], kept: Sequence[Sample], count: int
) -> dict[str, list[str]]:
    """About ``count`` values for the fields of the seeds and of what the teacher was sure of.

    Half of them are written by the field's name, half are words that the source knows: most fit
    no field, and the teacher says which.
    """
    sure = [s for s in kept if (s.confidence or 0.0) >= SURE_OBJECT]
    pairs = [*seeds, *(Pair(s.input, s.teacher_output or "") for s in sure)]
    generator = pair.target if run.recipe.synthesis.generator == "target" else pair.source
    inputs = [Example(p.input) for p in seeds]
    with generator.using(None):
        room = room_for_items(generator, inputs, 1.0)  # a value is at most about an input
        values = grafts.write_values(generator, pairs, count // 2, room, run.recipe.seed)
    words = vocabulary.frequent_words(pair.source.tokenizer, [p.input for p in seeds])
    draw = random.Random(f"{run.recipe.seed}:values")
    return {
        name: [*texts, *draw.sample(words, min(len(texts), len(words)))]
        for name, texts in sorted(values.items())
    }


def _normalised(seeds: Sequence[Pair], samples: Sequence[Sample]) -> set[str]:
    """Inputs that are not made again."""
    return {normalise(known.input) for known in (*seeds, *samples)}


def _words_by_answer(found: Findings) -> list[list[str]]:
    return [[*map(vocabulary.last_word, told)] for told in words_that_tell(found).values()]


def _ask(
    run: Run,
    pair: ModelPair,
    seeds: Sequence[Pair],
    texts: Sequence[str],
    origin: str,
    number: int,
) -> Iterator[Event]:
    """Label texts that nobody wrote, note which answers they came near to, commit them whole."""
    what, note = ASKED[origin]
    made: list[Sample] = []
    together = for_device(GRAFT_ROUND, pair.source.device)
    for start in range(0, len(texts), together):
        yield Progress(Stage.SYNTHESIZE, start, len(texts), what, note=note)
        part = texts[start : start + together]
        fresh = [Sample(sample_id(text), text, origin, round=number, status=KEPT) for text in part]
        made += label(pair, run.recipe, fresh)
    nearest = run.recall(NEAREST, {})
    note_given(pair, nearest, made)
    kinds = set(task_kinds(seeds, [*asked_samples(run), *made]))
    made = [_decided(sample, kinds) for sample in made]
    run.remember(NEAREST, nearest)
    yield from _commit(run, made, number)


def _commit(run: Run, made: Sequence[Sample], number: int) -> Iterator[Event]:
    kept = sum(sample.status == KEPT for sample in made)
    finished = RoundFinished(round=number, made=len(made), kept=kept, rejected=len(made) - kept)
    run.samples.commit_round(number, made, finished)
    yield finished


def _decided(
    sample: Sample, kinds: Collection[str], decided: Collection[str] | None = None
) -> Sample:
    """Rejected where its answer is foreign, or where answers are objects and it is made up.

    Args:
        decided: see ``decided_fields``; None where answers are no objects.
    """
    answer = sample.teacher_output or ""
    if decided is None:
        reason = "" if answer in kinds else FOREIGN
    else:
        reason = what_is_wrong(answer, sample.input, decided)
        if not reason and (sample.confidence or 0.0) < SURE_GRAFT:
            reason = DOUBTFUL
    return replace(sample, status=REJECTED if reason else KEPT, reason=reason)
