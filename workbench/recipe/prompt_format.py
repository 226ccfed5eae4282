"""A part of a recipe: the prompt format."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic import Field as Bound

from workbench.recipe.declaring import checked, setting

# Alpaca with an input; its instruction is the data set's own.
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)


def _holds_input(template: str) -> str:
    if template.count("{input}") != 1:
        raise ValueError("{input} is missing or repeated")
    return template


@checked
class PromptFormat:
    """How an input becomes a prompt. An adapter only works with the format it was trained with."""

    kind: Annotated[
        str,
        setting(
            "Prompt kind",
            '"chat" puts the filled template into one user turn of the base\'s chat template; '
            '"text" is the filled template itself, after the base\'s begin-of-text token.',
            choices={"chat": "Chat template of the base", "text": "Plain text"},
        ),
    ] = "chat"
    template: Annotated[
        str,
        AfterValidator(_holds_input),
        setting(
            "Prompt template",
            "Text around {input}; the answer follows where it ends.",
            longest=20_000,
            bounds="a text of at most 20000 characters that holds {input} exactly once",
        ),
    ] = "{input}"
    system: Annotated[
        Annotated[str, Bound(max_length=20_000)] | None,
        BeforeValidator(lambda value: None if value == "none" else value),
        setting(
            "System prompt",
            'System turn of a chat prompt; "none" leaves the base\'s own default.',
            bounds="a text of at most 20000 characters",
        ),
    ] = None
    stop_text: Annotated[
        str,
        setting(
            "Text that ends an answer",
            "For an adapter that never learned an end token; empty where the end token does.",
            longest=200,
        ),
    ] = ""
    input_columns: Annotated[
        str,
        setting(
            "Columns of the input",
            'How columns of a row make one input, e.g. "{question}\\n\\n{context}"; empty where '
            "one column is the input.",
            longest=2_000,
        ),
    ] = ""


def alpaca_with_input(instruction: str) -> str:
    """Alpaca's template for inputs of one instruction."""
    return ALPACA_WITH_INPUT.replace("{instruction}", instruction)


def source_changes(form: Mapping[str, Any]) -> dict[str, Any]:
    """What a recipe changes to take a prompt as its source format; how answers end stays."""
    return {f"source_format.{name}": form[name] for name in ("kind", "template", "system")}
