"""The prompt format of a source adapter that nobody named: measured once, as a run begins."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.test_pipeline import MakeRun, make_run  # noqa: F401  a fixture
from workbench.events import Event, Progress, Warned
from workbench.models.pair import Pair
from workbench.pipeline import advance
from workbench.recipe import PromptFormat
from workbench.runs.folder import Run, open_run
from workbench.samples import Example
from workbench.stages import Stage
from workbench.steps import format_proposal
from workbench.steps.format_proposal import settle_format
from workbench.synthesis_plan import MEASURED_FORMAT, OWED

HUMAN = PromptFormat(kind="text", template="### Human: {input}\n### Assistant:")


def pick(events: Iterable[Event]) -> tuple[list[Event], list[str]]:
    """Events, and the sentences of those that warn."""
    seen = list(events)
    return seen, [event.message for event in seen if isinstance(event, Warned)]


def owing(run: Run) -> Run:
    run.remember(MEASURED_FORMAT, OWED)
    return run


def test_the_likeliest_format_is_taken_once_and_told(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Room for a random teacher to end most answers, whatever type this processor computes in.
    wanted = {"source_format__stop_text": "\n", "evaluation__answer_tokens": 60}
    run = owing(make_run(source_format__system="Be brief.", **wanted))
    asked: list[int] = []

    def ranked(source: object, adapter: str, formats: list, examples: list) -> list:
        asked.append(len(examples))
        assert adapter == "teacher" and run.recipe.source_format in formats
        return [(HUMAN, -0.5), (PromptFormat(), -4.0)]

    monkeypatch.setattr(format_proposal, "ranked_formats", ranked)
    list(advance(run, Stage.SYNTHESIZE))
    assert asked == [6], "all seeds have outputs"
    form = open_run(run.folder).recipe.source_format
    assert (form.kind, form.template, form.system) == ("text", HUMAN.template, None)
    assert form.stop_text == "\n", "how answers end was not asked"
    (first, then, *_) = [event for _, event in run.journal.since()]
    assert isinstance(first, Progress) and first.note == "finding the prompt format"
    assert isinstance(then, Warned)
    assert "plain text, '### Human: {input}\\n### Assistant:'" in then.message
    assert "-0.50; next chat template of the base, '{input}': -4.00" in then.message
    assert "--format" in then.message
    list(advance(run, Stage.LABEL))
    assert len(asked) == 1, "what was measured stays"


def test_a_format_that_was_named_is_not_measured(make_run: MakeRun) -> None:  # noqa: F811
    run = make_run()
    assert not list(settle_format(run, Pair(run.recipe, run.inputs)))


def test_where_nothing_tells_the_recipe_s_format_stays_and_a_sentence_says_so(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = owing(make_run(seeds=[Example(f"put {n} coins") for n in range(4)]))
    monkeypatch.setattr(format_proposal, "formats_by_writing", lambda *_given: [])
    before = run.recipe
    _, (told,) = pick(settle_format(run, Pair(run.recipe, run.inputs)))
    assert re.search(r"so it is chat .*three seeds, or choose the format .*--format chat", told)
    assert run.recipe == before and run.recall(MEASURED_FORMAT) == told


def test_a_whole_model_without_outputs_tells_nothing(
    make_run: MakeRun,  # noqa: F811
    tiny_source: Path,
) -> None:
    run = owing(make_run(seeds=[Example(f"put {n} coins") for n in range(4)], teacher="model"))
    run.put_adapter(None)
    _, (told,) = pick(settle_format(run, Pair(run.recipe, run.inputs)))
    assert "No seed has an output" in told
