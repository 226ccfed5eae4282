"""The benchmark's tables (Markdown) and chart, from results alone."""

import html
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go

from workbench.bench.results import (
    ARMS,
    BEST,
    ORACLE,
    PAPER,
    REAL_INPUTS,
    REFERENCES,
    SOURCE,
    CellResult,
    Grid,
    Paired,
    grid,
    mean_accuracy,
    paired,
    recovery,
    retention,
)

_INK, _FAINT = "#7a7e77", "rgba(122,126,119,0.28)"
# arm -> (words, colour, marker, size): the arms that a reader looks for; the others are in the
# tables. Open marks are drawn last and larger: equal arms stay visible inside each other.
_SHOWN = {
    BEST: ("best", "#2f8a87", "circle", 11),
    PAPER: ("paper", "#c2603f", "square", 11),
    REAL_INPUTS: ("real inputs", _INK, "circle-open", 15),
    ORACLE: ("oracle", _INK, "line-ns-open", 20),
    SOURCE: ("source", "#b3701f", "diamond-open", 18),
}


def markdown(results: Sequence[CellResult]) -> str:
    """All tables: accuracy, retention, recovery, differences with intervals, and the data made."""
    table = grid(results)
    if not table:
        return "No results yet.\n"
    arms = [arm for arm in ARMS if any(arm in row for row in table.values())]
    transfers = [arm for arm in arms if arm not in REFERENCES]
    parts = [
        _section("Accuracy, mean over seeds (%)", table, arms, _accuracy, _percent),
        _section("Retention: arm / source", table, transfers, retention, _ratio),
        _section(
            "Recovery: (arm − target base) / (oracle − target base)",
            table,
            [arm for arm in transfers if arm != ORACLE],
            recovery,
            _ratio,
        ),
        _differences(table, transfers),
        _made(table, transfers),
        "\n".join(f"- `{arm}`: {ARMS[arm]}" for arm in arms) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def chart(results: Sequence[CellResult]) -> go.Figure:
    """One line per task with the accuracy of the main arms; shape and colour tell them apart."""
    table = grid(results)
    tasks = list(table)
    figure = go.Figure()
    for arm, (words, colour, symbol, size) in _SHOWN.items():
        points = [
            (mean_accuracy(table[task][arm]), row)
            for row, task in enumerate(tasks)
            if arm in table[task]
        ]
        if points:
            figure.add_trace(
                go.Scatter(
                    x=[x for x, _ in points], y=[y for _, y in points], mode="markers", name=words,
                    marker={"color": colour, "symbol": symbol, "size": size,
                            "line": {"width": 2, "color": colour}},
                    cliponaxis=False, hovertemplate="%{x:.1%}",
                )
            )  # fmt: skip
    figure.update_xaxes(range=[0, 1], tickformat=".0%", gridcolor=_FAINT, zeroline=False)
    figure.update_yaxes(
        tickvals=list(range(len(tasks))), ticktext=[html.escape(task) for task in tasks],
        automargin=True, range=[len(tasks) - 0.5, -0.5], gridcolor=_FAINT, zeroline=False,
    )  # fmt: skip
    return figure.update_layout(
        template=go.layout.Template(), paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _INK, "size": 13}, height=120 + 34 * len(tasks),
        margin={"l": 8, "r": 24, "t": 40, "b": 36}, dragmode=False, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom",
                "traceorder": "reversed"},
    )  # fmt: skip


def write_report(folder: Path, results: Sequence[CellResult]) -> Path:
    """Write ``results.md`` and ``results.html`` (the chart, self-contained) into a folder.

    Returns:
        The Markdown file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.md"
    path.write_text(markdown(results), encoding="utf-8")
    chart(results).write_html(folder / "results.html", include_plotlyjs=True)
    return path


Arms = Mapping[str, Mapping[int, CellResult]]


def _section(
    title: str,
    table: Grid,
    arms: Sequence[str],
    value: Callable[[Arms, str], float | None],
    words: Callable[[float | None], str],
) -> str:
    """Tasks down, arms across, and the mean over tasks of each column."""
    if not arms:
        return ""
    rows, columns = [], {arm: [] for arm in arms}
    for task, cells in table.items():
        values = [value(cells, arm) for arm in arms]
        for arm, number in zip(arms, values, strict=True):
            columns[arm].append(number)
        rows.append([task, *map(words, values)])
    rows.append(["**mean**", *(words(_mean(column)) for column in columns.values())])
    return _table(title, ["task", *arms], rows)


def _mean(numbers: Sequence[float | None]) -> float | None:
    """None when a task is missing: a mean over other tasks could not be compared."""
    known = [number for number in numbers if number is not None]
    return statistics.fmean(known) if known and len(known) == len(numbers) else None


def _differences(table: Grid, transfers: Sequence[str]) -> str:
    """Each transfer against the source, and ``best`` against ``paper``, in points."""
    pairs = [(SOURCE, arm) for arm in transfers]
    if PAPER in transfers and BEST in transfers:
        pairs.append((PAPER, BEST))
    rows = []
    for task, cells in table.items():
        for first, second in pairs:
            if first in cells and second in cells:
                difference = paired(cells[first], cells[second])
                if difference is not None:
                    rows.append([task, f"{second} − {first}", *_difference(difference)])
    if not rows:
        return ""
    heads = ["task", "difference", "points", "95 % interval", "test rows", "seeds"]
    return _table("Paired differences", heads, rows)


def _difference(one: Paired) -> list[str]:
    interval = f"{_points(one.low)} to {_points(one.high)}"
    return [_points(one.mean), interval, str(one.rows), str(one.seeds)]


def _made(table: Grid, transfers: Sequence[str]) -> str:
    """What the synthetic data were like; only arms that say something about it."""
    rows = []
    for task, cells in table.items():
        for arm in transfers:
            found = list(cells.get(arm, {}).values())
            numbers = [
                _mean_of([result.acceptance for result in found]),
                _mean_of([result.effective_labels for result in found]),
                _mean_of([result.mmd for result in found]),
            ]
            if any(number is not None for number in numbers):
                acceptance, labels, distance = numbers
                rows.append(
                    [task, arm, _percent(acceptance), _plain(labels, 1), _plain(distance, 3)]
                )
    if not rows:
        return ""
    heads = ["task", "arm", "accepted (%)", "effective labels", "MMD to real inputs"]
    return _table("The data that were made", heads, rows)


def _mean_of(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return statistics.fmean(known) if known else None


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |"]
    lines.append("|---" * len(heads) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _accuracy(arms: Arms, arm: str) -> float | None:
    return mean_accuracy(arms[arm]) if arm in arms else None


def _plain(number: float | None, digits: int) -> str:
    return "–" if number is None else f"{number:.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f}"


def _ratio(share: float | None) -> str:
    return _plain(share, 3)


def _points(share: float) -> str:
    rounded = round(share * 100, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"
