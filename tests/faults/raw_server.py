"""A server that says whatever a test has it say, over real sockets: HTTP or what is none."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

__all__ = ["Say", "after", "drip", "endlessly", "raw_server", "upgraded"]

Say = Callable[[str], Iterable[bytes]]
"""What is said to a request, by its first line, part by part; then the connection is closed."""


@contextmanager
def raw_server(say: Say) -> Iterator[str]:
    """Its address. Each connection gets what `say` has for its first request."""
    open_ones: set[socket.socket] = set()
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        open_ones.add(connection)
        with contextlib.suppress(OSError), connection:
            asked = b""
            while b"\r\n\r\n" not in asked:
                if not (more := connection.recv(65536)):
                    return
                asked += more
            for part in say(asked.decode("latin-1")):
                connection.sendall(part)
        open_ones.discard(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in list(open_ones):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


def endlessly(part: bytes, head: bytes = b"") -> Iterator[bytes]:
    """The head, and then the same again and again, as fast as it is taken."""
    yield head
    many = part * max(1, 65536 // len(part))
    while True:
        yield many


def drip(part: bytes, head: bytes = b"", seconds: float = 0.02) -> Iterator[bytes]:
    """The head, and then the same again and again, slowly."""
    yield head
    while True:
        yield part
        time.sleep(seconds)


def after(head: bytes, seconds: float = 30) -> Iterator[bytes]:
    """The head, and then nothing for so long."""
    yield head
    time.sleep(seconds)


def upgraded(request: str) -> bytes:
    """The head that makes a websocket of the connection: RFC 6455, section 1.3."""
    key = re.search(r"Sec-WebSocket-Key: (\S+)", request)
    assert key
    digest = hashlib.sha1(key[1].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
