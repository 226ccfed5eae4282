"""What the server keeps of each open page: its states, and nothing of what is in its boxes.

Gradio keeps settings and value of every box for each session, so that a link could bring a page
back as it stood. No such links are made here, and of a thousand sessions that would be a gigabyte,
and more where somebody fills the boxes.
"""

from copy import copy
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder


class Sessions(StateHolder):
    """All sessions of a server; the longest unused go first."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = _Session(self.blocks)
        return super().__getitem__(session_id)


class _Session(SessionState):
    def __init__(self, blocks: gr.Blocks) -> None:
        # As Gradio's own, which would fill ``config_values`` for every box.
        self.blocks_config = copy(blocks.default_config)
        self.config_values = _Nothing()
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    def _update_config(self, key: int) -> None:
        """Of links."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Of links."""


class _Nothing(dict[int, Any]):
    """Takes everything and keeps none of it."""

    def __setitem__(self, key: int, value: Any) -> None:
        pass
