"""A server of files over real HTTP, with the ways in which servers of large files differ and fail."""

from __future__ import annotations

import hashlib
import random
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from imagegen.backends.download import RemoteFile
from imagegen.config.models import ModelFile, read_models

DATA = random.Random(4).randbytes(3 * 1024**2 + 17)  # noqa: S311 - the same in each run


@dataclass
class Served:
    """One address. cut_after: bytes of an answer after which the connection ends, one for each of the first answers.

    length: whether it says how much comes. hold: bytes are held back after `cut_after` until it is set.
    """

    data: bytes = DATA
    status: int = 200
    ranges: bool = True
    length: bool = True
    endless: bool = False
    cut_after: list[int] = field(default_factory=list)
    hold: threading.Event | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    path: str
    range: str
    authorization: str


class FileServer:
    """host: what the address calls it; 127.0.0.1 and localhost are one machine and two hosts."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def ranges(self) -> list[str]:
        return [asked.range for asked in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def file_server(host: str = "127.0.0.1", **files: Served) -> Iterator[FileServer]:
    """A server of /NAME.safetensors for each of these."""
    server = FileServer(host)
    server.files = {f"/{name}.safetensors": served for name, served in files.items()}
    try:
        yield server
    finally:
        server.close()


def listed(key: str = "m", data: bytes = DATA, **changes: Any) -> ModelFile:
    """A model that is listed with the size and sha256 of these bytes."""
    known = {"folder": "checkpoints", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (model,) = read_models({key: known | changes})
    return model


def remote(url: str, data: bytes = DATA, **changes: Any) -> RemoteFile:
    """A file to be downloaded that is to have these bytes."""
    known = RemoteFile(
        key="m",
        name="m.safetensors",
        url=url,
        host="127.0.0.1",
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        least=len(data),
        most=len(data),
        page="https://example.org/page",
        if_other="compare",
        if_missing="look elsewhere",
    )
    return replace(known, **changes)


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
            pass

        def do_GET(self) -> None:
            range_, authorization = self.headers.get("Range", ""), self.headers.get("Authorization", "")
            path = self.path.partition("?")[0]
            server.asked.append(Asked(self.path, range_, authorization))
            served = server.files.get(path, Served(b"", 404))
            first = int(match[1]) if served.ranges and (match := re.fullmatch(r"bytes=(\d+)-", range_)) else 0
            if first and first >= len(served.data):
                self.send_error(416)
                return
            body = served.data[first:]
            self.send_response(206 if first and served.status == 200 else served.status)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(served.data) - 1}/{len(served.data)}")
            if served.length and not served.endless:
                self.send_header("Content-Length", str(len(body)))
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if served.cut_after:
                    body = body[: served.cut_after.pop(0)]
                self.wfile.write(body)
                if served.hold:
                    self.wfile.flush()
                    served.hold.wait(30)
                while served.endless:
                    self.wfile.write(body)
            except OSError:  # the other end has had enough
                pass
            self.close_connection = True

    return Handler
