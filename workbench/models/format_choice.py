"""Which prompt format an adapter was trained with, when nobody says so."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from workbench.models.formats import CHATML, bind
from workbench.models.resident import Resident
from workbench.models.scoring import answer_log_probs
from workbench.recipe import PromptFormat
from workbench.recipe.prompt_format import ALPACA_WITH_INPUT, alpaca_with_input
from workbench.samples import Example

ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{input}\n\n### Response:\n"
)
LONGEST_INSTRUCTION = 15_000  # characters; a template has room for 20,000
# Formats of common trainers and data sets.
CANDIDATES = (
    PromptFormat(kind="chat", template="{input}"),
    PromptFormat(kind="text", template=ALPACA),
    PromptFormat(kind="text", template=CHATML),
    PromptFormat(kind="text", template="[INST] {input} [/INST]"),
    PromptFormat(kind="text", template="### Human: {input}\n### Assistant:"),
    PromptFormat(kind="text", template="### Human: {input}### Assistant:"),  # Guanaco
    PromptFormat(kind="text", template="USER: {input} ASSISTANT:"),  # Vicuna
    PromptFormat(kind="text", template="User: {input}\nAssistant:"),
    PromptFormat(kind="text", template="{input}\n\nAnswer:"),
    PromptFormat(kind="text", template="Question: {input}\nAnswer:"),
    PromptFormat(kind="text", template="Input: {input}\nOutput:"),
    PromptFormat(kind="text", template="### Instruction:\n{input}\n\n### Response:\n"),
    PromptFormat(kind="text", template="{input}\n"),
)


# What stands before an input in Alpaca, as a format whose input is the instruction.
ALPACA_INSTRUCTION = PromptFormat(
    kind="text",
    template=ALPACA_WITH_INPUT.partition("{input}")[0].replace("{instruction}", "{input}"),
)


def known_formats(instruction: str) -> tuple[PromptFormat, ...]:
    """The candidates; where rows share an instruction with that before the input, or in its own
    place in Alpaca."""
    if not instruction:
        return CANDIDATES
    begun = (
        replace(form, template=form.template.replace("{input}", instruction + "{input}"))
        for form in CANDIDATES
    )
    return (*begun, PromptFormat(kind="text", template=alpaca_with_input(instruction.strip())))


def instruction_of(form: PromptFormat) -> str:
    """What a chat format says before every input; "" where something follows the input as well,
    or no other template would hold it."""
    before, _, after = form.template.partition("{input}")
    fits = len(before) <= LONGEST_INSTRUCTION and not after
    return before if form.kind == "chat" and fits else ""


def ranked_formats(
    resident: Resident,
    adapter: str | None,
    formats: Iterable[PromptFormat],
    examples: Sequence[Example],
) -> list[tuple[PromptFormat, float]]:
    """Formats by how likely they make the examples' outputs, best first, with mean log-likelihood.

    Args:
        adapter: of ``resident``; None asks the base alone.
        formats: chat formats are left out where the base has no chat template.
        examples: with outputs.

    Returns:
        (format, mean over examples of ln P(output | prompt), in nats).
    """
    scored = []
    for candidate in dict.fromkeys(formats):
        if candidate.kind == "chat" and not resident.tokenizer.chat_template:
            continue
        form = bind(candidate, resident.tokenizer)
        pairs = [(form.prompt_ids(e.input), form.answer_ids(e.output or "")) for e in examples]
        with resident.using(adapter):
            log_probs = answer_log_probs(resident, pairs)
        scored.append((candidate, sum(float(row.sum()) for row in log_probs) / len(log_probs)))
    return sorted(scored, key=lambda entry: -entry[1])
