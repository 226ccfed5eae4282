"""The prompt format of the source adapter by measuring: for who asks, and for who named none.

By how likely formats make the outputs of the seeds; without any output by what the adapter writes.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from workbench.errors import WorkbenchError
from workbench.events import Event, Progress, Warned
from workbench.models.format_choice import (
    CANDIDATES,
    instruction_of,
    known_formats,
    ranked_formats,
)
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.recipe import MODEL
from workbench.recipe.prompt_format import source_changes
from workbench.runs.folder import Run
from workbench.stages import Stage
from workbench.steps.format_discovery import formats_by_writing
from workbench.steps.writer_choice import LEAST_GAIN
from workbench.synthesis_plan import MEASURED_FORMAT, OWED
from workbench.teach import TEACHER

LONGEST_SHOWN = 300  # characters of a template in a sentence: its end, where the answer follows
_BY_HAND = (
    "Add the right answer to at least three seeds, or choose the format by hand (in a terminal "
    "with --format chat, or --format and the text around {input})."
)


class UntoldFormat(WorkbenchError):
    """Nothing tells the prompt format."""


def propose_format(run: Run, pair: Pair) -> dict[str, Any]:
    """Prompt formats, the likeliest first: {"by": what tells, "formats": [...], "preview"}.

    Raises:
        UntoldFormat: nothing tells, with what to do.
    """
    formats = (run.recipe.source_format, *CANDIDATES)
    if examples := [seed for seed in run.inputs.seeds if seed.output]:
        by = "ln P(output), mean over the examples"
        with_instruction = known_formats(instruction_of(run.recipe.source_format))
        formats = (*formats, *with_instruction)
        ranked = ranked_formats(pair.source, TEACHER, formats, examples)
        text = examples[0].input
    elif run.recipe.teacher == MODEL:
        raise UntoldFormat(f"No seed has an output. {_BY_HAND}")
    else:
        by = "nats per token that the adapter has learned of the inputs that it writes"
        tried = formats_by_writing(pair, formats, run.recipe.seed)
        if not tried or tried[0].learned < LEAST_GAIN:
            raise UntoldFormat(
                "No seed has an output, and under no known format does this adapter write inputs. "
                + _BY_HAND
            )
        ranked = [(found.form, found.learned) for found in tried]
        text = tried[0].texts[0]
    return {
        "by": by,
        "formats": [{**asdict(form), "score": score} for form, score in ranked],
        "preview": bind(ranked[0][0], pair.source.tokenizer).preview(text),
    }


def settle_format(run: Run, pair: Pair) -> Iterator[Event]:
    """Take the likeliest format, once, in a run for which nobody named one; tell which and why.

    Where nothing tells, the recipe's stays, and that is told.
    """
    if run.recall(MEASURED_FORMAT) != OWED:
        return
    yield Progress(Stage.SYNTHESIZE, 0, 0, "", note="finding the prompt format")
    try:
        proposed = propose_format(run, pair)
    except UntoldFormat as untold:
        taken = _words(asdict(run.recipe.source_format))
        told = f"Nobody named the prompt format of the source adapter, so it is {taken}. {untold}"
    else:
        best, *others = proposed["formats"]
        run.change_recipe(source_changes(best))
        then = f"; next {_words(others[0])}: {others[0]['score']:.2f}" if others else ""
        told = (
            "Prompt format of the source adapter, measured because nobody named it: "
            f"{_words(best)} ({proposed['by']}: {best['score']:.2f}{then}). "
            "To take another, name it with --format, or as source_format of the recipe."
        )
    run.remember(MEASURED_FORMAT, told)
    yield Warned(Stage.SYNTHESIZE, told)


def _words(found: dict[str, Any]) -> str:
    kind = "chat template of the base" if found["kind"] == "chat" else "plain text"
    return f"{kind}, {found['template'][-LONGEST_SHOWN:]!r}"
