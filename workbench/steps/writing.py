"""One round of texts by whichever writer the run has: also for a preview, or more of a label."""

from collections.abc import Sequence

from workbench.models.batches import for_device
from workbench.models.decoding import Sampling, decode
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.recipe import PromptFormat, TransferRecipe
from workbench.runs.folder import Run
from workbench.samples import KEPT, MIXED, Example, Sample
from workbench.steps.rounds import input_tokens, room_for_items
from workbench.steps.seed_answers import answered_seeds
from workbench.steps.writer_choice import Choice, examples_of
from workbench.synthesize import numbered_list, per_label
from workbench.synthesize.adapter_writer import write_inputs
from workbench.synthesize.labels import HARD_LABEL_CONFIDENCE, LEAST_CONFIDENCE
from workbench.synthesize.per_label import Text
from workbench.teach import TEACHER, WRITER

# Texts (for the list: prompts) of a round where the recipe leaves it open.
ROUND = {"cpu": 96, "cuda": 1024}
LIST_ROUND = {"cpu": 32, "cuda": 128}  # a prompt of the list brings about five items
SPARE = 1.1  # texts of the last round, times what is missing: some will be known


def round_size(run: Run, pair: Pair) -> int:
    """Prompts that are decoded together."""
    return run.recipe.synthesis.prompts_per_round or for_device(ROUND, pair.source.device)


def write_texts(
    run: Run,
    pair: Pair,
    choice: Choice,
    samples: Sequence[Sample],
    targets: Sequence[str | None],
    number: int,
    missing: int,
) -> list[Text]:
    """The texts of a round, "" where nothing usable came.

    Args:
        samples: what the run has so far.
        targets: for the writer "label", what each text is written for; None is anything.
        missing: samples that are still wanted; no adapter writes many more.
    """
    recipe, settings = run.recipe, run.recipe.synthesis
    sampling = Sampling(settings.temperature, settings.top_k, settings.top_p)
    seed = recipe.seed * 1_000_003 + number
    if choice.writer in ("own", "kit"):
        examples = examples_of(run)
        texts = write_inputs(
            pair.source,
            TEACHER if choice.writer == "own" else WRITER,
            pair.source_form,
            min(round_size(run, pair), max(8, round(SPARE * missing))),
            new_tokens=settings.new_tokens or input_tokens(pair.source, examples),
            sampling=sampling,
            seed=seed,
            held_texts=[example.input for example in examples],
        )
        return [Text(text) for text in texts]
    if choice.writer == "list":
        return [Text(text) for text in write_list(pair, recipe, examples_of(run), number)]
    generator = pair.target if settings.generator == "target" else pair.source
    seeds = answered_seeds(run, pair)
    accepted = shown_beside(seeds, samples)
    with generator.using(None):
        return per_label.write(
            generator,
            seeds,
            accepted,
            targets,
            new_tokens=settings.new_tokens or room_for_items(generator, seeds, 1.5),
            sampling=sampling,
            seed=seed,
        )


def shown_beside(seeds: Sequence[Example], samples: Sequence[Sample]) -> list[Example]:
    """Samples that may be shown to the base, with the teacher's answers."""
    answered = [
        (sample, Example(sample.input, sample.teacher_output))
        for sample in samples
        if sample.status == KEPT and sample.origin not in MIXED and sample.teacher_output
    ]
    # What missed its label would teach the base to miss, ...
    shown = [
        example
        for sample, example in answered
        if (sample.confidence or 0) >= LEAST_CONFIDENCE
        and sample.written_for in (None, sample.teacher_output)
    ]
    # ... unless nothing else shows what an answer stands for.
    known = {example.output for example in (*seeds, *shown)}
    return shown + [
        example
        for sample, example in answered
        if (sample.confidence or 0) >= HARD_LABEL_CONFIDENCE and example.output not in known
    ]


def write_list(
    pair: Pair, recipe: TransferRecipe, seeds: Sequence[Example], number: int
) -> list[str]:
    """The paper's generator: items of continued lists, "" for what is not usable (step 5)."""
    settings = recipe.synthesis
    generator = pair.target if settings.generator == "target" else pair.source
    shown = numbered_list.draw_seeds(seeds, settings.seeds_per_prompt, recipe.seed, number)
    prompt = numbered_list.write_prompt(recipe.task_name, shown)
    multiline = any("\n" in seed.input.strip() for seed in seeds)
    form = bind(PromptFormat(kind="text", template="{input}"), generator.tokenizer)
    first, last = len(shown) + 1, numbered_list.last_item(len(shown))
    prompts = settings.prompts_per_round or for_device(LIST_ROUND, generator.device)
    texts: dict[int, list[str]] = {}
    with generator.using(None):
        for index, decoded in decode(
            generator,
            [form.prompt_ids(prompt)] * prompts,
            new_tokens=settings.new_tokens or room_for_items(generator, seeds, last - first + 1),
            stop_ids=form.stop_ids,
            sampling=Sampling(settings.temperature, settings.top_k, settings.top_p),
            seed=recipe.seed * 1_000_003 + number,
            rows=prompts,
            stop_text=f"\n{last + 1}.",
        ):
            text = str(generator.tokenizer.decode(decoded.ids, skip_special_tokens=True))
            texts[index] = numbered_list.parse_items(text, first, multiline, decoded.finished)
    return [item for index in sorted(texts) for item in texts[index]]
