"""Write inputs for the answers that the teacher can give, thin ones first.

A plain language model continues blocks of "answer, input" with an input for each of them, and the
teacher is asked back. A sample that gets another answer than it was written for counts for the
answer that it got.

Everything here is a function of its arguments and a seed, so a round can be repeated. It decides
nothing about single samples (see ``selection``) and asks no discriminator.
"""

import itertools
import math
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from workbench.models.batches import for_device
from workbench.models.decoding import Sampling, decode
from workbench.models.formats import bind
from workbench.models.resident import Resident
from workbench.recipe import PromptFormat
from workbench.samples import Sample
from workbench.synthesize.answers import (
    Coverage,
    Pair,
    begun_with,
    consistent,
    is_whole,
    kinds_of,
)
from workbench.synthesize.mining import Approach

MARK = "###"  # begins a block: the mark and the answer, then the input, then an empty line
DEMONSTRATIONS = 8  # blocks in a prompt
SEED_SHARE = 0.4  # of the demonstrations, once there are samples to show as well
# Prompts that share their demonstrations (read once) and are decoded together.
GROUP = {"cpu": 96, "cuda": 256}
OWN_EXAMPLES = 2  # at most so many examples of the very answer that a prompt asks for
TEMPERATURES = (0.8, 1.1, 1.4)  # in turn; a teacher that is asked back forgives the hottest
TRIAL_TEMPERATURE = 0.8  # of texts for answers that are being tried
# Of the prompts whose only examples were not written for the answer: they often lead astray.
UNPROVEN_SHARE = 0.5
TOP_K, TOP_P = 256, 0.98
GIVE_UP_AFTER = 40  # samples that were asked of a kind, nearly all in vain
DOUBTFUL_ATTEMPTS = 16  # samples that are asked of a kind that may well be made up
MOST_DOUBTFUL = 8  # of them in one round: after so many it may turn out that it does not belong
DOUBTFUL_SHARE = 0.2  # of a round's prompts at most, for all of those kinds
PROBE_ATTEMPTS = 4  # samples that are asked of a candidate each time that texts came nearer to it
PROMISING_TIMES = 4  # as many of a promising one before it is given up, never more in a round
PROBE_SHARE = 0.5  # of a round's prompts at most, for candidates
NOTHING = Coverage(0, 0, 0, 0.0)
_MARKUP = re.compile("<[^<>]+>")
LEAST_SUCCESS = 0.2  # success in writing for a kind is taken to be at least this


@dataclass(frozen=True)
class Written:
    """One text that a generator wrote; ``text`` is "" when nothing usable came."""

    text: str
    written_for: str | None


def plan(
    known: Mapping[str, Coverage],
    kinds: Sequence[str],
    candidates: Mapping[str, int],
    per_kind: int,
    prompts: int,
    seed: int,
    doubtful: Sequence[str] = (),
) -> list[str]:
    """The kinds that a round writes for, one per prompt: as many as each is likely to need.

    Only consistent samples fill a share. The teacher answers whatever it is asked, so a sample
    that was not written for its answer says little about what that answer means.

    Args:
        known: coverage so far.
        kinds: those that get their full share.
        candidates: answers that may belong to the task, with the samples to ask of each, best
            first.
        per_kind: consistent samples wanted of each kind.
        prompts: in this round at most; when more are needed, every kind gets its part of them.
        doubtful: other kinds, best first. They get a few attempts, since most are made up.

    Returns:
        Empty when nothing is thin.
    """
    tried = [candidate for candidate, attempts in candidates.items() for _ in range(attempts)]
    tried = tried[: round(PROBE_SHARE * prompts)]
    in_doubt: list[str] = []
    for kind in doubtful:
        state = known.get(kind, NOTHING)
        left = min(DOUBTFUL_ATTEMPTS - state.asked, MOST_DOUBTFUL)
        in_doubt += [kind] * min(_likely_to_need(state, per_kind), left)
    in_doubt = in_doubt[: round(DOUBTFUL_SHARE * prompts)]
    wanted = []
    for kind in kinds:
        wanted += [kind] * _likely_to_need(known.get(kind, NOTHING), per_kind)
    room = prompts - len(tried) - len(in_doubt)
    if len(wanted) > room:
        wanted = random.Random(f"{seed}:plan").sample(wanted, room)
    return [*tried, *in_doubt, *wanted]


def _likely_to_need(state: Coverage, per_kind: int) -> int:
    """Texts for a kind until so many are consistent; none where the teacher hardly ever says it."""
    missing = max(0, per_kind - state.consistent)
    if state.asked >= GIVE_UP_AFTER and state.consistent < 0.05 * state.asked:
        return 0
    success = (state.consistent + 1) / (state.asked + 2)
    return math.ceil(missing / max(LEAST_SUCCESS, success))


def attempts_left(state: Coverage | None, approach: Approach | None, promising: bool) -> int:
    """Samples that a round may ask of a candidate; more in all each time that texts came nearer."""
    steps = max(PROMISING_TIMES if promising else 1, approach["steps"] if approach else 0)
    asked = state.asked if state else 0
    return min(PROBE_ATTEMPTS, max(0, PROBE_ATTEMPTS * steps - asked))


def write(
    generator: Resident,
    seeds: Sequence[Pair],
    accepted: Sequence[Sample],
    targets: Sequence[str | None],
    new_tokens: int,
    seed: int,
    nearest: Mapping[str, Sequence[str]] | None = None,
    topics: Sequence[str] = (),
) -> list[Written]:
    """One continuation per target, in order.

    Args:
        generator: a plain language model, no adapter in use.
        seeds: with the teacher's answers.
        accepted: samples that may be shown as well.
        targets: the kind to write for; None continues a list of inputs freely.
        new_tokens: room for an input, and for the rest of the answer where the kind is its
            beginning only.
        nearest: for answers that no sample hit yet, the inputs that came nearest to them.
        topics: words that stand in an answer's place where the target is None, in turn.
    """
    tried, next_topic = nearest or {}, itertools.cycle(topics)
    draw = random.Random(f"{seed}:write")
    samples = [Pair(s.input, s.teacher_output) for s in accepted if s.teacher_output]
    proven, unproven = _examples_by_kind(seeds, accepted)
    unproven |= {kind: [Pair(x, kind) for x in inputs] for kind, inputs in tried.items()}
    multiline = any("\n" in pair.input.strip() for pair in seeds)
    form = bind(PromptFormat(kind="text", template="{input}"), generator.tokenizer)
    stop_ids = [*form.stop_ids, *_markup(generator.tokenizer, seeds)]
    results: list[Written] = [Written("", None)] * len(targets)
    size = for_device(GROUP, generator.device)
    for number, members in enumerate(_groups(targets, tried, size)):
        shown = _demonstrations(draw, seeds, samples)
        in_turn = TEMPERATURES[(seed + number) % len(TEMPERATURES)]
        temperature = TRIAL_TEMPERATURE if targets[members[0]] in tried else in_turn
        prompts = []
        for target in (targets[i] for i in members):
            own = proven.get(target or "")
            if not own and draw.random() < UNPROVEN_SHARE:
                own = unproven.get(target or "")
            asked = target if target is not None else next(next_topic, None)
            prompts.append(_prompt(draw, shown, asked, own or ()))
        for at, drawn in decode(
            generator,
            [form.prompt_ids(prompt) for prompt in prompts],
            new_tokens=new_tokens,
            stop_ids=stop_ids,
            sampling=Sampling(temperature, TOP_K, TOP_P),
            seed=seed * 1009 + number,
            rows=len(members),
            stop_text="\n\n",
        ):
            text = str(generator.tokenizer.decode(drawn.ids, skip_special_tokens=True))
            target = targets[members[at]]
            body = _body(text, target, multiline, drawn.finished)
            results[members[at]] = Written(body, target)
    return results


def _markup(tokenizer: PreTrainedTokenizerBase, seeds: Sequence[Pair]) -> list[int]:
    """Tokens like "<start_of_image>" that no seed has: a text ends before them."""
    inputs = "\n".join(pair.input for pair in seeds)
    return [
        token
        for token, added in tokenizer.added_tokens_decoder.items()
        if _MARKUP.fullmatch(added.content) and added.content not in inputs
    ]


def _groups(targets: Sequence[str | None], tried: Collection[str], size: int) -> list[list[int]]:
    """Indices of prompts that go together.

    Free ones apart, and answers that are being tried, complete ones and begun ones.
    """
    shapes: dict[str, list[int]] = {}
    for at, target in enumerate(targets):
        if target is None:
            shape = "free"
        elif target in tried:
            shape = "tried"
        else:
            shape = "whole" if is_whole(target) else "begun"
        shapes.setdefault(shape, []).append(at)
    return [
        members[start : start + size]
        for members in shapes.values()
        for start in range(0, len(members), size)
    ]


def _examples_by_kind(
    seeds: Sequence[Pair], accepted: Sequence[Sample]
) -> tuple[dict[str, list[Pair]], dict[str, list[Pair]]]:
    """Examples of each kind: seeds and consistent samples; and other samples."""
    sure: dict[str, list[Pair]] = {}
    rest: dict[str, list[Pair]] = {}
    for pair in seeds:
        _shelve(sure, pair)
    for sample in accepted:
        _shelve(
            sure if consistent(sample) else rest, Pair(sample.input, sample.teacher_output or "")
        )
    return sure, rest


def _shelve(shelves: dict[str, list[Pair]], pair: Pair) -> None:
    """Put the pair under each of its kinds, with the field first that the kind ends with."""
    for kind in kinds_of(pair.answer, pair.input):
        shelves.setdefault(kind, []).append(Pair(pair.input, begun_with(kind, pair.answer)))


def _demonstrations(
    draw: random.Random, seeds: Sequence[Pair], samples: Sequence[Pair]
) -> list[Pair]:
    """Seeds and samples in a new order, no answer twice while there are others."""
    from_samples = round(DEMONSTRATIONS * (1 - SEED_SHARE)) if samples else 0
    pool = draw.sample(list(seeds), len(seeds))
    pool = pool[: DEMONSTRATIONS - from_samples]
    pool += draw.sample(list(samples), min(len(samples), 4 * from_samples))
    fresh: dict[str, Pair] = {}
    for pair in pool:
        fresh.setdefault(pair.answer, pair)
    shown = list(fresh.values())[:DEMONSTRATIONS]
    draw.shuffle(shown)
    return shown


def _prompt(
    draw: random.Random,
    shown: Sequence[Pair],
    target: str | None,
    own: Sequence[Pair],
) -> str:
    if target is None:
        return "".join(f"{MARK}\n{pair.input}\n\n" for pair in shown) + f"{MARK}\n"
    # Last, where they count most. Measured on 15 intents with one seed each: of what was written
    # for an answer the teacher gave that answer to 62 %, and to about 20 % without.
    blocks = [*shown, *draw.sample(list(own), min(OWN_EXAMPLES, len(own)))]
    text = "".join(f"{MARK} {pair.answer}\n{pair.input}\n\n" for pair in blocks)
    return f"{text}{MARK} {target}" + ("\n" if is_whole(target) else "")


def _body(text: str, target: str | None, multiline: bool, finished: bool) -> str:
    """The input in a continuation; "" when it is cut off or empty."""
    complete = finished or "\n\n" in text
    if target is not None and not is_whole(target):
        _, newline, text = text.partition("\n")  # the rest of the answer comes first
        if not newline:
            return ""
    text = text.split("\n\n")[0].split(f"\n{MARK}")[0].strip()
    if not multiline:
        first, newline, _ = text.partition("\n")
        complete, text = complete or bool(newline), first.strip()
    usable = complete and MARK not in text and any(c.isalnum() for c in text)
    return text if usable and text != target else ""
