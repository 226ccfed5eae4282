"""The owner's side on tiny models, and the whole way from kit to adapter by the command line."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from workbench.__main__ import DONE, FAILED, INTERRUPTED, main
from workbench.errors import StageError
from workbench.inputs import Inputs, choose_seeds
from workbench.intake.adapter import read_adapter
from workbench.intake.kit import read_kit, write_kit
from workbench.prepare import prepare, work_folder
from workbench.recipe import PromptFormat, TransferRecipe, to_json
from workbench.samples import Example

ROWS = [Example(f"put {n} coins into box {n % 9}", f"box{n % 3}") for n in range(60)]


def write_rows(path: Path, rows: list[Example]) -> Path:
    path.write_text(
        "".join(json.dumps({"input": r.input, "output": r.output}) + "\n" for r in rows)
    )
    return path


def test_seeds_cover_every_answer_before_any_twice() -> None:
    rows = [Example(f"row {n}", "rare" if n == 50 else f"label{n % 4}") for n in range(60)]
    assert {seed.output for seed in choose_seeds(rows, 5, 0)} == {
        "rare",
        *map("label{}".format, range(4)),
    }
    assert choose_seeds(rows, 5, 0) == choose_seeds(rows, 5, 0)
    assert len(choose_seeds(rows[:3], 5, 0)) == 3


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="too few"):
        prepare(
            TransferRecipe(), ROWS[:5], [], tmp_path / "kit.zip", seed_count=3,
            report=lambda *_: None,
        )  # fmt: skip


def test_kit_then_transfer_by_command_line(
    tmp_path: Path,
    tiny_source: Path,
    tiny_target: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A random model writes hardly any list items; take what there is.
    monkeypatch.setattr("workbench.prepare.FEWEST_ROWS", 1)
    monkeypatch.setattr("workbench.prepare.NEGATIVE_ROUNDS", 3)
    kit = tmp_path / "kit.zip"
    code = main(
        [
            *("prepare", "--base", f"folder:{tiny_source}", "--task-name", "coins", "--json"),
            *("--data", str(write_rows(tmp_path / "train.jsonl", ROWS))),
            *("--evaluation", str(write_rows(tmp_path / "held.jsonl", ROWS[:12]))),
            *("--seeds", "6", "--kit", str(kit), "--attribution", "made up"),
            *("--set", "synthesis.new_tokens=24", "--set", "evaluation.answer_tokens=12"),
        ]
    )
    assert code == DONE
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert measured["training_rows"] == 60
    assert 0 <= measured["accuracy"] <= 1
    assert 0 <= measured["discriminator_auc"] <= 1
    packed = read_kit(kit, tmp_path)
    assert packed.inputs.discriminator is not None
    assert len(packed.inputs.seeds) == 6
    assert packed.task_name == "coins"

    transfer = [
        *("transfer", "--kit", str(kit), "--runs", str(tmp_path / "runs"), "--json"),
        *("--source-base", f"folder:{tiny_source}", "--target-base", f"folder:{tiny_target}"),
        # A teacher of random weights is sure of nothing, which the preset "best" would reject.
        *("--preset", "balanced", "--set", "synthesis.filter=none", "--set", "synthesis.samples=8"),
        *("--set", "synthesis.new_tokens=24", "--set", "training.epochs=1"),
        *("--set", "evaluation.answer_tokens=12", "--set", "lora.rank=4"),
    ]
    assert main(transfer) == DONE
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["arms"]["transferred"]["n"] == 12
    # The source arm is the accuracy that prepare measured on the same rows.
    assert result["arms"]["source_adapter"]["accuracy"] == measured["accuracy"]
    assert main(transfer) == DONE  # the same command finds the finished run
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    assert main(["runs", "--runs", str(tmp_path / "runs"), "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["accuracies"]["transferred"] is not None

    exported = tmp_path / "runs" / result["run"] / "exports" / "adapter"
    code = main(
        [
            *("evaluate", "--base", f"folder:{tiny_target}", "--adapter", str(exported)),
            *("--rows", str(tmp_path / "held.jsonl"), "--quantize", "--json"),
            *("--set", "evaluation.answer_tokens=12"),
        ]
    )
    assert code == DONE
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["accuracy"] == result["arms"]["transferred"]["accuracy"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["transfer"], "Nothing to move"),
        (["transfer", "--kit", "missing.zip"], "missing.zip"),
        (["transfer", "--kit", "x.zip", "--set", "training.epoch=3"], ""),
        (["fetch", "package:unknown"], "unknown"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_one(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == FAILED
    message = capsys.readouterr().err.strip()
    assert sentence in message
    assert len(message.splitlines()) == 1


def test_a_stopped_prepare_says_how_to_go_on_and_goes_on(
    tmp_path: Path,
    tiny_source: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the recipe decides the training: 60 rows in batches of 30 for one epoch are 2 steps."""
    monkeypatch.setattr("workbench.prepare.FEWEST_ROWS", 1)
    monkeypatch.setattr("workbench.prepare.NEGATIVE_ROUNDS", 3)
    kit = tmp_path / "a kit.zip"
    command = [
        *("prepare", "--base", f"folder:{tiny_source}", "--task-name", "coins", "--kit", str(kit)),
        *("--data", str(write_rows(tmp_path / "train.jsonl", ROWS)), "--seeds", "6"),
        *("--set", "training.epochs=1", "--set", "training.batch_rows=30"),
        *("--set", "student.rank=2", "--set", "synthesis.new_tokens=24"),
        *("--evaluation", str(write_rows(tmp_path / "held.jsonl", ROWS[:3]))),
        *("--set", "evaluation.metric=chrf", "--set", "evaluation.answer_tokens=4"),
    ]
    with monkeypatch.context() as during:
        during.setattr("workbench.prepare.write_negatives", interrupted)
        assert main(command) == INTERRUPTED
    told = capsys.readouterr().err
    assert "Traceback" not in told and "2/2" in told
    line = next(line for line in told.splitlines() if line.startswith("Stopped."))
    assert shlex.split(line.partition("on: ")[2]) == ["python", "-m", "workbench", *command]
    with monkeypatch.context() as during:
        during.setattr("workbench.prepare.train_source", interrupted)
        assert main(command) == DONE
    told = capsys.readouterr().out
    assert "chrF" in told and "accuracy" not in told
    adapter = read_kit(kit, tmp_path).inputs.adapter
    assert adapter is not None and adapter.settings.fields["r"] == 2
    assert not work_folder(kit).exists()


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_evaluate_takes_the_format_of_what_it_evaluates(
    tmp_path: Path,
    tiny_source: Path,
    tiny_adapter: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It silently took the target's: a source adapter came out at 0.0."""
    rows = write_rows(tmp_path / "rows.jsonl", ROWS[:4])
    base = ["evaluate", "--base", f"folder:{tiny_source}", "--rows", str(rows), "--json"]
    base += ["--set", "evaluation.answer_tokens=2"]

    def chosen(*more: str) -> dict[str, str]:
        assert main([*base, *more]) == DONE
        return json.loads(capsys.readouterr().out.splitlines()[-1])["format"]

    own = tmp_path / "adapter"
    shutil.copytree(tiny_adapter, own)
    form = PromptFormat(kind="text", template="Box of {input}:")
    (own / "recipe.json").write_text(to_json(TransferRecipe(target_format=form)))
    assert chosen("--adapter", str(own))["template"] == "Box of {input}:"
    assert chosen("--adapter", str(own), "--format", "chat")["kind"] == "chat"
    assert chosen("--adapter", str(own), "--side", "target")["template"] == "{input}\n\nAnswer:"
    assert chosen("--set", "target_format.template=In {input}")["template"] == "In {input}"
    (own / "recipe.json").write_text("{")
    assert main([*base, "--adapter", str(own)]) == FAILED
    assert "--format" in capsys.readouterr().err
    assert "{input}" in chosen("--adapter", str(tiny_adapter))["template"]
    kit = tmp_path / "kit.zip"
    write_kit(
        kit,
        Inputs(read_adapter(tiny_adapter, tmp_path), seeds=tuple(ROWS[:3])),
        TransferRecipe(source_base=f"folder:{tiny_source}", source_format=form),
        discriminator_auc=None,
    )
    assert chosen("--adapter", str(kit))["template"] == "Box of {input}:"

    # A kit made on a folder does not name its base: asked for, not failed with a tensor's name.
    assert main(["transfer", "--kit", str(kit), "--runs", str(tmp_path / "runs")]) == FAILED
    assert "--source-base" in capsys.readouterr().err
