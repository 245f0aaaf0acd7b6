"""A fake server with OpenAI's images API: it is any of the programs in `fake_programs`, over real HTTP.

As the proxy on the way to any other host, it is that host. It keeps what it was asked, and each picture it made: with one that sells them, each of those is paid for, whether its
answer arrives or not.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from tests.backends.openai.fake_programs import PROGRAMS, Answer, Picture, Program, Refusal

__all__ = ["Asked", "FakeOpenAI", "Fault", "failing", "until"]


@dataclass(frozen=True)
class Asked:
    """A request that arrived. path: with its prefix. body: its JSON; None if it has none."""

    method: str
    path: str
    authorization: str | None
    body: Any = None


@dataclass(eq=False)
class Fault:
    """What becomes of some requests for an image, in place of a picture that is made and sent.

    Args:
        answer: what is said instead.
        makes: whether the picture is made all the same.
        loses: where the connection ends: before the answer, in its head, or in the middle of its body; or with a
            reset.
        gate: it waits there, once the picture is made.
        word: in the prompts of those requests.
        times: how many it strikes; None for all.
    """

    answer: Answer | None = None
    makes: bool = False
    loses: Literal["", "answer", "head", "body", "reset"] = ""
    gate: threading.Event | None = None
    word: str = ""
    times: int | None = 1
    struck: int = field(default=0, init=False)

    def strikes(self, prompt: str) -> bool:
        """Whether it does, now; counts."""
        if self.word not in prompt or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


def failing(
    status: int, body: Any = None, *, makes: bool = False, word: str = "", times: int | None = 1, **headers: str
) -> Fault:
    """Answer with this. headers: `_` in a name is `-`. The rest is as of `Fault`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(Answer(status, body, named), makes=makes, word=word, times=times)


class FakeOpenAI:
    """Serves between entering and leaving a `with`.

    Args:
        program: its name.
        key: what it wants as a bearer token; empty if it wants none.
        changes: attributes of the program that are to differ.
    """

    def __init__(self, program: str = "hosted", key: str = "", **changes: Any) -> None:
        self.name = program
        self.program: Program = PROGRAMS[program]()
        for name, value in changes.items():
            assert hasattr(self.program, name), name
            setattr(self.program, name, value)
        self.key = key
        self.asked: list[Asked] = []
        self.connections = 0
        self.pictures: list[Picture] = []
        self.faults: list[Fault] = []
        self.odd: dict[str, Answer] = {}
        """What it answers to a GET otherwise, by path."""
        self.together = 1
        """Each request waits until so many are there at once, the first time; but not for ever."""
        self.most_at_once = 0
        self._now = 0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.origin + self.program.prefix

    def __enter__(self) -> FakeOpenAI:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recover()
        with self._changed:
            self.together = 1
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    # what it did

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What each image was asked for with, whether it was made or not."""
        return [one.body for one in self.asked if one.method == "POST"]

    @property
    def prompts(self) -> list[str]:
        """The prompt of each picture that was made, sorted."""
        return sorted(one.prompt for one in self.pictures)

    @property
    def bill(self) -> Decimal:
        """What all pictures cost."""
        return sum((self.program.price(one) for one in self.pictures), Decimal(0))

    def wait_asked(self, count: int = 1) -> None:
        """Wait until so many images were asked for."""
        until(lambda: len(self.bodies) >= count)

    def wait_made(self, count: int = 1) -> None:
        """Wait until so many pictures are made."""
        until(lambda: len(self.pictures) >= count)

    # what it does

    def recover(self) -> None:
        """Let nothing go wrong any more, and go on with what waits."""
        for fault in self.faults:
            if fault.gate:
                fault.gate.set()
        self.faults.clear()

    def answer_get(self, path: str, authorization: str | None) -> Answer:
        self.asked.append(Asked("GET", path, authorization))
        return self.odd.get(path) or self._check_key(path, authorization) or self.program.get(path)

    def generate(self, path: str, authorization: str | None, data: bytes) -> tuple[Answer, Fault]:
        """Return what is answered to a request for an image, and what goes wrong with it."""
        try:
            body = json.loads(data)
        except ValueError:
            body = None
        with self._changed:
            self.asked.append(Asked("POST", path, authorization, body))
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._now >= self.together, 60)
            self.together = 1
            self._changed.notify_all()
            fault = next((one for one in self.faults if one.strikes(str(body and body.get("prompt")))), Fault())
        try:
            return self._generate(path, authorization, body, fault), fault
        finally:
            with self._changed:
                self._now -= 1

    def _generate(self, path: str, authorization: str | None, body: Any, fault: Fault) -> Answer:
        if refused := self._check_key(path, authorization):
            return refused
        if path != f"{self.program.prefix}/images/generations":
            return self.program.missing("POST", path)
        try:
            if fault.answer and not fault.makes:
                return fault.answer
            picture = self.program.read(body, authorization)
            self.pictures.append(picture)
            if fault.gate:
                fault.gate.wait()
            image = base64.b64encode(picture.encode()).decode()
            return fault.answer or Answer(200, self.program.present(picture, image, body), self.program.headers)
        except Refusal as refusal:
            return refusal.answer

    def _check_key(self, path: str, authorization: str | None) -> Answer | None:
        if not self.key or authorization == f"Bearer {self.key}" or self.program.is_open(path):
            return None
        return self.program.unauthorized(authorization)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer waits 40 ms for the kernel to acknowledge its head

            @property
            def asked_path(self) -> str:
                """The path: a proxy is sent a whole address."""
                return re.sub(r"^http://[^/]*", "", self.path)

            def do_GET(self) -> None:
                self._send(fake.answer_get(self.asked_path, self.headers["Authorization"]), Fault())

            def setup(self) -> None:
                super().setup()
                fake.connections += 1

            def do_CONNECT(self) -> None:
                """Somebody takes it for the proxy on the way to another server."""
                fake.asked.append(Asked("CONNECT", self.path, self.headers["Authorization"]))
                self.send_error(502)

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._send(*fake.generate(self.asked_path, self.headers["Authorization"], data))

            def _send(self, answer: Answer, fault: Fault) -> None:
                data, kind = answer.encode()
                if fault.loses == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = bool(fault.loses)
                if fault.loses in ("answer", "reset"):
                    return
                with contextlib.suppress(OSError):  # the client has gone
                    if fault.loses == "head":
                        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
                        return
                    self.send_response(answer.status)
                    headers = {"Content-Type": kind, "Content-Length": str(len(data)), **answer.headers}
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data[: len(data) // 2] if fault.loses == "body" else data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it holds: long enough for a busy machine."""
    import time

    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
