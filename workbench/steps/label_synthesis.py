"""Step 1, the other way: write for the answers that the teacher knows, thin ones first.

Rounds like those of ``synthesis``, each committed whole. The first writes freely from the seeds.
Before some of the later ones the teacher is asked which answers it knows besides those seen; then
each round writes for what is thin, shows what was accepted so far, and asks the teacher back. At
the end every kind of answer gets the same share of what is kept.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from workbench.events import Event, Progress, RoundFinished, Warned
from workbench.models.pair import Pair as ModelPair
from workbench.models.scoring import choice_log_probs
from workbench.runs.folder import Run
from workbench.samples import GRAFT, KEPT, REJECTED, Example, Sample, normalise, sample_id
from workbench.stages import Stage
from workbench.steps.labels import answered_seeds
from workbench.steps.rounds import LONGEST_TIMES, label, room_for_items, sort_out, take_own_inputs
from workbench.synthesize import by_label, grafts, mining
from workbench.synthesize.answers import (
    Coverage,
    Pair,
    consistent,
    coverage,
    is_whole,
    kind_of,
    recur,
    sample_kind,
)
from workbench.synthesize.duplicates import Written, nearest
from workbench.synthesize.selection import FOREIGN, UNSURE, select
from workbench.teach import TEACHER

LEVELS = "levels of answers"  # of candidates (see ``mining.levels``); where the run remembers it
NEAREST = "nearest inputs"  # of answers that were mined (see ``mining.Nearest``)
MINED = "rounds with mining"  # numbers of the rounds before which answers were mined
FREE_ROUNDS = 1  # rounds before anything is asked for, half as long as others
GRAFT_ROUND = 96  # grafts that are labelled and committed together
FREE_EVERY = 16  # of so many texts of later rounds one is free
MINING_ROUNDS = (1, 2, 4, 8, 16)  # before these rounds the teacher is asked what else it knows
LONGER = 2  # tokens by which an answer may be longer than those that are known
MINED_INPUTS = 48  # inputs that are looked at for it, as different as possible
MOST_CANDIDATES = 400  # answers that are examined at a time, those of samples first
SEEN_TWICE = 2  # samples from which an answer is a candidate
LEAST_PROBE_SHARE = 0.1  # of a round's prompts for candidates, however few were worth it
# An answer belongs to the task when the teacher was so sure of it with so many texts: what it makes
# up it says with less. Over 7,239 texts for 150 intents this keeps 121 real ones and 20 others.
EVIDENCE = ((0.97, 1), (0.8, 2))
WORTH_TRYING = (
    0.2  # of the tried candidates that came to belong: below it, no more when all is there
)
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
    keep_level(run, seeds, settings.samples)
    yield from add_grafts(run, pair, seeds)
    kept = sum(sample.origin != GRAFT for sample in run.samples.kept())
    yield Progress(Stage.SYNTHESIZE, min(kept, settings.samples), settings.samples, "samples")
    if kept < settings.samples:
        yield Warned(
            Stage.SYNTHESIZE,
            f"{kept} of {settings.samples} samples were kept: no more could be written that the "
            "teacher answers with confidence. The transfer goes on with these.",
        )


def _labelled(run: Run) -> list[Sample]:
    """What was written; grafts are made of it at the end."""
    samples = run.samples.all()
    return [sample for sample in samples if sample.teacher_output and sample.origin != GRAFT]


def learn_answers(
    run: Run,
    pair: ModelPair,
    seeds: Sequence[Pair],
    samples: Sequence[Sample],
    number: int | None,
) -> None:
    """Find candidates for answers of the task, and how near the texts have come to them.

    Outside its task a teacher makes answers up. So a candidate, given to samples or mined, is
    written for until the teacher is certain of it (``task_kinds``) or attempts run out.

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
            longest = max(len(form.answer_ids(answer)) for answer in [*certain, *given])
            found = mining.mine_answers(pair.source, form, inputs, min(tokens, longest + LONGER))
            for answer, (text, log_prob) in found.items():
                mining.come_nearer(nearest, answer, text, log_prob)
            candidates += found
            mined = [*mined, number]
        fresh = [a for a in dict.fromkeys([*certain, *candidates]) if a not in examined]
        probes = mining.choose_probes(list(seeds))
        examined |= mining.levels(pair.source, form, fresh[:MOST_CANDIDATES], probes)
        # Last what says that it was done: a kill before repeats all of it, with the same result.
        run.remember(LEVELS, examined)
        run.remember(NEAREST, nearest)
        _come_nearer(pair, nearest, trials(run, seeds, samples), samples)
    run.remember(NEAREST, nearest)
    run.remember(MINED, mined)


def _come_nearer(
    pair: ModelPair, nearest: mining.Nearest, candidates: Sequence[str], samples: Sequence[Sample]
) -> None:
    """How likely are the answers that are being tried under the latest texts?"""
    if not candidates:
        return
    form = pair.source_form
    newest = max(sample.round for sample in samples)
    latest = [sample.input for sample in samples if sample.round == newest]
    scores = choice_log_probs(
        pair.source,
        [form.prompt_ids(text) for text in latest],
        [form.answer_ids(answer) for answer in candidates],
    )
    best = scores.topk(min(mining.NEAREST_INPUTS, len(latest)), dim=0)
    for column, answer in enumerate(candidates):
        places, values = best.indices[:, column].tolist(), best.values[:, column].tolist()
        for at, log_prob in zip(places, values, strict=True):
            mining.come_nearer(nearest, answer, latest[at], log_prob)


def trials(run: Run, seeds: Sequence[Pair], samples: Sequence[Sample]) -> list[str]:
    """Candidates that the next round writes for: given answers first, then on the level of known.

    One that texts do not come nearer to runs out of attempts and makes room for the next.
    """
    states, nearest = coverage(samples), run.recall(NEAREST, {})
    levels, known = run.recall(LEVELS, {}), set(task_kinds(seeds, samples))
    surest: dict[str, float] = {}
    for sample in samples:
        answer = sample.teacher_output or ""
        surest[answer] = max(surest.get(answer, 0.0), sample.confidence or 0.0)
    order = sorted(levels, key=lambda answer: (-surest.get(answer, 0.0), -levels[answer], answer))
    room = round(success_of_trials(run, seeds, samples) * run.recipe.synthesis.prompts_per_round)
    open_ones = [
        answer
        for answer in order
        if answer not in known and by_label.attempts_left(states.get(answer), nearest.get(answer))
    ]
    return open_ones[: math.ceil(room / by_label.PROBE_ATTEMPTS)]


def success_of_trials(run: Run, seeds: Sequence[Pair], samples: Sequence[Sample]) -> float:
    """Share of tried candidates that came to belong (rule of succession), within bounds."""
    states, levels = coverage(samples), run.recall(LEVELS, {})
    certain, known = {p.answer for p in seeds}, set(task_kinds(seeds, samples))
    tried = {a for a in levels if a not in certain and (a in known or _asked(states, a))}
    success = (len(tried & known) + 1) / (len(tried) + 2)
    return min(by_label.PROBE_SHARE, max(LEAST_PROBE_SHARE, success))


def _asked(states: Mapping[str, Coverage], answer: str) -> bool:
    return answer in states and states[answer].asked > 0


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
    if not recur([sample_kind(sample) for sample in samples]):
        return [] if len(samples) >= SURPLUS * settings.samples else free
    kinds, states = task_kinds(seeds, samples), coverage(samples)
    closed = _closed([sample_kind(sample) for sample in samples])
    sure = [sample for sample in samples if (sample.confidence or 0) >= UNSURE]
    fitting = sum(not closed or sample_kind(sample) in kinds for sample in sure)
    if fitting >= (MOST_SURPLUS if closed else SURPLUS) * settings.samples:
        return []
    share = math.ceil(SURPLUS * settings.samples / len(kinds))
    candidates = trials(run, seeds, samples) if closed else []
    if fitting >= SURPLUS * settings.samples:  # enough in all: only slow answers are waited for
        share //= 2
        if success_of_trials(run, seeds, samples) < WORTH_TRYING:
            candidates = []
    wanted = by_label.plan(
        states,
        kinds,
        candidates,
        max(FEWEST_PER_KIND, share),
        len(free),
        run.recipe.seed * 1_000_003 + number,
        run.recall(NEAREST, {}),
    )
    # Some free texts in every round: they bring what nobody thought of asking for.
    some = len(wanted) // FREE_EVERY
    return [*wanted[: len(free) - some], *free[:some]]


def closed_answers(run: Run, pair: ModelPair) -> list[str]:
    """The answers of the task where they form a closed set, else nothing."""
    seeds = [Pair(e.input, e.output or "") for e in answered_seeds(run, pair)]
    samples = _labelled(run)
    kinds = [kind_of(p.answer, p.input) for p in seeds] + [sample_kind(s) for s in samples]
    return task_kinds(seeds, samples) if _closed(kinds) else []


def task_kinds(seeds: Sequence[Pair], samples: Sequence[Sample]) -> list[str]:
    """Kinds of answers that belong to the task: those of the seeds, then as they were found.

    Of a closed set those with ``EVIDENCE``; of partly copied answers those that the teacher gave
    twice and with confidence.
    """
    kinds = [sample_kind(sample) for sample in samples]
    of_seeds = [kind_of(p.answer, p.input) for p in seeds]
    if _closed([*of_seeds, *kinds]):
        best: dict[str, list[float]] = {}
        for kind, sample in zip(kinds, samples, strict=True):
            best.setdefault(kind, []).append(sample.confidence or 0.0)
        found = [
            kind
            for kind, sure in best.items()
            if any(sum(c >= least for c in sure) >= count for least, count in EVIDENCE)
        ]
    else:
        states = coverage(samples)
        found = [k for k, v in states.items() if v.samples >= SEEN_TWICE and v.confidence >= SURE]
    return list(dict.fromkeys([*of_seeds, *found]))


def add_grafts(run: Run, pair: ModelPair, seeds: Sequence[Pair]) -> Iterator[Event]:
    """Cross known inputs, let the teacher answer: rows that cost no writing (``grafts``).

    Only for closed sets of answers. What was made before an interruption is made again alike.
    """
    settings, written = run.recipe.synthesis, _labelled(run)
    if not settings.grafts or not written or not _closed([sample_kind(s) for s in written]):
        return
    samples = run.samples.all()
    written_inputs = [sample.input for sample in samples if sample.origin != GRAFT]
    kept = [s.input for s in samples if s.status == KEPT and s.origin != GRAFT]
    crossed = grafts.cross(
        [p.input for p in seeds],
        kept,
        round(settings.grafts * len(kept)),
        run.recipe.seed,
        {normalise(text) for text in written_inputs},
    )
    there, kinds = {sample.id for sample in samples}, set(task_kinds(seeds, written))
    crossed = [text for text in crossed if sample_id(text) not in there]
    number = len(run.samples.rounds())
    for start in range(0, len(crossed), GRAFT_ROUND):
        yield Progress(Stage.SYNTHESIZE, start, len(crossed), "grafts", note="crossing inputs")
        made = [
            Sample(sample_id(text), text, GRAFT, round=number, status=KEPT)
            for text in crossed[start : start + GRAFT_ROUND]
        ]
        made = [
            sample
            if sample.teacher_output in kinds
            else replace(sample, status=REJECTED, reason=FOREIGN)
            for sample in label(pair, run.recipe, made)
        ]
        grafted = sum(sample.status == KEPT for sample in made)
        finished = RoundFinished(
            round=number, made=len(made), kept=grafted, rejected=len(made) - grafted
        )
        run.samples.commit_round(number, made, finished)
        yield finished
        number += 1


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
    kinds = set(task_kinds(seeds, samples))
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
            {
                answer: [text for _, text in entry["inputs"]]
                for answer, entry in run.recall(NEAREST, {}).items()
                if answer not in kinds
            },
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
    by_person = sum(s.decided_by == "person" and s.origin != GRAFT for s in run.samples.kept())
    kinds = None
    if _closed([sample_kind(sample) for sample in pool]):
        kinds = task_kinds(seeds, pool)
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
