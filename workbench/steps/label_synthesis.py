"""Step 1, the other way: write for the answers that the teacher knows, thin ones first.

Rounds like those of ``synthesis``, each committed whole. The first writes freely from the seeds.
Before some of the later ones the teacher is asked which answers it knows besides those seen; then
each round writes for what is thin, shows what was accepted so far, and asks the teacher back. At
the end every kind of answer gets the same share of what is kept.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.events import Event, Progress, RoundFinished, Warned
from workbench.models.pair import Pair as ModelPair
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.steps.labels import answered_seeds
from workbench.steps.rounds import LONGEST_TIMES, label, room_for_items, sort_out, take_own_inputs
from workbench.synthesize import by_label
from workbench.synthesize.answers import consistent, coverage, kind_of, recur, sample_kind
from workbench.synthesize.by_label import Pair
from workbench.synthesize.duplicates import Written, nearest
from workbench.synthesize.selection import select
from workbench.teach import TEACHER

MINING_ROUNDS = (1, 3, 6)  # before these rounds the teacher is asked what else it knows
MINED_INPUTS = 48  # inputs that are looked at for it, seeds included
MOST_CANDIDATES = 240  # mined answers that are examined, most frequent first
FEWEST_PER_KIND = 8  # samples of each kind of answer that are worth asking for
SURPLUS = 1.15  # written beyond what is asked for, so that selection has a choice
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
        if number in MINING_ROUNDS:
            yield Progress(Stage.SYNTHESIZE, 0, 0, "answers", note="asking what the teacher knows")
            mine(run, pair, seeds, samples, number)
        targets = choose_targets(run, seeds, samples, number)
        if not targets:
            break
        made, finished = write_round(run, pair, seeds, samples, targets, number)
        run.samples.commit_round(number, made, finished)
        yield finished
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


def mine(
    run: Run, pair: ModelPair, seeds: Sequence[Pair], samples: Sequence[Sample], number: int
) -> None:
    """Ask the teacher which answers it knows besides those seen; remembered with the run."""
    form, tokens = pair.source_form, run.recipe.evaluation.answer_tokens
    pairs = [*seeds, *(Pair(s.input, s.teacher_output or "") for s in samples)]
    if not recur([kind_of(p.answer, p.input) for p in pairs]):
        return  # free or copied answers: there is no set to find
    probes = by_label.choose_probes(pairs, MINED_INPUTS)
    seed = run.recipe.seed * 1_000_003 + number
    with pair.source.using(TEACHER):
        mined = by_label.mine_answers(pair.source, form, [p.input for p in probes], tokens, seed)
        seen = {p.answer for p in pairs}
        fresh = [answer for answer in mined if answer not in seen][:MOST_CANDIDATES]
        known = by_label.plausible(
            pair.source, form, fresh, [p.answer for p in seeds], by_label.choose_probes(pairs)
        )
    run.remember("mined answers", list(dict.fromkeys([*run.recall("mined answers", []), *known])))


def choose_targets(
    run: Run, seeds: Sequence[Pair], samples: Sequence[Sample], number: int
) -> list[str | None]:
    """What the round writes for; nothing when all is there or nothing is thin."""
    settings = run.recipe.synthesis
    if number == 0:
        return [None] * settings.prompts_per_round
    kinds = known_kinds(seeds, samples)
    if not recur([sample_kind(sample) for sample in samples]):
        enough = len(samples) >= SURPLUS * settings.samples
        return [] if enough else [None] * settings.prompts_per_round
    every = list(dict.fromkeys([*kinds, *run.recall("mined answers", [])]))
    per_kind = max(FEWEST_PER_KIND, math.ceil(SURPLUS * settings.samples / max(1, len(kinds))))
    return list(
        by_label.plan(
            coverage(samples),
            every,
            per_kind,
            settings.prompts_per_round,
            run.recipe.seed * 1_000_003 + number,
        )
    )


def known_kinds(seeds: Sequence[Pair], samples: Sequence[Sample]) -> list[str]:
    """Kinds of answers of the seeds, and those that the teacher gave with confidence."""
    sure = [sample_kind(s) for s in samples if (s.confidence or 0) >= SURE or consistent(s)]
    return list(dict.fromkeys([*(kind_of(p.answer, p.input) for p in seeds), *sure]))


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
    accepted = [s for s in samples if (s.confidence or 0) >= SURE]
    examples = [Example(p.input) for p in seeds]
    room = settings.new_tokens or room_for_items(generator, examples, 2)
    with generator.using(None):
        texts = by_label.write(
            generator, seeds, accepted, targets, room, run.recipe.seed * 1_000_003 + number
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
    closed = recur([sample_kind(sample) for sample in pool])
    kinds = known_kinds(seeds, pool) if closed else None
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
