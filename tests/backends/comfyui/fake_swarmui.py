"""A fake SwarmUI in front of fake ComfyUI servers, over real HTTP and websockets: it passes calls on as SwarmUI does.

Source of the facts: SwarmUI's ComfyUIRedirectHelper.cs, ComfyUser.cs and WebServer.cs, of August 2026.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

import requests

from tests.backends.comfyui.fake_server import FakeComfyUI
from tests.backends.comfyui.fake_server.sockets import Connection, accept_key

__all__ = ["FakeSwarmUI"]

_PATH = "/ComfyBackendDirect"
_PAGE = '<!DOCTYPE html>\n<html>\n<body>\n<span class="comfy-failed-to-load">{}</span>\n</body>\n</html>'
_ERROR = "<html>\n<center>\n    <h1>Error {}</h1>\n</center>\n</html>"
_MODELS = ("ckpt_name", "vae_name", "lora_name", "clip_name")


class FakeSwarmUI:
    """A SwarmUI on 127.0.0.1, between entering and leaving a `with`. All of it can be changed while it serves.

    backends: the ComfyUI backends that run, in the order of their numbers. has_permission: whether its user may call
    them. key: the Authorization header that it wants; empty for none. refusal: why no prompt is taken, as while
    backends are scaled; empty if prompts are taken. log: the path of each request.
    """

    def __init__(self, *backends: FakeComfyUI) -> None:
        self.backends = list(backends)
        self.has_permission = True
        self.key = self.refusal = ""
        self.log: list[str] = []
        self.clients: dict[str, FakeComfyUI] = {}
        """The backend of each websocket, by its client ID. It gets the prompts with that ID, whichever comes first."""
        self._server = _Server(self)

    def __enter__(self) -> FakeSwarmUI:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """SwarmUI's own address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def comfyui(self) -> str:
        """The address at which it passes calls on."""
        return self.url + _PATH


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, swarm: FakeSwarmUI) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.swarm = swarm

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: `FakeSwarmUI.log` has it."""

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_GET  # noqa: N815 - the base class's name

    @property
    def _swarm(self) -> FakeSwarmUI:
        return cast(_Server, self.server).swarm

    def _handle(self) -> None:
        swarm = self._swarm
        swarm.log.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if swarm.key and self.headers.get("Authorization") != swarm.key:
            return self._answer(401, b"Unauthorized", "")
        if not urlsplit(self.path).path.lower().startswith(_PATH.lower()):
            return self._no_route()
        if not swarm.has_permission:
            return self._page(401, _PAGE.format("Permission denied."))
        if not swarm.backends:
            return self._page(400, _PAGE.format("No ComfyUI backend available, loading failed."))
        try:
            # the path in other capitals is found, but not taken off
            return self._pass_on(swarm.backends[0], "/" + self.path.removeprefix(_PATH).removeprefix("/"), body)
        except (requests.RequestException, ValueError):
            return self._page(500, _ERROR.format("500: Internal Server Error"))

    def _no_route(self) -> None:
        if self.path == "/Error/404":
            return self._page(404, _ERROR.format("404: File Not Found"))
        return self._answer(302, b"", "", {"Location": "/Error/404"})

    def _pass_on(self, backend: FakeComfyUI, path: str, body: bytes) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            return self._socket(backend, path)
        if path == "/prompt" and self.command == "POST":
            if self._swarm.refusal:
                return self._json(400, {"error": f"[SwarmUI] {self._swarm.refusal}"})
            backend, body = self._read_prompt(backend, body)
        if path == "/interrupt" and self.command == "POST":
            json.loads(body)
        kind = {"Content-Type": self.headers["Content-Type"]} if "Content-Type" in self.headers else {}
        answer = requests.request(self.command, backend.url + path, data=body, headers=kind, timeout=30)
        # no other header comes along
        return self._answer(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

    def _read_prompt(self, backend: FakeComfyUI, body: bytes) -> tuple[FakeComfyUI, bytes]:
        """Return the backend of the client's websocket, or this one, and the prompt with its models' slashes changed."""
        parsed = json.loads(body)
        if found := self._swarm.clients.get(parsed.get("client_id")):
            backend = found
            for node in parsed["prompt"].values():
                for name in {*node["inputs"]} & {*_MODELS}:
                    node["inputs"][name] = node["inputs"][name].replace("\\", "/")
        return backend, json.dumps(parsed).encode()

    def _socket(self, backend: FakeComfyUI, path: str) -> None:
        import websocket

        self.close_connection = True
        (client_id,) = parse_qs(urlsplit(path).query)["clientId"]
        self.send_response(101)
        accepted = accept_key(self.headers["Sec-WebSocket-Key"])
        for name, value in {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accepted}.items():
            self.send_header(name, value)
        self.end_headers()
        inner: Any = websocket.create_connection(backend.url.replace("http", "ws", 1) + path, timeout=30)
        inner.settimeout(None)
        self._swarm.clients[client_id] = backend
        outer = Connection(self.connection)
        threading.Thread(target=_pass_messages_on, args=(inner, outer, self.connection), daemon=True).start()
        try:
            outer.listen(cast(BinaryIO, self.rfile))
        finally:
            self._swarm.clients.pop(client_id, None)
            inner.abort()

    def _json(self, status: int, value: Any) -> None:
        self._answer(status, json.dumps(value, indent=2).encode(), "application/json")

    def _page(self, status: int, text: str) -> None:
        self._answer(status, text.encode(), "text/html")

    def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send an answer in chunks, compressed if the client takes that."""
        headers = {**(headers or {}), "Transfer-Encoding": "chunked", **({"Content-Type": kind} if kind else {})}
        if "gzip" in self.headers.get("Accept-Encoding", "") and kind.startswith(("application/json", "text/")):
            headers["Content-Encoding"], body = "gzip", gzip.compress(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for chunk in _split(body):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")


def _pass_messages_on(inner: Any, outer: Connection, connection: socket.socket) -> None:
    """Pass on what ComfyUI says, each message parsed and written again over several lines, and hang up as it does."""
    from websocket import WebSocketException

    with suppress(WebSocketException, OSError):
        while text := inner.recv():
            outer.send_text(json.dumps(json.loads(text), indent=2))
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _split(body: bytes, size: int = 8192) -> Sequence[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]
