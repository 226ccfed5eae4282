"""Builds the page and serves it.

    python app.py             this machine only
    HOST=0.0.0.0 PORT=8000 python app.py

With WORKBENCH_PASSWORD the page asks for it (the user is "workbench"). With WORKBENCH_SHARED=1, and
on a Space in any case, visitors are strangers to one another: each is shown the runs of the own
browser only, and may have two at work, 20 drafts, and 4 GiB on the disk. WORKBENCH_HOSTS names
further hosts under which the page may be asked, where a proxy is in front of it. Runs are kept in
$WORKBENCH_RUNS, else in /data of a Space that has it, else in ``runs`` below the present folder.
"""

import os
import sys

from workbench import machine
from workbench.memory import quick_imports

if machine.lends_gpu():
    import spaces  # pyright: ignore[reportMissingImports]  before torch, whose CUDA it stands in for

    from workbench.jobs import slices

    slices.use(spaces.GPU)

with quick_imports():
    from workbench.ui import server_log, serving, workspace
    from workbench.ui.page import build_page, launch_options

    demo = build_page()  # stays as long as they do

if __name__ == "__main__":
    server_log.begin(workspace.runs_root() / ".log")
    serving.keep_uploads_private()
    workspace.clear_dead_outlets()
    if warning := serving.exposure():
        sys.stderr.write(f"{warning}\n")
    port = os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT")
    demo.launch(
        server_name=os.environ.get("HOST") or os.environ.get("GRADIO_SERVER_NAME"),
        server_port=int(port) if port else None,
        auth=serving.password(),
        **launch_options(),
    )
