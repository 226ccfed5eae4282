"""Who asks, told to everything below from what a request brings along.

The page's script sends the browser's token in a header (see page.js). A program that sends none is
known by the tokens that it has handed to handlers in the same session, and by the session itself.
"""

import contextlib
import functools
import hashlib
import inspect
import ipaddress
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from workbench.models import hub_access
from workbench.runs import owners
from workbench.runs.owners import Visitor

HEADER = "x-workbench-owner"
_SESSIONS = 4096  # that tokens are remembered for
_TOKENS = 16  # of one session
# Addresses of proxies inside of a data centre.
_INNER = [
    ipaddress.ip_network(net)
    for net in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10"),
        *("169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"),
    )
]
_shown: OrderedDict[str, list[str]] = OrderedDict()
_guard = threading.Lock()


def address_of(peer: str, headers: Mapping[str, str]) -> str:
    """Where a request comes from: on a Space the forwarded client, else the peer.

    Of the forwarded addresses the last one that is no proxy's counts; those before it are what
    the client wrote itself.
    """
    forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part]
    if not forwarded:
        return peer
    if not os.environ.get("SPACE_ID"):
        # uvicorn believes the header of whoever connects from this machine; we do not.
        return "127.0.0.1" if any(peer in part for part in forwarded) else peer
    return next((part for part in reversed(forwarded) if not _inner(part)), forwarded[-1])


def _inner(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address in net for net in _INNER)


def bind(page: gr.Blocks) -> None:
    """Let every handler of a page run as its visitor."""
    for event in page.fns.values():
        if event.fn is not None:
            event.fn = known(event.fn)


def known(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, run as the visitor whose request it answers."""
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            with _as_visitor(args):
                return await handler(*args, **kwargs)

        return run_async

    @functools.wraps(handler)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _as_visitor(args):
            return handler(*args, **kwargs)

    return run


@contextlib.contextmanager
def _as_visitor(given: tuple[Any, ...]) -> Iterator[None]:
    request = LocalContext.request.get(None)
    if request is None:
        yield
        return
    with owners.visited_by(_visitor(request, given)), contextlib.ExitStack() as stack:
        if owners.shared():
            stack.enter_context(hub_access.using(hub_access.of_visitor(*_login(request))))
        yield


def _visitor(request: gr.Request, given: tuple[Any, ...]) -> Visitor:
    headers = {name.lower(): value for name, value in dict(request.headers).items()}
    session = str(getattr(request, "session_hash", None) or "")
    peer = request.client.host if request.client else ""
    tokens = [headers.get(HEADER, ""), *_tokens(session, given)]
    if session:
        tokens.append(hashlib.sha256(session.encode()).hexdigest()[:32])
    marks = tuple(dict.fromkeys(own for token in tokens if (own := owners.mark(token))))
    return Visitor(address_of(peer, headers), marks)


def _tokens(session: str, given: tuple[Any, ...]) -> list[str]:
    """Tokens that were handed to handlers in this session, newest first."""
    new = [text for text in given if isinstance(text, str) and owners.mark(text)]
    if not session:
        return new
    with _guard:
        tokens = list(dict.fromkeys([*new, *_shown.get(session, [])]))[:_TOKENS]
        if tokens:
            _shown[session] = tokens
            _shown.move_to_end(session)
        while len(_shown) > _SESSIONS:
            _shown.popitem(last=False)
    return tokens


def _login(request: gr.Request) -> tuple[str, str]:
    """Token and name of a login with the Hub; ("", "") without one, or when it is over."""
    session = getattr(request.request, "scope", {}).get("session") or {}
    login = session.get("oauth_info") or {}
    if (login.get("expires_at") or 0) <= time.time():
        return "", ""
    name = (login.get("userinfo") or {}).get("preferred_username", "")
    return str(login.get("access_token") or ""), str(name)
