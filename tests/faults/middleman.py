"""Between a client and its server: hands on what is asked and answered, and now and then plays a trick."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Middleman", "Trick", "answer"]


def answer(body: bytes, status: str = "200 OK", kind: str = "application/json", length: int | None = None) -> bytes:
    """A whole answer. length: that it announces, where that is not its own."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n"
    return head.encode("latin-1") + b"Connection: close\r\n\r\n" + body


@dataclass(eq=False)
class Trick:
    """What becomes of some requests. path: begins so. says: what is answered in place of the server's own body.

    skip: how many are let pass first; times: how many it then strikes, None for all; seconds: for how long, from the
    first on. arrives: whether the server gets the request all the same.
    """

    path: str
    says: Callable[[bytes], Iterable[bytes]]
    method: str = "GET"
    times: int | None = 1
    skip: int = 0
    seconds: float = 0.0
    arrives: bool = False
    struck: int = field(default=0, init=False)
    _ends: float = field(default=0.0, init=False)

    def strikes(self, method: str, path: str) -> bool:
        """Whether it does, now; counts."""
        if method != self.method or not path.startswith(self.path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.seconds:
            self._ends = self._ends or time.monotonic() + self.seconds
            if time.monotonic() > self._ends:
                return False
        elif self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True


class Middleman:
    """At `url`, between entering and leaving a `with`. asked: method and path of each request that came."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server).netloc
        self.tricks: list[Trick] = []
        self.asked: list[tuple[str, str]] = []
        self.mutex = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Middleman:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, method: str, path: str) -> int:
        """How many such requests came; path: begins so."""
        return sum(1 for one, at in self.asked if one == method and at.startswith(path))


def _handler(middleman: Middleman) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
            pass

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with middleman.mutex:
                middleman.asked.append((self.command, self.path))
                trick = next((one for one in middleman.tricks if one.strikes(self.command, self.path)), None)
            message = b""
            status, kind = 502, "text/plain"
            if trick is None or trick.arrives:
                with contextlib.closing(http.client.HTTPConnection(middleman.server, timeout=30)) as upstream:
                    headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                    with contextlib.suppress(OSError):
                        upstream.request(self.command, self.path, body, headers)
                        got = upstream.getresponse()
                        message, status, kind = got.read(), got.status, got.headers.get("Content-Type", "")
            with contextlib.suppress(OSError):
                for part in trick.says(message) if trick else [answer(message, f"{status} So", kind)]:
                    self.wfile.write(part)
            self.close_connection = True

        do_POST = do_GET  # noqa: N815 - the base class's name

    return Handler
