"""Which answers belong to the task? What a run found out from its teacher so far.

Outside its task a teacher makes answers up. Candidates, given to samples or mined, are written for
until there is evidence that they belong, or attempts run out.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from workbench.models.batches import for_device
from workbench.models.pair import Pair as ModelPair
from workbench.models.scoring import choice_log_probs
from workbench.runs.folder import Run
from workbench.samples import CROSSED, GRAFT, NAMED, WORD, Sample
from workbench.steps.labels import answered_seeds
from workbench.synthesize import by_label, mining
from workbench.synthesize.answers import (
    Coverage,
    Pair,
    kind_of,
    sample_kind,
)
from workbench.synthesize.evidence import (
    Findings,
    closed,
    on_level,
    task_kinds,
    times_unasked,
    weigh,
)
from workbench.synthesize.vocabulary import in_turns
from workbench.teach import TEACHER

CROSSED_EARLY = "round of early grafts"  # where the run remembers its number
LEVELS = "levels of answers"  # of candidates (see ``mining.levels``); where the run remembers it
NEAREST = "nearest inputs"  # of answers that were mined (see ``mining.Nearest``)
MINED = "rounds with mining"  # numbers of the rounds before which answers were mined
MINING_ROUNDS = (1, 2, 4, 8, 16, 32)  # before these rounds the teacher is asked what else it knows
LONGER = 2  # tokens by which an answer may be longer than those that are known
# Inputs that are looked at for it, as different as possible.
MINED_INPUTS = {"cpu": 48, "cuda": 192}
# Answers that are examined at a time, those of samples first.
MOST_CANDIDATES = {"cpu": 400, "cuda": 1600}
SEEN_TWICE = 2  # samples from which an answer is a candidate
SEEN_ONCE = 0.3  # or the teacher's confidence from which one is enough
# Candidates that are tried in their own words in a round, by those that it may write for.
TRIED_TIMES = {"cpu": 1, "cuda": 2}
LEAST_PROBE_SHARE = 0.2  # of a round's prompts for candidates, however few were worth it
FREE_ROUNDS = 1  # rounds before anything is asked for, half as long as others
NEARLY_CERTAIN = 0.8  # teacher's confidence once, from which a candidate gets more attempts
SURE = 0.7  # teacher's confidence from which a sample may be shown to the generator


def must_mine(run: Run, found: Findings, number: int) -> bool:
    """Was the teacher never asked, or did answers come to belong since it was asked last?"""
    mined = run.recall(MINED, [])
    if number < FREE_ROUNDS or number in mined:
        return False
    if not mined:
        return True
    if number not in MINING_ROUNDS:
        return False
    before = [sample for sample in found.samples if sample.round < mined[-1]]
    return bool(set(found.kinds) - set(task_kinds(found.seeds, before)))


def learn_answers(run: Run, pair: ModelPair, found: Findings, number: int | None) -> None:
    """Find candidates for answers of the task, and how near the texts have come to them.

    Outside its task a teacher makes answers up. So a candidate, given to samples or mined, is
    written for until the teacher is certain of it (``task_kinds``) or attempts run out.

    Args:
        number: of the round that comes, when answers are mined as well; None when they are not.
    """
    form, tokens = pair.source_form, pair.source_answer_tokens
    seeds, samples = found.seeds, found.samples
    kinds = [kind_of(p.answer, p.input) for p in seeds] + [sample_kind(s) for s in samples]
    if not samples or not closed(kinds):
        return  # free or partly copied answers: there is no set to find
    certain = list(dict.fromkeys(p.answer for p in seeds))
    given = Counter(s.teacher_output or "" for s in samples)
    seen = [a for a, n in given.most_common() if n >= SEEN_TWICE or found.surest[a] >= SEEN_ONCE]
    examined, nearest = run.recall(LEVELS, {}), run.recall(NEAREST, {})
    mined = run.recall(MINED, [])
    device = pair.source.device
    with pair.source.using(TEACHER):
        if number is not None:
            inputs = _to_mine(found, mined, for_device(MINED_INPUTS, device))
            longest = max(len(form.answer_ids(answer)) for answer in [*certain, *given])
            named = mining.mine_answers(pair.source, form, inputs, min(tokens, longest + LONGER))
            for answer, (text, log_prob) in named.items():
                mining.come_nearer(nearest, answer, text, log_prob)
            seen += named
            mined = [*mined, number]
        fresh = [a for a in dict.fromkeys([*certain, *seen]) if a not in examined]
        probes = mining.choose_probes(list(seeds))
        examined |= mining.levels(
            pair.source, form, fresh[: for_device(MOST_CANDIDATES, device)], probes
        )
        # Last what says that it was done: a kill before repeats all of it, with the same result.
        run.remember(LEVELS, examined)
        run.remember(NEAREST, nearest)
        tried = trials(run, found, candidates(run, found))
        _come_nearer(pair, nearest, list(tried), samples)
    run.remember(NEAREST, nearest)
    run.remember(MINED, mined)


def _come_nearer(
    pair: ModelPair, nearest: mining.Nearest, answers: Sequence[str], samples: Sequence[Sample]
) -> None:
    """How likely are the answers that are being tried under the latest texts?

    Under those that were written: of the others, which are many, only the answer that was given.
    """
    newest = max(sample.round for sample in samples if sample.origin not in (WORD, GRAFT))
    note_given(pair, nearest, [s for s in samples if s.origin == NAMED and s.round == newest])
    latest = [s.input for s in samples if s.origin not in CROSSED and s.round == newest]
    if not answers or not latest:
        return
    form = pair.source_form
    scores = choice_log_probs(
        pair.source,
        [form.prompt_ids(text) for text in latest],
        [form.answer_ids(answer) for answer in answers],
    )
    best = scores.topk(min(mining.NEAREST_INPUTS, len(latest)), dim=0)
    for column, answer in enumerate(answers):
        places, values = best.indices[:, column].tolist(), best.values[:, column].tolist()
        for at, log_prob in zip(places, values, strict=True):
            mining.come_nearer(nearest, answer, latest[at], log_prob)


def note_given(pair: ModelPair, nearest: mining.Nearest, samples: Sequence[Sample]) -> None:
    """Note how near labelled samples have come to the answers that they got."""
    for sample in samples:
        answer, confidence = sample.teacher_output or "", sample.confidence or 0.0
        if answer and confidence:
            log_prob = math.log(confidence) * len(pair.source_form.answer_ids(answer))
            mining.come_nearer(nearest, answer, sample.input, log_prob)


def candidates(run: Run, found: Findings, promising_only: bool = False) -> list[str]:
    """Answers that may belong to the task, the most promising first.

    Promising are those that the teacher was nearly certain of once, and those on the level of the
    known answers. Of both and of the others first what came unasked: nonsense gets made-up answers
    with more certainty (*timezone*, 0.51 for one written text, was the 840th in line, then 139th).
    """
    levels, surest = run.recall(LEVELS, {}), found.surest
    level = on_level(found.seeds, levels)
    promising = {a for a in levels if a in level or surest.get(a, 0.0) >= NEARLY_CERTAIN}
    return sorted(
        (promising if promising_only else levels.keys()) - set(found.kinds),
        key=lambda a: (
            surest.get(a, 0.0) < NEARLY_CERTAIN,
            a not in level,
            -max(found.unasked.get(a, [0.0])),
            -surest.get(a, 0.0),
            -levels[a],
            a,
        ),
    )


def doubtful(run: Run, found: Findings) -> list[str]:
    """Kinds that belong and are not sought: in turn the most likely and the most often unasked.

    Most are made up: in each of eleven runs for 30 intents 90 to 260 of them, beside up to three
    real ones. At 60 of 87 times those were among the first eight of this order, at 40 by likelihood
    alone.
    """
    levels = run.recall(LEVELS, {})
    likely = sorted(set(found.kinds) - found.sought, key=lambda a: (-levels.get(a, -math.inf), a))
    often = sorted(likely, key=lambda a: -times_unasked(found.unasked, a))
    return list(dict.fromkeys(in_turns([likely, often])))


def untried(found: Findings, names: Sequence[str], most: int) -> list[str]:
    """Candidates that the next round tries in their own words, for the first time."""
    return [answer for answer in names if not _asked(found.states, answer)][:most]


def trials(run: Run, found: Findings, names: Sequence[str]) -> dict[str, int]:
    """Candidates that the next round writes for, with samples for each, in order.

    Only those that were tried in their own words. One that texts do not come nearer to runs out
    of attempts and makes room for others.
    """
    states, nearest = found.states, run.recall(NEAREST, {})
    promising = set(candidates(run, found, promising_only=True))
    share = share_of_trials(success_of_trials(run, found))
    room = round(share * run.recipe.synthesis.prompts_per_round)
    attempts = {
        answer: by_label.attempts_left(states[answer], nearest.get(answer), answer in promising)
        for answer in names
        if _asked(states, answer)
    }
    open_ones = [(answer, left) for answer, left in attempts.items() if left]
    return dict(open_ones[: math.ceil(room / by_label.PROBE_ATTEMPTS)])


def success_of_trials(run: Run, found: Findings) -> float:
    """Share of tried candidates that came to belong (rule of succession)."""
    certain, kinds = {p.answer for p in found.seeds}, set(found.kinds)
    tried = {
        answer
        for answer in run.recall(LEVELS, {})
        if answer not in certain and (answer in kinds or _asked(found.states, answer))
    }
    return (len(tried & kinds) + 1) / (len(tried) + 2)


def share_of_trials(success: float) -> float:
    """Part of a round's prompts for candidates: their success so far, within bounds."""
    return min(by_label.PROBE_SHARE, max(LEAST_PROBE_SHARE, success))


def _asked(states: Mapping[str, Coverage], answer: str) -> bool:
    return answer in states and states[answer].asked > 0


def closed_answers(run: Run, pair: ModelPair) -> list[str]:
    """The answers of the task that are well known where they form a closed set, else nothing."""
    seeds = [Pair(e.input, e.output or "") for e in answered_seeds(run, pair)]
    found = weigh(seeds, asked_samples(run))
    kinds = [kind_of(p.answer, p.input) for p in seeds] + [sample_kind(s) for s in found.samples]
    return [kind for kind in found.kinds if kind in found.known] if closed(kinds) else []


def _to_mine(found: Findings, mined: Sequence[int], most: int) -> list[str]:
    """Inputs since answers were mined last: those written in vain for an answer, and others.

    What was written for an answer and got another one shows how near the texts have come.
    """
    since = [s for s in found.samples if not mined or s.round >= mined[-1]]
    missed = {kind for kind, state in found.states.items() if not state.consistent}
    in_vain = [s for s in since if s.written_for in missed][: most // 2]
    answered = [Pair(s.input, s.teacher_output or "") for s in since]
    others = mining.choose_probes([*(() if mined else found.seeds), *answered], most)
    inputs = dict.fromkeys([*(s.input for s in in_vain), *(pair.input for pair in others)])
    return list(inputs)[:most]


def asked_samples(run: Run) -> list[Sample]:
    """What answers are found by: all but the grafts that are made of it at the end."""
    return [sample for sample in before_last_grafts(run) if sample.teacher_output]


def before_last_grafts(run: Run) -> list[Sample]:
    """All samples but the grafts that are made of them at the end."""
    early = run.recall(CROSSED_EARLY)
    return [s for s in run.samples.all() if s.origin != GRAFT or s.round == early]


def written(samples: Sequence[Sample]) -> list[Sample]:
    """Those of the samples that count towards the number asked for."""
    return [sample for sample in samples if sample.origin not in CROSSED]
