"""Which answers belong to a task? Asked of the teacher, the only one who knows.

A handful of seeds shows a handful of the answers. A classifier keeps some probability on the
others, whatever it is asked: ``mine_answers`` follows it and names candidates, ``levels`` says
which are worth trying first.
"""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from workbench.models.batches import for_device
from workbench.models.formats import BoundFormat
from workbench.models.resident import Resident
from workbench.models.scoring import choice_log_probs, likeliest_next
from workbench.synthesize.answers import Pair, words

FIRST_TOKENS = 48  # ways to begin an answer that are looked at, per input
LEAST_FIRST = 1e-3  # an answer begins with a token at least so likely under some input
BRANCHES = 8  # ways to go on that are looked at, per beginning
LEAST_NEXT = 0.2  # probability of a next token, given the beginning, from which it is followed
MOST_BEGINNINGS = {"cpu": 128, "cuda": 1024}  # that are followed at a time, the likeliest
PROBES = 16  # inputs under which a candidate's probability is read
NEAREST_INPUTS = 2  # inputs that are remembered with an answer that no sample has yet
NAMED_INPUTS = 4  # inputs that are made of an answer's own words
MOST_BEGUN = 2  # words of an input that they come after: what is left must not decide
STEP = 0.7  # an input is nearer when no more than this part of the nats to certainty is left


class Approach(TypedDict):
    """How near texts have come to an answer; plain JSON, since a run remembers it."""

    inputs: list[tuple[float, str]]  # with the answer's log-probability in nats, best first
    steps: int  # times that a text came clearly nearer than those before


Nearest = dict[str, Approach]


@dataclass(frozen=True)
class _Beginning:
    """The first tokens of an answer, the input (index) under which they are likeliest, in nats."""

    ids: tuple[int, ...]
    prompt: int
    log_prob: float


def mine_answers(
    teacher: Resident, form: BoundFormat, inputs: Sequence[str], new_tokens: int
) -> dict[str, tuple[str, float]]:
    """Answers that the teacher could give, each with the input that comes nearest to it.

    The answers are a tree of tokens, the same for all inputs. A first token counts when it has a
    little probability under any input; every beginning is then followed under the input that
    makes it likeliest, while the next token is likely *given the beginning*. So an answer is
    found though no input makes it likely: once "credit" is said, a classifier goes on as its
    answers do.

    Args:
        teacher: with its adapter in use.
        new_tokens: of an answer at most.

    Returns:
        Complete answers, likeliest first; with each the input under which it was likeliest and
        its log-probability there, in nats. Many are noise: ``levels`` sorts them.
    """
    prompts = [form.prompt_ids(text) for text in inputs]
    most = for_device(MOST_BEGINNINGS, teacher.device)
    open_beginnings = [_Beginning((), at, 0.0) for at in range(len(prompts))]
    found: dict[str, tuple[str, float]] = {}
    for length in range(new_tokens + 1):
        if not open_beginnings:
            break
        rows = [(*prompts[b.prompt], *b.ids) for b in open_beginnings]
        branches, least = (BRANCHES, LEAST_NEXT) if length else (FIRST_TOKENS, LEAST_FIRST)
        longer: dict[tuple[int, ...], _Beginning] = {}
        for beginning, (tokens, log_probs) in zip(
            open_beginnings, likeliest_next(teacher, rows, branches), strict=True
        ):
            for token, log_prob in zip(tokens, log_probs, strict=True):
                if log_prob < math.log(least):
                    break  # the rest is less likely still
                total, text = beginning.log_prob + log_prob, inputs[beginning.prompt]
                if token not in form.stop_ids:
                    ids = (*beginning.ids, token)
                    if ids not in longer or total > longer[ids].log_prob:
                        longer[ids] = _Beginning(ids, beginning.prompt, total)
                    continue
                answer = form.read(beginning.ids)
                if answer and (answer not in found or total > found[answer][1]):
                    found[answer] = (text, total)
        likeliest = sorted(longer.values(), key=lambda b: (-b.log_prob, b.ids))
        open_beginnings = likeliest[:most]
    return dict(sorted(found.items(), key=lambda entry: (-entry[1][1], entry[0])))


def levels(
    teacher: Resident, form: BoundFormat, answers: Sequence[str], probes: Sequence[Pair]
) -> dict[str, float]:
    """How likely each answer is where it is wrong: what tells the task's own answers from others.

    An answer of the set has some probability under any input; a made-up one only where the input
    suggests its words. So an answer counts by its median log-probability, in nats, over inputs
    that are answered otherwise and share no word with it.

    Args:
        teacher: with its adapter in use.
        probes: inputs with the teacher's answers, as different as possible; at least one.
    """
    if not answers:
        return {}
    scores = choice_log_probs(
        teacher,
        [form.prompt_ids(probe.input) for probe in probes],
        [form.answer_ids(answer) for answer in answers],
    ).T.tolist()
    level = {}
    for answer, row in zip(answers, scores, strict=True):
        foreign = [
            score
            for score, probe in zip(row, probes, strict=True)
            if probe.answer != answer and not words(answer) & words(probe.input)
        ]
        level[answer] = statistics.median(foreign or row)
    return level


def choose_probes(pairs: Sequence[Pair], count: int = PROBES) -> list[Pair]:
    """Inputs with answers as different as possible: one of each answer first."""
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(pair.answer, pair)
    rest = [pair for pair in pairs if first[pair.answer] is not pair]
    return [*first.values(), *rest][:count]


def named_inputs(answer: str, inputs: Sequence[str]) -> list[str]:
    """Beginnings of known inputs with the answer's own words after them.

    A function of its arguments.

    A label often says what it is for ("lost luggage"). A teacher also makes answers up from words
    that it reads, but is less sure of them: under such inputs it was 97 % sure of 116 of 135 real
    answers and of 17 of 400 others (in the place of two thirds of an input: 106 and 15).
    """
    draw = random.Random(f"{answer}:named")
    made = [after_beginning(host, answer, draw) for host in draw.choices(inputs, k=NAMED_INPUTS)]
    return list(dict.fromkeys(made))


def after_beginning(text: str, words: str, draw: random.Random) -> str:
    """The first word or two of an input, and other words in the place of the rest."""
    return " ".join([*text.split()[:-1][: draw.randint(1, MOST_BEGUN)], words])


def come_nearer(nearest: Nearest, answer: str, text: str, log_prob: float) -> None:
    """Note how likely an answer is under an input, where that is among the likeliest so far.

    Inputs written for an answer climb towards it: the nearest so far are the examples in the
    next prompts, and an answer that came nearer gets more attempts. Noting the same twice
    changes nothing.
    """
    entry = nearest.setdefault(answer, {"inputs": [], "steps": 0})
    inputs = entry["inputs"]
    if any(text == known for _, known in inputs):
        return
    if not inputs or log_prob > STEP * inputs[0][0]:
        entry["steps"] += 1
    ranked = sorted([*inputs, (log_prob, text)], key=lambda pair: (-pair[0], pair[1]))
    entry["inputs"] = ranked[:NEAREST_INPUTS]
