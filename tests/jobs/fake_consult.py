"""A consult worker without models: ``python -m tests.jobs.fake_consult SECONDS``."""

import os
import signal
import sys
import time
from typing import Any

from workbench.errors import ModelError
from workbench.jobs import consult_worker


def answer(question: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Echo, or misbehave as the question says."""
    print("a library says hello")
    os.write(1, b"another one writes to the descriptor\n")
    match question:
        case "refuse":
            raise ModelError("The base is not there. Fetch it first.")
        case "defect":
            raise KeyError("the secret cause")
        case "hang":
            time.sleep(600)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "environment":
            return dict(os.environ)
    return {"question": question, "arguments": arguments, "pid": os.getpid()}


if __name__ == "__main__":
    sys.exit(consult_worker.main(sys.argv[1:], answer))
