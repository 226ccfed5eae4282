"""As whom the Hub is asked, and in which cache its answers are kept.

On one's own machine that is the login that huggingface_hub finds, and one cache. A server that
strangers share never asks with its own login: everybody's requests go without one first, so that
what is public is known to be, then with the visitor's own. What only that login could read is in a
cache of that visitor's. Processes that are started get it in their environment, the worker without
the token.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.limits import on_shared_server
from workbench.models.cache import cache_folder

AS = "WORKBENCH_HUB_AS"
TOKEN = "WORKBENCH_HUB_TOKEN"
_OWN, _PUBLIC = "own", "public"
# What may hold a secret of the server's in the environment of a process that fetches.
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "_KEY", "CREDENTIAL")


@dataclass(frozen=True)
class Access:
    """Who asks the Hub.

    Attributes:
        own: with the login of this machine; else a visitor of a shared server.
        user: mark of the visitor's login, or "".
        token: of that login, or "".
    """

    own: bool
    user: str = ""
    token: str = field(default="", repr=False)

    def tokens(self) -> list[str | bool | None]:
        """With what to ask, one after the other, until the Hub answers."""
        if self.own:
            return [None]
        return [False, self.token] if self.token else [False]

    def caches(self) -> list[Path]:
        """Where models of the Hub are kept: for each of two ``tokens()`` one."""
        if self.own:
            return [cache_folder() / "hub"]
        public = cache_folder() / "hub-public"
        return [public, cache_folder() / "hub-visitors" / self.user] if self.user else [public]


_access: ContextVar[Access | None] = ContextVar("hub_access", default=None)


def current() -> Access:
    """Who asks: as said by ``using``, else by the environment."""
    told = _access.get()
    if told is not None:
        return told
    name = os.environ.get(AS) or (_PUBLIC if on_shared_server() else _OWN)
    if name == _OWN:
        return Access(own=True)
    user = "" if name == _PUBLIC else name
    return Access(own=False, user=user, token=os.environ.get(TOKEN, ""))


@contextmanager
def using(access: Access) -> Iterator[None]:
    """Everything in the block is asked for so."""
    token = _access.set(access)
    try:
        yield
    finally:
        _access.reset(token)


def of_visitor(token: str, user: str) -> Access:
    """A visitor of a shared server, logged in with the Hub as ``user`` or not at all ("")."""
    if not token or not user:
        return Access(own=False)
    mark = hashlib.sha256(f"hub user {user}".encode()).hexdigest()[:32]
    return Access(own=False, user=mark, token=token)


def remembering(access: Access, user: str) -> Access:
    """The same for a run that was begun with a login which may be over by now."""
    return access if access.own or access.user else replace(access, user=user)


def for_worker(access: Access) -> dict[str, str]:
    """Variables for a process that reads caches and asks nobody."""
    return {AS: _OWN if access.own else access.user or _PUBLIC}


def for_fetching(access: Access) -> dict[str, str]:
    """The whole environment of a process that fetches."""
    if access.own:
        return {**os.environ, **for_worker(access)}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(part in name.upper() for part in _SECRET)
    }
    silent = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_TOKEN_PATH": os.devnull}
    return {
        **kept,
        **silent,
        **for_worker(access),
        **({TOKEN: access.token} if access.token else {}),
    }
