"""Fake servers over real HTTP that only say what they are. Those that generate images are with their backends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ANSWERS", "serve"]

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "ComfyUI": {"/system_stats": {"system": {"comfyui_version": "0.33.0"}, "devices": []}},
    "SwarmUI": {"/ComfyBackendDirect/system_stats": {"system": {"comfyui_version": "0.33.0"}, "devices": []}},
    "SwarmUI without ComfyUI": {
        "*": b"<!DOCTYPE html>\n<html>\n<head>\n<style>body{background-color:#101010;color:#eeeeee;}</style>\n</head>\n"
        b'<body>\n<span class="comfy-failed-to-load">No ComfyUI backend available, loading failed.</span>\n</body></html>'
    },
    "koboldcpp without an image model": {
        "/api/extra/version": {"result": "KoboldCpp", "version": "1.116.1", "txt2img": False}
    },
    "Ollama": {"/api/version": {"version": "0.32.5"}},
    "Ollama without images": {"/api/version": {"version": "0.33.0"}},
}
"""By program, what it answers to a path: JSON, or bytes as they are. To others: 404, or what it has for `*`."""


@contextmanager
def serve(answers: Mapping[str, Any], status: int = 200, **headers: str) -> Iterator[tuple[int, list[str]]]:
    """Serve these answers on a free port of loopback. Yields the port and the requests so far: `GET /path`."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.command} {self.path}")
            assert "Authorization" not in self.headers
            answer = answers.get(self.path, answers.get("*"))
            missing = answer is None
            said = {"detail": "Not Found"} if missing else answer
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(404 if missing else status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_HEAD = do_GET  # noqa: N815 - as http.server has it

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], seen
        server.shutdown()
