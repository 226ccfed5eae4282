"""Written label by label: what a round writes for, and an equal share of every label at the end."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

from workbench.events import Event, Progress, RoundFinished
from workbench.models.batches import for_device
from workbench.models.pair import Pair
from workbench.runs.folder import Run
from workbench.samples import (
    KEPT,
    MIXED,
    REJECTED,
    SPAN_SWAP,
    Example,
    Sample,
    normalise,
    sample_id,
)
from workbench.stages import Stage
from workbench.steps.rounds import label
from workbench.steps.seed_answers import answered_seeds
from workbench.steps.writing import round_size
from workbench.synthesis_plan import PROBES, recur
from workbench.synthesize.labels import perhaps_labels, task_labels
from workbench.synthesize.per_label import MOST_TRIES, plan, probe_labels
from workbench.synthesize.selection import FOREIGN, select
from workbench.synthesize.span_swap import swap_spans
from workbench.teach import TEACHER

FREE_SHARE = 1 / 8  # of a round's prompts name no label: they bring what nobody asked for
MOST_SURPLUS = 2  # times what is wanted: then no thin label is waited for
MIXED_ROUND = {"cpu": 128, "cuda": 2048}  # mixed inputs that are answered and committed together


def written(samples: Sequence[Sample]) -> list[Sample]:
    """Answered samples that a model wrote and the filter decides about."""
    return [
        s
        for s in samples
        if s.teacher_output and s.origin not in MIXED and s.decided_by == "filter"
    ]


def targets_of_round(
    run: Run, pair: Pair, samples: Sequence[Sample], wanted: int, number: int
) -> list[str | None]:
    """The label of each prompt of a round, None for free ones; nothing when all is there."""
    size = round_size(run, pair)
    free: list[str | None] = [None] * size
    pool = written(samples)
    if number == 0:
        return free
    if not recur([s.teacher_output or "" for s in pool]):
        return [] if len(pool) >= wanted else free
    labels = labels_of(run, pair, samples)
    given = Counter(s.teacher_output or "" for s in pool)
    asked = Counter(s.written_for or "" for s in samples)
    share = math.ceil(wanted / len(labels))
    some = round(FREE_SHARE * size)
    perhaps = perhaps_labels(pool, labels, named_labels(run))
    turns = [label for turn in range(MOST_TRIES) for label in perhaps if asked[label] <= turn]
    tries = turns[:some]
    prompts = size - some - len(tries)
    targets = plan(labels, given, asked, share, prompts, run.recipe.seed * 1_000_003 + number)
    if len(pool) < wanted:
        return [*targets, *tries, *free[len(targets) + len(tries) :]]
    # A round for fewer than the free ones is not worth its time, nor is any for a few thin labels
    # once there is twice of everything.
    enough = len(targets) < some or len(pool) >= MOST_SURPLUS * wanted
    return [] if enough else [*targets, *tries, *free[:some]]


def labels_of(run: Run, pair: Pair, samples: Sequence[Sample]) -> list[str]:
    """Labels of the task as far as the teacher has named them, those of the seeds first."""
    seeds, probes = answered_seeds(run, pair), _probes(run, pair)
    return task_labels(seeds, written(samples), probes, named_labels(run))


def named_labels(run: Run) -> list[str]:
    """Names of the labels of held-out rows; nothing else of these rows is used for writing.

    A label that is not found is lost whole, and whoever has such rows has said what there is.
    """
    answers = [row.output for row in run.inputs.evaluation if row.output]
    return list(dict.fromkeys(answers)) if recur(answers) else []


def _probes(run: Run, pair: Pair) -> list[Example]:
    """What the teacher answers to random words, asked once."""
    if run.recall(PROBES) is None:
        like = [seed.input for seed in run.inputs.seeds]
        tokens = pair.source_answer_tokens
        probes = probe_labels(pair.source, TEACHER, pair.source_form, like, tokens, run.recipe.seed)
        run.remember(PROBES, [asdict(probe) for probe in probes])
    return asked_probes(run)


def asked_probes(run: Run) -> list[Example]:
    """The answers to probes that a run has; none where it was not written label by label."""
    return [Example(**probe) for probe in run.recall(PROBES, [])]


def keep_balanced(run: Run, pair: Pair, count: int) -> Iterator[Event]:
    """Keep ``count`` samples, of every label alike, and add inputs mixed from them."""
    pool = written(run.samples.all())
    labels = None
    if recur([s.teacher_output or "" for s in pool]):
        labels = labels_of(run, pair, pool)
    reasons = select(pool, count, labels)
    run.samples.update_many(
        [replace(s, status=REJECTED if reasons[s.id] else KEPT, reason=reasons[s.id]) for s in pool]
    )
    if labels is not None:
        yield from _add_mixed(run, pair, answered_seeds(run, pair), set(labels))


def _add_mixed(run: Run, pair: Pair, seeds: Sequence[Example], labels: set[str]) -> Iterator[Event]:
    """Span-swapped inputs beyond the samples, answered by the teacher."""
    samples = run.samples.all()
    others = [s for s in samples if s.origin not in MIXED]
    kept = [s for s in others if s.status == KEPT]
    texts = swap_spans(
        seeds,
        [Example(s.input, s.teacher_output) for s in kept],
        math.ceil(run.recipe.synthesis.mixed * len(kept)),
        run.recipe.seed,
        {normalise(s.input) for s in others} | {normalise(seed.input) for seed in seeds},
    )
    known = {s.id for s in samples}
    owed = [text for text in texts if sample_id(text) not in known]
    together = for_device(MIXED_ROUND, pair.source.device)
    for start in range(0, len(owed), together):
        yield Progress(Stage.SYNTHESIZE, start, len(owed), "mixed inputs")
        number, part = len(run.samples.rounds()), owed[start : start + together]
        made = [Sample(sample_id(x), x, SPAN_SWAP, round=number, status=KEPT) for x in part]
        made = [
            s if s.teacher_output in labels else replace(s, status=REJECTED, reason=FOREIGN)
            for s in label(pair, run.recipe, made)
        ]
        kept_now = sum(s.status == KEPT for s in made)
        finished = RoundFinished(number, len(part), kept_now, len(part) - kept_now, 0, 0, 0)
        run.samples.commit_round(number, made, finished)
        yield finished
