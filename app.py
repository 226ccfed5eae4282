"""Builds the page and serves it.

    python app.py             this machine only
    HOST=0.0.0.0 PORT=8000 python app.py

With WORKBENCH_SHARED=1, and on a Space in any case, visitors are strangers to one another: each
is shown the runs of the own browser and may have two at work, 20 drafts, and 2 GiB of uploads in
all runs. Runs are kept in $WORKBENCH_RUNS, else in ``runs`` below the present folder.
"""

import logging
import os

from workbench.ui import workspace
from workbench.ui.page import build_page, launch_options

demo = build_page()

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    workspace.clear_dead_outlets()
    port = os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT")
    demo.launch(
        server_name=os.environ.get("HOST") or os.environ.get("GRADIO_SERVER_NAME"),
        server_port=int(port) if port else None,
        **launch_options(),
    )
