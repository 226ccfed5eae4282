"""A small Hub on this machine: the requests that huggingface_hub makes for a push, and no more.

It keeps the bytes that arrive. ``wrong`` makes one kind of request fail as the real one would.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_" + "standInToken"
USER = "anna"


@dataclass
class Hub:
    """What the stand-in has been told.

    Attributes:
        private: repository -> whether only its owner reads it.
        files: repository -> file -> bytes of the last commit.
        wrong: beginning of "METHOD path" -> status that is answered instead; 0 hangs up.
        asked: every request as "METHOD path".
    """

    address: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@contextmanager
def running() -> Iterator[Hub]:
    """Serve on a free port until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        what = f"{method} {path}"
        self.hub.asked.append(what)
        for start, status in self.hub.wrong.items():
            if what.startswith(start):
                if status == 0:
                    self.close_connection = True
                    return
                return self._reply(status, {"error": "as the test wants it"})
        # Storage is signed by its address and gets no token, the rest of the Hub wants one.
        sent = self.headers.get("Authorization")
        if path.startswith("/storage/"):
            assert sent is None, "the token must not go to the storage"
        elif sent != f"Bearer {TOKEN}":
            return self._reply(401, {"error": "Invalid credentials in Authorization header"})
        return self._reply(*self._answer(method, path, body))

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path.startswith("/storage/"):
            self.hub.stored[path.rsplit("/", 1)[1]] = body
            return 200, {}
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": USER, "orgs": []}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        name = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        if name not in self.hub.private:
            return 404, {"error": "Repository not found"}
        if path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            return 200, {"files": [self._mode(file["path"]) for file in files]}
        if path.endswith("/commit/main"):
            return self._commit(name, [json.loads(line) for line in body.splitlines()])
        siblings = [{"rfilename": file} for file in self.hub.files.get(name, {})]
        private = self.hub.private[name]
        return 200, {"id": name, "private": private, "sha": "0" * 40, "siblings": siblings}

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        owner = wanted["organization"] or USER
        name = f"{owner}/{wanted['name']}"
        if owner != USER:
            return 403, {"error": "You don't have the rights"}
        if name in self.hub.private:
            return 409, {"error": "You already created this model repo", "url": name}
        self.hub.private[name] = wanted["visibility"] == "private"
        return 200, {"url": f"{self.hub.address}/{name}"}

    def _mode(self, path: str) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def _batch(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        assert wanted["operation"] == "upload" and wanted["hash_algo"] == "sha256"
        objects = []
        for entry in wanted["objects"]:
            upload = {"href": f"{self.hub.address}/storage/{entry['oid']}", "header": {}}
            actions = {} if entry["oid"] in self.hub.stored else {"actions": {"upload": upload}}
            objects.append({**entry, **actions})
        return 200, {"transfer": "basic", "objects": objects}

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        files = self.hub.files.setdefault(name, {})
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif line["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                if value["path"] not in files:
                    return 404, {"error": "A file with the name does not exist"}
                del files[value["path"]]
        return 200, {"commitUrl": f"{self.hub.address}/{name}/commit/1", "commitOid": "1" * 40}

    def _reply(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
