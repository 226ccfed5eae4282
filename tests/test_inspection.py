"""``inspect`` says of a file what the page would say, and takes nothing."""

import json
from pathlib import Path

import pytest

from tests.intake import builders
from workbench.__main__ import DONE, FAILED, main
from workbench.recipe import PromptFormat
from workbench.steps import format_proposal
from workbench.steps.format_discovery import Found

CORPUS = Path(__file__).parent / "intake" / "corpus"
KIT = Path(__file__).resolve().parents[1] / "assets" / "example-kit.zip"


def inspected(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict]]:
    code = main(["inspect", "--json", *map(str, arguments)])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_rows_are_reported_as_they_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, (rows, asked) = inspected(
        capsys, CORPUS / "shared-instruction.csv", CORPUS / "question-context.jsonl"
    )
    assert code == DONE
    assert (rows["kind"], rows["rows"], rows["with_outputs"]) == ("rows", 3, 3)
    assert rows["input"] == "{instruction}\n\n{input}" and rows["instruction"] == "Which intent?"
    assert rows["first_rows"][0]["output"] == "taxi"
    assert asked["left_out"] == ["id", "title"]
    assert any("were joined into one input" in note for note in asked["notes"])


def test_unclear_columns_are_shown_with_a_proposal_that_can_be_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = CORPUS / "headless.csv"
    code, (report,) = inspected(capsys, path)
    assert code == FAILED and "does not name its columns" in report["problem"]
    assert report["first_rows"][0][0] == "3"
    proposed = report["proposal"]
    options = ["--output-column", proposed["output_column"]]
    for name in proposed["input_columns"]:
        options += ["--input-column", name]
    code, (report,) = inspected(capsys, path, *options)
    assert code == DONE and report["first_rows"][0]["output"] == "3"


def test_links_in_a_folder_that_was_named_are_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, cached = builders.adapter_folder(tmp_path / "saved"), tmp_path / "cached"
    cached.mkdir()
    for path in saved.iterdir():
        (cached / path.name).symlink_to(path)
    assert inspected(capsys, cached)[0] == DONE


def test_adapters_and_kits_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = builders.adapter_folder(tmp_path / "good")
    code, reports = inspected(capsys, KIT, folder)
    assert code == DONE
    kit, adapter = reports
    assert kit["kind"] == "kit" and kit["seeds"] == 15 and kit["discriminator"]
    assert kit["writer"] and "of 1,9" in kit["writer_repeats"]
    assert adapter["method"] == "LoRA" and adapter["modules"] == {"q_proj": 2, "v_proj": 2}
    assert all(check["ok"] for check in adapter["checks"])
    _, (loose,) = inspected(capsys, *sorted(folder.iterdir()))
    assert loose["sha256"] == adapter["sha256"]


def test_an_adapter_of_the_hub_is_fetched_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = builders.adapter_folder(tmp_path / "given")

    def fetched(reference: str, folder: Path) -> list[Path]:
        assert reference == "hub:someone/adapter/checkpoint-10"
        return [path.rename(folder / path.name) for path in sorted(given.iterdir())]

    monkeypatch.setattr("workbench.inspection.fetch_adapter", fetched)
    code, (report,) = inspected(capsys, "hub:someone/adapter/checkpoint-10")
    assert (code, report["kind"], report["method"]) == (DONE, "adapter", "LoRA")


def test_a_refused_file_is_a_sentence_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = builders.adapter_folder(tmp_path / "bad", content=b"nothing")
    assert (
        main(["inspect", str(bad), str(CORPUS / "pointer.csv"), str(tmp_path / "no.csv")]) == FAILED
    )
    told = capsys.readouterr().out
    assert "  BAD " in told and "Git LFS pointer" in told and "no.csv was not found" in told


def test_every_file_of_the_corpus_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(p) for p in sorted(CORPUS.iterdir()) if p.suffix != ".parquet"]
    main(["inspect", *paths])
    told = capsys.readouterr().out
    assert told.count(": rows\n") == len(paths)
    assert all(mark.isprintable() or mark == "\n" for mark in told)


def test_a_base_says_whether_an_adapter_has_learned_its_inputs(
    tiny_source: Path, tiny_adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["--own-inputs", "2", "--format", "In: {input}\\nOut:"]
    base = ["--base", f"folder:{tiny_source}", *told]
    code, (report,) = inspected(capsys, tiny_adapter, *base)
    assert code == DONE and "nats per token against its base" in report["learned_inputs"]
    assert len(report["may_be_training_rows"]) <= 2
    files = sorted(tiny_adapter.glob("adapter_*"))  # the two of them, one by one
    code, (loose,) = inspected(capsys, *files, *base)
    assert code == DONE and loose["nats_per_token"] == report["nats_per_token"]


def test_a_base_finds_the_prompt_format_that_an_adapter_writes_in(
    tiny_source: Path,
    tiny_adapter: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    human = PromptFormat(kind="text", template="### Human: {input}\n### Assistant:")
    found = [Found(human, 2.0, ["a text"]), Found(PromptFormat(), 0.5, ["a text"])]
    monkeypatch.setattr(format_proposal, "formats_by_writing", lambda *_given: found)
    asked = ["inspect", str(tiny_adapter), "--base", f"folder:{tiny_source}", "--format", "find"]
    assert main([*asked, "--json"]) == DONE
    best, _ = json.loads(capsys.readouterr().out)["prompt_formats"]
    assert best == {"kind": "text", "template": human.template, "score": 2.0}
    assert main(asked) == DONE
    assert "text '### Human: {input}\\n### Assistant:' (2.00), chat" in capsys.readouterr().out
    found.clear()
    assert main(asked) == FAILED
    assert "under no known format does this adapter write" in capsys.readouterr().err
