"""The errors a person can meet: each says what is wrong, where, and what to do.

Every error has a stable ``code`` (shown in the log and in ``--json`` output). Anything that is
not a ``WorkbenchError`` is a defect of ours and is shown as a short id that is in the log.
"""


class WorkbenchError(Exception):
    """Base of all expected failures.

    Args:
        message: one sentence or two in plain words: what is wrong, where, what to do.
    """

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[type["WorkbenchError"], tuple[str]]:
        return type(self), (self.message,)


class IntakeError(WorkbenchError, ValueError):
    """Something that was handed to us is not acceptable."""

    code = "intake"


class RecipeError(WorkbenchError, ValueError):
    """A setting is out of range or contradicts another."""

    code = "recipe"


class ModelError(WorkbenchError, RuntimeError):
    """A model cannot be found, fetched or loaded."""

    code = "model"


class RunError(WorkbenchError, RuntimeError):
    """A run folder cannot be created, opened or continued."""

    code = "run"


class ConflictError(RunError):
    """Two people (or two tabs) changed the same thing."""

    code = "conflict"


class BusyError(RunError):
    """Another worker holds the run, or the machine takes no more."""

    code = "busy"


class StageError(WorkbenchError, RuntimeError):
    """A stage cannot reach its goal with what it was given."""

    code = "stage"
