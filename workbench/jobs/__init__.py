"""Long work in processes of its own: start, stop, watch; and short questions to the models.

Everything is on disk, so it holds across restarts of whoever asks. Never imports torch.
"""

from workbench.jobs.questions import cancel as cancel_consult
from workbench.jobs.questions import consult
from workbench.jobs.state import RunState, history, state
from workbench.jobs.supervisor import start, stop

__all__ = ["RunState", "cancel_consult", "consult", "history", "start", "state", "stop"]
