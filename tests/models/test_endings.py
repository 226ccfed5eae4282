"""An answer that was cut is no label, and a run whose answers never end says so early."""

import pytest

from workbench.errors import StageError
from workbench.models.endings import ENOUGH, Endings, common_stop


def test_what_a_model_goes_on_with_is_found() -> None:
    alpaca = [f"label {n}\n\n### Instruction:\ntext {n}\n\n### Response:\nla" for n in range(9)]
    assert common_stop(alpaca) == "\n\n### Instruction:\ntext "
    assert (
        common_stop([f"label {n}\nReview: other {n}\nAnswer:" for n in range(9)])
        == "\nReview: other "
    )
    assert common_stop(["yes\nno", "no\nyes", "yes\nyes", "yes yes"]) == "\n"
    assert common_stop(["round and round and round"] * 9) == ""
    assert common_stop([]) == ""


def test_a_text_that_few_share_is_no_stop() -> None:
    assert common_stop([f"label {n}" for n in range(8)] + ["a\nb", "a\nc"]) == ""


def endings(ended: int, cut: list[str]) -> Endings:
    noted = Endings()
    for _ in range(ended):
        noted.take("yes", finished=True)
    for text in cut:
        noted.take(text, finished=False)
    return noted


def test_most_answers_have_to_end() -> None:
    endings(ENOUGH, ["x"] * ENOUGH).require(12)
    endings(0, ["x"] * (ENOUGH - 1)).require(12)
    with pytest.raises(
        StageError, match="did not end 32 of its first 32 answers within 12 tokens"
    ) as told:
        endings(0, ["yes\nReview: x"] * ENOUGH).require(12)
    assert '"\\nReview: x"' in told.value.message
    assert "source_format.stop_text" in told.value.message
    assert "evaluation.answer_tokens" in told.value.message
    with pytest.raises(StageError, match="source_format"):
        endings(1, ["x"] * 3).require(12, enough=4)
