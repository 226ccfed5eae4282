"""Plotly figures for finished results, from numbers and plain text only.

Every text of a person or a model goes through ``shown``: escaped, without line breaks and
control characters, cut short. No figure is ever built from figure JSON. Backgrounds are
transparent and the colours read on white and on near-black alike; colour never stands alone, a
pattern, a marker shape or a word says the same. Titles are left to the page. Rows carry their
names above the bars instead of beside them, which leaves room at 375 pixels.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from workbench.ui.chart_looks import (
    INK,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    THIN_COLOUR,
    axis_title,
    bars,
    fill,
    layout,
    line,
    row_words,
    rows_layout,
    shown,
    tick,
    track,
)

LABELS_SHOWN = 24
CONFUSED_SHOWN = 16
POINTS_SHOWN = 1000
BINS = 20  # twentieths of a probability, so that 0.5 is an edge

# score -> (axis words, range or None for "as the data are")
_SCORES = {
    "discriminator": ("P(real) by the discriminator", (0.0, 1.0)),
    "excess": ("excess, nats per answer token", None),
    "confidence": ("confidence of the source adapter", (0.0, 1.0)),
}


def confusion_chart(pairs: Sequence[tuple[str, str]]) -> go.Figure:
    """Expected against given labels; colours are shares of a row, numbers are rows.

    With more labels than fit, those with most confusions are shown.

    Args:
        pairs: (expected, answered).
    """
    counts, wrong = Counter(pairs), Counter[str]()
    for expected, answered in pairs:
        if expected != answered:
            wrong[expected] += 1
            wrong[answered] += 1
    known = {expected for expected, _ in pairs}
    ordered = sorted(known, key=lambda label: (-wrong[label], label))[:CONFUSED_SHOWN]
    names = [shown(label, 18) for label in ordered]
    rows = Counter(expected for expected, _ in pairs)
    shares = [[counts[a, b] / rows[a] for b in ordered] for a in ordered]
    places = list(range(len(ordered)))
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            hoverinfo="skip",
            colorscale=[[0, "rgba(47,138,135,0)"], [1, TARGET_COLOUR]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=1,
            ygap=1,
        )
    )
    numbers = [
        {"x": x, "y": y, "text": f"{counts[a, b]:,}", "showarrow": False}
        for y, a in enumerate(ordered)
        for x, b in enumerate(ordered)
        if counts[a, b]
    ]
    figure.update_layout(annotations=numbers)
    hidden = _more(len(known) - len(ordered), "labels with fewer confusions")
    figure.update_xaxes(
        tickvals=places, ticktext=names, tickangle=-45, title=axis_title(f"new adapter{hidden}")
    )
    figure.update_yaxes(
        tickvals=places, ticktext=names, autorange="reversed", title=axis_title("expected")
    )
    return layout(figure, 150 + 26 * len(ordered))


def per_label_chart(rows: Sequence[tuple[str, int, float, float]]) -> go.Figure:
    """Accuracy per label, source against target, largest loss first.

    Args:
        rows: (label, number of rows, source accuracy, target accuracy), accuracies in 0..1.
    """
    ordered = sorted(rows, key=lambda row: (row[3] - row[2], row[0]))
    visible = ordered[:LABELS_SHOWN]
    lines, words = [], []
    for row, (label, n, source, target) in enumerate(visible):
        points = round((target - source) * 100)
        change = f"{points:+d}".replace("-", "−") if points else "0"
        words += row_words(row, shown(label), f"<b>{change}</b>  n {n:,}")
        lines += [track(row, 1.0, thickness=0), line(source, target, row, row, INK, 3)]
    figure = go.Figure(layout={"shapes": lines, "annotations": words})
    # The open diamond is larger and drawn last: where both are equal it frames the disc.
    for name, column, colour, symbol, size in (
        ("target + new adapter", 3, TARGET_COLOUR, "circle", 10),
        ("source + adapter", 2, SOURCE_COLOUR, "diamond-open", 15),
    ):
        figure.add_trace(
            go.Scatter(
                x=[row[column] for row in visible],
                y=list(range(len(visible))),
                mode="markers",
                name=name,
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": size,
                    "line": {"width": 2, "color": colour},
                },
                hovertext=[f"{name}: {100 * row[column]:.1f} %" for row in visible],
                hoverinfo="text",
                cliponaxis=False,
            )
        )
    hidden = _more(len(rows) - len(visible), "labels that lost less")
    words_of = f"right answers<br>numbers: change in points, rows{hidden}"
    quarters = [0, 0.25, 0.5, 0.75, 1]
    figure.update_xaxes(
        range=[0, 1], tickvals=quarters, tickformat=".0%", title=axis_title(words_of)
    )
    return rows_layout(figure, len(visible), pixels=40, legend=True)


def score_histogram(
    real: ArrayLike,
    kept: ArrayLike,
    rejected: ArrayLike,
    threshold: float | None = None,
    score: str = "discriminator",
) -> go.Figure:
    """Scores of kept and rejected samples stacked, those of real inputs as an outline.

    Heights are shares: real inputs add up to 100 %, kept and rejected together as well, so a
    handful of seeds can be read beside thousands of samples.

    Args:
        real, kept, rejected: one-dimensional scores; what is not finite is left out.
        threshold: draws the line above which samples are kept; None draws none.
        score: "discriminator", "excess" or "confidence".
    """
    words, span = _SCORES[score]
    groups = [np.asarray(values, dtype=float).ravel() for values in (real, kept, rejected)]
    groups = [values[np.isfinite(values)] for values in groups]
    everything = np.concatenate(groups)
    edges = np.histogram_bin_edges(everything, BINS, range=span)
    counts = [np.histogram(values, edges)[0] for values in groups]
    synthetic, truth = max(len(groups[1]) + len(groups[2]), 1), max(len(groups[0]), 1)
    figure = go.Figure()
    for index, name, colour, pattern in ((1, "kept", TARGET_COLOUR, ""), (2, "rejected", INK, "/")):
        figure.add_trace(
            go.Bar(
                x=((edges[:-1] + edges[1:]) / 2).tolist(),
                y=(counts[index] / synthetic).tolist(),
                width=float(edges[1] - edges[0]),
                name=f"{name} ({len(groups[index]):,})",
                marker=fill(colour, pattern),
                hovertext=[f"{count:,} {name}" for count in counts[index].tolist()],
                hoverinfo="text",
            )
        )
    if len(groups[0]):
        heights = np.concatenate([[0], counts[0] / truth, [0]])
        figure.add_trace(
            go.Scatter(
                x=[edges[0], *edges.tolist()],
                y=heights.tolist(),
                mode="lines",
                line={"color": SOURCE_COLOUR, "width": 2.5, "shape": "hv"},
                name=f"real ({len(groups[0]):,})",
                hoverinfo="skip",
            )
        )
    if threshold is not None:
        right = threshold > (edges[0] + edges[-1]) / 2
        figure.add_vline(x=threshold, line={"color": THIN_COLOUR, "width": 2, "dash": "dot"})
        figure.add_annotation(
            x=threshold, y=1, yref="paper", yanchor="top", showarrow=False, borderpad=3,
            xanchor="right" if right else "left", text=f"keep from {threshold:.2f}",
        )  # fmt: skip
    highest = max((counts[1] + counts[2]).max() / synthetic, counts[0].max() / truth)
    shares = "<br>real inputs (outline) = 100 %, samples = 100 %" if len(groups[0]) else ""
    figure.update_xaxes(ticks="outside", range=span, title=axis_title(f"{words}{shares}"))
    # Headroom for the words at the threshold.
    figure.update_yaxes(tickformat=".0%", nticks=5, range=[0, float(highest) * 1.15])
    figure = layout(figure, 320, legend=True)
    return figure.update_layout(barmode="stack", bargap=0, legend={"traceorder": "normal"})


def coverage_chart(rows: Sequence[tuple[str, int, bool]]) -> go.Figure:
    """How often the teacher gave each label; a dotted tick marks an equal share.

    With more labels than fit, the commonest and the thinnest are shown.

    Args:
        rows: (label, count, thin).
    """
    ordered = sorted(rows, key=lambda row: (-row[1], row[0]))
    half = LABELS_SHOWN // 2
    fits = len(ordered) <= LABELS_SHOWN
    visible = ordered if fits else ordered[:half] + ordered[-half:]
    longest, equal_share = max(ordered[0][1], 1), sum(row[1] for row in rows) / len(rows)
    lines, words, hovers = [], [], []
    for row, (label, count, thin) in enumerate(visible):
        name = shown(label)
        words += row_words(row, name, f"{count:,}" + (" · thin" if thin else ""))
        lines += [track(row, longest), tick(row, equal_share, INK)]
        hovers.append(f"{name}: {count:,}")
    figure = go.Figure(layout={"shapes": lines, "annotations": words})
    for thin, colour, pattern in ((False, TARGET_COLOUR, ""), (True, THIN_COLOUR, "/")):
        some = [row for row, entry in enumerate(visible) if entry[2] == thin]
        counts = [visible[row][1] for row in some]
        figure.add_trace(bars(some, counts, [hovers[row] for row in some], colour, pattern))
    hidden = _more(len(rows) - len(visible), "labels in between")
    title = axis_title(f"samples; dotted: an equal share{hidden}")
    figure.update_xaxes(range=[0, longest], title=title)
    return rows_layout(figure, len(visible), pixels=40)


def map_chart(
    seeds: Sequence[tuple[float, float, str]],
    kept: Sequence[tuple[float, float, str]],
    rejected: Sequence[tuple[float, float, str]],
) -> go.Figure:
    """Inputs as points of a plane: close is similar, clumps repeat, gaps are not covered.

    Args:
        seeds, kept, rejected: (x, y, text) each; more than ``POINTS_SHOWN`` of a group are
            thinned out evenly.
    """
    figure = go.Figure()
    for name, points, marker in (
        ("rejected", rejected, {"color": INK, "symbol": "x-thin-open", "size": 6}),
        ("kept", kept, {"color": TARGET_COLOUR, "symbol": "circle", "size": 7, "opacity": 0.75}),
        ("seeds", seeds, {"color": SOURCE_COLOUR, "symbol": "diamond", "size": 11}),
    ):
        some = points[:: -(-len(points) // POINTS_SHOWN) or 1]
        figure.add_trace(
            go.Scatter(
                x=[round(float(point[0]), 4) for point in some],
                y=[round(float(point[1]), 4) for point in some],
                mode="markers",
                name=f"{name} ({len(points):,})",
                marker={**marker, "line": {"width": 1.5, "color": marker["color"]}},
                hovertext=[shown(point[2], 60) for point in some],
                hoverinfo="text",
            )
        )
    axis = {"showticklabels": False, "zeroline": False, "showgrid": False}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return layout(figure, 420, legend=True)


def _more(hidden: int, what: str) -> str:
    return f"<br>{hidden:,} {what} not shown" if hidden > 0 else ""
