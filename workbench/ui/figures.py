"""Charts on their way to the browser: turned into JSON once, however many pages show them."""

from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components.plot import PlotData


def plotted(figure: go.Figure) -> Any:
    """An update that shows a figure."""
    return gr.update(value=PlotData(type="plotly", plot=str(figure.to_json())), visible=True)
