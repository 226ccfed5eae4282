"""Step 1: write inputs until there are enough, let the teacher answer them, decide what is kept.

    inputs = the user's own, then what the writer writes, round by round
    each   : drop what is empty, copied or a duplicate; answer it; score it
    keep   = all, or what the recipe's filter keeps; written label by label, every label alike

A round is written, judged and committed whole. Its random numbers come from (seed, round), so a
round that was interrupted is written again exactly as it would have been.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench import teach
from workbench.evaluate.checkers import Checker
from workbench.events import Event, Progress, RoundFinished, Warned
from workbench.models.pair import Pair
from workbench.recipe import CHECKER, MODEL, SynthesisSettings, TransferRecipe
from workbench.runs.folder import Run
from workbench.samples import KEPT, MIXED, REJECTED, Sample, sample_id
from workbench.stages import Stage
from workbench.steps.beforehand import look_ahead
from workbench.steps.label_balance import keep_balanced, labels_of, targets_of_round, written
from workbench.steps.rounds import (
    LONGEST_TIMES,
    label,
    score,
    score_seeds,
    sort_out,
    take_own_inputs,
)
from workbench.steps.writer_choice import Choice, choose_writer, examples_of
from workbench.steps.writing import round_size, write_texts
from workbench.synthesis_plan import SampleCount, samples_for
from workbench.synthesize.duplicates import Written, nearest
from workbench.synthesize.labels import HARD_LABEL_CONFIDENCE
from workbench.synthesize.per_label import Text

# Where less than this part of the last texts is new, no more comes: the task has hardly others.
LEAST_NEW = 0.05
# So many texts can tell: with none new among 3 / p, the part is below p at 95 % confidence.
TELLING = 3 / LEAST_NEW
SURPLUS = "more than was asked for"
LABEL_BALANCE = "label balance"


def used_filter(settings: SynthesisSettings, writer: str, has_discriminator: bool) -> str:
    """What really decides which samples are kept: "auto" follows the writer.

    An adapter that has learned its inputs writes them as they were: nothing is filtered. Written
    label by label, every label is kept alike. For the paper's list it is the paper's filter, or
    contrastive excess where nobody trained a discriminator.
    """
    if settings.filter != "auto":
        return settings.filter
    if writer == "list":
        return "discriminator" if has_discriminator else "excess"
    return LABEL_BALANCE if writer == "label" else "none"


def filter_of(run: Run, writer: str) -> str:
    """``used_filter`` of a run."""
    used = used_filter(run.recipe.synthesis, writer, run.inputs.discriminator is not None)
    # Excess is what an adapter adds to its base: a whole model has nothing to be compared with.
    return "none" if used == "excess" and run.recipe.teacher == MODEL else used


def synthesize(run: Run, pair: Pair) -> Iterator[Event]:
    """Rounds until there are enough samples, nothing new comes, or the cap is hit."""
    recipe = run.recipe
    if not run.samples.rounds():
        yield from look_ahead(run)
    yield from take_own_inputs(run, pair)
    choice = choose_writer(run, pair)
    kind = filter_of(run, choice.writer)
    score_seeds(run, pair)
    known = known_texts(run, choice)
    for number in range(len(run.samples.rounds()), recipe.synthesis.max_rounds):
        samples = run.samples.all()
        have, asked = _usable(samples, kind), samples_wanted(run, pair, samples, kind)
        wanted = _pool_size(asked, kind)
        note = f"{choice.why} {asked.count:,} samples: {asked.why}."
        yield Progress(Stage.SYNTHESIZE, min(have, wanted), wanted, "samples", note=note)
        if hardly_new(run, samples):
            break
        targets: list[str | None] = []
        if choice.writer == "label":
            targets = targets_of_round(run, pair, samples, wanted, number)
        if not targets if kind == LABEL_BALANCE else have >= wanted:
            break
        if choice.writer == "label" and not targets:
            # Enough was written, and a filter of the recipe has dropped some of it.
            targets = [None] * round_size(run, pair)
        texts = write_texts(run, pair, choice, samples, targets, number, wanted - have)
        made, finished = judge_round(run, pair, choice, texts, kind, known, number)
        run.samples.commit_round(number, made, finished)
        yield finished
    yield from _decide(run, pair, choice, kind)


def hardly_new(run: Run, samples: Sequence[Sample]) -> bool:
    """Whether too little of what was written last was new, as far as enough texts can tell.

    Read from the stored rounds, so that a run that goes on stops where it would have stopped.
    """
    mixed = {sample.round for sample in samples if sample.origin in MIXED}
    made = new = 0
    for last in reversed(run.journal.all_of(RoundFinished)):
        if last.round in mixed:
            continue
        made, new = made + last.made, new + last.kept + last.rejected
        if made >= TELLING:
            return new < LEAST_NEW * made
    return False


def known_texts(run: Run, choice: Choice) -> Written:
    """What is not written again: seeds and samples, and what is too near to them."""
    return Written(
        [example.input for example in examples_of(run)],
        [sample.input for sample in run.samples.all()],
        # An adapter that has learned its inputs writes neighbours because the task has them.
        1.0 if choice.writer in ("own", "kit") else run.recipe.synthesis.near_duplicate,
    )


def _usable(samples: Sequence[Sample], kind: str) -> int:
    """Samples that count towards the asked number, of which the filter may still drop some."""
    if kind == "excess":
        return sum(s.excess is not None or s.status == KEPT for s in samples)
    if kind == LABEL_BALANCE:
        return len(written(samples))
    return sum(s.status == KEPT and s.origin not in MIXED for s in samples)


def _pool_size(asked: SampleCount, kind: str) -> int:
    """Samples to write: the excess filter keeps the better half, so it needs twice the number."""
    return asked.count * 2 if kind == "excess" else asked.count


def samples_wanted(run: Run, pair: Pair, samples: Sequence[Sample], kind: str) -> SampleCount:
    """What the recipe asks for, else what the answers so far call for.

    That grows while new labels still come, so it is asked anew every round.
    """
    if asked := run.recipe.synthesis.samples:
        return SampleCount(asked, "as the recipe asks")
    answered = [s for s in samples if s.teacher_output and s.origin not in MIXED]
    if not answered:
        return samples_for([], pair.source.device.type != "cpu")
    labels = len(labels_of(run, pair, samples)) if kind == LABEL_BALANCE else None
    sure = [s.confidence >= HARD_LABEL_CONFIDENCE for s in answered if s.confidence is not None]
    unsure = 1 - sum(sure) / len(sure) if sure else 0.0
    answers = [s.teacher_output or "" for s in answered]
    return samples_for(answers, pair.source.device.type != "cpu", labels, unsure)


def judge_round(
    run: Run,
    pair: Pair,
    choice: Choice,
    texts: Sequence[Text],
    kind: str,
    known: Written,
    number: int,
) -> tuple[list[Sample], RoundFinished]:
    """Drop what is empty, copied or a duplicate; answer, score and decide the rest."""
    examples = [example.input for example in examples_of(run)]
    longest = LONGEST_TIMES * max(map(len, examples)) + 80 if examples else None
    sorting = sort_out([each.text for each in texts], known, longest)
    written_for = {each.text: each.written_for for each in reversed(texts)}
    samples = [
        Sample(
            id=sample_id(text),
            input=text,
            origin=origin_of(run.recipe, choice.writer),
            written_for=written_for[text],
            round=number,
            status=KEPT,
            nearest_seed=nearest(text, examples),
        )
        for text in sorting.new
    ]
    samples = judge(run, pair, samples, kind)
    kept = sum(sample.status == KEPT for sample in samples)
    finished = RoundFinished(
        round=number,
        made=len(texts),
        kept=kept,
        rejected=len(samples) - kept,
        duplicates=sorting.duplicates,
        copied=sorting.copied,
        empty=sorting.empty,
    )
    return samples, finished


def origin_of(recipe: TransferRecipe, writer: str) -> str:
    """Which model wrote: a base, or for "own" and "kit" an adapter on the source base."""
    return recipe.synthesis.generator if writer in ("list", "label") else writer


def judge(run: Run, pair: Pair, samples: Sequence[Sample], kind: str) -> list[Sample]:
    """The discriminator's score, the teacher's answer, the filter's word.

    Args:
        kind: "discriminator" and "checker" decide here; "excess" only measures (``_decide``
            decides when the pool is full); the others decide nothing yet.
    """
    judged = list(samples)
    if run.inputs.discriminator is not None:
        judged = score(pair, run.recipe, judged)
    if kind == "discriminator":
        judged = [_as_discriminated(sample) for sample in judged]
    judged = label(pair, run.recipe, judged)
    if kind == CHECKER:
        judged = _passing(run, judged)
    return measure_excess(pair, judged) if kind == "excess" else judged


def _passing(run: Run, samples: Sequence[Sample]) -> list[Sample]:
    """The checker's word on the teacher's answers; a person's own word stands."""
    with Checker(run.recipe.evaluation) as checker:
        return [
            sample
            if sample.status != KEPT
            or sample.decided_by == "person"
            or checker.passes(sample.teacher_output or "")
            else replace(sample, status=REJECTED, reason="the answer does not pass the checker")
            for sample in samples
        ]


def _as_discriminated(sample: Sample) -> Sample:
    if sample.discriminator_score is not None and sample.discriminator_score > 0.5:
        return replace(sample, status=KEPT, reason="")
    return replace(sample, status=REJECTED, reason="the discriminator says no")


def measure_excess(pair: Pair, samples: Sequence[Sample]) -> list[Sample]:
    """Contrastive excess of every labelled sample (TiTok)."""
    measured = list(samples)
    owed = [index for index, sample in enumerate(measured) if sample.teacher_output]
    values = teach.contrastive_excess(
        pair.source,
        pair.source_form,
        [measured[index].input for index in owed],
        [measured[index].teacher_output or "" for index in owed],
    )
    for index, value in zip(owed, values, strict=True):
        measured[index] = replace(measured[index], excess=value)
    return measured


def _decide(run: Run, pair: Pair, choice: Choice, kind: str) -> Iterator[Event]:
    """Keep as many as are wanted of what the filter lets through; say so when they are fewer."""
    wanted = samples_wanted(run, pair, run.samples.all(), kind).count
    if kind == "excess":
        keep_best(run, wanted)
    elif kind == LABEL_BALANCE:
        yield from keep_balanced(run, pair, max(0, wanted - kept_by_person(run)))
    elif run.recipe.synthesis.samples:
        _cut(run, wanted)
    kept = sum(sample.origin not in MIXED for sample in run.samples.kept())
    yield Progress(Stage.SYNTHESIZE, min(kept, wanted), wanted, "samples")
    if kept < wanted:
        yield Warned(
            Stage.SYNTHESIZE,
            f"{kept} of {wanted} samples were kept: what else was written was no longer new, or "
            "was not kept. The transfer goes on with these; give more seeds or unlabelled inputs, "
            "or raise max_rounds, for more.",
        )


def keep_best(run: Run, count: int) -> None:
    """Of what the filter decides, keep the ``count`` samples with the largest excess."""
    pool = [s for s in run.samples.all() if s.decided_by == "filter" and s.excess is not None]
    pool.sort(key=lambda sample: (-(sample.excess or 0.0), sample.id))
    room = max(0, count - kept_by_person(run))
    run.samples.update_many(
        [replace(sample, status=KEPT, reason="") for sample in pool[:room]]
        + [
            replace(sample, status=REJECTED, reason="others show more of the adapter's skill")
            for sample in pool[room:]
        ]
    )


def kept_by_person(run: Run) -> int:
    kept = run.samples.kept()
    return sum(s.decided_by == "person" and s.origin not in MIXED for s in kept)


def _cut(run: Run, count: int) -> None:
    """Keep the first ``count``: the last round may have brought more."""
    pool = [sample for sample in run.samples.kept() if sample.decided_by == "filter"]
    surplus = pool[max(0, count - kept_by_person(run)) :]
    run.samples.update_many([replace(s, status=REJECTED, reason=SURPLUS) for s in surplus])
