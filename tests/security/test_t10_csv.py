"""T10: no cell of an exported CSV is a formula, and the lossless export is still lossless."""

import csv
import json
from pathlib import Path

import pytest

from tests.export.samples import hard_samples
from workbench.export.dataset import CSV_NOTE, harmless, write_csv, write_jsonl
from workbench.samples import Sample

TRIGGERS = ["=", "+", "-", "@", "\t", "\r", "\n", "|", "%"]
FULL_WIDTH = ["\uff1d", "\uff0b", "\uff0d", "\uff20", "\uff05", "\uff5c", "\ufe62", "\ufe63"]


@pytest.mark.parametrize("trigger", TRIGGERS + FULL_WIDTH)
@pytest.mark.parametrize(
    "before",
    [
        *("", " ", "\u00a0", "\u200b", "\ufeff", "\u3000", "\u2003", "\u0301", "\u00ad", "\u202e"),
        *("\x00", "\x1f", "\x7f", "\x85", "\u2028", "\u180e", "\ue000", "\u2066 \u0300"),
    ],
)
def test_t10_triggers_are_defused(trigger: str, before: str) -> None:
    text = f"{before}{trigger}cmd|' /C calc'!A0"
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a=b", "1+1", "plain", "'=1", "(=1)", '"=1"', "a\n=b"])
def test_t10_ordinary_texts_stay(text: str) -> None:
    assert harmless(text) == text


def test_t10_the_file(tmp_path: Path) -> None:
    samples = hard_samples()
    write_csv(tmp_path / "s.csv", samples)
    raw = (tmp_path / "s.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines(keepends=True)))
    assert len(rows) == len(samples)
    for row in rows:
        for name in ("input", "output", "written_for"):
            assert not row[name].lstrip(" \u200b").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rows[0]["excess"] == "-0.5"  # our own numbers are numbers


def test_t10_every_cell_is_quoted(tmp_path: Path) -> None:
    """A separator or a quote in a text must not open a new cell that begins with a formula."""
    text = '",=1+1'
    write_csv(tmp_path / "s.csv", [Sample("a", text, "target", teacher_output=";=2+2")])
    raw = (tmp_path / "s.csv").read_text(encoding="utf-8-sig")
    assert '""",=1+1"' in raw and '";=2+2"' in raw
    assert all(cell.startswith('"') for cell in raw.splitlines()[0].split(","))


def test_t10_the_lossless_export_is_untouched(tmp_path: Path) -> None:
    samples = hard_samples()
    write_jsonl(tmp_path / "s.jsonl", samples)
    lines = (tmp_path / "s.jsonl").read_text().split("\n")[:-1]
    assert [json.loads(line)["input"] for line in lines] == [sample.input for sample in samples]


def test_t10_the_change_is_said() -> None:
    assert "quote" in CSV_NOTE and "unchanged" in CSV_NOTE
