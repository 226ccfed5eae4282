"""The example in assets/ is what its record says, and its held-out rows are held out."""

import hashlib
import json
import zipfile
from pathlib import Path

from workbench.intake.kit import read_kit
from workbench.samples import normalise

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def test_the_example_passes_intake_and_is_the_recorded_one(tmp_path: Path) -> None:
    record = json.loads((ASSETS / "example-kit.json").read_text(encoding="utf-8"))
    content = (ASSETS / "example-kit.zip").read_bytes()
    assert hashlib.sha256(content).hexdigest() == record["kit_sha256"]
    kit = read_kit(ASSETS / "example-kit.zip", tmp_path)
    assert kit.inputs.adapter is not None and kit.inputs.discriminator is not None
    assert len(kit.inputs.evaluation) == record["evaluation_rows"] == 602
    assert 3 <= len(kit.inputs.seeds) <= 15
    seeds = {normalise(seed.input) for seed in kit.inputs.seeds}
    assert not seeds & {normalise(row.input) for row in kit.inputs.evaluation}
    # Every answer has a seed, so the example needs no luck to know its task.
    answers = {row.output for row in kit.inputs.evaluation}
    assert answers == {seed.output for seed in kit.inputs.seeds}


def test_the_data_in_the_example_names_its_source() -> None:
    with zipfile.ZipFile(ASSETS / "example-kit.zip") as archive:
        notice = archive.read("NOTICE").decode()
    assert "CC0" in notice and "SNIPS" in notice
    assert "CC0" in (ASSETS / "NOTICE.md").read_text(encoding="utf-8")
