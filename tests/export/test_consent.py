"""Samples that may be private rows stay here until a person says otherwise."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.export.test_bundle import SAMPLES, write
from tests.ui import fake_run
from tests.ui.conftest import runs  # noqa: F401  a fixture
from workbench import chains
from workbench.__main__ import main
from workbench.errors import StageError
from workbench.export import consent
from workbench.export.bundle import replace_card
from workbench.ui import review_actions, snapshot, takehome_tab
from workbench.ui.consent_box import draw


@pytest.mark.parametrize("origin", ["own", "kit"])
def test_the_adapters_zip_goes_without_them(tmp_path: Path, origin: str) -> None:
    mixed = [*SAMPLES, replace(SAMPLES[0], id="b", origin=origin)]
    bundle = write(tmp_path, samples=mixed)
    bundle = replace_card(bundle, (bundle.folder / "README.md").read_text())
    names = zipfile.ZipFile(bundle.archive).namelist()
    assert len(names) == 4 and not any("samples" in name for name in names)
    assert "samples.jsonl" not in (bundle.folder / "README.md").read_text()


def test_inputs_that_an_adapter_wrote_for_an_earlier_run_count(tmp_path: Path) -> None:
    given = [replace(SAMPLES[0], origin="user")]
    assert write(tmp_path / "own", samples=given).folder.joinpath("samples.jsonl").is_file()
    bundle = write(tmp_path, samples=given, inherited=True)
    assert not (bundle.folder / "samples.jsonl").exists()


def test_a_chain_remembers_it(tmp_path: Path) -> None:
    for origin, expected in (("own", True), ("target", False)):
        run = fake_run.synthesize(fake_run.draft(tmp_path, origin), rounds=1, origin=origin)
        assert chains.chain_facts(run).get(consent.INHERITED, False) is expected


def test_the_page_asks_first(runs: Path) -> None:  # noqa: F811
    plain = fake_run.synthesize(fake_run.draft(runs, "plain"), rounds=1)
    assert not draw(snapshot.take(plain.id, fresh=True))["visible"]
    takehome_tab._data_set(plain.id, "JSONL", False)
    run = fake_run.synthesize(fake_run.draft(runs), rounds=1, origin="kit")
    shown = draw(snapshot.take(run.id, fresh=True))
    assert shown["visible"] and shown["value"] is False
    assert shown["info"].startswith("40 samples were written by an adapter that has learned")
    finder = ["", "", "", "", 0, 1, False, "made"]
    # Whatever is not the tick itself is a no: a call by hand can send anything.
    for ticked in (False, None, "yes", 1):
        with pytest.raises(StageError, match=r"word for word.*Tick"):
            takehome_tab._data_set(run.id, "CSV", ticked)  # type: ignore[arg-type]
        with pytest.raises(StageError, match=r"word for word.*Tick"):
            review_actions.make_file(run.id, *finder, "JSONL", ticked)
    path = Path(takehome_tab._data_set(run.id, "JSONL", True)["value"])
    assert len(path.read_text().splitlines()) == len(run.samples.kept())


def test_the_command_line_asks_first(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake_run.finished(tmp_path / "runs", origin="own")
    check = ["runs", "--runs", str(tmp_path / "runs"), "--check", run.id]

    def taken(*more: str) -> set[str]:
        folder = tmp_path / f"taken-{len(list(tmp_path.iterdir()))}"
        assert main([*check, "--take", str(folder), *more]) == 0
        return {path.name for path in folder.iterdir()}

    assert "samples.jsonl" not in taken("--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["problems"] == []
    assert "samples.jsonl" not in taken() and "--samples yes" in capsys.readouterr().err
    assert "samples.jsonl" in taken("--samples", "yes")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for answer, there in (("y", True), ("", False)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert ("samples.jsonl" in taken()) is there
