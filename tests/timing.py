"""How long something computes, however busy the machine is and whatever else the process does."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def computes_at_most(seconds: float) -> Iterator[None]:
    """Fails when this thread computes for longer inside.

    Waiting counts for nothing, nor does clearing away what other tests have left.
    """
    gc.disable()
    begun = time.thread_time()
    try:
        yield
    finally:
        taken = time.thread_time() - begun
        gc.enable()
        assert taken < seconds
