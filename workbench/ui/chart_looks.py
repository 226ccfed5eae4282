"""The common look of all charts: colours, safe text, rows, tracks and ticks.

Backgrounds are transparent and the colours read on white and on near-black alike, because a
Plotly figure does not learn of the page's theme.
"""

import html
import unicodedata
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

# About 4.1 : 1 against #ffffff and against #1b1d1b.
SOURCE_COLOUR = "#b3701f"
TARGET_COLOUR = "#2f8a87"
THIN_COLOUR = "#c2603f"
INK = "#7a7e77"
FAINT = "rgba(122,126,119,0.28)"

_SMALL = {"size": 12}


def shown(text: str, limit: int = 32) -> str:
    """Untrusted text made safe for Plotly's HTML subset, templates and math, and cut short."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text[: 8 * limit])
    line = " ".join(printable.split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return html.escape(line).replace("$", "&#36;").replace("{", "&#123;")


def fill(colour: str, pattern: str) -> dict[str, Any]:
    """Half-transparent with a full outline, so that an interval drawn over it can be seen.

    One look per trace: Plotly ignores a pattern's colour when it is given per bar.
    """
    red, green, blue = (int(colour[index : index + 2], 16) for index in (1, 3, 5))
    return {
        "color": f"rgba({red},{green},{blue},{0.12 if pattern else 0.5})",
        "line": {"color": colour, "width": 1.5},
        "pattern": {"shape": pattern, "fgcolor": colour, "size": 7, "solidity": 0.25},
    }


def bars(
    rows: Sequence[int], lengths: Sequence[float], hovers: Sequence[str], colour: str, pattern: str
) -> go.Bar:
    """Lying bars of one look; hover texts must be safe already."""
    return go.Bar(
        x=list(lengths), y=list(rows), width=0.36, orientation="h", marker=fill(colour, pattern),
        hovertext=list(hovers), hoverinfo="text", showlegend=False,
    )  # fmt: skip


# Shapes and annotations are plain dicts that a figure takes in one go: adding them one by one
# makes Plotly check all of them again each time (0.6 s for 24 labels).


def row_words(row: int, name: str, value: str) -> list[dict[str, Any]]:
    """Name at the left and value at the right, above the bar of a row; both safe already."""
    common = {"xref": "paper", "y": row - 0.24, "yanchor": "bottom", "showarrow": False}
    return [
        {**common, "x": 0, "xanchor": "left", "text": name, "borderpad": 0},
        {**common, "x": 1, "xanchor": "right", "text": value, "borderpad": 0},
    ]


def line(
    x0: float, x1: float, y0: float, y1: float, colour: str, width: float, dash: str = "solid"
) -> dict[str, Any]:
    """A straight line between two points of the data."""
    look = {"color": colour, "width": width, "dash": dash}
    return {"type": "line", "x0": x0, "x1": x1, "y0": y0, "y1": y1, "line": look}


def tick(row: int, x: float, colour: str) -> dict[str, Any]:
    """A dotted mark across one bar, to compare it with another row."""
    return line(x, x, row - 0.22, row + 0.22, colour, 2, "dot")


def track(row: int, length: float, thickness: float = 0.36) -> dict[str, Any]:
    """The faint full length of a row: the scale, where grid lines would run through the words."""
    return {
        "type": "rect", "x0": 0, "x1": length, "y0": row - thickness / 2, "y1": row + thickness / 2,
        "line": {"color": FAINT, "width": 1}, "layer": "below",
    }  # fmt: skip


def axis_title(words: str) -> dict[str, Any]:
    return {"text": words, "standoff": 8, "font": _SMALL}


def rows_layout(figure: go.Figure, rows: int, pixels: int, legend: bool = False) -> go.Figure:
    """One row each ``pixels`` high, first row on top."""
    figure.update_xaxes(showgrid=False, zeroline=False, ticks="outside")
    figure.update_yaxes(visible=False, range=[rows - 0.6, -0.75])
    return layout(figure, pixels * rows + 70 + 30 * legend, legend)


def layout(figure: go.Figure, height: int, legend: bool = False) -> go.Figure:
    """What all figures share. No zoom by dragging: a finger must be able to scroll past."""
    axis: dict[str, Any] = {"gridcolor": FAINT, "zerolinecolor": FAINT, "tickcolor": FAINT}
    figure.update_xaxes(**axis, automargin=True, fixedrange=True)
    figure.update_yaxes(**axis, automargin=True, fixedrange=True)
    figure.update_layout(
        template=go.layout.Template(),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "IBM Plex Sans, ui-sans-serif, sans-serif"},
        hoverlabel={"bgcolor": "#272a27", "font": {"color": "#f8f8f5"}, "align": "left"},
        # Wide enough for half of the first and the last number of the axis.
        margin={"l": 18, "r": 22, "t": 30 if legend else 4, "b": 8},
        height=height,
        autosize=True,
        dragmode=False,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom",
                "traceorder": "reversed", "font": _SMALL},
        modebar={"remove": ["zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale",
                            "resetscale"]},
    )  # fmt: skip
    return figure
