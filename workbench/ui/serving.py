"""What happens around the serving of the page: before the first request and while it runs."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from workbench.ui import uploads
from workbench.ui.gate import Gate


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Put the gate around the whole application, and keep the folder for uploads tidy.

    Gradio adds middleware of its own after that which an application is made with, so a gate that
    is outermost has to be put there when all of it is in place.
    """
    os.umask(0o077)  # what is uploaded is for this server alone
    Path(get_upload_folder()).mkdir(mode=0o700, parents=True, exist_ok=True)
    app.middleware_stack = Gate(app.middleware_stack, app.get_blocks())
    sweeping = asyncio.create_task(uploads.sweep_for_ever())
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
