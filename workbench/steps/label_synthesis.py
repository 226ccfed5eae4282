"""Step 1, the other way: write for the answers that the teacher knows, thin ones first.

Rounds like those of ``synthesis``, each committed whole. The first writes freely from the seeds.
The second asks about words of the vocabulary, before some of the later ones the teacher is asked
which answers it knows besides those seen. Then each round writes for what is thin, shows what was
accepted so far, and asks the teacher back; once there is enough, inputs are crossed to see which
answers nothing has shown yet. At the end every kind of answer gets the same share of what is kept.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.events import Event, Progress, RoundFinished, Warned
from workbench.models.batches import for_device
from workbench.models.pair import Pair as ModelPair
from workbench.runs.folder import Run
from workbench.samples import CROSSED, KEPT, NAMED, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.steps.finding import (
    FREE_ROUNDS,
    NEAREST,
    SURE,
    TRIED_TIMES,
    asked_samples,
    candidates,
    doubtful,
    learn_answers,
    must_mine,
    share_of_trials,
    success_of_trials,
    trials,
    untried,
    written,
)
from workbench.steps.grafting import (
    SURE_OBJECT,
    add_grafts,
    ask_grafts,
    ask_words,
    decide_asked,
    grafts_wanted,
    owes_grafts,
    owes_words,
    words_that_tell,
)
from workbench.steps.labels import answered_seeds
from workbench.steps.rounds import LONGEST_TIMES, label, room_for_items, sort_out, take_own_inputs
from workbench.synthesize import by_label, mining, vocabulary
from workbench.synthesize.answers import (
    Pair,
    consistent,
    decided_fields,
    is_whole,
    recur,
    sample_kind,
    sample_kinds,
)
from workbench.synthesize.duplicates import Written, nearest
from workbench.synthesize.evidence import Findings, closed, structured, weigh
from workbench.synthesize.selection import UNSURE, select

WRITTEN = "samples asked for when writing ended"  # where the run remembers it
FREE_EVERY = 16  # of so many texts of later rounds one is free
TOPIC_EVERY = 8  # where answers form a set one of so many is about a word of the vocabulary instead
# Of the tried candidates that came to belong: below it, when all is there, only promising ones
# are still tried.
WORTH_TRYING = 0.2
# Once all is there, a round for fewer of its prompts is not worth its time.
FEWEST_PROMPTS = 1 / 8
FEWEST_PER_KIND = 8  # consistent samples of each kind of answer that are worth asking for
SURPLUS = 1.1  # times what is asked for, in full shares; then only thin answers are waited for
MOST_SURPLUS = 2  # times what is asked for: then no thin answer is waited for any more
STRUCTURED_SURPLUS = 3  # times what is asked for where answers are objects: written rows teach most


def synthesize_for_labels(run: Run, pair: ModelPair) -> Iterator[Event]:
    """Rounds until every known kind of answer has its share, or the cap on attempts is hit."""
    settings = run.recipe.synthesis.settled()
    yield from take_own_inputs(run, pair)
    seeds = [Pair(e.input, e.output or "") for e in answered_seeds(run, pair)]
    # After a kill among the grafts nothing more is written: only once more samples are asked for.
    rounds = settings.max_rounds if run.recall(WRITTEN) != settings.samples else 0
    for number in range(len(run.samples.rounds()), rounds):
        samples = asked_samples(run)
        wanted = settings.samples
        if structured([sample_kind(sample) for sample in samples]):
            wanted *= STRUCTURED_SURPLUS
        yield Progress(Stage.SYNTHESIZE, min(len(written(samples)), wanted), wanted, "samples")
        if owes_words(run, samples):
            yield from ask_words(run, pair, seeds, number)
            continue
        found = weigh(seeds, samples)
        if owes_grafts(run, found, number) and _fitting(found) >= SURPLUS * settings.samples:
            yield from ask_grafts(run, pair, found, number)
            continue
        if mines := must_mine(run, found, number):
            yield Progress(Stage.SYNTHESIZE, 0, 0, "answers", note="asking what the teacher knows")
        learn_answers(run, pair, found, number if mines else None)
        targets = choose_targets(run, pair, found, number)
        if not targets:
            break
        made, finished = write_round(run, pair, found, targets, number)
        run.samples.commit_round(number, made, finished)
        yield finished
    keep_level(run, seeds)
    decide_asked(run, seeds)
    run.remember(WRITTEN, settings.samples)
    yield from add_grafts(run, pair, seeds)
    kept = sum(sample.origin not in CROSSED for sample in run.samples.kept())
    yield Progress(Stage.SYNTHESIZE, min(kept, settings.samples), settings.samples, "samples")
    if kept < settings.samples:
        yield Warned(
            Stage.SYNTHESIZE,
            f"{kept} of {settings.samples} samples were kept: no more could be written that the "
            "teacher answers with confidence. The transfer goes on with these.",
        )


def choose_targets(run: Run, pair: ModelPair, found: Findings, number: int) -> list[str | None]:
    """What the round writes for, None for free texts; nothing when all is there."""
    settings, samples, kinds = run.recipe.synthesis.settled(), found.samples, found.kinds
    free: list[str | None] = [None] * settings.prompts_per_round
    if number < FREE_ROUNDS:
        return free[: max(1, len(free) // 2)]
    of_samples = [sample_kind(sample) for sample in samples]
    if not recur(of_samples):
        return [] if len(written(samples)) >= SURPLUS * settings.samples else free
    is_set = closed(of_samples)
    sought = [kind for kind in kinds if kind in found.sought] if is_set else kinds
    in_doubt = doubtful(run, found) if is_set else []
    fitting = _fitting(found)
    surplus = SURPLUS if is_set else STRUCTURED_SURPLUS  # answers recur: a set, or objects
    if fitting >= (MOST_SURPLUS if is_set else surplus) * settings.samples:
        return []
    enough = fitting >= surplus * settings.samples
    share = math.ceil(surplus * settings.samples / len(sought))
    every = TOPIC_EVERY if is_set else FREE_EVERY
    names: list[str] = []
    success = success_of_trials(run, found)
    if is_set:
        names = candidates(run, found, enough and success < WORTH_TRYING)
    wanted = by_label.plan(
        found.states,
        sought,
        trials(run, found, names),
        max(FEWEST_PER_KIND, share),
        len(free) - len(free) // every,
        run.recipe.seed * 1_000_003 + number,
        in_doubt,
    )
    doubted = set(in_doubt)
    waited_for = sum(kind not in doubted for kind in wanted)  # what is doubtful is not
    if enough and waited_for < FEWEST_PROMPTS * len(free):
        return []
    # Some free texts in every round: they bring what nobody thought of asking for.
    some = len(wanted) // every
    # What is tried in its own words costs no writing, so it comes on top.
    most = math.ceil(share_of_trials(success) * len(free))
    fresh = untried(found, names, most * for_device(TRIED_TIMES, pair.source.device))
    named = [answer for answer in fresh for _ in range(mining.NAMED_INPUTS)]
    return [*wanted, *free[:some], *named]


def _fitting(found: Findings) -> int:
    """Written samples that the teacher answers with confidence, of a set one of its answers."""
    sure = [sample for sample in written(found.samples) if (sample.confidence or 0) >= UNSURE]
    is_set, kinds = closed([sample_kind(sample) for sample in found.samples]), set(found.kinds)
    return sum(not is_set or sample_kind(sample) in kinds for sample in sure)


def write_round(
    run: Run,
    pair: ModelPair,
    found: Findings,
    targets: Sequence[str | None],
    number: int,
) -> tuple[list[Sample], RoundFinished]:
    """Write for the targets, drop what was written before, ask the teacher."""
    settings, seeds, samples = run.recipe.synthesis.settled(), found.seeds, found.samples
    generator = pair.target if settings.generator == "target" else pair.source
    kinds = set(found.kinds)
    of_samples = [sample_kind(sample) for sample in samples]
    sure = SURE_OBJECT if structured(of_samples) else SURE
    is_set = closed(of_samples)
    accepted = [
        sample
        for sample in samples
        if sample.origin not in CROSSED
        and (sample.confidence or 0) >= sure
        and not kinds.isdisjoint(sample_kinds(sample))
        # The writer goes on as it is shown: what missed its answer would teach it to miss.
        and (consistent(sample) or not is_set)
    ]
    shown = {pair.answer for pair in seeds} | {sample_kind(s) for s in accepted if consistent(s)}
    # Where the kind is the beginning of an answer only, its rest is written before the input.
    rest = any(target is not None and not is_whole(target) for target in targets)
    examples = [Example(f"{p.answer}\n{p.input}" if rest else p.input) for p in seeds]
    room = settings.new_tokens or room_for_items(generator, examples, 1.5)
    # A candidate's first attempts are made of its own words; they cost no writing.
    tried = {sample.written_for for sample in samples}
    fresh = [t for t in dict.fromkeys(targets) if t and is_whole(t) and t not in kinds | tried]
    inputs = [seed.input for seed in seeds]
    named = [by_label.Written(x, t) for t in fresh for x in mining.named_inputs(t, inputs)]
    with generator.using(None):
        texts = by_label.write(
            generator,
            seeds,
            accepted,
            _without(targets, [entry.written_for for entry in named]),
            room,
            run.recipe.seed * 1_000_003 + number,
            {
                answer: [text for _, text in entry["inputs"]]
                for answer, entry in run.recall(NEAREST, {}).items()
                if answer not in shown
            },
            _topics(run, pair, found, number) if is_set else (),
        )
    of_words = {entry.text for entry in named}
    texts += named
    known = Written(inputs, [s.input for s in run.samples.all()], settings.near_duplicate)
    longest = LONGEST_TIMES * max(map(len, inputs)) + 80
    sorting = sort_out([entry.text for entry in texts], known, longest)
    wanted = {entry.text: entry.written_for for entry in reversed(texts)}
    made = [
        Sample(
            id=sample_id(text),
            input=text,
            origin=NAMED if text in of_words else settings.generator,
            written_for=wanted[text],
            round=number,
            status=KEPT,
            nearest_seed=nearest(text, inputs),
        )
        for text in sorting.new
    ]
    made = label(pair, run.recipe, made)
    kept = sum(sample.status == KEPT for sample in made)
    finished = RoundFinished(
        round=number,
        made=len(texts),
        kept=kept,
        rejected=len(made) - kept,
        duplicates=sorting.duplicates,
        copied=sorting.copied,
        empty=sorting.empty,
    )
    return made, finished


def _topics(run: Run, pair: ModelPair, found: Findings, number: int) -> list[str]:
    """Words that free texts of a round are about: in turn one that tells an answer and any."""
    draw = random.Random(f"{run.recipe.seed * 1_000_003 + number}:topics")
    told = vocabulary.in_turns(draw.sample(of, len(of)) for of in words_that_tell(found).values())
    words = vocabulary.frequent_words(pair.source.tokenizer, [seed.input for seed in found.seeds])
    any_words = draw.sample(words, len(words))
    return vocabulary.in_turns([[*map(vocabulary.last_word, told)], any_words])


def _without(targets: Sequence[str | None], named: Sequence[str | None]) -> list[str | None]:
    """The targets that are still to be written for, one less for each text that there is."""
    left = list(targets)
    for target in named:
        if target in left:
            left.remove(target)
    return left


def keep_level(run: Run, seeds: Sequence[Pair]) -> None:
    """Of what the filter decides, keep an equal share of every kind of answer.

    What was written beyond the number asked for takes the place of grafts.
    """
    settings = run.recipe.synthesis.settled()
    asked = asked_samples(run)
    pool = [sample for sample in written(asked) if sample.decided_by == "filter"]
    by_person = sum(
        s.decided_by == "person" and s.origin not in CROSSED for s in run.samples.kept()
    )
    of_pool = [sample_kind(sample) for sample in pool]
    found = weigh(seeds, asked)
    kinds = set(found.kinds) if recur(of_pool) else None
    wanted = grafts_wanted(settings, of_pool, found.known)
    room = settings.samples + wanted - by_person
    decided = decided_fields(seeds) if structured(of_pool) else None
    reasons = select(pool, max(0, room), kinds, decided)
    run.samples.update_many(
        [
            replace(
                sample,
                status=REJECTED if reasons[sample.id] else KEPT,
                reason=reasons[sample.id],
            )
            for sample in pool
        ]
    )
