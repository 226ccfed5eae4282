"""The owner's side on tiny models, and the whole way from kit to adapter by the command line."""

import json
from pathlib import Path

import pytest

from workbench.__main__ import DONE, FAILED, main
from workbench.errors import StageError
from workbench.inputs import choose_seeds
from workbench.intake.kit import read_kit
from workbench.prepare import prepare
from workbench.recipe import TransferRecipe
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
