"""What is known at the start is said at the start; on tiny models without their weights."""

from pathlib import Path

import pytest

from tests.test_pipeline import ROWS, MakeRun, make_run  # noqa: F401  a fixture
from workbench.errors import RunError, StageError
from workbench.events import Warned
from workbench.prepare import prepare
from workbench.recipe import for_preparing
from workbench.samples import Example
from workbench.steps.beforehand import look_ahead

LONG = Example("word and " * 1500, "box1")


def test_what_fits_is_passed_in_silence(make_run: MakeRun) -> None:  # noqa: F811
    assert not list(look_ahead(make_run()))


def test_rows_that_a_base_cannot_read_are_named(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run(evaluation=[*ROWS[:4], LONG])
    with pytest.raises(RunError, match=r"reads 2,048 tokens at most.*evaluation row 5 \("):
        list(look_ahead(run))


def test_answers_are_set_against_the_limit(make_run: MakeRun) -> None:  # noqa: F811
    wordy = Example("say it", "a long answer of very many words " * 3)
    (warning,) = look_ahead(make_run("some", evaluation=[*ROWS[:4], wordy]))
    assert isinstance(warning, Warned) and "1 of 11 known answers" in warning.message
    with pytest.raises(RunError, match=r"they would be cut. Set evaluation.answer_tokens to 0"):
        list(look_ahead(make_run("most", evaluation=[wordy] * 20)))


@pytest.mark.parametrize("method", ["lora", "rslora", "dora", "prompt_tuning", "prefix_tuning",
                                    "ia3", "oft", "miss"])  # fmt: skip
def test_every_kind_of_adapter_is_tried(make_run: MakeRun, method: str) -> None:  # noqa: F811
    assert not list(look_ahead(make_run(student__method=method, student__rank=8)))


def test_blocks_of_another_size_than_asked_for_are_told(make_run: MakeRun) -> None:  # noqa: F811
    """The tiny target's layers read 64 or 128 numbers."""
    (warning,) = look_ahead(make_run(student__method="oft", student__rank=15))
    assert isinstance(warning, Warned) and "Where 15 does not, they have 16 numbers" in (
        warning.message
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"student__method": "miss", "student__rank": 200}, "MiSS, rank 200"),
        ({"student__target_modules": ("c_attn",)}, 'no layer named "c_attn"'),
    ],
)
def test_an_adapter_that_cannot_be_made_is_a_sentence(
    make_run: MakeRun,  # noqa: F811
    changes: dict[str, object],
    words: str,
) -> None:
    with pytest.raises(RunError, match=r"Change student.rank or student.target_modules") as caught:
        list(look_ahead(make_run(**changes)))
    assert words in str(caught.value)


def test_a_kit_has_so_many_seeds_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="1 to 15 seeds, not 100"):
        prepare(for_preparing(), ROWS, (), tmp_path / "kit.zip", seed_count=100, report=print)
