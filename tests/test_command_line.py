"""The command line shares the folder of runs and the machine with the page; no models here."""

import json
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench import pipeline
from workbench.__main__ import DONE, FAILED, STOPPED, main
from workbench.errors import RunError
from workbench.events import Event, RoundFinished, StageStarted, Stopped
from workbench.jobs import turns
from workbench.models import references
from workbench.recipe import TransferRecipe
from workbench.runs import checkpoints, lease, stop_request
from workbench.runs.folder import Run, create, open_run
from workbench.runs.lease import Holder
from workbench.samples import KEPT, Example, Sample, sample_id
from workbench.stages import Stage
from workbench.synthesis_plan import MEASURED_FORMAT, OWED

KIT = Path(__file__).resolve().parents[1] / "assets" / "example-kit.zip"
TRANSFER = ["transfer", "--kit", str(KIT), "--run", "mine", "--json"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs, told by the environment as the page is told."""
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "kept"))
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr(references, "fetch", lambda reference: tmp_path)
    return tmp_path / "kept"


@pytest.fixture
def advanced(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the pipeline was let at a run; a stand-in that does nothing."""
    times: list[float] = []

    def advance(run: Run, until: Stage, reason: Callable[[], str]) -> Iterator[Event]:
        holder = lease.holder(run.folder)
        assert holder is not None and holder.phase == "working"
        times.append(time.monotonic())
        yield from ()

    monkeypatch.setattr(pipeline, "advance", advance)
    return times


def test_runs_are_where_those_of_the_page_are(
    root: Path, advanced: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    create(root, TransferRecipe(), id="of-the-page")
    assert main(TRANSFER) == DONE and len(advanced) == 1
    assert main(["runs", "--json"]) == DONE
    listed = [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(listed) == ["mine", "of-the-page"]


def test_names_of_folders_do_nothing_to_a_terminal(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(root, TransferRecipe(), id="sound")
    for name in (b"a\x1b[31mred", b"b\xe2\x80\xaegnp", b"c\nline", b"d\xff\xfe"):
        folder = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        folder.mkdir()
        (folder / "recipe.json").write_text("{")
    assert main(["runs"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 4 * 2 and all(line.isprintable() for line in lines)
    assert main(["runs", "--check", "\x1b[31m"]) == FAILED
    assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())
    assert main(["runs", "--json"]) == DONE
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 5


def test_a_name_that_was_made_from_something_else_is_refused(
    root: Path, advanced: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(TRANSFER) == DONE and main(TRANSFER) == DONE
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text(
        "".join(json.dumps({"input": f"seed {n}", "output": "x"}) + "\n" for n in range(4))
    )
    again = {
        ("--seeds", str(seeds)): "the seeds rows are others",
        ("--evaluation", str(seeds)): "the evaluation rows are others",
        ("--unlabelled", str(seeds)): "the unlabelled rows are only here",
        ("--set", "training.epochs=7"): "training.epochs is",
    }
    for more, sentence in again.items():
        assert main([*TRANSFER, *more]) == FAILED
        assert sentence in capsys.readouterr().err
    with zipfile.ZipFile(KIT) as kit:
        kit.extractall(tmp_path / "kit")
    mine = ["transfer", "--run", "mine", "--adapter", str(tmp_path / "kit" / "discriminator")]
    rows = ["--seeds", str(tmp_path / "kit" / "seeds.jsonl")]
    assert main([*mine, *rows]) == FAILED
    assert "the adapter is another one" in (told := capsys.readouterr().err)
    assert "the discriminator is only there" in told
    assert len(advanced) == 2, "nothing was worked on"


@pytest.fixture
def odd_rows(tmp_path: Path) -> Path:
    path = tmp_path / "odd.csv"
    lines = [f"Frage Nummer {n},antwort {n % 4},{n}\n" for n in range(40)]
    path.write_text("Frage,Antwort,Zeile\n" + "".join(lines))
    return path


def test_unclear_columns_are_named_with_the_options_that_say_which(
    root: Path, odd_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        [*TRANSFER, "--seeds", str(odd_rows)],
        [*TRANSFER, "--evaluation", str(odd_rows)],
        ["prepare", "--base", "hub:a/b", "--data", str(odd_rows)],
        ["evaluate", "--base", "hub:a/b", "--rows", str(odd_rows)],
    ):
        assert main(arguments) == FAILED
        told = capsys.readouterr().err
        assert "It has Frage, Antwort, Zeile." in told
        assert "--input-column NAME" in told and "--output-column NAME" in told


def test_chosen_columns_are_read_and_what_is_left_out_is_said(
    root: Path, advanced: list[float], odd_rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--input-column", "frage", "--output-column", "Antwort"]
    files = ["--seeds", str(odd_rows), "--evaluation", str(odd_rows)]
    assert main([*TRANSFER, *files, *chosen]) == DONE
    told = capsys.readouterr().err
    assert "odd.csv: Other columns were left out: Zeile." in told
    assert "15 of 40 rows became seeds, every answer once before any twice" in told
    inputs = open_run(root / "mine").inputs
    assert {seed.output for seed in inputs.seeds} == {f"antwort {n}" for n in range(4)}
    assert len(inputs.seeds) == 15 and len(inputs.unlabelled) == 25
    assert inputs.evaluation[3] == Example("Frage Nummer 3", "antwort 3")


def test_rows_without_outputs_are_no_evaluation(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inputs.csv").write_text("text\nhello\nhm\n")
    for arguments in (
        ["evaluate", "--base", "hub:a/b", "--rows", str(tmp_path / "inputs.csv")],
        ["prepare", "--base", "hub:a/b", "--data", str(tmp_path / "inputs.csv")],
    ):
        assert main(arguments) == FAILED
        assert "has no outputs: its columns are text" in capsys.readouterr().err


def test_evaluation_rows_of_a_transfer_may_have_inputs_only(
    root: Path, advanced: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inputs.csv").write_text("text\nhello\nhm\n")
    assert main([*TRANSFER, "--evaluation", str(tmp_path / "inputs.csv")]) == DONE
    assert "No right answers are in it" in capsys.readouterr().err
    assert open_run(root / "mine").inputs.evaluation == (Example("hello"), Example("hm"))


def test_what_all_rows_share_becomes_part_of_the_prompt_format(
    root: Path, advanced: list[float], tmp_path: Path
) -> None:
    seeds, rows = tmp_path / "seeds.json", tmp_path / "rows.json"
    alpaca = [
        {"system": "Be brief.", "instruction": "Which one?", "input": f"n {n}", "output": "a"}
        for n in range(3)
    ]
    seeds.write_text(json.dumps(alpaca))
    rows.write_text(json.dumps([{**row, "input": f"other {row['input']}"} for row in alpaca]))
    adapter = tmp_path / "kit"
    with zipfile.ZipFile(KIT) as kit:
        kit.extractall(adapter)
    mine = ["transfer", "--run", "mine", "--json", "--adapter", str(adapter / "adapter")]
    assert main([*mine, "--seeds", str(seeds), "--evaluation", str(rows)]) == DONE
    run = open_run(root / "mine")
    assert run.recipe.source_format.system == "Be brief."
    assert run.recipe.source_format.template == "Which one?\n\n{input}"
    assert [row.input for row in run.inputs.seeds] == ["n 0", "n 1", "n 2"]
    assert run.inputs.evaluation[0].input == "other n 0"
    assert run.recipe.source_format.input_columns == "", "what is left is one column"


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    """A transfer of an adapter and seeds with outputs; nothing names a prompt format."""
    with zipfile.ZipFile(KIT) as kit:
        kit.extractall(tmp_path / "kit")
    seeds = tmp_path / "kit" / "seeds.jsonl"
    adapter = str(tmp_path / "kit" / "adapter")
    return ["transfer", "--json", "--adapter", adapter, "--seeds", str(seeds)]


def only_run(root: Path) -> Run:
    (folder,) = [path.parent for path in root.glob("*/run.db")]
    return open_run(folder)


def test_a_format_that_nobody_names_is_measured_by_the_run_and_found_again(
    root: Path, advanced: list[float], bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(bare) == DONE
    run = only_run(root)
    assert run.recall(MEASURED_FORMAT) == OWED
    run.change_recipe({"source_format.kind": "text", "source_format.template": "Q: {input}"})
    run.remember(MEASURED_FORMAT, "as the pipeline does")
    assert main(bare) == DONE and len(advanced) == 2, capsys.readouterr().err
    assert only_run(root).recipe.source_format.template == "Q: {input}"
    named = ["--format", "chat", "--run", run.id]
    assert main([*bare, *named]) == FAILED, "it was begun with the measured one"
    assert "source_format.kind is 'text' there and 'chat' here" in capsys.readouterr().err


def test_the_base_is_the_one_that_the_adapter_s_config_names(
    root: Path, advanced: list[float], bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(bare[bare.index("--adapter") + 1]) / "adapter_config.json"
    for name, taken in (
        ("meta-llama/Llama-2-7b-hf", "hub:meta-llama/Llama-2-7b-hf"),
        ("somebody/a-base", TransferRecipe().source_base),
    ):
        config.write_text(
            json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": name})
        )
        run = name.rpartition("/")[2]
        assert main([*bare, "--run", run]) == DONE
        assert open_run(root / run).recipe.source_base == taken
        told = capsys.readouterr().err
        assert ("names somebody/a-base as its base" in told) == name.startswith("somebody")
    mine = [*bare, "--source-base", "hub:my/own", "--run", "mine"]
    assert main(mine) == DONE and open_run(root / "mine").recipe.source_base == "hub:my/own"


def test_a_base_in_a_folder_is_kept_by_its_whole_path(
    root: Path,
    advanced: list[float],
    bare: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The page may go on with the run, and it runs elsewhere."""
    (tmp_path / "models" / "new").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    named = [*bare, "--target-base", "models/new", "--run", "mine"]
    assert main(named) == DONE
    run = open_run(root / "mine")
    assert run.recipe.target_base == f"folder:{tmp_path}/models/new"
    run.change_recipe({"target_base": "models/new"})  # as runs were kept before
    assert main(named) == DONE and len(advanced) == 2


def test_what_is_named_is_another_run_and_not_measured(
    root: Path, advanced: list[float], bare: list[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe-of-mine.json"
    recipe.write_text(json.dumps({"source_format": {"kind": "chat"}}))
    for number, named in enumerate((
        ["--format", "chat"],
        ["--format", "Q: {input}\\nA:"],
        ["--set", "source_format.system=Be brief."],
        ["--set", "source_format.kind=text"],
        ["--recipe", str(recipe), "--preset", "quick"],
        ["--kit", str(KIT)],
    )):  # fmt: skip
        assert main([*bare, *named, "--run", f"named-{number}"]) == DONE
        assert open_run(root / f"named-{number}").recall(MEASURED_FORMAT) is None
    assert open_run(root / "named-1").recipe.source_format.template == "Q: {input}\nA:"
    partial = tmp_path / "partial.json"
    partial.write_text(json.dumps({"source_format": {"stop_text": "END"}, "seed": 3}))
    for other in (
        ["--set", "source_format.stop_text=END"],
        ["--preset", "quick"],
        ["--recipe", str(partial)],
    ):
        name = f"not-named-by-{other[0][2:]}"
        assert main([*bare, *other, "--run", name]) == DONE
        assert open_run(root / name).recall(MEASURED_FORMAT) == OWED
    of_kit = ["transfer", "--json", "--kit", str(KIT), "--run", "of-kit", "--recipe", str(partial)]
    assert main(of_kit) == DONE
    recipe_of_kit = open_run(root / "of-kit").recipe
    assert recipe_of_kit.seed == 3 and recipe_of_kit.source_format.stop_text == "END"
    assert recipe_of_kit.task_name != TransferRecipe().task_name, "what the file leaves out"
    names = {path.name for path in root.iterdir()}
    assert main(bare) == DONE and main([*bare, "--format", "chat"]) == DONE
    assert len({path.name for path in root.iterdir()} - names) == 2


def test_a_format_that_is_named_before_it_was_measured_is_taken(
    root: Path, advanced: list[float], bare: list[str]
) -> None:
    mine = [*bare, "--run", "mine"]
    assert main(mine) == DONE
    assert main([*mine, "--format", "Q: {input}"]) == DONE
    run = open_run(root / "mine")
    assert run.recipe.source_format.template == "Q: {input}"
    assert run.recall(MEASURED_FORMAT) is None


def test_rows_that_hold_their_prompt_and_bundles_name_the_format(
    root: Path, advanced: list[float], bare: list[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rendered.jsonl"
    texts = [f"### Human: call cab {n}### Assistant: taxi{n % 3}" for n in range(6)]
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    rendered = [*bare[:-1], str(rows), "--run", "rendered"]
    assert main(rendered) == DONE
    run = open_run(root / "rendered")
    assert run.recall(MEASURED_FORMAT) is None
    assert run.recipe.source_format.template == "### Human: {input}### Assistant:"
    bundle = Path(bare[3]) / "recipe.json"
    bundle.write_text(json.dumps({"target_format": {"kind": "text", "template": "N: {input}"}}))
    assert main([*bare, "--run", "bundle"]) == DONE
    run = open_run(root / "bundle")
    assert run.recall(MEASURED_FORMAT) is None
    assert run.recipe.source_format.template == "N: {input}"


def test_joined_columns_are_named_by_the_prompt_format(
    root: Path, advanced: list[float], tmp_path: Path
) -> None:
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("question,schema,sql\nHow many?,t(x),SELECT COUNT(*) FROM t\n")
    assert main([*TRANSFER, "--seeds", str(seeds)]) == DONE
    run = open_run(root / "mine")
    assert run.inputs.seeds == (Example("How many?\n\nt(x)", "SELECT COUNT(*) FROM t"),)
    assert run.recipe.source_format.input_columns == "{question}\n\n{schema}"


def other_worker(root: Path, until: Callable[[], bool]) -> tuple[threading.Thread, Any]:
    """A worker of the page that has the machine until a condition holds."""
    root.mkdir(exist_ok=True)
    holder = Holder("other", os.getpid(), lease.identity(os.getpid()) or "", time.monotonic())
    taken, left = threading.Event(), []

    def work() -> None:
        with turns.turn(root, holder, lambda: False):
            taken.set()
            while not until():
                time.sleep(0.05)
            left.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    assert taken.wait(10)
    return thread, left


def test_a_transfer_waits_for_the_worker_before_it(
    root: Path, advanced: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def seen_waiting() -> bool:
        holder = lease.holder(root / "mine")
        return holder is not None and turns.position(root, holder.job) == 1

    thread, left = other_worker(root, seen_waiting)
    assert main(TRANSFER) == DONE
    thread.join()
    assert left[0] < advanced[0]
    assert "Waiting for the machine: 1 before this one." in capsys.readouterr().err
    assert not turns.waiting(root)


def test_a_transfer_that_waits_can_be_stopped(root: Path, advanced: list[float]) -> None:
    over = threading.Event()
    thread, _ = other_worker(root, over.is_set)

    def stop() -> None:
        while (holder := lease.holder(root / "mine")) is None:
            time.sleep(0.05)
        stop_request.ask(root / "mine", holder.job, "pause")

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        assert main(TRANSFER) == STOPPED and not advanced
    finally:
        over.set()
        thread.join()
        stopper.join()


@pytest.mark.parametrize("mode", ["pause", "discard"])
def test_a_stop_of_the_page_is_obeyed_and_told(
    root: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    def advance(run: Run, until: Stage, reason: Callable[[], str]) -> Iterator[Event]:
        run.journal.append(StageStarted(Stage.DISTIL))
        checkpoints.write(run.checkpoints, 1, {}, {})
        stop_request.ask(run.folder, lease.holder(run.folder).job, mode)  # type: ignore[union-attr]
        assert reason() == mode
        yield from ()

    monkeypatch.setattr(pipeline, "advance", advance)
    assert main(TRANSFER) == STOPPED
    run = open_run(root / "mine")
    assert stop_request.read(run.folder) is None
    assert run.journal.last(Stopped) is not None
    assert (checkpoints.newest(run.checkpoints) is None) is (mode == "discard")


def test_a_new_run_that_cannot_go_on_leaves_nothing_behind(
    root: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that was there before, or that has made something, is kept."""
    written: list[Sample] = []

    def fails(run: Run, until: Stage, reason: Callable[[], str]) -> Iterator[Event]:
        if written:
            run.samples.commit_round(0, written, RoundFinished(0, 1, 1, 0))
        raise RunError("It does not fit.")
        yield  # a generator, as the pipeline is one

    monkeypatch.setattr(pipeline, "advance", fails)
    assert main(bare) == FAILED
    assert capsys.readouterr().err == "run: It does not fit.\n"
    assert not list(root.glob("*/run.db"))
    written.append(Sample(sample_id("a"), "a", "target", 0, None, KEPT))
    assert main(bare) == FAILED
    run = only_run(root)
    assert main(bare) == FAILED and only_run(root).id == run.id


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["transfer", "--kit", str(KIT), "--run", ""], 'After "--run" stands an empty text'),
        (["transfer", "--kit", str(KIT), "--until", "x"], "choose from 'synthesize', 'label'"),
        (["transfer", "--kit", str(KIT), "--format", "x"], "--format: template must be a text"),
        (["transfer", "--kit", str(KIT), "--recipe", "{file}"], "file.json: The recipe is not"),
        (["transfer", "--kit", str(KIT), "--recipe", "{none}"], "cannot be read: No such file"),
        (["transfer", "--kit", str(KIT), "--runs", "{file}"], "cannot be the folder of runs"),
        (["transfer", "--kit", str(KIT), "--seeds", "{folder}"], "folder is a folder. Hand over"),
        (["evaluate", "--base", "b", "--rows", "{rows}", "--input-column", "q",
          "--output-column", "q"], "cannot be input and output at once"),
        (["inspect", str(KIT), "--own-inputs", "2"], "give --base as well"),
        (["inspect", str(KIT), "--base", "b", "--own-inputs", "-2"], '"-2" is no whole number'),
        (["evaluate", "--base", "b", "--rows", "{file}", "--set", "evaluation.metric=checker"],
         "evaluation.checker is not set"),
        (["fleet", "--out", "{file}", "--status"], "is a file. Results go into a folder"),
        (["fleet", "--out", "{none}", "--status"], "No transfers are in"),
        (["fleet", "--out", "{folder}", "--status", "--csv", "{none}/t.csv"], "its folder there?"),
        (["fleet", "--out", "{folder}", "x", "--time-limit", "nan"], '"nan" is no number'),
        (["fleet", "--out", "{folder}", str(KIT)], "is no list of transfers"),
        (["runs", "--runs", "{none}"], "There is no folder"),
        (["runs", "--runs", "{folder}", "--check", "x"], "There is no run x"),
        (["runs", "--take", "x"], "go with --check NAME"),
        (["recipe", "nosuch"], "No field begins with"),
        (["nosuch"], "choose from 'prepare', 'transfer'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(
    root: Path, tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.json").write_text("{")
    (tmp_path / "rows.csv").write_text("q,a\n1,2\n")
    (tmp_path / "folder").mkdir()
    places = {name: tmp_path / name for name in ("none", "folder")} | {
        "file": tmp_path / "file.json",
        "rows": tmp_path / "rows.csv",
    }
    before = sorted(tmp_path.rglob("*"))
    filled = [text.format(**places) if text.startswith("{") else text for text in arguments]
    try:
        assert main(filled) == FAILED
    except SystemExit as error:
        assert error.code == 2
    said = capsys.readouterr()
    assert told in said.err and not said.out
    assert [line for line in said.err.splitlines() if "…" not in line][1:] == []
    assert sorted(tmp_path.rglob("*")) == before
