"""``paces.json``: what steps have taken here, whatever has become of the file."""

import json
import os
from pathlib import Path

import pytest

from workbench.runs import calibration

KEY = "cpu|distil|own"
NONE = float("nan"), float("inf"), -1.0, 0.0, 5e-324, 1e308, "x", None, True, 2, [1.0]
DAMAGES: dict[str, bytes] = {
    "half": b'{"a', "a list": b"[1]", "nested without end": b"[" * 100_000, "no text": b"\xff\xfe",
    "no measurements": json.dumps({KEY: NONE}).encode(),
    "no list": json.dumps({KEY: {"a": 1.0}}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("damage", [*DAMAGES, "a pipe", "a terabyte", "endless", "itself"])
def test_a_damaged_file_is_written_anew(damage: str, tmp_path: Path) -> None:
    path = tmp_path / calibration.FILE
    match damage:
        case "a pipe":
            os.mkfifo(path)
        case "a terabyte":
            path.touch()
            os.truncate(path, 2**40)
        case "endless":
            path.symlink_to("/dev/zero")
        case "itself":
            path.symlink_to(path.name)
        case _:
            path.write_bytes(DAMAGES[damage])
    assert calibration.pace(tmp_path, "cpu", "distil", "own") is None
    calibration.remember(tmp_path, "cpu", "distil", "own", 2e-9)
    assert calibration.pace(tmp_path, "cpu", "distil", "own") == 2e-9


def test_the_newest_five_count_and_a_writer_that_was_never_seen_has_those_of_all(
    tmp_path: Path,
) -> None:
    for value in (9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0):
        calibration.remember(tmp_path, "cpu", "distil", "own", value)
    assert calibration.pace(tmp_path, "cpu", "distil", "own") == 3.0
    assert calibration.pace(tmp_path, "cpu", "distil", "kit") == 3.0
    assert calibration.pace(tmp_path, "cuda", "distil", "own") is None
    assert len(json.loads((tmp_path / calibration.FILE).read_text())[KEY]) == 5


def test_a_folder_in_its_place_costs_nothing_but_the_measurement(tmp_path: Path) -> None:
    (tmp_path / calibration.FILE).mkdir()
    calibration.remember(tmp_path, "cpu", "distil", "own", 1.0)
    assert calibration.pace(tmp_path, "cpu", "distil", "own") is None
