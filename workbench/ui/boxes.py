"""Components as this page uses them, and charts as Gradio takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components.plot import PlotData

from workbench.errors import RunError


def small_button(words: str, element: str, **more: Any) -> gr.Button:
    """A small button."""
    return gr.Button(words, size="sm", elem_id=element, **more)


def button_row(**more: Any) -> gr.Row:
    """A row of small buttons."""
    return gr.Row(elem_classes="buttons", **more)


def text_shown(label: str, element: str, **more: Any) -> gr.Textbox:
    """A text to read."""
    return gr.Textbox(label=label, elem_id=element, interactive=False, **more)


def code_shown(label: str, element: str, **more: Any) -> gr.Textbox:
    """A text to read or copy, in letters of one width."""
    return text_shown(label, element, buttons=["copy"], elem_classes="mono", **more)


def files_made(label: str, element: str | None = None, several: bool = False) -> gr.File:
    """A file to fetch, or several, hidden until they are made."""
    look: dict[str, Any] = {"file_count": "multiple"} if several else {"height": 70}
    return gr.File(label=label, visible=False, interactive=False, elem_id=element, **look)


def chart_box(label: str, element: str) -> gr.Plot:
    """A place for a figure, hidden until there is one."""
    return gr.Plot(label=label, show_label=False, elem_id=element, visible=False)


def plotted(figure: go.Figure) -> Any:
    """An update that shows a figure: turned into JSON once, however many pages show it."""
    return gr.update(value=PlotData(type="plotly", plot=str(figure.to_json())), visible=True)


def selected(event: gr.SelectData, names: Sequence[str]) -> str:
    """The name of the row that was clicked; "" where there is none."""
    index: Any = event.index
    row: int = index[0] if isinstance(index, list | tuple) else index
    return names[row] if 0 <= row < len(names) else ""


def check_row(event: gr.SelectData, column: int, *texts: str) -> None:
    """Refuse a click on a list that has become another one by the time that it arrives.

    Args:
        column: that names the row; nothing is refused where the browser does not say what it held.
        texts: of which the list as it is now has one there.

    Raises:
        RunError: another row was clicked.
    """
    cells = event.row_value
    text = cells[column] if isinstance(cells, list) and len(cells) > column else ""
    if isinstance(text, str) and text not in ("", *texts):
        raise RunError("The list had changed by then. Choose the row again.")


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
