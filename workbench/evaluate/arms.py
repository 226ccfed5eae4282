"""The arms of a comparison: which model, which adapter, which prompt (method notes, paper 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from workbench.models.decoding import decode
from workbench.models.formats import bind
from workbench.models.resident import Resident
from workbench.recipe import PromptFormat
from workbench.samples import Example

SOURCE_BASE = "source_base"
SOURCE_ADAPTER = "source_adapter"
TARGET_BASE = "target_base"
TARGET_FEW_SHOT = "target_few_shot"
TRANSFERRED = "transferred"
COPIED = "copied"  # the source adapter as it is, on the target base: where its shapes fit
ARMS = (SOURCE_BASE, SOURCE_ADAPTER, TARGET_BASE, TARGET_FEW_SHOT, TRANSFERRED)
BARE = (SOURCE_BASE, TARGET_BASE, TARGET_FEW_SHOT)  # no adapter: some of the rows tell enough

# Between examples of a few-shot prompt; a base without adapter is read up to it, since it does
# not know where an answer ends. Adapters were taught to end their turn and are read in full.
SEPARATOR = "\n\n"


def few_shot_format(form: PromptFormat, examples: Sequence[Example]) -> PromptFormat:
    """The format with answered examples before the input; the same prefix for every row."""
    shown = [
        form.template.replace("{input}", example.input) + " " + (example.output or "")
        for example in examples
    ]
    prefix = "".join(text.replace("{input}", "(input)") + SEPARATOR for text in shown)
    return replace(form, template=prefix + form.template)


def answer_rows(
    resident: Resident,
    adapter: str | None,
    form: PromptFormat,
    inputs: Sequence[str],
    answer_tokens: int,
) -> Iterator[tuple[int, str]]:
    """Greedy answers of one arm.

    Args:
        adapter: name on the resident base; None reads up to the first blank line.

    Yields:
        (index into ``inputs``, answer text).
    """
    bound = bind(form, resident.tokenizer)
    prompts = [bound.prompt_ids(text) for text in inputs]
    with resident.using(adapter):
        for index, decoded in decode(
            resident,
            prompts,
            new_tokens=answer_tokens,
            stop_ids=bound.stop_ids,
            sampling=None,
            stop_text=SEPARATOR if adapter is None else bound.stop_text,
        ):
            text = bound.read(decoded.ids)
            yield index, text.split(SEPARATOR, 1)[0].strip() if adapter is None else text
