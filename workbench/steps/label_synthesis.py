"""Step 1, the other way: write for the answers that the teacher knows, thin ones first.

Rounds like those of ``synthesis``, each committed whole. The first writes freely from the seeds.
Before some of the later ones the teacher is asked which answers it knows besides those seen; then
each round writes for what is thin, shows what was accepted so far, and asks the teacher back. At
the end every kind of answer gets the same share of what is kept.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.events import Event, Progress, RoundFinished, Warned
from workbench.models.pair import Pair as ModelPair
from workbench.models.scoring import choice_log_probs
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.steps.labels import answered_seeds
from workbench.steps.rounds import LONGEST_TIMES, label, room_for_items, sort_out, take_own_inputs
from workbench.synthesize import by_label, mining
from workbench.synthesize.answers import (
    Pair,
    consistent,
    coverage,
    is_whole,
    kind_of,
    recur,
    sample_kind,
)
from workbench.synthesize.duplicates import Written, nearest
from workbench.synthesize.selection import UNSURE, select
from workbench.teach import TEACHER

KNOWN = "known answers"  # where the run remembers them
LEVELS = "levels of answers"  # what was examined for it
NEAREST = "nearest inputs"  # of answers that were mined (see ``mining.Nearest``)
MINED = "rounds with mining"  # numbers of the rounds before which answers were mined
FREE_ROUNDS = 1  # rounds before anything is asked for, half as long as others
FREE_EVERY = 16  # of so many texts of later rounds one is free
MINING_ROUNDS = (1, 2, 4, 8, 16)  # before these rounds the teacher is asked what else it knows
MINED_INPUTS = 48  # inputs that are looked at for it, as different as possible
MOST_CANDIDATES = 400  # answers that are examined at a time, those of samples first
SEEN_TWICE = 2  # samples from which an answer is a candidate
FEWEST_PER_KIND = 8  # consistent samples of each kind of answer that are worth asking for
SURPLUS = 1.1  # times what is asked for: then only kinds below the fewest are written for
MOST_SURPLUS = 2  # times what is asked for: then no thin answer is waited for any more
SURE = 0.7  # teacher's confidence from which a sample may be shown to the generator


def synthesize_for_labels(run: Run, pair: ModelPair) -> Iterator[Event]:
    """Rounds until every known kind of answer has its share, or the cap on attempts is hit."""
    settings = run.recipe.synthesis
    yield from take_own_inputs(run, pair)
    seeds = [Pair(e.input, e.output or "") for e in answered_seeds(run, pair)]
    for number in range(len(run.samples.rounds()), settings.max_rounds):
        samples = _labelled(run)
        yield Progress(
            Stage.SYNTHESIZE, min(len(samples), settings.samples), settings.samples, "samples"
        )
        if mines := must_mine(run, seeds, samples, number):
            yield Progress(Stage.SYNTHESIZE, 0, 0, "answers", note="asking what the teacher knows")
        learn_answers(run, pair, seeds, samples, number if mines else None)
        targets = choose_targets(run, seeds, samples, number)
        if not targets:
            break
        made, finished = write_round(run, pair, seeds, samples, targets, number)
        run.samples.commit_round(number, made, finished)
        yield finished
    learn_answers(run, pair, seeds, _labelled(run), None)
    keep_level(run, seeds, settings.samples)
    kept = len(run.samples.kept())
    yield Progress(Stage.SYNTHESIZE, min(kept, settings.samples), settings.samples, "samples")
    if kept < settings.samples:
        yield Warned(
            Stage.SYNTHESIZE,
            f"{kept} of {settings.samples} samples were kept: no more could be written that the "
            "teacher answers with confidence. The transfer goes on with these.",
        )


def _labelled(run: Run) -> list[Sample]:
    return [sample for sample in run.samples.all() if sample.teacher_output]


def learn_answers(
    run: Run,
    pair: ModelPair,
    seeds: Sequence[Pair],
    samples: Sequence[Sample],
    number: int | None,
) -> None:
    """Find out which answers belong to the task; remembered with the run as "known answers".

    Outside its task a teacher makes answers up, with confidence. So those that it gave to samples
    and those that are mined from it all have to pass ``belonging``.

    Args:
        number: of the round that comes, when answers are mined as well; None when they are not.
    """
    form, tokens = pair.source_form, run.recipe.evaluation.answer_tokens
    kinds = [kind_of(p.answer, p.input) for p in seeds] + [sample_kind(s) for s in samples]
    if not samples or not _closed(kinds):
        return  # free or partly copied answers: there is no set to find
    certain = list(dict.fromkeys(p.answer for p in seeds))
    given = Counter(s.teacher_output or "" for s in samples)
    candidates = [answer for answer, count in given.most_common() if count >= SEEN_TWICE]
    examined, nearest = run.recall(LEVELS, {}), run.recall(NEAREST, {})
    mined = run.recall(MINED, [])
    with pair.source.using(TEACHER):
        if number is not None:
            inputs = _to_mine(seeds, samples, mined)
            found = mining.mine_answers(pair.source, form, inputs, tokens)
            for answer, (text, log_prob) in found.items():
                mining.come_nearer(nearest, answer, text, log_prob)
            candidates += found
            mined = [*mined, number]
        fresh = [a for a in dict.fromkeys([*certain, *candidates]) if a not in examined]
        probes = mining.choose_probes(list(seeds))
        examined |= mining.levels(pair.source, form, fresh[:MOST_CANDIDATES], probes)
        known = mining.belonging(examined, certain)
        _come_nearer(pair, nearest, [k for k in known if k not in certain], samples)
    # Last what says that it was done: a kill before that repeats all of it, with the same result.
    run.remember(LEVELS, examined)
    run.remember(KNOWN, known)
    run.remember(NEAREST, nearest)
    run.remember(MINED, mined)


def _come_nearer(
    pair: ModelPair, nearest: mining.Nearest, kinds: Sequence[str], samples: Sequence[Sample]
) -> None:
    """How likely are the answers that no sample was written for with success under the latest?"""
    states = coverage(samples)
    lacking = [k for k in kinds if k not in states or not states[k].consistent]
    newest = max(sample.round for sample in samples)
    latest = [sample.input for sample in samples if sample.round == newest]
    if not lacking:
        return
    form = pair.source_form
    scores = choice_log_probs(
        pair.source,
        [form.prompt_ids(text) for text in latest],
        [form.answer_ids(answer) for answer in lacking],
    )
    best = scores.topk(min(mining.NEAREST_INPUTS, len(latest)), dim=0)
    for column, answer in enumerate(lacking):
        places, values = best.indices[:, column].tolist(), best.values[:, column].tolist()
        for at, log_prob in zip(places, values, strict=True):
            mining.come_nearer(nearest, answer, latest[at], log_prob)


def _closed(kinds: Sequence[str]) -> bool:
    """Do the answers form a set? Partly copied ones do not, though their beginnings recur."""
    return recur(kinds) and all(map(is_whole, kinds))


def must_mine(run: Run, seeds: Sequence[Pair], samples: Sequence[Sample], number: int) -> bool:
    """Was the teacher never asked, or did asking bring an answer that came back?"""
    mined = run.recall(MINED, [])
    if number < FREE_ROUNDS or number in mined:
        return False
    if not mined:
        return True
    certain = {p.answer for p in seeds}
    confirmed = {sample_kind(sample) for sample in samples if consistent(sample)}
    return number in MINING_ROUNDS and bool(confirmed - certain)


def _to_mine(seeds: Sequence[Pair], samples: Sequence[Sample], mined: Sequence[int]) -> list[str]:
    """Inputs since answers were mined last: those written in vain for an answer, and others.

    What was written for an answer and got another one shows how near the texts have come.
    """
    since = [s for s in samples if not mined or s.round >= mined[-1]]
    missed = {kind for kind, state in coverage(samples).items() if not state.consistent}
    in_vain = [s for s in since if s.written_for in missed][: MINED_INPUTS // 2]
    written = [Pair(s.input, s.teacher_output or "") for s in since]
    others = mining.choose_probes([*(() if mined else seeds), *written], MINED_INPUTS)
    inputs = dict.fromkeys([*(s.input for s in in_vain), *(pair.input for pair in others)])
    return list(inputs)[:MINED_INPUTS]


def choose_targets(
    run: Run, seeds: Sequence[Pair], samples: Sequence[Sample], number: int
) -> list[str | None]:
    """What the round writes for, None for free texts; nothing when all is there."""
    settings = run.recipe.synthesis
    free: list[str | None] = [None] * settings.prompts_per_round
    if number < FREE_ROUNDS:
        return free[: max(1, len(free) // 2)]
    kinds = known_kinds(run, seeds, samples)
    if not recur([sample_kind(sample) for sample in samples]):
        return [] if len(samples) >= SURPLUS * settings.samples else free
    closed = _closed([sample_kind(sample) for sample in samples])
    sure = [sample for sample in samples if (sample.confidence or 0) >= UNSURE]
    fitting = sum(not closed or sample_kind(sample) in kinds for sample in sure)
    if fitting >= (MOST_SURPLUS if closed else SURPLUS) * settings.samples:
        return []
    certain = {kind_of(p.answer, p.input) for p in seeds}
    states = coverage(samples)
    confirmed = [k for k in kinds if k in certain or (k in states and states[k].consistent)]
    share = math.ceil(SURPLUS * settings.samples / max(1, len(confirmed)))
    if fitting >= SURPLUS * settings.samples:
        kinds, share = confirmed, share // 2  # enough in all: only slow answers are waited for
    per_kind = max(FEWEST_PER_KIND, share)
    wanted = run.recipe.seed * 1_000_003 + number
    steps = {answer: entry["steps"] for answer, entry in run.recall(NEAREST, {}).items()}
    targets = by_label.plan(states, kinds, certain, per_kind, len(free), wanted, steps)
    # Some free texts in every round: they bring what nobody thought of asking for.
    some = len(targets) // FREE_EVERY
    return [*targets[: len(free) - some], *free[:some]]


def known_kinds(run: Run, seeds: Sequence[Pair], samples: Sequence[Sample]) -> list[str]:
    """Kinds of answers that belong to the task, as far as is known.

    Of a closed set: what ``learn_answers`` found. Of partly copied answers: those of the seeds, and
    those that the teacher gave at least twice and with confidence.
    """
    of_seeds = [kind_of(p.answer, p.input) for p in seeds]
    known = run.recall(KNOWN, [])
    if known:
        return known
    states = coverage(samples)
    sure = [k for k, v in states.items() if v.samples >= SEEN_TWICE and v.confidence >= SURE]
    return list(dict.fromkeys([*of_seeds, *sure]))


def write_round(
    run: Run,
    pair: ModelPair,
    seeds: Sequence[Pair],
    samples: Sequence[Sample],
    targets: Sequence[str | None],
    number: int,
) -> tuple[list[Sample], RoundFinished]:
    """Write for the targets, drop what was written before, ask the teacher."""
    settings = run.recipe.synthesis
    generator = pair.target if settings.generator == "target" else pair.source
    kinds = set(known_kinds(run, seeds, samples))
    accepted = [s for s in samples if (s.confidence or 0) >= SURE and sample_kind(s) in kinds]
    # Where the kind is the beginning of an answer only, its rest is written before the input.
    rest = any(target is not None and not is_whole(target) for target in targets)
    examples = [Example(f"{p.answer}\n{p.input}" if rest else p.input) for p in seeds]
    room = settings.new_tokens or room_for_items(generator, examples, 1.5)
    with generator.using(None):
        texts = by_label.write(
            generator,
            seeds,
            accepted,
            targets,
            room,
            run.recipe.seed * 1_000_003 + number,
            {a: [text for _, text in e["inputs"]] for a, e in run.recall(NEAREST, {}).items()},
        )
    inputs = [seed.input for seed in seeds]
    written = Written(inputs, [s.input for s in run.samples.all()], settings.near_duplicate)
    longest = LONGEST_TIMES * max(map(len, inputs)) + 80
    sorting = sort_out([entry.text for entry in texts], written, longest)
    wanted = {entry.text: entry.written_for for entry in reversed(texts)}
    made = [
        Sample(
            id=sample_id(text),
            input=text,
            origin=settings.generator,
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


def keep_level(run: Run, seeds: Sequence[Pair], count: int) -> None:
    """Of what the filter decides, keep an equal share of every kind of answer."""
    pool = [sample for sample in _labelled(run) if sample.decided_by == "filter"]
    by_person = sum(sample.decided_by == "person" for sample in run.samples.kept())
    kinds = None
    if _closed([sample_kind(sample) for sample in pool]):
        kinds = known_kinds(run, seeds, pool)
    reasons = select(pool, max(0, count - by_person), kinds)
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
