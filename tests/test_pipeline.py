"""The whole transfer on tiny random models: it runs, resumes and lands on the same adapter.

Random weights show that the code runs; that a transfer works is shown by tests/real.
"""

import importlib.metadata
import platform
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.numpy import load_file

from workbench import events, recipe
from workbench.errors import RunError, StageError
from workbench.evaluate.outcome import DRAWS
from workbench.intake.adapter import read_adapter
from workbench.models.pair import Pair
from workbench.pipeline import advance
from workbench.recipe import TransferRecipe
from workbench.runs.folder import Run, create, open_run
from workbench.samples import KEPT, MIXED, REJECTED, SPAN_SWAP, Example, Sample
from workbench.stages import Stage
from workbench.steps import comparison, label_balance, rounds, synthesis, writer_choice, writing
from workbench.steps.soft_labels import SOFT_LABELS
from workbench.synthesis_plan import CHOICE, samples_for

SEEDS = [Example(f"please move {n} coins to box {n * 7}", f"box{n % 3}") for n in range(1, 7)]
ROWS = [Example(f"put {n} coins into box {n}", f"box{n % 3}") for n in range(70)]
SMALL = {
    "task_name": "coins",
    "synthesis.samples": 12,
    "synthesis.filter": "none",
    "synthesis.prompts_per_round": 24,
    "synthesis.new_tokens": 24,
    "evaluation.answer_tokens": 12,
    "training.epochs": 4,
    "training.batch_rows": 4,
    "training.checkpoint_steps": 3,
    "synthesis.mixed": 0,
    "student.rank": 4,
}

# Random weights are sure of nothing, which the writing for labels would reject.
BALANCED = recipe.with_preset(TransferRecipe(), "balanced")

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path, tiny_source: Path, tiny_target: Path, tiny_adapter: Path) -> MakeRun:
    """A run of tiny models with everything uploaded; keyword arguments change the recipe."""
    return maker(tmp_path, tiny_source, tiny_target, tiny_adapter)


@pytest.fixture(scope="module")
def plain(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_source: Path,
    tiny_target: Path,
    tiny_adapter: Path,
) -> Run:
    """The run that nothing disturbed."""
    make = maker(tmp_path_factory.mktemp("plain"), tiny_source, tiny_target, tiny_adapter)
    run = make(name="plain")
    finish(run)
    return run


def maker(root: Path, source: Path, target: Path, adapter: Path) -> MakeRun:
    """See ``make_run``."""

    def make(
        name: str = "run",
        seeds: list[Example] = SEEDS,
        evaluation: list[Example] = ROWS,
        discriminator: bool = False,
        **changes: object,
    ) -> Run:
        wanted = {
            **SMALL,
            "source_base": f"folder:{source}",
            "target_base": f"folder:{target}",
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        run = create(root / "runs", recipe.override(BALANCED, wanted), id=name)
        files = read_adapter(adapter, root)
        run.put_adapter(files, role="adapter")
        if discriminator:
            run.put_adapter(files, role="discriminator")
        run.put_examples("seeds", seeds)
        if evaluation:
            run.put_examples("evaluation", evaluation)
        return run

    return make


def finish(run: Run) -> dict:
    """Work a run off and return its result."""
    for _ in advance(run):
        pass
    result = run.result()
    assert result is not None
    return result


def adapter_of(run: Run) -> dict[str, numpy.ndarray]:
    """The exported adapter's tensors."""
    (weights,) = (run.folder / "exports").glob("*/adapter_model.safetensors")
    return load_file(weights)


def assert_same_outcome(one: Run, other: Run) -> None:
    """Same samples, same answers, same adapter to the last bit."""
    assert [s.input for s in one.samples.all()] == [s.input for s in other.samples.all()]
    first, second = one.result(), other.result()
    assert first and second
    assert first["arms"] == second["arms"]
    tensors, others = adapter_of(one), adapter_of(other)
    assert tensors.keys() == others.keys()
    assert all(numpy.array_equal(tensors[key], others[key]) for key in tensors)


def test_an_adapter_that_was_changed_after_the_checks_stops_the_run(make_run: MakeRun) -> None:
    run = make_run()
    assert run.inputs.adapter is not None
    weights = run.inputs.adapter.weights
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # the size stays
    weights.write_bytes(content)
    with pytest.raises(RunError, match=f"{weights.name} is missing or has changed"):
        list(advance(run))
    content[-1] ^= 1
    weights.write_bytes(content)
    assert any(isinstance(event, events.StageFinished) for event in advance(run, Stage.SYNTHESIZE))


def test_whole_transfer(make_run: MakeRun) -> None:
    run = make_run(seed=7)
    seen = list(advance(run))
    assert isinstance(seen[0], events.StageStarted)
    finished = [e.stage for e in seen if isinstance(e, events.StageFinished)]
    assert finished == list(Stage)
    assert [event for _, event in run.journal.since(0, limit=10_000)] == seen
    result = run.result()
    assert result is not None
    assert set(result["arms"]) == {
        "source_base", "source_adapter", "target_base", "target_few_shot", "transferred",
    }  # fmt: skip
    asked = {arm: values["n"] for arm, values in result["arms"].items()}
    assert asked["source_adapter"] == asked["transferred"] == len(ROWS)
    assert asked["source_base"] == asked["target_base"] == run.recipe.evaluation.base_rows
    assert set(result["difference"]) == {"mean", "low", "high"}
    assert set(result["seconds"]) == set(Stage)
    # F15: what decides the numbers is kept with them.
    packages = ("torch", "transformers", "peft", "bitsandbytes")
    installed = {name: importlib.metadata.version(name) for name in packages}
    assert installed.items() <= result["versions"].items()
    assert result["versions"]["python"] == platform.python_version()
    assert result["seed"] == run.recipe.seed == 7
    assert result["recipe_hash"] == recipe.recipe_hash(run.recipe)
    assert run.inputs.adapter and result["adapter_sha256"] == run.inputs.adapter.sha256
    assert result["training"]["batch_rows"] > 0 and result["training"]["learning_rate"] > 0
    assert result["device"]["threads"] == torch.get_num_threads()
    assert result["device"]["name"] and result["device"]["deterministic"] in (True, False)
    assert result["peak_memory_bytes"] > 10**8
    assert result["counts"]["kept"] >= 12
    assert list(advance(run)) == []  # nothing is owed any more


def test_a_base_is_read_no_further_than_right_answers_reach(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_rows, asked = comparison.arms.answer_rows, {}

    def note(resident, adapter, form, inputs, answer_tokens):
        asked.setdefault(adapter is None, set()).add(answer_tokens)
        return answer_rows(resident, adapter, form, inputs, answer_tokens)

    monkeypatch.setattr(comparison.arms, "answer_rows", note)
    finish(make_run(evaluation=ROWS[:3], evaluation__answer_tokens=40))
    assert asked[False] == {40}  # an adapter ends its answers itself
    assert all(comparison.BEYOND < tokens < 40 for tokens in asked[True])


def test_discriminator_keeps_what_it_says_yes_to(make_run: MakeRun) -> None:
    run = make_run(discriminator=True, synthesis__filter="auto", synthesis__max_rounds=3)
    for _ in advance(run, Stage.SYNTHESIZE):
        pass
    samples = run.samples.all()
    assert samples
    assert all((s.status == KEPT) == ((s.discriminator_score or 0) > 0.5) for s in samples)


def test_excess_keeps_the_better_half(make_run: MakeRun) -> None:
    run = make_run(synthesis__filter="auto", synthesis__samples=8)
    for _ in advance(run, Stage.SYNTHESIZE):
        pass
    kept = [s.excess or 0 for s in run.samples.kept()]
    rejected = [s.excess or 0 for s in run.samples.all() if s.status == REJECTED and s.excess]
    assert len(kept) == 8
    assert len(rejected) >= 8
    assert min(kept) >= max(rejected)


def test_cap_on_attempts_is_said(make_run: MakeRun) -> None:
    run = make_run(synthesis__samples=5000, synthesis__max_rounds=1)
    warnings = [e for e in advance(run, Stage.SYNTHESIZE) if isinstance(e, events.Warned)]
    assert len(warnings) == 1
    assert "of 5000 samples were kept" in warnings[0].message


def test_without_right_answers_the_teacher_is_asked_what_it_would_write(
    make_run: MakeRun,
) -> None:
    run = make_run(evaluation=[], synthesis__samples=30, evaluation__metric="chrf")
    result = finish(run)
    assert result["measure"] == "similarity to the teacher"
    asked = {arm for arm, values in result["arms"].items() if values}
    assert asked == {"source_adapter", "target_base", "transferred"}
    rows = result["arms"]["transferred"]["n"]
    assert rows == round(len(run.samples.kept()) * 0.1) or rows >= 2
    assert "not that either of them is right" in result["verdict"]["sentence"]
    samples = [run.answers.get(draw) for draw in DRAWS]
    assert [len(rows) for rows in samples] == [rows, rows]
    assert samples[0] != samples[1]  # drawn, not the likeliest twice
    view = result["teacher"]
    assert -50 < view["likelihood"]["mean"] < 5
    assert view["likelihood"]["low"] <= view["likelihood"]["mean"] <= view["likelihood"]["high"]


def test_fewer_evaluation_rows_are_drawn_and_not_the_first(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is sorted by label would be judged by one label."""
    rows = [Example(f"put {n} coins", "first" if n < 60 else "second") for n in range(120)]
    monkeypatch.setattr(comparison, "split_examples", lambda *_given: ([], rows))
    run = make_run(evaluation__max_rows=40)
    pair = Pair(run.recipe, run.inputs)
    drawn = comparison.evaluation_rows(run, pair)
    assert len(drawn) == 40 and drawn == sorted(drawn, key=rows.index)
    assert {row.output for row in drawn} == {"first", "second"}
    assert drawn == comparison.evaluation_rows(run, pair)
    assert comparison.evaluation_rows(make_run(name="all"), pair) == rows


def test_bare_bases_answer_some_of_the_rows(make_run: MakeRun) -> None:
    run = make_run(evaluation__base_rows=5)
    told = [event for event in advance(run) if isinstance(event, events.Progress)]
    last = [event for event in told if event.stage is Stage.EVALUATE][-1]
    assert last.done == last.total == 2 * len(ROWS) + 3 * 5
    rows = {arm: values["n"] for arm, values in (run.result() or {})["arms"].items()}
    assert rows.pop("source_adapter") == rows.pop("transferred") == len(ROWS)
    assert set(rows.values()) == {5} and len(rows) == 3
    asked = [row.index for row in run.answers.get("source_base")]
    assert asked == [row.index for row in run.answers.get("target_base")] != [0, 1, 2, 3, 4]


def test_evaluation_inputs_without_answers_are_no_wrong_answers(make_run: MakeRun) -> None:
    bare = [Example(row.input) for row in ROWS[:8]]
    result = finish(make_run(evaluation=bare, evaluation__base_arms=False))
    assert result["measure"] == "similarity to the teacher"
    assert {arm: values.get("n") for arm, values in result["arms"].items()} == {
        "source_base": None, "source_adapter": 8, "target_base": None,
        "target_few_shot": None, "transferred": 8,
    }  # fmt: skip


def test_free_text_is_recognised_and_scored(make_run: MakeRun) -> None:
    names = ["red", "green", "blue", "white", "black", "brown", "pink", "grey"]
    told = [
        Example(
            f"put {n} coins into box {n}",
            f"box {n} now holds {n} more {name} coins than it held before",
            (f"box {n} now holds {n} more {name} coins than it held before", f"{n} more in {n}"),
        )
        for n, name in enumerate(names)
    ]
    seeds = [Example(f"lay {n} coins", f"the box got {n * 3} coins, all {n}") for n in range(8)]
    run = make_run(
        seeds=seeds, evaluation=told, evaluation__base_arms=False, evaluation__metric="auto",
        evaluation__answer_tokens=0, training__epochs=1,
    )  # fmt: skip
    result = finish(run)
    assert (result["task_kind"], result["metric"], result["measure"]) == (
        "free text", "chrf", "chrF",
    )  # fmt: skip
    assert 32 <= result["answer_tokens"] <= 1024
    arm = result["arms"]["transferred"]
    assert set(arm) == {"accuracy", "n", "low", "high", "exact", "rouge"}
    answers = run.answers.get("transferred")
    assert arm["accuracy"] == pytest.approx(sum(a.grade for a in answers) / len(answers))
    assert "chrF" in result["verdict"]["sentence"]
    assert run.inputs.evaluation[0].references == told[0].references


def test_seeds_without_outputs_are_answered_by_the_teacher(make_run: MakeRun) -> None:
    run = make_run()
    run.put_examples("seeds", [Example(seed.input) for seed in SEEDS])
    result = finish(run)
    assert result["arms"]["target_few_shot"]["n"] == run.recipe.evaluation.base_rows


def test_answers_that_do_not_end_are_no_labels(make_run: MakeRun) -> None:
    run = make_run(synthesis__samples=8)
    for _ in advance(run, Stage.LABEL):
        pass
    cut = [
        s
        for s in run.samples.all()
        if s.reason == "the teacher's answer did not end within the limit"
    ]
    assert cut
    assert all(s.status == REJECTED and s.teacher_output is None for s in cut)
    inputs = [Example(seed.input) for seed in SEEDS]  # nobody knows how long answers are
    endless = make_run("endless", inputs, [], evaluation__answer_tokens=1)
    with pytest.raises(StageError, match="within 1 tokens"):
        list(advance(endless))


def test_missing_inputs_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    bare = create(tmp_path / "runs", TransferRecipe(), id="bare")
    with pytest.raises(RunError, match="no source adapter"):
        next(advance(bare))
    few = make_run(name="few", synthesis__writer="list")
    few.put_examples("seeds", SEEDS[:2])
    with pytest.raises(RunError, match="at least 3"):
        next(advance(few))
    none = make_run(name="none", seeds=[], synthesis__writer="auto", synthesis__new_tokens=8)
    with pytest.raises(RunError, match="a base needs 3 to write"):
        list(advance(none))
    no_kit = make_run(name="no-kit", synthesis__writer="kit")
    with pytest.raises(RunError, match="this run has none"):
        list(advance(no_kit))


def test_too_few_samples_to_train(make_run: MakeRun) -> None:
    run = make_run(synthesis__samples=1, synthesis__max_rounds=1, synthesis__train_on_seeds=False)
    for _ in advance(run, Stage.LABEL):
        pass
    for sample in run.samples.kept():
        run.samples.edit(sample.id, sample.version, status=REJECTED)
    with pytest.raises(StageError, match="Keep more samples"):
        list(advance(run))


def test_pause_and_keep(make_run: MakeRun, plain: Run) -> None:
    """A paused training goes on from its checkpoint; "keep" ends it and packs what is learnt."""
    paused = make_run(name="paused")
    seen_steps: list[int] = []

    def pause_at_four() -> str:
        return "pause" if seen_steps and seen_steps[-1] == 4 else ""

    for event in advance(paused, stop_reason=pause_at_four):
        if isinstance(event, events.Metric):
            seen_steps.append(event.step)
    assert seen_steps == [1, 2, 3, 4]
    assert paused.result() is None
    more = [e.step for e in advance(paused) if isinstance(e, events.Metric)]
    assert more[0] == 5
    assert_same_outcome(paused, plain)

    kept = make_run(name="kept")
    steps: list[int] = []

    def keep_at_four() -> str:
        return "keep" if steps and steps[-1] >= 4 else ""

    for event in advance(kept, stop_reason=keep_at_four):
        if isinstance(event, events.Metric):
            steps.append(event.step)
    result = kept.result()
    assert result is not None
    assert steps[-1] == 4
    assert result["counts"]["training_steps"] == 4


KILLED = """
import os, sys
from workbench import events
from workbench.models.pair import Pair
from workbench.pipeline import advance
from workbench.runs.folder import open_run
from pathlib import Path
kind, nth = sys.argv[2], int(sys.argv[3])
seen = 0
for event in advance(open_run(Path(sys.argv[1]))):
    seen += type(event).__name__ == kind
    if seen == nth:
        os.kill(os.getpid(), 9)
"""


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "nth"),
    [("RoundFinished", 1), ("Metric", 5), ("CheckpointWritten", 1), ("ArmFinished", 2)],
)
def test_kill_at_each_stage_changes_nothing(
    make_run: MakeRun, plain: Run, kind: str, nth: int
) -> None:
    killed = make_run(name="killed")
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed.folder), kind, str(nth)],
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    killed = open_run(killed.folder)
    assert killed.result() is None
    finish(killed)
    assert_same_outcome(killed, plain)


@pytest.mark.parametrize("writer", ["own", "kit"])
def test_an_adapter_writes_without_seeds_and_every_sample_is_scored(
    make_run: MakeRun, writer: str
) -> None:
    run = make_run(
        seeds=[], discriminator=True, synthesis__writer=writer, synthesis__filter="auto",
        synthesis__samples=10, training__epochs=1,
    )  # fmt: skip
    if writer == "kit":
        run.put_adapter(run.inputs.adapter, role="writer")
    result = finish(run)
    kept = run.samples.kept()
    assert len(kept) == 10
    assert {sample.origin for sample in kept} == {writer}
    assert all(sample.discriminator_score is not None for sample in kept)
    assert result["writer"]["writer"] == writer
    assert result["filter"] == "none"
    assert not result["arms"].get("target_few_shot")


def test_what_has_learned_its_inputs_writes_them(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for gain, writer in ((2.0, "own"), (0.1, "label")):
        monkeypatch.setattr(writer_choice, "input_gain", lambda *_given, gain=gain: gain)
        run = make_run(name=writer, synthesis__writer="auto", synthesis__max_rounds=1)
        for _ in advance(run, Stage.SYNTHESIZE):
            pass
        choice = run.recall(CHOICE)
        assert choice["writer"] == writer
        assert f"{gain:.1f} nats per token" in choice["why"]


def test_a_task_that_has_no_more_inputs_ends_the_writing(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one round that brings nothing: 24 texts cannot tell, three rounds of them can."""
    few = iter([["put a coin down"], ["put a coin down"], ["lay a coin down"], ["unasked"]])
    monkeypatch.setattr(
        synthesis,
        "write_texts",
        lambda *_given: [synthesis.Text(text) for text in next(few) * 24],
    )
    run = make_run(synthesis__writer="own")
    seen = list(advance(run, Stage.SYNTHESIZE))
    assert [s.input for s in run.samples.all()] == ["put a coin down", "lay a coin down"]
    assert sum(isinstance(event, events.RoundFinished) for event in seen) == 3
    assert any(isinstance(event, events.Warned) for event in seen)


def test_the_number_of_samples_follows_the_labels(
    make_run: MakeRun, sure_teacher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.synthesis_plan.PER_LABEL", 9)
    monkeypatch.setattr("workbench.synthesis_plan.FEWEST", {False: 5})
    monkeypatch.setattr("workbench.synthesis_plan.FREE_TEXT", {False: 127})
    run = make_run(synthesis__writer="own", synthesis__samples=0, synthesis__max_rounds=9)
    told = [event for event in advance(run, Stage.SYNTHESIZE) if isinstance(event, events.Progress)]
    # Nine for each of three labels, and about half of the way to free text: so many are doubted.
    assert 3 * 9 + 30 <= len(run.samples.kept()) < 3 * 9 + 70 + 24
    assert any("9 for each of 3 labels" in event.note for event in told)


@pytest.mark.parametrize(
    ("unsure", "on_gpu", "count"),
    [(0.0, False, 600), (0.5, False, 2300), (1.0, False, 4000), (0.0, True, 3000)],
)
def test_the_less_sure_the_teacher_the_more_samples(
    unsure: float, on_gpu: bool, count: int
) -> None:
    answers = ["good", "bad"] * 20
    assert samples_for(answers, on_gpu, unsure=unsure).count == count
    many = [f"label {n % 70}" for n in range(700)]
    assert samples_for(many, False, unsure=unsure).count == 7000  # beyond those of free text


def test_label_by_label_every_label_is_kept_alike(make_run: MakeRun, sure_teacher: None) -> None:
    run = make_run(
        synthesis__writer="label", synthesis__filter="auto", synthesis__samples=10,
        synthesis__max_rounds=4,
    )  # fmt: skip
    for _ in advance(run, Stage.SYNTHESIZE):
        pass
    samples = run.samples.all()
    assert samples
    assert len(run.samples.kept()) <= 10
    assert all(s.reason for s in samples if s.status == REJECTED)


@pytest.mark.parametrize("named", [False, True])
def test_an_answer_of_a_lucky_miss_or_of_held_out_rows_is_written_for(
    make_run: MakeRun, sure_teacher: None, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """A text that missed its label brings another one, which nothing unasked had named; or
    held-out rows name one that the teacher has not said yet."""
    boxes, asked = label_balance.label, []

    def label(pair: object, recipe: object, samples: list[Sample]) -> list[Sample]:
        return [
            replace(sample, teacher_output="rare", confidence=0.99)
            if "aside" in sample.input
            else sample
            for sample in boxes(pair, recipe, samples)  # pyright: ignore[reportArgumentType]
        ]

    def write_texts(*given: object) -> list[synthesis.Text]:
        targets, number = given[4], given[5]
        asked.append(Counter(targets))  # pyright: ignore[reportArgumentType]
        return [
            synthesis.Text(
                f"put {100 * number + at} coins "
                f"{'aside' if target == 'rare' or (number, at) == missed else 'into a box'}",
                target,
            )
            for at, target in enumerate(targets)  # pyright: ignore[reportArgumentType]
        ]

    for module in (synthesis, label_balance, rounds):
        monkeypatch.setattr(module, "label", label)
    monkeypatch.setattr(synthesis, "write_texts", write_texts)
    missed = None if named else (1, 0)
    run = make_run(
        evaluation=[*ROWS, *[Example(f"put {n} coins aside", "rare") for n in range(2 * named)]],
        synthesis__writer="label", synthesis__filter="auto", synthesis__samples=60,
        synthesis__max_rounds=9, synthesis__prompts_per_round=16,
    )  # fmt: skip
    for _ in advance(run, Stage.SYNTHESIZE):
        pass
    # An eighth of a round; as many are for nothing.
    tried = 1 if named else 2
    assert [round["rare"] for round in asked[: tried + 1]] == [0] * tried + [2]
    assert asked[1][None] == 2
    # Given back it is a label as the others are.
    made, kept = (
        sum(sample.teacher_output == "rare" for sample in samples)
        for samples in (run.samples.all(), run.samples.kept())
    )
    assert made == kept > 4


def test_a_text_that_missed_its_label_is_shown_only_where_no_other_has_its_answer() -> None:
    def told(text: str, answer: str, asked: str | None, confidence: float) -> Sample:
        return Sample(
            text, text, "target", status=KEPT, teacher_output=answer, confidence=confidence,
            written_for=asked,
        )  # fmt: skip

    seeds = [Example("a seed", "box0")]
    samples = [
        told("free", "box1", None, 0.6), told("missed", "box1", "box0", 0.99),
        told("missed the seed's", "box0", "box1", 0.99), told("doubted", "box3", "box0", 0.9),
        told("only one", "box2", "box0", 0.99),
    ]  # fmt: skip
    shown = writing.shown_beside(seeds, samples)
    assert [example.input for example in shown] == ["free", "only one"]


@pytest.mark.parametrize("writer", ["own", "label"])
def test_killed_between_rounds_and_resumed_is_the_same(make_run: MakeRun, writer: str) -> None:
    changes = {
        "synthesis__writer": writer,
        "synthesis__max_rounds": 5,
        "synthesis__samples": 40,
        "synthesis__prompts_per_round": 16,
    }
    broken = make_run(name="broken", **changes)
    for event in advance(broken):  # closed in the middle of a round, as by a kill
        if isinstance(event, events.RoundFinished) and event.round == 1:
            break
    plain = make_run(name="plain", **changes)
    for run in (broken, plain):
        for _ in advance(run, Stage.LABEL):
            pass
    assert broken.samples.all() == plain.samples.all() != []


@pytest.fixture
def sure_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny random teacher has no closed set of answers: this one has three, and doubts."""

    def label(_pair: object, _recipe: object, samples: list[Sample]) -> list[Sample]:
        def answered(sample: Sample) -> Sample:
            number = int(sample.id, 16)
            confidence = 0.99 if number % 2 else 0.6
            return replace(sample, teacher_output=f"box{number % 3}", confidence=confidence)

        return [answered(sample) if not sample.teacher_output else sample for sample in samples]

    for module in (synthesis, label_balance, rounds):
        monkeypatch.setattr(module, "label", label)

    def write_texts(*given: object) -> list[synthesis.Text]:
        targets, number = given[4], given[5]  # a random base hardly ends a line
        return [
            synthesis.Text(f"put {100 * number + at} coins into a box", target)
            for at, target in enumerate(targets or [None] * 24)
        ]

    monkeypatch.setattr(synthesis, "write_texts", write_texts)


MIXING = {
    "synthesis__filter": "auto",
    "synthesis__writer": "label",
    "synthesis__max_rounds": 20,
    "synthesis__mixed": 2.0,
    "training__soft_labels": True,
}


def test_inputs_are_mixed_and_unsure_labels_are_soft(make_run: MakeRun, sure_teacher: None) -> None:
    run = make_run(**MIXING)
    for _ in advance(run, Stage.DISTIL):
        pass
    kept = run.samples.kept()
    mixed = [sample for sample in kept if sample.origin == SPAN_SWAP]
    written = [sample for sample in kept if sample.origin not in MIXED]
    assert len(written) == 12
    assert len(mixed) == 24
    words = {word for text in (*written, *SEEDS) for word in text.input.split()}
    assert all(set(sample.input.split()) <= words for sample in mixed)
    soft = run.recall(SOFT_LABELS)["labels"]
    assert set(soft) == {sample.input for sample in kept if (sample.confidence or 0) < 0.95}
    for label in soft.values():
        assert sum(share for _, share in label) == pytest.approx(1)
        assert {answer for answer, _ in label} <= {"box0", "box1", "box2"}


def test_killed_among_mixed_inputs_it_makes_the_same_ones(
    make_run: MakeRun, sure_teacher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_balance, "MIXED_ROUND", {"cpu": 8})
    broken, plain = make_run(name="broken", **MIXING), make_run(name="plain", **MIXING)
    for event in advance(broken, Stage.SYNTHESIZE):
        done = sum(sample.origin == SPAN_SWAP for sample in broken.samples.all())
        if isinstance(event, events.RoundFinished) and done:
            break  # closed as by a kill: its last round is committed
    assert sum(sample.origin == SPAN_SWAP for sample in broken.samples.all()) == 8
    for run in (broken, plain):
        for _ in advance(run, Stage.LABEL):
            pass
    assert broken.samples.all() == plain.samples.all()
