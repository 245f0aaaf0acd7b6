"""HTTP through `requests`: no redirect is followed, no credentials go to another server, each answer has a deadline.

`requests` bounds the wait for each part of an answer, not for the whole: a server that sends a byte of a header now and
then could hold it for days. So the sockets are read here, with a check before each part.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from imagegen.backends.address import is_local
from imagegen.backends.text import one_line

__all__ = [
    "SecretRedactor",
    "Session",
    "check_while_reading",
    "deadline",
    "find_cause",
    "may_have_arrived",
    "read_available",
]

_CHECK_S = 0.2
"""Seconds between two checks while nothing comes."""
_SHORTEST = 8
"""Characters of a secret that is looked for in names and images too: a shorter one is part of many."""


class Session(requests.Session):
    """A session for the server at `url`, which gets `auth` as its Authorization header, or none if that is empty."""

    def __init__(self, url: str, auth: str = "") -> None:
        super().__init__()
        self.headers["Accept-Encoding"] = "identity"  # a few compressed bytes can unpack to gigabytes

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            if auth:
                request.headers["Authorization"] = auth
            return request

        self.auth = authorize  # set even if there is no header: otherwise requests takes one from ~/.netrc
        if is_local(url):  # no proxy between this machine and itself
            self.trust_env = False
            self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        for scheme in _POOLS:
            self.mount(f"{scheme}://", _CheckedAdapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None. Otherwise requests reads and parses all of a redirect, even if it must not follow it."""


@contextmanager
def check_while_reading(check: Callable[[], None]) -> Iterator[None]:
    """Call `check`, which may raise, before this thread reads a part of an answer, and every 0.2 s while nothing comes.

    It is called after those of the `with` blocks around this one.
    """
    outer: Callable[[], None] | None = getattr(_thread, "check", None)

    def both() -> None:
        if outer:
            outer()
        check()

    _thread.check = both
    try:
        yield
    finally:
        _thread.check = outer


_thread = threading.local()


def deadline(seconds: float, error: Callable[[], Exception]) -> Callable[[], None]:
    """Return a check that raises `error` once so many seconds have passed from now on."""
    until_s = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > until_s:
            raise error()

    return check


def read_available(response: requests.Response, most: int = 256 * 1024) -> bytes:
    """Return what has come of the body so far, as it was sent: at least a byte, or nothing at its end.

    Raises:
        requests.exceptions.ReadTimeout: nothing came in time.
        requests.exceptions.ChunkedEncodingError: the body was cut off.
    """
    try:
        return bytes(response.raw.read1(most, decode_content=False))
    except urllib3.exceptions.TimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from None
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from None


def find_cause(error: BaseException) -> str:
    """Return the reason that the system gave for an error, which requests and urllib3 wrap in words of their own."""
    text = str(error)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer was cut off"
    if "Read timed out" in text:
        return "it says nothing any more"
    found = _SYSTEM.search(text) or _QUOTED.search(text)
    reason = found[1] if found else text.rpartition(": ")[2].strip("()'\"")
    is_of_proxy = isinstance(error, requests.exceptions.ProxyError)
    return f"the proxy of HTTP_PROXY or HTTPS_PROXY: {reason}" if is_of_proxy else reason


def may_have_arrived(error: requests.exceptions.RequestException) -> bool:
    """Return whether the request of this error may have reached the server; not if no connection ever stood."""
    reason: object = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(reason, urllib3.exceptions.ProxyError):
        reason = reason.original_error
    before = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
    return not isinstance(reason, before)


_SYSTEM = re.compile(r"\[(?:Errno|WinError) -?\d+\] ([^'\")]+)")
_QUOTED = re.compile(r"""\w+\((?:\d+, )?['"]([^'"]+)['"]\)+$""")
"""Such as `('Connection aborted.', RemoteDisconnected('Remote end closed …'))`."""


class SecretRedactor:
    """Keeps secrets that a server was sent out of what it says: some servers repeat them.

    A secret (the value of an Authorization header, a token or a key; empty for none) is recognised as it is, and by its
    last word alone; not in other shapes, such as reversed.
    """

    def __init__(self, *secrets: str) -> None:
        self._set(text for secret in secrets for text in (secret, secret.rpartition(" ")[2]) if text)

    def _set(self, texts: Iterable[str]) -> None:
        self._texts = list(texts)
        self._long = [text for text in self._texts if len(text) >= _SHORTEST]

    def text(self, said: str) -> str:
        """Return the text without the secrets."""
        return _without(said, self._texts)

    def line(self, said: str | bytes, longest: int = 300) -> str:
        """Return what was said as one line without the secrets, cut to so many characters."""
        said = said[: 8 * longest].decode("utf-8", "replace") if isinstance(said, bytes) else said
        return one_line(self.text(said), longest)  # cut last: the cut may be in the middle of a secret

    def json(self, value: Any) -> Any:
        """Return the JSON value without the secrets, but for short ones. Raises RecursionError."""
        return _without_in_json(value, self._long, self._long) if self._long else value

    def error(self, value: Any) -> Any:
        """Return an error's JSON value, whose texts are for a person, without any secret. Raises RecursionError."""
        return _without_in_json(value, self._texts, self._long) if self._texts else value

    def blot(self, data: bytes) -> bytes:
        """Return the bytes with the secrets blotted out, none longer or shorter."""
        for secret in (text.encode() for text in self._long):
            data = data.replace(secret, b"*" * len(secret))
        return data

    def is_in(self, data: bytes) -> bool:
        """Return whether these bytes contain a secret as it is."""
        return any(text.encode("utf-8") in data for text in self._long)

    def for_answer_to(self, text: str) -> SecretRedactor:
        """Return one for the answer to a request with this text, which says itself whatever secret is in it.

        A password can be a word of the prompt, and many programs write that into the image.
        """
        other = SecretRedactor()
        other._set(secret for secret in self._texts if secret not in text)
        return other


def _without(said: str, texts: Sequence[str]) -> str:
    for text in texts:
        said = said.replace(text, "…")
    return said


def _without_in_json(value: Any, texts: Sequence[str], of_keys: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _without(value, texts)
    if isinstance(value, list):
        return [_without_in_json(one, texts, of_keys) for one in value]
    if isinstance(value, dict):
        return {_without(key, of_keys): _without_in_json(one, texts, of_keys) for key, one in value.items()}
    return value


class _CheckedSocket(io.RawIOBase):
    """What comes from a socket, read with the checks of `check_while_reading`.

    stream: http.client's own reader of the socket; it keeps the socket open and is only closed here.
    """

    def __init__(self, stream: io.RawIOBase, sock: socket.socket) -> None:
        self._stream, self._sock = stream, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        timeout_s = self._sock.gettimeout()
        until_s = time.monotonic() + (3600 if timeout_s is None else timeout_s)
        try:
            while True:
                if check := getattr(_thread, "check", None):
                    check()
                left_s = until_s - time.monotonic()
                self._sock.settimeout(max(0.001, min(_CHECK_S, left_s)))
                try:
                    return self._sock.recv_into(buffer)
                except TimeoutError:
                    if left_s <= 0:
                        raise
                except ssl.SSLError as error:
                    raise _broken(error) from None
        finally:
            self._sock.settimeout(timeout_s)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _CheckedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        stream: Any = self.fp
        self.fp = io.BufferedReader(_CheckedSocket(stream.detach(), sock))


class _Plain(HTTPConnection):
    response_class = _CheckedResponse


class _Secure(HTTPSConnection):
    """Its errors of TLS are those of the handshake alone: nothing was sent then."""

    response_class = _CheckedResponse

    def send(self, data: Any) -> None:
        try:
            super().send(data)
        except ssl.SSLError as error:
            raise _broken(error) from None


def _broken(error: ssl.SSLError) -> ConnectionError:
    """Return the error of a connection that stood, over which a request may have been sent."""
    return ConnectionError(f"its TLS broke off, {(error.reason or 'for no reason given').replace('_', ' ').lower()}")


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class _CheckedAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = _POOLS
        return manager
