"""The fleet's table for people and machines, made from the standings; and one verdict for all.

Nothing here is a second truth: every number is in a ``standing.json``, which a run was read for.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from scipy.stats import false_discovery_control

from workbench.evaluate.verdict import BETTER, CANNOT_TELL, INSIDE, WORSE
from workbench.export.dataset import harmless
from workbench.fleet.standing import DONE, FAILED, RUNNING, WAITING, Standing
from workbench.runs import atomic

FALSE_DISCOVERIES = 0.05
NOT_COMPARED = "not compared"
NEEDS_A_PERSON = (FAILED, WORSE, CANNOT_TELL, NOT_COMPARED)
_ORDER = (*NEEDS_A_PERSON, RUNNING, WAITING, INSIDE, BETTER)
_RANK = {standing: at for at, standing in enumerate(_ORDER)}
_TEXT, _NUMBER, _COUNT = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
SCHEMA = pyarrow.schema(
    [
        ("name", _TEXT),
        ("task_name", _TEXT),
        ("source_base", _TEXT),
        ("target_base", _TEXT),
        ("state", _TEXT),
        ("verdict", _TEXT),
        ("non_inferior", pyarrow.bool_()),
        ("measure", _TEXT),
        ("rows", _COUNT),
        ("source", _NUMBER),
        ("transferred", _NUMBER),
        ("retention", _NUMBER),
        ("difference", _NUMBER),
        ("low", _NUMBER),
        ("high", _NUMBER),
        ("margin_points", _NUMBER),
        ("p_value", _NUMBER),
        ("p_adjusted", _NUMBER),
        ("steps_done", _COUNT),
        ("seconds", _NUMBER),
        ("elapsed", _NUMBER),
        ("attempts", _COUNT),
        ("message", _TEXT),
        ("changed_at", _NUMBER),
    ]
)


@dataclass(frozen=True)
class Verdict:
    """The whole fleet in numbers.

    Attributes:
        tested: finished transfers that were compared on rows.
        non_inferior: of these, how many do not lose as much as their margin, with false
            discoveries held at ``FALSE_DISCOVERIES`` (Benjamini and Hochberg 1995).
    """

    states: dict[str, int]
    tested: int
    non_inferior: int
    sentence: str


def rows(standings: Iterable[Standing]) -> list[dict[str, Any]]:
    """One flat row for each transfer, those that need a person first; shares in 0..1."""
    everything = list(standings)
    adjusted = _adjusted(everything)
    made = [_row(standing, adjusted.get(standing.name)) for standing in everything]
    return sorted(made, key=lambda row: (_RANK.get(standing_of(row), -1), row["name"]))


def standing_of(row: dict[str, Any]) -> str:
    """The verdict of one that is done, else its state."""
    return row["verdict"] or row["state"]


def kept(row: dict[str, Any]) -> str:
    """How much of the source's mean the new adapter has, in words; "" where nobody knows."""
    return "" if row["retention"] is None else f"{row['retention'] * 100:.1f} %"


def difference(row: dict[str, Any]) -> str:
    """New minus source in points with its 95 % interval; "" before the comparison."""
    if row["difference"] is None:
        return ""
    mean, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−")


def verdict(table: Sequence[dict[str, Any]]) -> Verdict:
    """How many are non-inferior at their margin."""
    states = Counter(row["state"] for row in table)
    tested = sum(row["p_adjusted"] is not None for row in table)
    found = sum(bool(row["non_inferior"]) for row in table)
    done = "1 transfer is" if states[DONE] == 1 else f"{states[DONE]} transfers are"
    parts = [f"{done} done", *(f"{states[s]} {s}" for s in (RUNNING, WAITING, FAILED) if states[s])]
    sentence = ", ".join(parts) + "."
    if tested:
        sentence += (
            f" {found} of {tested} compared are non-inferior at their margin, with false "
            f"discoveries held at {FALSE_DISCOVERIES:.0%} (Benjamini-Hochberg)."
        )
    return Verdict(dict(states), tested, found, sentence)


def as_json(table: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For ``fleet.json``."""
    return {"schema": 1, **asdict(verdict(table)), "transfers": list(table)}


def as_text(table: Sequence[dict[str, Any]]) -> str:
    """For a terminal."""
    lines = []
    for row in table:
        mark = "✓" if row["non_inferior"] else " "
        numbers = f"{kept(row):>8}  {difference(row)}"
        lines.append(f"{mark} {row['name']:<34} {standing_of(row):<12} {numbers}".rstrip())
        if row["message"] and row["state"] != DONE:
            lines.append(f"    {row['message']}")
    return "\n".join([*lines, "", verdict(table).sentence])


def write_csv(path: Path, table: Sequence[dict[str, Any]]) -> None:
    """For spreadsheets: texts that one could run as a formula begin with a single quote."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(SCHEMA.names)
    for row in table:
        writer.writerow([_cell(row[name]) for name in SCHEMA.names])
    atomic.write_bytes(path, text.getvalue().encode("utf-8-sig", "replace"))


def write_parquet(path: Path, table: Sequence[dict[str, Any]]) -> None:
    """The same with types."""
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(table), schema=SCHEMA), sink)
    atomic.write_bytes(path, sink.getvalue().to_pybytes())


def _adjusted(standings: Sequence[Standing]) -> dict[str, float]:
    """p-values adjusted for how many there are, by name."""
    tested = {s.name: s.measured.p_value for s in standings if s.state == DONE and s.measured}
    if not tested:
        return {}
    values = false_discovery_control(list(tested.values()), method="bh")
    return dict(zip(tested, map(float, values), strict=True))


def _row(standing: Standing, adjusted: float | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    measured = standing.measured
    if measured is not None:
        row |= asdict(measured)
    last = standing.attempts[-1] if standing.attempts else None
    row |= {
        name: getattr(standing, name)
        for name in ("name", "task_name", "source_base", "target_base", "state")
    }
    row |= {
        "p_adjusted": adjusted,
        "non_inferior": None if adjusted is None else adjusted <= FALSE_DISCOVERIES,
        "steps_done": len(standing.stages),
        "seconds": sum(standing.seconds.values()) or None,
        "elapsed": standing.elapsed or None,
        "attempts": len(standing.attempts) + (standing.state == DONE),
        "message": f"{last.reason}: {last.message}" if last else "",
        "changed_at": standing.at,
    }
    if standing.state == DONE and measured is None:
        row["verdict"] = NOT_COMPARED
    return {name: row[name] for name in SCHEMA.names}


def _cell(value: Any) -> Any:
    return "" if value is None else harmless(value) if isinstance(value, str) else value
