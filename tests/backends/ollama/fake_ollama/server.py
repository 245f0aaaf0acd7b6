"""`ollama serve`: a real server on OLLAMA_HOST."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.backends.ollama.fake_ollama.connection import FailedError, address
from tests.backends.ollama.fake_ollama.state import NOT_SUPPORTED, Fault, Program, draws, number
from tests.backends.ollama.fake_ollama.store import Model, Name, find, folder, install, installed, parse

__all__ = [
    "HOURS",
    "Gone",
    "Refusal",
    "Runner",
    "Send",
    "draw",
    "pause",
    "pull",
    "serve",
]


def serve(program: Program) -> None:
    """Until SIGINT or SIGTERM: both end it with 0."""
    if not os.environ.get("HOME"):
        raise FailedError("$HOME is not defined")
    host, port = address()
    try:
        server = ThreadingHTTPServer((host, port), _handler(program, Runner(program)))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise FailedError(f"listen tcp {host}:{port}: bind: address already in use") from None
    server.daemon_threads = True
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, lambda *_: (_ for _ in ()).throw(SystemExit(0)))
    sys.stderr.write(f'level=INFO msg="Listening on {host}:{port} (version {program.version})"\n')
    try:
        server.serve_forever(0.02)
    except SystemExit:
        server.server_close()


def _handler(program: Program, runner: Runner) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.program, Handler.runner = program, runner
    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    program: Program
    runner: Runner

    def do_HEAD(self) -> None:
        if not self._silent():
            self._answer(200, None)

    def do_GET(self) -> None:
        if self._silent():
            return
        if self.path == "/api/version":
            self._answer(200, {"version": self.program.version})
        elif self.path == "/api/tags":
            self._answer(200, {"models": [_listed(model) for model in installed()]})
        elif self.path == "/api/ps":
            self._answer(200, {"models": [{"name": name, "model": name} for name in self.runner.loaded()]})
        else:
            self._answer(200, "Ollama is running")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        wanted = request.get("model") or request.get("name", "")
        name = parse(wanted)
        self.streaming = False
        try:
            if name is None:
                raise Refusal(400, "invalid model name")
            if self.path == "/api/pull":
                pull(self.program, name, self._send, self._gone)
            elif (model := find(name)) is None:
                raise Refusal(404, f"model '{name}' not found")
            elif self.path == "/api/show":
                self._answer(200, _shown(model))
                return
            else:
                self.runner.generate(model, request, self._send, self._gone)
        except Refusal as refusal:
            if not self.streaming:
                self._answer(refusal.status, {"error": refusal.message})
                return
            self._send({"error": refusal.message})
        except (BrokenPipeError, ConnectionResetError):
            return
        self._finish()

    def _silent(self) -> bool:
        """Whether it never answers this path."""
        if self.program.state.take({"silent"}, self.path) is None:
            return False
        pause(HOURS, self._gone)
        return True

    def _answer(self, status: int, body: object) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send(self, said: dict[str, Any]) -> None:
        """One line of a stream; the first of them begins it."""
        if not self.streaming:
            self.streaming = True
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        data = json.dumps(said).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _finish(self) -> None:
        if not self.streaming:
            self._answer(200, None)
            return
        self.wfile.write(b"0\r\n\r\n")

    def _gone(self) -> bool:
        """Whether the client hung up."""
        if not select.select([self.connection], [], [], 0)[0]:
            return False
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def log_message(self, *_: object) -> None:
        pass


def _listed(model: Model) -> dict[str, Any]:
    said = {key: value for key, value in asdict(model).items() if key in ("digest", "size", "modified")}
    return said | {"name": str(model.name), "model": str(model.name), "capabilities": model.config["capabilities"]}


def _shown(model: Model) -> dict[str, Any]:
    index = model.index
    return {
        "license": "\n".join(model.licences),
        "details": {
            "family": index["architecture"],
            "parameter_count": index["parameter_count"],
            "quantization_level": index["quantization"],
        },
        "model_info": {},
        "capabilities": model.config["capabilities"],
    }


BEFORE = ("http", "memory", "runner-memory", "mlx", "busy")
DURING = ("mid-stream", "early-end", "no-image", "hang", "slow", "server-dies", "large", "cut", "other-size", "not-png")
STEPS = {"Flux2KleinPipeline": 4}
FIVE_MINUTES = 300.0
HOURS = 36_000.0

Send = Callable[[dict[str, Any]], None]
Gone = Callable[[], bool]


class Refusal(Exception):  # noqa: N818
    """An answer with an error: its status where the stream has not begun."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Runner:
    """One image at a time; a model stays loaded."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.turn = threading.Lock()
        self.until: dict[str, float] = {}

    def loaded(self) -> list[str]:
        return [name for name, until in self.until.items() if until > time.time()]

    def generate(self, model: Model, request: dict[str, Any], send: Send, gone: Gone) -> None:
        """Raises Refusal."""
        prompt, keep_alive = request.get("prompt", ""), request.get("keep_alive")
        if not prompt and keep_alive == 0:
            self._unload(str(model.name))
            send({"done": True, "done_reason": "unload"})
            return
        if "image" not in model.config["capabilities"]:
            send({"response": "I am a language model.", "done": True})
            return
        if not draws(self.program.version):
            raise Refusal(400, NOT_SUPPORTED)
        if max(request["width"], request["height"]) > 4096:
            raise Refusal(400, "width and height must be <= 4096")
        if not self._wait(gone):
            return
        try:
            self._load(model, prompt)
            if prompt:
                self._draw(model, request, send, gone)
            else:
                send({"done": True, "done_reason": "load"})
        finally:
            seconds = FIVE_MINUTES if keep_alive is None else keep_alive if keep_alive >= 0 else 1e9
            if str(model.name) in self.until:
                self.until[str(model.name)] = time.time() + seconds
            if seconds == 0:
                self._unload(str(model.name))
            self.turn.release()

    def _wait(self, gone: Gone) -> bool:
        """For its turn. False: the client did not wait."""
        while not self.turn.acquire(timeout=0.05):
            if gone():
                return False
        return True

    def _load(self, model: Model, prompt: str) -> None:
        fault = self.program.state.take(BEFORE, prompt)
        if fault:
            raise _refusal(fault, self.program.version)
        if not self.program.has_mlx():
            raise _refusal(Fault("mlx", {}), self.program.version)
        version = number(self.program.version)
        if version in ((0, 16, 0), (0, 16, 1)):
            raise Refusal(500, "mlx runner failed:   model.norm.weight (exit: exit status 1)")
        if version == (0, 23, 2):
            raise Refusal(500, 'Post "http://127.0.0.1:55510/completion": EOF')
        if str(model.name) not in self.loaded():
            for other in list(self.until):  # one at a time fits
                self._unload(other)
            self.until[str(model.name)] = time.time() + FIVE_MINUTES
            self.program.state.log("served", event="load", model=str(model.name), time=time.time())

    def _unload(self, name: str) -> None:
        if self.until.pop(name, 0) > 0:
            self.program.state.log("served", event="unload", model=name, time=time.time())

    def _draw(self, model: Model, request: dict[str, Any], send: Send, gone: Gone) -> None:
        prompt, seed = request["prompt"], int(float(request["options"]["seed"]))
        pipeline = model.index["architecture"]
        steps = request["steps"] if request["steps"] > 0 else STEPS.get(pipeline, 9)
        size = (
            request["width"] if request["width"] > 0 else 1024,
            request["height"] if request["height"] > 0 else 1024,
        )
        asked = {"prompt": prompt, "width": size[0], "height": size[1], "steps": steps, "seed": max(seed, 0)}
        said = asked | {"model": str(model.name), "digest": model.digest, "images": len(request["images"])}
        self.program.state.log("served", event="start", time=time.time(), **said)
        fault = self.program.state.take(DURING, prompt)
        kind, details = (fault.kind, fault.details) if fault else ("", {})
        for step in range(steps + 1):
            send({"completed": step, "total": steps, "done": False})
            if step == steps // 2 and not self._goes_on(kind, details, gone):
                return
            if kind == "slow" and not pause(details["seconds"], gone):
                return
        if kind == "no-image" or number(self.program.version) == (0, 23, 1):
            send({"done": True})
            return
        if pipeline == "Flux2KleinPipeline":
            size = _rounded(*size)
        elif size[0] % 16 or size[1] % 16:
            raise Refusal(500, "mlx runner closed response before completion")
        data = _picture(kind, size, model.digest, prompt, seed if seed > 0 else time.time_ns(), steps)
        self.program.state.log("served", event="end", time=time.time(), **said)
        send({"done": True, "image": base64.b64encode(data).decode()})

    def _goes_on(self, kind: str, details: dict[str, Any], gone: Gone) -> bool:
        """Half-way. False: it just ends here."""
        if kind == "mid-stream":
            raise Refusal(500, details.get("text", "mlx runner closed response before completion"))
        if kind == "server-dies":
            os._exit(1)
        if kind == "hang":
            pause(HOURS, gone)
        return kind not in ("early-end", "hang")


def pause(seconds: float, gone: Gone) -> bool:
    """False: the client hung up meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if gone():
            return False
        time.sleep(min(left, 0.02))
    return True


def _refusal(fault: Fault, version: str) -> Refusal:
    details = fault.details
    if fault.kind == "memory":
        need, have = details.get("need", "12.0 GiB"), details.get("have", "7.4 GiB")
        return Refusal(500, f"model requires {need} but only {have} are available (after 512.0 MiB overhead)")
    if fault.kind == "runner-memory":
        need, have = details.get("need", 11), details.get("have", 8)
        why = f"insufficient memory for image generation: need {need} GB, have {have} GB"
        said = f"Error: failed to create server: failed to load image model: {why}"
        return Refusal(500, f"mlx runner failed: {said} (exit: exit status 1)")
    if fault.kind == "mlx":
        return Refusal(500, f"mlx runner failed: Error: {_no_mlx(version)} (exit: exit status 1)")
    if fault.kind == "busy":
        return Refusal(503, "server busy, please try again.  maximum pending requests exceeded")
    return Refusal(details.get("status", 500), details.get("text", "something went wrong"))


def _no_mlx(version: str) -> str:
    if number(version) < (0, 18, 0):
        return "MLX runner not available: build with mlx tag"
    if number(version) < (0, 30, 0):
        return "failed to initialize MLX: libmlxc.so not found"
    return "failed to initialize MLX: failed to load MLX dynamic library (searched: [/usr/local/lib/ollama])"


def _picture(kind: str, size: tuple[int, int], *what: object) -> bytes:
    if kind == "not-png":
        return b"GIF89a" + bytes(100)
    if kind == "large":
        return os.urandom(6_100_000)
    data = draw(*(edge // 2 if kind == "other-size" else edge for edge in size), *what)
    return data[: len(data) // 2] if kind == "cut" else data


def _rounded(width: int, height: int) -> tuple[int, int]:
    """What FLUX.2 makes of a size, without a word."""
    limit = 2048 * 2048
    if width * height > limit:
        scale = (limit / (width * height)) ** 0.5
        width, height = round(width * scale / 16) * 16, round(height * scale / 16) * 16
    return (width + 8) // 16 * 16, (height + 8) // 16 * 16


PARTS = 4
KINDS = ("pull-slow", "pull-disk-full", "pull-offline", "pull-stops")


def pull(program: Program, name: Name, send: Send, gone: Gone) -> None:
    """Tells how far it is; the manifest comes last, so that a pull that is broken off leaves no model.

    Raises Refusal.
    """
    send({"status": "pulling manifest"})
    fault = program.state.take(KINDS, str(name))
    kind = fault.kind if fault else ""
    if kind == "pull-offline":
        host = name.host
        where = f"https://{host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        raise Refusal(500, f'pull model manifest: Get "{where}": dial tcp: lookup {host}: no such host')
    spec = program.state.play["registry"].get(str(name))
    if spec is None:
        raise Refusal(500, "pull model manifest: file does not exist")
    size, present = spec["size"], find(name)
    image = spec["capability"] == "image"
    bar = {"status": "pulling model", "digest": "sha256:model" if image else "sha256:365c0bd3c000", "total": size}
    if present is None or present.config["revision"] != spec["revision"]:
        for part in range(PARTS + 1):
            send(bar | {"completed": size * part // PARTS})
            if part == PARTS // 2 and kind == "pull-disk-full":
                blob = folder() / "blobs/sha256-0123.tmp"
                raise Refusal(500, f"max retries exceeded: write {blob}: no space left on device")
            if part == PARTS // 2 and kind == "pull-stops":
                return
            if fault and kind == "pull-slow" and not pause(fault.details["seconds"], gone):
                return
    send({"status": "writing manifest"})
    if gone():
        return
    digest = install(folder(), name, spec)
    program.state.log("served", event="pull", model=str(name), digest=digest, time=time.time())
    send({"status": "success"})


def draw(width: int, height: int, *what: object) -> bytes:
    """A PNG in RGB: slanted stripes in the colours that `what` comes to. Same in, same bytes out."""
    digest = hashlib.sha256(repr((width, height, *what)).encode()).digest()
    colours = [digest[at : at + 3] for at in range(0, 30, 3)]
    stripe = b"".join(colour * (3 + colour[0] % 7) for colour in colours)
    row = stripe * (width * 3 // len(stripe) + 2)
    rows = (b"\0" + row[(shift := 3 * (y % (len(stripe) // 3))) : shift + width * 3] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
