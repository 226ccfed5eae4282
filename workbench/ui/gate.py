"""The outermost part of the server: what may come in at all, and what goes out with every answer.

Wraps Gradio's application whole. Only the addresses that the page uses are open; a request must
name a host that is ours (a page of another site may have its name point here: DNS rebinding); one
that another site's page makes is refused; bodies are bounded and must have the shape of a call of
the page before Gradio sees them, so that nonsense costs neither memory nor log.
"""

import asyncio
import functools
import ipaddress
import logging
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import orjson

from workbench.limits import LIMITS
from workbench.ui import calls, uploads
from workbench.ui.calls import Refused
from workbench.ui.same_answers import PAGE_COST, SameAnswers, is_page
from workbench.ui.traffic import Traffic
from workbench.ui.visitors import address_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = logging.getLogger("workbench.ui")

API = "/gradio_api"
_OPEN = re.compile(
    r"/|/config|/theme\.css|/robots\.txt|/favicon\.ico|/manifest\.json"
    r"|/(assets|static|svelte)/.*|/login|/logout|/login/(huggingface|callback)"
    r"|/gradio_api/(startup-events|theme\.css|info|app_id|login_check|user|queue/(data|status)"
    r"|upload_progress|heartbeat/[^/]+|file=[^:]*)"
)
_POSTS = {"/login", f"{API}/run/predict", f"{API}/queue/join", f"{API}/upload"} | {
    f"{API}/{name}" for name in ("cancel", "reset")
}
_STREAMS = (f"{API}/queue/data", f"{API}/heartbeat/", f"{API}/upload_progress")
_WHENCE = (b"host", b"origin", b"sec-fetch-site")
_HOME = {"localhost", "127.0.0.1", "::1"}
_BODY_SECONDS = 30.0
_NAME_BYTES = 255  # of a file: with a longer one the disk answers with an error
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]*)?|\[[0-9A-Fa-f:.]+\](:[0-9]*)?")
# Files of visitors are shown as what they are and run nothing, whatever is in them.
_FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox"


@dataclass(frozen=True)
class Hosts:
    """Names under which this server may be asked.

    Attributes:
        names: lower case, without port.
        numbers: whether any IP address will do: nobody can point a name at it.
        anything: no check, where a proxy in front decides.
    """

    names: frozenset[str]
    numbers: bool = False
    anything: bool = False

    def allow(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = host_name(host)
        return self.anything or name in self.names or (self.numbers and _is_number(name))


def hosts_from_environment() -> Hosts:
    """What the server is bound to, and what it is called: HOST, SPACE_HOST, WORKBENCH_HOSTS."""
    named = ",".join(os.environ.get(name, "") for name in ("WORKBENCH_HOSTS", "SPACE_HOST"))
    names = {part.strip().lower() for part in named.split(",") if part.strip()} | _HOME
    if os.environ.get("SPACE_ID"):
        return Hosts(frozenset(names), numbers=True, anything="SPACE_HOST" not in os.environ)
    bound = bound_to()
    if bound in ("0.0.0.0", "::"):
        own = socket.gethostname().lower()
        return Hosts(frozenset(names | {own, f"{own}.local"}), numbers=True)
    return Hosts(frozenset(names | {bound.lower()}))


def bound_to() -> str:
    """The address that the server listens on."""
    asked = os.environ.get("HOST") or os.environ.get("GRADIO_SERVER_NAME")
    return asked or "127.0.0.1"


def host_name(host: str) -> str:
    """The name in a Host header, lower case, without port and brackets; "" for what is none."""
    if not _HOST.fullmatch(host):
        return ""
    return (urlsplit(f"//{host}").hostname or "").rstrip(".")


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Gate:
    """ASGI application around Gradio's."""

    def __init__(self, inner: Any, page: gr.Blocks) -> None:
        self.inner = inner
        self.page = page
        self.hosts = hosts_from_environment()
        self.traffic = Traffic(page)
        self.uploads = uploads.Folder()
        self.same = SameAnswers(inner, pages=page.auth is None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.inner(scope, receive, send)
            return  # the page uses no web sockets
        headers = {
            name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]
        }
        address = address_of(scope["client"][0] if scope.get("client") else "", headers)
        begun = False

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                message["headers"] = _answered(message.get("headers") or [], scope["path"])
            await send(message)

        try:
            self.traffic.require_patience(address)
            self._check(scope, headers)
            await self._pass(scope, headers, address, receive, send_on)
        except Refused as refusal:
            if not begun:
                await self.traffic.hold_back(address)
                await _say(send_on, refusal.status, refusal.sentence)
        except (ConnectionError, uploads.Gone):
            pass  # the browser went away in the middle
        except Exception:
            log.exception("unexpected error while answering %s", scope["path"][:200])
            if not begun:
                await _say(send_on, 500, "Something went wrong on our side.")

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        method, path = scope["method"], scope["path"]
        whence = [name for name, _ in scope["headers"] if name in _WHENCE]
        if len(whence) != len(set(whence)):
            raise Refused(400, "The request says twice where it comes from.")
        if not self.hosts.allow(headers.get("host", "")):
            raise Refused(
                421,
                "This workbench does not answer under that name. Use the address that it printed "
                "at its start, or add the name to WORKBENCH_HOSTS.",
            )
        if method not in ("GET", "HEAD") and _foreign(headers):
            raise Refused(403, "Pages of other sites may not talk to this workbench.")
        trimmed = path.rstrip("/") or "/"
        is_open = _OPEN.fullmatch(trimmed) if method in ("GET", "HEAD") else trimmed in _POSTS
        if not is_open or any(len(part.encode()) > _NAME_BYTES for part in path.split("/")):
            raise Refused(404, "There is nothing at this address.")
        if path != trimmed and method == "POST":
            scope["path"] = trimmed
            scope["raw_path"] = trimmed.encode()

    async def _pass(
        self, scope: Scope, headers: dict[str, str], address: str, receive: Receive, send: Send
    ) -> None:
        path = scope["path"]
        if path.startswith(_STREAMS):
            if path.startswith(f"{API}/queue/data"):
                self.traffic.require_call(_session_of(scope))
            with self.traffic.stream(address, _session_of(scope)):
                await self.inner(scope, receive, send)
        elif scope["method"] != "POST":
            allow = functools.partial(self.traffic.require_load, address)
            if self.same.has(path):
                await self.same.give(scope, headers, allow, send)
                return
            if is_page(path):
                allow(PAGE_COST)
            # Nothing else is compressed: files of visitors are large, and the work is ours.
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            await self.inner(scope, receive, send)
        elif path == f"{API}/upload":
            await self.uploads.take(self.inner, scope, headers, address, receive, send)
        else:
            with self.traffic.held(address) as grow:
                body = await _read(receive, headers, path, grow)
                await self._call(scope, address, body, receive, send)

    async def _call(
        self, scope: Scope, address: str, body: bytes, receive: Receive, send: Send
    ) -> None:
        path = scope["path"]
        if path == "/login":
            self.traffic.require_login(address)
        if path.endswith(("/cancel", "/reset")):
            calls.require_names(body)
        if path.endswith(("/cancel", "/reset", "/login")):
            await self.inner(scope, _replay(body, receive), send)
            return
        call = calls.read(body, self.page, direct=path.endswith("/run/predict"))
        read = _replay(call.body, receive)
        if path.endswith("/run/predict"):
            async with self.traffic.light_turn(address, call.session):
                await self.inner(scope, read, send)
        else:
            noting = self.traffic.admit(address, call.session, len(body))
            await self.inner(scope, read, noting(send))


def _foreign(headers: dict[str, str]) -> bool:
    """Whether another site's page makes the request; browsers say so, programs need not."""
    origin = headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        except ValueError:
            return True
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _session_of(scope: Scope) -> str:
    found = re.search(rb"(?:^|&)session_hash=([\w-]{1,64})", scope.get("query_string", b""))
    return found[1].decode() if found else scope["path"].rsplit("/", 1)[-1][:64]


def _length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not re.fullmatch(r"\d{1,15}", text):
        raise Refused(400, "The request has no valid length.")
    return int(text)


async def _read(
    receive: Receive, headers: dict[str, str], path: str, grow: Callable[[int], None]
) -> bytes:
    """The whole body, within the bounds; ``grow`` is told of every byte."""
    light = not path.endswith("/queue/join")
    most = LIMITS.light_request_bytes if light else LIMITS.request_bytes
    announced = _length(headers)
    if announced > most:
        raise Refused(413, f"That is too much at once: at most {most // 1024:,} kB.")
    parts, size, end = [], 0, time.monotonic() + _BODY_SECONDS
    while True:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
        except TimeoutError as error:
            raise Refused(408, "The request took too long to arrive.") from error
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise Refused(413, f"That is too much at once: at most {most // 1024:,} kB.")
        grow(len(part))
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that hands out a body that was read already."""
    unread = [body]

    async def again() -> MutableMapping[str, Any]:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return again


def _answered(headers: list[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
    """Headers of every answer. Pages of one origin need no CORS, so nobody else gets any."""
    kept = [
        (name, value)
        for name, value in headers
        if not name.lower().startswith(b"access-control-")
        and name.lower() not in (b"x-frame-options", b"content-security-policy")
    ]
    # A Space is shown inside of a page of the Hub.
    framed = "https://huggingface.co https://*.hf.space" if os.environ.get("SPACE_ID") else ""
    policy = f"frame-ancestors 'self' {framed}".rstrip()
    if path.startswith(f"{API}/file="):
        policy = f"{_FILE_POLICY}; {policy}"
    return [
        *kept,
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]


async def _say(send: Send, status: int, sentence: str) -> None:
    body = orjson.dumps({"detail": sentence, "error": sentence})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what is left of the request is not read
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
