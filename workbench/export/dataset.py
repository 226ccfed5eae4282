"""The synthetic data set as JSON lines (lossless) or CSV (safe to open in a spreadsheet).

A spreadsheet runs cells that begin like a formula, and samples are written by a model that was
shown strangers' seeds. So the CSV puts a single quote before such texts, which changes them; who
wants exactly what was made takes the JSON lines.
"""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.runs import atomic
from workbench.samples import Sample

CSV_NOTE = (
    "In the CSV, texts that a spreadsheet could run as a formula begin with an added single "
    "quote. The JSON lines hold every text unchanged."
)
COLUMNS = (
    "id",
    "input",
    "output",
    "status",
    "reason",
    "origin",
    "written_for",
    "discriminator_score",
    "excess",
    "confidence",
    "round",
    "edited",
    "answered_by",
    "decided_by",
)
# OWASP "CSV injection": the first characters that make a cell a formula, or hide one behind a
# tab or line break. Full-width forms become these when a program folds them, hence NFKC below.
_TRIGGERS = ("=", "+", "-", "@", "|", "%", "\t", "\r", "\n")


def record(sample: Sample) -> dict[str, Any]:
    """One row of the data set; ``output`` is the answer that the adapter learnt."""
    values = {name: getattr(sample, name, None) for name in COLUMNS}
    return {**values, "output": sample.teacher_output}


def jsonl_text(samples: Iterable[Sample]) -> str:
    """One JSON object per line; reading it gives back every text exactly."""
    return "".join(_line(record(sample)) + "\n" for sample in samples)


def write_jsonl(path: Path, samples: Iterable[Sample]) -> None:
    """The lossless export."""
    atomic.write_bytes(path, jsonl_text(samples).encode())


def write_csv(path: Path, samples: Iterable[Sample]) -> None:
    """The export for spreadsheets, UTF-8 with a mark so that they read it as such; see CSV_NOTE."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for sample in samples:
        writer.writerow([_cell(value) for value in record(sample).values()])
    atomic.write_bytes(path, text.getvalue().encode("utf-8-sig", "replace"))


def harmless(text: str) -> str:
    """The text, with a single quote before it if a spreadsheet might run it."""
    folded = unicodedata.normalize("NFKC", text)
    # Spaces, marks and controls in front do not stop every program from seeing a formula.
    at = next((at for at, mark in enumerate(folded) if not _is_passed_over(mark)), len(folded))
    formula = folded.startswith(_TRIGGERS, at) or not set("\t\r\n").isdisjoint(folded[:at])
    return f"'{text}" if formula else text


def _is_passed_over(mark: str) -> bool:
    """White space, combining marks, controls, and what is invisible."""
    return unicodedata.category(mark)[0] in "ZMC" or mark.isspace()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return harmless(value) if isinstance(value, str) else value


def _line(data: dict[str, Any]) -> str:
    line = json.dumps(data, ensure_ascii=False)
    # Half of a surrogate pair cannot be UTF-8; escaped it stays what it was.
    return line if _is_utf8(line) else json.dumps(data)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
