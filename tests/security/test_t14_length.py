"""T14: texts are bounded before any tokenizer or regular expression sees them."""

import pytest

from tests.timing import computes_at_most
from workbench.errors import IntakeError
from workbench.intake import row_checks
from workbench.intake.rows import parse_rows, table_rows
from workbench.limits import LIMITS

MEGABYTE = 1024 * 1024
ADVERSARIAL = ["a" * MEGABYTE, "\u0301" * MEGABYTE, " " * MEGABYTE + "x", "\u202e" * MEGABYTE + "x"]


@pytest.mark.parametrize("text", ADVERSARIAL, ids=["long", "marks", "spaces", "controls"])
@pytest.mark.parametrize("as_output", [False, True])
def test_t14_a_megabyte_in_one_cell_is_refused_at_once(text: str, as_output: bool) -> None:
    row = ["x", text] if as_output else [text, "x"]
    with computes_at_most(1), pytest.raises(IntakeError, match="characters"):
        table_rows([row])


@pytest.mark.parametrize("text", ADVERSARIAL, ids=["long", "marks", "spaces", "controls"])
def test_t14_what_is_too_long_is_not_even_composed(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_checks, "unicodedata", None)
    monkeypatch.setattr(row_checks, "_CONTROLS", None)
    with pytest.raises(IntakeError, match="characters"):
        table_rows([[text, "x"]])


def test_t14_the_ceiling_is_after_composition() -> None:
    """A letter and its accent are one character once composed; the ceiling counts the latter."""
    rows = parse_rows("e\u0301" * LIMITS.input_characters, "text")
    assert len(rows.examples[0].input) == LIMITS.input_characters
    too_long = "x" * (LIMITS.input_characters + 1), "x" * (LIMITS.output_characters + 1)
    for row in ([too_long[0], "y"], ["x", too_long[1]]):
        with pytest.raises(IntakeError, match=r"has \d+ characters"):
            table_rows([row])
