"""How the commands ask the server, and what they say where it fails."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

__all__ = [
    "FailedError",
    "NotFoundError",
    "address",
    "ask",
    "heartbeat",
    "stream",
    "url",
]


NOT_RUNNING = "could not connect to ollama server, run 'ollama serve' to start it"
LINE_LIMIT = 8_000_000
"""Bytes: about 6 MB of PNG in base 64."""


class FailedError(Exception):
    """What the command says after `Error: `."""


class NotFoundError(FailedError):
    """The server does not have it."""


def heartbeat() -> None:
    try:
        _answer("HEAD", "/", None).read()
    except ConnectionRefusedError:
        raise FailedError(NOT_RUNNING) from None
    except OSError as error:
        raise FailedError(_words("Head", "/", error)) from None


def ask(method: str, path: str, body: object = None) -> Any:
    """The answer. An error is told without its status."""
    try:
        answer = _answer(method, path, body)
        data = json.loads(answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise FailedError(_words(method.capitalize(), path, error)) from None
    if answer.status >= 400:
        raise (NotFoundError if answer.status == 404 else FailedError)(data["error"])
    return data


def stream(path: str, body: object) -> Iterator[dict[str, Any]]:
    """Each line of the answer, as it comes. An answer that ends early just ends."""
    try:
        answer = _answer("POST", path, body)
    except (OSError, http.client.HTTPException) as error:
        raise FailedError(_words("Post", path, error)) from None
    for line in _lines(answer):
        message = json.loads(line)
        if answer.status >= 400:
            raise FailedError(f"{answer.status} {answer.reason}: {message['error']}")
        if "error" in message:
            raise FailedError(message["error"])
        yield message


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    pending = b""
    while True:
        try:
            data = answer.read1(1 << 20)
        except (OSError, http.client.HTTPException):
            raise FailedError("unexpected EOF") from None
        *lines, pending = (pending + data).split(b"\n")
        if any(len(line) >= LINE_LIMIT for line in [*lines, pending]):
            raise FailedError("bufio.Scanner: token too long")
        yield from (line for line in lines if line)
        if not data:
            yield from [pending] if pending else []
            return


def _answer(method: str, path: str, body: object) -> http.client.HTTPResponse:
    host, port = address()
    connection = http.client.HTTPConnection(host or "localhost", port)
    connection.request(method, path, None if body is None else json.dumps(body))
    return connection.getresponse()


def _words(method: str, path: str, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        why = f"dial tcp {url().removeprefix('http://')}: connect: connection refused"
    elif isinstance(error, socket.gaierror):
        why = f"dial tcp: lookup {address()[0]}: no such host"
    else:
        why = "EOF"
    return f'{method} "{url()}{path}": {why}'


def address() -> tuple[str, int]:
    """Host and port. The host is empty in `:1234`, which is any to a server and the loopback to a client."""
    text = os.environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, separator, rest = text.partition("://")
    default = {"http": 80, "https": 443}.get(scheme, 11434) if separator else 11434
    place = (rest if separator else text).partition("/")[0]
    host, colon, port = place.rpartition(":")
    if not colon or (place.count(":") > 1 and not place.startswith("[")) or place.endswith("]"):
        host, port = place or "127.0.0.1", str(default)
    good = port.isdecimal() and int(port) <= 65535
    return host.strip("[]"), int(port) if good else default


def url() -> str:
    host, port = address()
    return f"http://{host}:{port}"
