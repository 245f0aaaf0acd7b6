"""Sessions of `requests`: no redirect is followed, no credentials handed on, no answer waited for beyond its time."""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection

from imagegen.backends.address import is_local
from imagegen.backends.text import one_line

__all__ = [
    "SecretRedactor",
    "Session",
    "check_while_reading",
    "deadline",
    "find_cause",
    "open_session",
    "read_available",
]


_LOOK_S = 0.2
"""Seconds between two calls of `check` while nothing comes."""


class Session(requests.Session):
    """One that leaves redirects alone: even where told not to follow them, requests reads all of one and parses it."""

    def __init__(self) -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = "identity"  # else a few bytes can come to gigabytes
        for scheme in _POOLS:
            self.mount(f"{scheme}://", _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, so that there is nothing to prepare."""


@contextmanager
def check_while_reading(check: Callable[[], None]) -> Iterator[None]:
    """While this lasts, whoever reads an answer in this thread calls `check` before each part of it, the head too.

    While nothing comes it is called every 0.2 s, after those that are in force already. It may raise. `requests` bounds
    each wait for a part, and not the whole: a byte of a header every now and then could hold it for days.
    """
    before: Callable[[], None] | None = getattr(_of_thread, "check", None)

    def both() -> None:
        if before:
            before()
        check()

    _of_thread.check = both
    try:
        yield
    finally:
        _of_thread.check = before


_of_thread = threading.local()


def deadline(seconds: float, error: Callable[[], Exception]) -> Callable[[], None]:
    """A check that raises `error` once so much time has passed from now on."""
    until_s = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > until_s:
            raise error()

    return check


def read_available(response: requests.Response, most: int = 256 * 1024) -> bytes:
    """What has come of the body by now, and at least a byte until its end; as it was sent, nothing unpacked.

    A server that drips is no reason to wait for more. Raises ReadTimeout and ChunkedEncodingError of `requests`.
    """
    try:
        return bytes(response.raw.read1(most, decode_content=False))
    except urllib3.exceptions.TimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from None
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from None


def open_session(url: str, auth: str = "") -> Session:
    """A session for one server. auth: the value of the Authorization header, empty for none."""
    session = Session()
    session.auth = _Header(auth)
    if is_local(url):  # no proxy is asked for this very machine
        session.trust_env = False
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    return session


class _Adapter(HTTPAdapter):
    """Connections whose answers are read with a check."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        stream: Any = self.fp
        self.fp = io.BufferedReader(_Checked(stream.detach(), sock))


class _Plain(HTTPConnection):
    response_class = _Answer


class _Secure(HTTPSConnection):
    response_class = _Answer


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class _Checked(io.RawIOBase):
    """What comes from a socket. stream: of that socket, which keeps it open."""

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream, self._sock = stream, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        patience_s = self._sock.gettimeout()
        until_s = time.monotonic() + (3600 if patience_s is None else patience_s)
        try:
            while True:
                if check := getattr(_of_thread, "check", None):
                    check()
                left_s = until_s - time.monotonic()
                self._sock.settimeout(max(0.001, min(_LOOK_S, left_s)))
                try:
                    return self._sock.recv_into(buffer)
                except TimeoutError:
                    if left_s <= 0:
                        raise
        finally:
            self._sock.settimeout(patience_s)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Header(AuthBase):
    """The Authorization header as it was given, or none: in any case not what a ~/.netrc says."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        return request


def find_cause(error: BaseException) -> str:
    """The reason that the system gives, which `requests` and urllib3 wrap in words of their own."""
    text = str(error)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer broke off"
    if "Read timed out" in text:
        return "it says nothing any more"
    found = _SYSTEM.search(text) or _QUOTED.search(text)
    said = found[1] if found else text.rpartition(": ")[2].strip("()'\"")
    return (
        f"the proxy of HTTP_PROXY or HTTPS_PROXY: {said}" if isinstance(error, requests.exceptions.ProxyError) else said
    )


_SYSTEM = re.compile(r"\[(?:Errno|WinError) -?\d+\] ([^'\")]+)")
_QUOTED = re.compile(r"""\w+\((?:\d+, )?['"]([^'"]+)['"]\)+$""")
"""Such as `('Connection aborted.', RemoteDisconnected('Remote end closed …'))`."""


_SHORTEST = 8
"""Characters of a word that is looked for in names and images too: a shorter one is part of many."""


class SecretRedactor:
    """secrets: the value of an Authorization header, a token or a key; empty for none.

    Each is known again as it is, and by its last word alone. In other shapes, such as reversed, it is not.
    """

    def __init__(self, *secrets: str) -> None:
        self._texts = [text for secret in secrets for text in (secret, secret.rpartition(" ")[2]) if text]
        self._long = [text for text in self._texts if len(text) >= _SHORTEST]

    def text(self, said: str) -> str:
        """The text without it."""
        return _without(said, self._texts)

    def line(self, said: str | bytes, longest: int = 300) -> str:
        """What was said as one line without it, cut to so many characters."""
        said = said[: 8 * longest].decode("utf-8", "replace") if isinstance(said, bytes) else said
        return one_line(self.text(said), longest)  # cut last, which may be in the middle of it

    def json(self, value: Any) -> Any:
        """The JSON value without it. Raises RecursionError."""
        if not self._long:
            return value
        if isinstance(value, str):
            return _without(value, self._long)
        if isinstance(value, list):
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            return {self.json(key): self.json(one) for key, one in value.items()}
        return value

    def is_in(self, data: bytes) -> bool:
        """Whether these bytes have it in them, as it is."""
        return any(text.encode("utf-8") in data for text in self._long)


def _without(said: str, texts: Sequence[str]) -> str:
    for text in texts:
        said = said.replace(text, "…")
    return said
