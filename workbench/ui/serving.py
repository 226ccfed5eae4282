"""What happens around the serving of the page: before the first request and while it runs."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from workbench.runs import owners
from workbench.ui import uploads
from workbench.ui.gate import Gate, bound_to
from workbench.ui.sessions import Sessions

USER = "workbench"
_SWITCH_SECONDS = 0.001


def password() -> tuple[str, str] | None:
    """Name and password that the page asks for, or None; see WORKBENCH_PASSWORD."""
    given = os.environ.get("WORKBENCH_PASSWORD", "")
    return (USER, given) if given else None


def exposure() -> str:
    """Who can do what, in a sentence, where that is more than the person at this machine."""
    if bound_to() in ("127.0.0.1", "localhost", "::1") or owners.shared() or password():
        return ""
    return (
        f"The page listens on {bound_to()}: everybody who can reach this machine can open, change, "
        "start and delete every run here, and fetch models with its Hugging Face login. Set "
        "WORKBENCH_PASSWORD to ask for a password, or WORKBENCH_SHARED=1 to keep visitors apart."
    )


def keep_uploads_private() -> None:
    """Give this user's servers a folder for uploads of their own, unless one is named."""
    own = Path(tempfile.gettempdir()) / f"workbench-uploads-{os.getuid()}"
    os.environ.setdefault("GRADIO_TEMP_DIR", str(own))


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Put the gate around the whole application, bound its sessions, and keep uploads tidy.

    Gradio adds middleware of its own after that which an application is made with, so a gate that
    is outermost has to be put there when all of it is in place.
    """
    os.umask(0o077)  # what is uploaded is for this server alone
    # Threads that compute hand over so soon that the loop hardly waits for them.
    sys.setswitchinterval(_SWITCH_SECONDS)
    Path(get_upload_folder()).mkdir(mode=0o700, parents=True, exist_ok=True)
    app.middleware_stack = Gate(app.middleware_stack, app.get_blocks())
    app.state_holder = Sessions()
    app.state_holder.set_blocks(app.get_blocks())
    sweeping = asyncio.create_task(uploads.sweep_for_ever())
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
