"""Every line of a list is checked before anything starts, with one sentence for each bad one."""

import json
import tempfile
from pathlib import Path

import pytest

from tests.fleet.making import write_list
from workbench.errors import IntakeError
from workbench.fleet.lines import BadLines, Line, read

KIT = Path(__file__).resolve().parents[2] / "assets" / "example-kit.zip"
ALL = (1, 1)


def silent(text: str) -> None:
    """Notes are of no interest here."""


@pytest.fixture
def good(tmp_path: Path, tiny_source: Path, tiny_target: Path) -> Path:
    return write_list(tmp_path / "list", tiny_source, tiny_target, 3)


def test_a_list_in_order_names_its_runs(good: Path) -> None:
    transfers = read(good, Line(), ALL, silent)
    assert [transfer.name for transfer in transfers] == ["move-0", "move-1", "move-2"]
    assert len({transfer.fingerprint for transfer in transfers}) == 3
    assert transfers[0].recipe.student.rank == 2
    assert [t.name for t in read(good, Line(), (2, 2), silent)] == ["move-1"]


def test_one_sentence_for_every_bad_line(good: Path) -> None:
    line = json.loads(good.read_text().splitlines()[0])
    bad = [
        "{no json",
        json.dumps([1]),
        json.dumps({**line, "colour": "red"}),
        json.dumps({**line, "priority": "high"}),
        json.dumps({**line, "adapter": "missing"}),
        json.dumps({**line, "set": {"training.epochs": -3}}),
        json.dumps({**line, "set": {"no.such": 1}}),
        json.dumps({**line, "target_base": "no/such/place/at/all"}),
        json.dumps({**line, "target_base": "folder:nowhere"}),
        json.dumps({**line, "name": "a/b"}),
        json.dumps({**line, "preset": "no such"}),
        json.dumps(line),
        json.dumps({**line, "seeds": "", "set": {"synthesis.writer": "list"}, "name": "x"}),
    ]
    good.write_text("\n".join([json.dumps(line), *bad]) + "\n")
    with pytest.raises(BadLines) as caught:
        read(good, Line(), ALL, silent)
    problems = caught.value.problems
    assert [text.split(":")[0] for text in problems] == [f"line {n}" for n in range(2, 15)]
    for text, words in zip(
        problems,
        ["JSON", "JSON", '"colour"', '"priority"', "missing", "epochs", "no.such", "reference",
         "nowhere", "a/b", "no such", "same transfer as line 1", "seeds"],
        strict=True,
    ):  # fmt: skip
        assert words in text and "\n" not in text


def test_a_line_may_say_that_rows_have_no_outputs(good: Path) -> None:
    line = json.loads(good.read_text().splitlines()[0])
    good.write_text(json.dumps({**line, "output_column": ""}))
    (transfer,) = read(good, Line(), ALL, silent)
    with tempfile.TemporaryDirectory() as scratch:
        assert {row.output for row in transfer.open(Path(scratch)).inputs.seeds} == {None}


def test_a_line_without_a_limit_of_its_own_has_that_of_all(good: Path) -> None:
    line = json.loads(good.read_text().splitlines()[0])
    none = {**line, "name": "none", "time_limit_minutes": 0}
    good.write_text(f"{json.dumps(line)}\n{json.dumps(none)}\n")
    limits = Line(time_limit_minutes=5.0)
    assert [t.options.time_limit_minutes for t in read(good, limits, ALL, silent)] == [5.0, 0]
    assert [t.options.memory_limit_gb for t in read(good, limits, ALL, silent)] == [0, 0]


def test_a_folder_of_kits_with_one_target(tmp_path: Path, tiny_target: Path) -> None:
    (tmp_path / "a.zip").write_bytes(KIT.read_bytes())
    (transfer,) = read(tmp_path, Line(target_base=f"folder:{tiny_target}"), ALL, silent)
    assert transfer.recipe.target_base == f"folder:{tiny_target}"
    assert transfer.name.startswith("transfer-")
    with pytest.raises(IntakeError, match="no transfers"):
        read(tmp_path / "..", Line(), ALL, silent)
