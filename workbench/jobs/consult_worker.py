"""Answers one question in this process: JSON on stdin, JSON on the real stdout, then ends.

What libraries print goes to stderr, the log, so that the answer stays alone. Ends itself when its
time is up, even when whoever asked is gone.
"""

import json
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobs import environment
from workbench.memory import quick_imports

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def main(arguments: list[str], answer: Answer | None = None) -> int:
    """Read, answer, write; returns the exit code.

    Args:
        arguments: seconds until this process ends itself.
        answer: who answers; None is ``workbench.consult``, imported here because it brings torch.
    """
    environment.restrict_this_process()
    signal.alarm(int(arguments[0]))
    channel = os.dup(1)
    os.dup2(2, 1)
    reply = reply_to(json.load(sys.stdin), answer)
    with os.fdopen(channel, "w") as out:
        json.dump(reply, out)
    return 0


def reply_to(asked: dict[str, Any], answer: Answer | None = None) -> dict[str, Any]:
    """{"answer": …} to {"question", "arguments"}, or {"error": {"type", "message"}}."""
    try:
        if answer is None:
            with quick_imports():
                from workbench.consult import answer_question as answer  # noqa: PLC0415
        return {"answer": answer(asked["question"], asked["arguments"])}
    except WorkbenchError as error:
        return {"error": {"type": type(error).__name__, "message": error.message}}
    except Exception:
        error_id = secrets.token_hex(3)
        sys.stderr.write(f"error {error_id}\n{traceback.format_exc()}\n")
        message = f"Something unexpected went wrong (error {error_id}); worker.log has the details."
        return {"error": {"type": "WorkbenchError", "message": message}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
