"""The fake server itself: it starts, restarts and stops, and answers each HTTP request."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import re
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.backends.comfyui.fake_server.engine import Engine, job, submit
from tests.backends.comfyui.fake_server.nodes import Crash, catalogue, object_info
from tests.backends.comfyui.fake_server.sockets import Connection, Sockets, accept_key
from tests.backends.comfyui.fake_server.world import SAMPLERS, SCHEDULERS, World

__all__ = [
    "FakeComfyUI",
    "Handler",
    "Upload",
    "find",
    "parse_form",
    "store",
]


_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NOT_JSON = object()


class Handler(BaseHTTPRequestHandler):
    """One connection's requests."""

    protocol_version = "HTTP/1.1"
    server_version = "aiohttp/fake"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Finish the handshake here, in this connection's own thread, before anything is read."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: `World.log` has it."""

    def do_GET(self) -> None:
        """Any GET."""
        self._handle(self._get)

    def do_POST(self) -> None:
        """Any POST."""
        self._handle(self._post)

    def do_DELETE(self) -> None:
        """None is answered."""
        self._handle(lambda: self._answer(405, b"405: Method Not Allowed", "text/plain; charset=utf-8"))

    do_PUT = do_DELETE  # noqa: N815 - the base class's name

    @property
    def _listener(self) -> Listener:
        return cast(Listener, self.server)

    @property
    def _engine(self) -> Engine:
        return self._listener.engine

    @property
    def _world(self) -> World:
        return self._listener.engine.world

    def _handle(self, respond: Any) -> None:
        parts = urlsplit(self.path)
        self._query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._is_api = parts.path.startswith("/api/")
        self._route = unquote(parts.path.removeprefix("/api"))
        self._raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._body = json.loads(self._raw)
        except ValueError:
            self._body = _NOT_JSON
        shown = self._raw if self._body is _NOT_JSON else self._body
        with self._world.mutex:
            self._world.log.append((self.command, self.path, shown if self._raw else None))
        if self._world.auth is not None and self.headers.get("Authorization") != self._world.auth:
            page = b"<html><body>401 Authorization Required</body></html>"
            return self._answer(401, page, "text/html", {"WWW-Authenticate": 'Bearer realm="fake"'})
        if self._is_foreign():
            return self._answer(403)
        if self.command == "GET" and self._world.strike("dropped", self.path):
            return self._reset()
        if self.command == "GET" and self._world.strike("502", self.path):
            return self._answer(502, b"<html><body>502 Bad Gateway</body></html>", "text/html")
        try:
            respond()
        except Crash:
            text = b"500 Internal Server Error\n\nServer got itself in trouble"
            self._answer(500, text, "text/plain; charset=utf-8")
        return None

    def _get(self) -> None:
        engine, world = self._engine, self._world
        match self._route.strip("/").split("/"):
            case ["ws"]:
                self._socket()
            case ["system_stats"]:
                self._json(_system_stats(world))
            case ["prompt"]:
                self._json(engine.remaining())
            case ["queue"]:
                with engine.changed:
                    running = [engine.running.entry] if engine.running else []
                    self._json({"queue_running": running, "queue_pending": [job.entry for job in engine.pending]})
            case ["history"]:
                self._history()
            case ["history", id_]:
                with engine.changed:
                    self._json({id_: engine.history[id_]} if id_ in engine.history else {})
            case ["jobs", id_] if self._is_api and world.since(0, 5, 1):
                found = job(engine, id_)
                self._json(found or {"error": "Job not found"}, 200 if found else 404)
            case ["object_info"]:
                self._json({name: object_info(name, node) for name, node in catalogue(world).items()})
            case ["object_info", name]:
                nodes = catalogue(world)
                self._json({name: object_info(name, nodes[name])} if name in nodes else {})
            case ["models", folder]:
                names = world.models(folder)
                self._answer(404) if names is None else self._json(names)
            case ["view"]:
                self._view()
            case _:
                self._answer(404, b"", "application/octet-stream")

    def _post(self) -> None:
        engine, world = self._engine, self._world
        match self._route.strip("/").split("/"):
            case ["prompt"]:
                self._prompt()
            case ["queue"]:
                body = self._object()
                if body.get("clear"):
                    engine.delete(None)
                engine.delete(set(body.get("delete", ())))
                self._answer(200)
            case ["history"]:
                body = self._object()
                with engine.changed:
                    for id_ in list(engine.history) if body.get("clear") else body.get("delete", ()):
                        engine.history.pop(id_, None)
                self._answer(200)
            case ["interrupt"]:
                engine.interrupt(self._body.get("prompt_id") if isinstance(self._body, dict) else None)
                self._answer(200)
            case ["free"]:
                if self._object().get("free_memory"):
                    engine.free()
                self._answer(200)
            case ["jobs", id_, "cancel"] if self._is_api and world.since(0, 28):
                self._json({"cancelled": engine.interrupt(id_) or engine.delete({id_})})
            case ["upload", "image"]:
                stored = store(world.folder, parse_form(self.headers.get("Content-Type", ""), self._raw))
                self._json(stored) if stored else self._answer(400)
            case _:
                self._answer(405, b"405: Method Not Allowed", "text/plain; charset=utf-8")

    def _history(self) -> None:
        newest = self._query.get("max_items", "0")
        if not newest.isdigit():
            raise Crash("max_items is no number")
        with self._engine.changed:
            self._json(dict(list(self._engine.history.items())[-int(newest) :]))

    def _object(self) -> dict[str, Any]:
        if not isinstance(self._body, dict):
            raise Crash("the body is no JSON object")
        return self._body

    def _prompt(self) -> None:
        if self._body is _NOT_JSON:
            raise Crash("the body is not JSON")
        status, answer, job = submit(self._engine, self._body)
        if job is not None and job.struck("post 500"):
            raise Crash("the fake server was told to")
        if job is not None and job.struck("post reset"):
            return self._reset()
        return self._json(answer, status)

    def _view(self) -> None:
        found = find(self._world.folder, self._query)
        if isinstance(found, int):
            return self._answer(found)
        if (self._query["filename"], self._query.get("subfolder", "")) in self._engine.pages:
            return self._answer(200, b"<html><body>Please log in</body></html>", "text/html")
        kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
        safe = {"X-Content-Type-Options": "nosniff", "Content-Disposition": f'filename="{found.name}"'}
        return self._answer(200, found.read_bytes(), kind, safe)

    def _socket(self) -> None:
        key = self.headers.get("Sec-WebSocket-Key")
        if self.headers.get("Upgrade", "").lower() != "websocket" or key is None:
            text = b'No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".'
            return self._answer(400, text, "text/plain; charset=utf-8")
        if self._world.strike("socket refused", self.path):
            return self._answer(403)
        silent = self._world.strike("socket silent", self.path) is not None
        closes = not silent and self._world.strike("socket closes", self.path) is not None
        self.close_connection = True
        connection = Connection(self.connection, silent=silent, closes=closes)
        client_id, stream = self._query.get("clientId", ""), cast(BinaryIO, self.rfile)
        accept = partial(self._switch_protocols, accept_key(key))
        return self._engine.sockets.serve(connection, stream, client_id, self._engine.remaining(), accept)

    def _switch_protocols(self, accepted: str) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "upgrade")
        self.send_header("Sec-WebSocket-Accept", accepted)
        self.end_headers()

    def _is_foreign(self) -> bool:
        """Whether a page of another site asks, on a loopback host."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin", "")
        if self.headers.get("Sec-Fetch-Site") == "cross-site":
            return True
        return bool(origin) and urlsplit(f"//{host}").hostname in _LOOPBACK and urlsplit(origin).netloc != host

    def _reset(self) -> None:
        """Hang up in the middle, without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _answer(
        self, status: int, body: bytes = b"", content_type: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _system_stats(world: World) -> dict[str, Any]:
    memory = 16 * 2**30
    return {
        "system": {
            "os": sys.platform,
            "ram_total": memory,
            "ram_free": memory // 2,
            "comfyui_version": world.version,
            "python_version": sys.version,
            "pytorch_version": "2.13.0+cpu",
            "embedded_python": False,
            "argv": ["main.py", "--cpu"],
        },
        "devices": [
            {
                "name": "cpu",
                "type": "cpu",
                "index": None,
                "vram_total": memory,
                "vram_free": memory // 2,
                "torch_vram_total": memory,
                "torch_vram_free": memory // 2,
            }
        ],
    }


_KINDS = ("output", "temp", "input")


@dataclass(frozen=True)
class Upload:
    """One part of a multipart form. filename: None for a plain field."""

    filename: str | None
    data: bytes


def find(folder: Path, query: dict[str, str]) -> Path | int:
    """The file that /view means, or the status of a refusal. folder: has the three kinds."""
    if "filename" not in query:
        return 404
    name, kind = query["filename"], query.get("type", "output")
    if match := re.fullmatch(r"(.*) \[(output|temp|input)\]", name):
        name, kind = match[1], match[2]
    if not name or name.startswith("/") or ".." in name or kind not in _KINDS:
        return 400
    inside = _inside(folder / kind, query.get("subfolder", ""))
    if inside is None:
        return 403
    path = inside / Path(name).name
    return path if path.is_file() else 404


def store(folder: Path, form: dict[str, Upload]) -> dict[str, str] | None:
    """Save an upload, under another name where that one is taken by something else; None for a refusal."""
    image = form.get("image")
    fields = {name: part.data.decode() for name, part in form.items() if part.filename is None}
    kind, subfolder = fields.get("type", "input"), fields.get("subfolder", "")
    target = _inside(folder / kind, subfolder) if kind in _KINDS else None
    if image is None or not image.filename or target is None or _inside(target, image.filename) is None:
        return None
    target.mkdir(parents=True, exist_ok=True)
    path, number = target / image.filename, 0
    while fields.get("overwrite") not in ("true", "1") and path.exists() and path.read_bytes() != image.data:
        number += 1
        path = target / f"{Path(image.filename).stem} ({number}){Path(image.filename).suffix}"
    path.write_bytes(image.data)
    return {"name": path.name, "subfolder": subfolder, "type": kind}


def parse_form(content_type: str, body: bytes) -> dict[str, Upload]:
    """The parts of a multipart/form-data body by name; empty where it is none."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not boundary:
        return {}
    form = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(r'[ ;]name="([^"]*)"', head.decode())
        filename = re.search(r'filename="([^"]*)"', head.decode())
        if name:
            form[name[1]] = Upload(filename[1] if filename else None, data.removesuffix(b"\r\n"))
    return form


def _inside(root: Path, subfolder: str) -> Path | None:
    path = Path(os.path.abspath(root / subfolder))  # noqa: PTH100 - links are not followed
    return path if path == root or root in path.parents else None


class Listener(ThreadingMixIn, TCPServer):
    """Serves `engine` on 127.0.0.1, from construction until `close`. port: 0 for any that is free."""

    allow_reuse_address = True  # a restart keeps its port
    daemon_threads = False  # so that server_close joins them
    request_queue_size = 128

    def __init__(
        self, port: int, handler: type[BaseHTTPRequestHandler], engine: Engine, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.engine = engine
        self._context = context
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="fake-comfyui-http", daemon=True)
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; what TLS needs to say is said later, in the connection's own thread."""
        connection, address = super().get_request()
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._mutex:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget it, too."""
        with self._mutex:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Accept no more, hang up on all, wait for their threads."""
        self.shutdown()
        self._thread.join()
        with self._mutex:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()


class FakeComfyUI(World):
    """A ComfyUI server on 127.0.0.1, between entering and leaving a `with`, or `start` and `stop`.

    port: 0 for one that is free, the same over restarts. certfile: PEM with certificate and key, for https. folder:
    where its `output`, `temp` and `input` are; by default a temporary one, removed when the `with` is left. The rest
    is in `World`; all of it can be changed while it serves.
    """

    def __init__(
        self,
        *,
        checkpoints: Iterable[str] = ("fake.safetensors",),
        loras: Iterable[str] = (),
        vaes: Iterable[str] = (),
        unets: Iterable[str] = (),
        clips: Iterable[str] = (),
        samplers: Iterable[str] = SAMPLERS,
        schedulers: Iterable[str] = SCHEDULERS,
        seconds: float = 0.05,
        loading: float = 0.0,
        steps: int | None = None,
        history_delay: float = 0.02,
        version: str = "0.33.0",
        auth: str | None = None,
        port: int = 0,
        certfile: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="fake-comfyui-")
        super().__init__(
            folder=(folder or Path(self._temporary.name if self._temporary else "")).resolve(),
            checkpoints=dict.fromkeys(checkpoints, ""),
            loras=list(loras),
            vaes=list(vaes),
            unets=list(unets),
            clips=list(clips),
            samplers=list(samplers),
            schedulers=list(schedulers),
            seconds=seconds,
            loading=loading,
            steps=steps,
            history_delay=history_delay,
            version=version,
            auth=auth,
        )
        for kind in ("output", "temp", "input"):
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
        self._context = None
        if certfile:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certfile)
        self._listener: Listener | None = None
        self.port = port

    def __enter__(self) -> FakeComfyUI:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    @property
    def url(self) -> str:
        """Without a / at its end."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    @property
    def output(self) -> Path:
        """The folder that SaveImage writes to."""
        return self.folder / "output"

    def start(self) -> FakeComfyUI:
        """Serve, with an empty queue and history."""
        self._listener = Listener(self.port, Handler, Engine(self, Sockets()), self._context)
        self.port = self._listener.server_address[1]
        return self

    def stop(self) -> None:
        """Drop every connection and whatever runs, at once, as a kill would; files stay. Waits for all its threads."""
        if self._listener:
            self._listener.engine.stop()
            self._listener.close()
            self._listener = None

    def restart(self, away: float = 0.0) -> None:
        """Stop, and serve again on the same port after so many seconds."""
        self.stop()
        time.sleep(away)
        self.start()
