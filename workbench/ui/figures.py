"""Charts and tables as Gradio takes them."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components.plot import PlotData


def plotted(figure: go.Figure) -> Any:
    """An update that shows a figure: turned into JSON once, however many pages show it."""
    return gr.update(value=PlotData(type="plotly", plot=str(figure.to_json())), visible=True)


def rows_table(columns: Mapping[str, str], label: str, element: str, **more: Any) -> gr.Dataframe:
    """A table of texts to read, by header and width of its columns."""
    usual: dict[str, Any] = {"datatype": "str", "interactive": False, "wrap": True, "buttons": []}
    return gr.Dataframe(
        headers=list(columns),
        column_count=len(columns),
        column_widths=list(columns.values()),
        label=label,
        elem_id=element,
        **{**usual, **more},
    )
