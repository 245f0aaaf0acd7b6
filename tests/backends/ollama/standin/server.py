"""`ollama serve`: a real server on OLLAMA_HOST."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.backends.ollama.standin.connection import FailedError
from tests.backends.ollama.standin.generation import HOURS, Refusal, Runner, pause
from tests.backends.ollama.standin.host import address
from tests.backends.ollama.standin.names import parse
from tests.backends.ollama.standin.program import Program
from tests.backends.ollama.standin.pulling import pull
from tests.backends.ollama.standin.store import Model, find, installed

__all__ = ["serve"]


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
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: (_ for _ in ()).throw(SystemExit(0)))
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
