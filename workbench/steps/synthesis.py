"""Step 1: write, judge and keep samples until the asked number is reached (paper, steps 5 and 6).

A round is written, judged and committed whole. Its random numbers come from (seed, round), so a
round that was interrupted is written again exactly as it would have been.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench import discriminate, teach
from workbench.events import Event, Progress, RoundFinished, Warned
from workbench.models.decoding import Sampling, decode
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.recipe import PromptFormat, SynthesisSettings, TransferRecipe
from workbench.runs.folder import Run
from workbench.samples import KEPT, REJECTED, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.steps.rounds import (
    LONGEST_TIMES,
    label,
    room_for_items,
    score_seeds,
    sort_out,
    take_own_inputs,
)
from workbench.synthesize import numbered_list
from workbench.synthesize.duplicates import Written, nearest


def used_filter(settings: SynthesisSettings, has_discriminator: bool) -> str:
    """The filter that a run really applies: "auto" follows what was uploaded.

    Writing for labels has a sign of its own, "consistency": the teacher gives the answer that the
    sample was written for.
    """
    if settings.settled().writer == "label":
        return "consistency"
    if settings.filter == "auto":
        return "discriminator" if has_discriminator else "excess"
    return settings.filter


def synthesize(run: Run, pair: Pair) -> Iterator[Event]:
    """Rounds until enough samples are kept or the cap on attempts is hit."""
    settings = run.recipe.synthesis.settled()
    kind = used_filter(settings, run.inputs.discriminator is not None)
    # The excess filter keeps the better half, so it needs twice the number first.
    wanted = settings.samples * (2 if kind == "excess" else 1)
    yield from take_own_inputs(run, pair)
    score_seeds(run, pair)
    written = Written(
        [seed.input for seed in run.inputs.seeds],
        [sample.input for sample in run.samples.all()],
        settings.near_duplicate,
    )
    usable = _usable(run, kind)
    yield Progress(Stage.SYNTHESIZE, min(usable, wanted), wanted, "samples")
    for number in range(len(run.samples.rounds()), settings.max_rounds):
        if usable >= wanted:
            break
        texts = write_round(pair, run.recipe, run.inputs.seeds, number)
        samples, finished = judge_round(run, pair, texts, kind, written, number)
        run.samples.commit_round(number, samples, finished)
        yield finished
        usable = _usable(run, kind)
        yield Progress(Stage.SYNTHESIZE, min(usable, wanted), wanted, "samples")
    if kind == "excess":
        keep_best(run, settings.samples)
    kept = len(run.samples.kept())
    if kept < settings.samples:
        yield Warned(
            Stage.SYNTHESIZE,
            f"Only {kept} of {settings.samples} samples were kept after {settings.max_rounds} "
            "rounds. The transfer goes on with these; raise max_rounds, add seeds or choose "
            "another filter for more.",
        )


def _usable(run: Run, kind: str) -> int:
    """Samples that count towards the asked number: kept ones, for "excess" the whole pool."""
    if kind == "excess":
        return sum(s.excess is not None or s.status == KEPT for s in run.samples.all())
    return len(run.samples.kept())


def write_round(
    pair: Pair, recipe: TransferRecipe, seeds: Sequence[Example], number: int
) -> list[str]:
    """Texts of one round; "" where the generator wrote nothing usable (paper, step 5)."""
    settings = recipe.synthesis
    generator = pair.target if settings.generator == "target" else pair.source
    shown = numbered_list.draw_seeds(seeds, settings.seeds_per_prompt, recipe.seed, number)
    prompt = numbered_list.write_prompt(recipe.task_name, shown)
    multiline = any("\n" in seed.input.strip() for seed in seeds)
    form = bind(PromptFormat(kind="text", template="{input}"), generator.tokenizer)
    first, last = len(shown) + 1, numbered_list.last_item(len(shown))
    texts: dict[int, list[str]] = {}
    with generator.using(None):
        for index, decoded in decode(
            generator,
            [form.prompt_ids(prompt)] * settings.prompts_per_round,
            new_tokens=settings.new_tokens or room_for_items(generator, seeds, last - first + 1),
            stop_ids=form.stop_ids,
            sampling=Sampling(settings.temperature, settings.top_k, settings.top_p),
            seed=recipe.seed * 1_000_003 + number,
            rows=settings.prompts_per_round,
            stop_text=f"\n{last + 1}.",
        ):
            text = str(generator.tokenizer.decode(decoded.ids, skip_special_tokens=True))
            texts[index] = numbered_list.parse_items(text, first, multiline, decoded.finished)
    return [item for index in sorted(texts) for item in texts[index]]


def judge_round(
    run: Run, pair: Pair, texts: Sequence[str], kind: str, written: Written, number: int
) -> tuple[list[Sample], RoundFinished]:
    """Drop what is empty, copied or a duplicate; score, decide and label the rest (step 6)."""
    seed_texts = [seed.input for seed in run.inputs.seeds]
    longest = LONGEST_TIMES * max(len(text) for text in seed_texts) + 80
    sorting = sort_out(texts, written, longest)
    samples = [
        Sample(
            id=sample_id(text),
            input=text,
            origin=run.recipe.synthesis.generator,
            round=number,
            status=KEPT,
            nearest_seed=nearest(text, seed_texts),
        )
        for text in sorting.new
    ]
    samples = judge(pair, run.recipe, samples, kind)
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


def judge(pair: Pair, recipe: TransferRecipe, samples: Sequence[Sample], kind: str) -> list[Sample]:
    """Scores by the filter, then the teacher's answer for what is kept.

    Args:
        kind: "discriminator" decides here; "excess" only measures (``keep_best`` decides when the
            pool is full); "consistency" and "none" keep all.
    """
    judged = list(samples)
    if kind == "discriminator" and judged:
        scores = discriminate.score(
            pair.source, recipe.task_name, recipe.source_format.kind, [s.input for s in judged]
        )
        judged = [
            _decide(replace(sample, discriminator_score=score))
            for sample, score in zip(judged, scores, strict=True)
        ]
    judged = label(pair, recipe, judged)
    if kind == "excess":
        judged = measure_excess(pair, judged)
    return judged


def _decide(sample: Sample) -> Sample:
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


def keep_best(run: Run, count: int) -> None:
    """Of what the filter decides, keep the ``count`` samples with the largest excess."""
    pool = [s for s in run.samples.all() if s.decided_by == "filter" and s.excess is not None]
    pool.sort(key=lambda sample: (-(sample.excess or 0.0), sample.id))
    chosen_by_person = sum(s.decided_by == "person" for s in run.samples.kept())
    room = max(0, count - chosen_by_person)
    run.samples.update_many(
        [replace(sample, status=KEPT, reason="") for sample in pool[:room]]
        + [
            replace(sample, status=REJECTED, reason="others show more of the adapter's skill")
            for sample in pool[room:]
        ]
    )
