"""The fake server's websockets: the few lines of RFC 6455 that a text-only server needs, and who gets which event."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
import uuid
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["Connection", "Sockets", "accept_key"]

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def accept_key(key: str) -> str:
    """The answer to a handshake's Sec-WebSocket-Key."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


class Connection:
    """One client. silent: it is sent nothing. closes: it is hung up on in place of its first progress."""

    def __init__(self, connection: socket.socket, *, silent: bool = False, closes: bool = False) -> None:
        self._socket, self._silent, self._closes = connection, silent, closes
        self._mutex = threading.Lock()

    def send(self, event: str, data: Any) -> None:
        """Tell the client, if it is still there."""
        if event == "progress" and self._closes:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        elif not self._silent:
            self.send_text(json.dumps({"type": event, "data": data}))

    def send_text(self, text: str) -> None:
        """Send this as one message."""
        self._frame(_TEXT, text.encode())

    def listen(self, stream: BinaryIO) -> None:
        """Answer pings until the client goes."""
        while frame := _read(stream):
            kind, payload = frame
            if kind == _PING:
                self._frame(_PONG, payload)
            elif kind == _CLOSE:
                self._frame(_CLOSE, payload)
                return

    def _frame(self, kind: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | kind, size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | kind, 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 127, size)
        with self._mutex, contextlib.suppress(OSError):
            self._socket.sendall(head + payload)


def _read(stream: BinaryIO) -> tuple[int, bytes] | None:
    """The next frame's kind and payload; None at the end. A client's frames are masked."""
    try:
        head = stream.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
        mask = stream.read(4) if head[1] & 0x80 else bytes(4)
        return head[0] & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(stream.read(size)))
    except (OSError, ValueError):
        return None


class Sockets:
    """The clients by clientId, with the real server's fault: a client that goes takes its namesake's place with it."""

    def __init__(self) -> None:
        self._clients: dict[str, Connection] = {}
        self._mutex = threading.Lock()

    def serve(
        self, connection: Connection, stream: BinaryIO, client_id: str, greeting: Any, accept: Callable[[], None]
    ) -> None:
        """Accept a client and keep it until it goes. greeting: the status that it is told first."""
        client_id = client_id or uuid.uuid4().hex
        with self._mutex:  # as on the real server, whoever is accepted misses no event from then on
            accept()
            self._clients[client_id] = connection
        connection.send("status", {"status": greeting, "sid": client_id})
        try:
            connection.listen(stream)
        finally:
            with self._mutex:
                self._clients.pop(client_id, None)

    def send(self, event: str, data: Any, client_id: str | None) -> None:
        """Tell one client, or all where there is no client_id."""
        with self._mutex:
            if client_id is None:
                reported = list(self._clients.values())
            else:
                reported = [self._clients[client_id]] if client_id in self._clients else []
        for connection in reported:
            connection.send(event, data)
