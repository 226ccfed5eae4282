"""What a file of rows says about the prompt becomes the prompt format."""

from dataclasses import replace
from pathlib import Path

from workbench.intake.row_format import fitted_rows, proposed_format
from workbench.intake.rows import read_rows
from workbench.recipe import PromptFormat
from workbench.recipe.prompt_format import alpaca_with_input

CORPUS = Path(__file__).parent / "corpus"


def test_a_trainers_template_is_the_prompt_unless_one_was_chosen() -> None:
    rows = read_rows(CORPUS / "text-guanaco.jsonl")
    form = proposed_format(rows, PromptFormat())
    assert form == PromptFormat(kind="text", template="### Human: {input}### Assistant:")
    assert [row.input for row in fitted_rows(rows, form, "rows")[0]] == [
        "call me a cab",
        "any tables at 8?",
    ]
    chosen = replace(PromptFormat(), template="Name the intent: {input}")
    assert proposed_format(rows, chosen) == chosen


def test_the_system_turn_of_all_rows_belongs_to_the_format() -> None:
    rows = read_rows(CORPUS / "text-chatml.jsonl")
    assert proposed_format(rows, PromptFormat()).system == "Name the intent."
    assert rows.examples[0].input == "call me a cab"


def test_an_instruction_has_its_own_place_in_alpaca(tmp_path: Path) -> None:
    row = '{"instruction": "Name the intent.", "input": "call a cab %d", "output": "taxi"}\n'
    (tmp_path / "rows.jsonl").write_text("".join(row % n for n in range(4)))
    rows = read_rows(tmp_path / "rows.jsonl")
    alpaca = PromptFormat(kind="text", template=alpaca_with_input("Name the intent."))
    assert proposed_format(rows, alpaca).template == alpaca.template
    assert fitted_rows(rows, alpaca, "rows")[0][0].input == "call a cab 0"
    other = replace(alpaca, template=alpaca_with_input("Name the taxi."))
    assert fitted_rows(rows, other, "rows")[0][0].input == "Name the intent.\n\ncall a cab 0"
