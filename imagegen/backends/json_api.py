"""A server's HTTP API that answers in JSON: each call is made once and gives its answer, or what went wrong.

This is the one boundary at which errors of `requests` are translated, but for downloads.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, ClassVar

import requests

from imagegen.backends.http import (
    SecretRedactor,
    Session,
    check_while_reading,
    deadline,
    find_cause,
    may_have_arrived,
    read_available,
)
from imagegen.backends.text import one_line
from imagegen.errors import Problem

__all__ = [
    *("ANSWER_S", "CONNECT_S", "MAX_IMAGE_JSON", "MAX_JSON", "WHOLE_S"),
    *("JsonApi", "Refused", "Unreachable", "list_objects", "read_base64", "read_json"),
]

CONNECT_S, ANSWER_S, WHOLE_S = 5.0, 30.0, 60.0
"""Seconds until a connection stands, between two parts of an answer, and for the whole of one that is no image."""
MAX_JSON = 32 * 1024**2
"""Bytes of an answer that are read. ComfyUI's longest is /object_info: with hundreds of custom nodes some 20 MB."""
MAX_IMAGE_JSON = 256 * 1024**2
"""The same of an answer with an image in it: base64 takes four bytes for three."""
_MAX_VALUES = 2_000_000
"""Values that a JSON answer has at most: three bytes of it can take a hundred in memory."""
_LONGEST_REFUSAL = 4 * 1024**2
"""Bytes of a refusal's JSON that are understood; ComfyUI's list of all checkpoints is in it."""
_LONGEST_SILENCE_S = 7 * 86400.0
"""A socket cannot be asked to wait for ever; and what an image may take need not have an end."""
_GZIP_OR_ZLIB = 47
_ABSENT = frozenset({404, 405, 501})
"""What a server says of what it does not have."""
_PASSING = frozenset({502, 503, 504})
"""What a proxy says while the server behind it is away."""


class Unreachable(Exception):  # noqa: N818 - a state, which may pass
    """No answer: refused, reset, timed out, or a proxy without its server.

    Args:
        status: the HTTP status of the proxy, or of a server that has no room; 0 if there is none.
        answer: the JSON object that came with it, if there is one.
        retry_after_s: when to ask again, if that was said.
        may_have_arrived: whether the request may have reached the server.
    """

    def __init__(
        self,
        what: str = "",
        status: int = 0,
        answer: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        *,
        may_have_arrived: bool = True,
    ) -> None:
        super().__init__(what)
        self.status, self.answer, self.retry_after_s = status, answer or {}, retry_after_s
        self.may_have_arrived = may_have_arrived


class Refused(Exception):  # noqa: N818 - an answer
    """The server's answer is not a success.

    Args:
        status: the HTTP status; 0 if nothing was sent, or there is none.
        answer: the answer's JSON object, if it is one.
        retry_after_s: when to ask again, if that was said.
        may_pass: whether the same request may have another answer a moment later.
    """

    def __init__(
        self,
        what: str,
        hint: str = "",
        status: int = 0,
        answer: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        *,
        may_pass: bool = False,
    ) -> None:
        super().__init__(what)
        self.what, self.hint, self.status, self.answer = what, hint, status, answer or {}
        self.retry_after_s = retry_after_s
        self.may_pass = may_pass or status >= 500 or status in (408, 429)

    @property
    def problem(self) -> Problem:
        """What is wrong with the answer, and what to do."""
        return Problem("", self.what, self.hint)


class JsonApi:
    """One server, for many threads. A subclass names the API, and has a method for each call.

    `url` is what messages call it. Paths of calls begin at `root`, which is the same unless a subclass sets it.

    Args:
        url: without a slash at its end.
        auth: the value of the Authorization header.
        secrets: more of what the server is sent and must not be shown.
    """

    api: ClassVar[str]
    """The program that has this API, for a person."""
    url_setting: ClassVar[str]
    """Where its address is set."""
    auth_setting: ClassVar[str] = ""
    """The environment variable with the header; empty if there is none."""
    auth_servers: ClassVar[str] = ""
    """The servers that get it, for a person; if empty, that of `url_setting`. The same for where they are set."""
    auth_url_setting: ClassVar[str] = ""

    def __init__(self, url: str, auth: str = "", *secrets: str) -> None:
        self.url = self.root = url
        self._auth = auth
        self._redactor = SecretRedactor(auth, *secrets)
        self._idle: list[Session] = []

    def _json(self, method: str, path: str, kind: type = dict, asked: str = "", **arguments: Any) -> Any:
        """Return the answer as JSON of this kind, dict or list. Raises Refused for anything else.

        asked: texts of the request. What they have in them is not a secret in the answer.
        """
        data = self._send(method, path, **arguments)
        try:
            found = self._redactor.for_answer_to(asked).json(read_json(data))
        except TooManyValuesError as error:
            raise Refused(f"the answer to {method} {path} {error}", self._check_address) from None
        except (ValueError, RecursionError):
            what = f"the answer to {method} {path} is not JSON: {self._redactor.line(data)}"
            raise Refused(what, self._check_address, may_pass=True) from None
        if not isinstance(found, kind):
            what = f"the answer to {method} {path} is not {self.api}'s: {self._redactor.line(data, 80)}"
            raise Refused(what, self._check_address)
        return found

    def find(self, path: str, **arguments: Any) -> Any:
        """Return the JSON at a path; None if the server has none there. Raises Refused, for another reason."""
        try:
            return self._json("GET", path, object, **arguments)
        except Refused as refused:
            is_not_json = refused.may_pass and not refused.status
            if is_not_json or refused.status in _ABSENT:
                return None
            raise

    def look(self, path: str) -> Mapping[str, Any] | None:
        """Return the JSON object at a path: None if there is none, {} if the answer is empty. Raises Unreachable."""
        try:
            data = self._send("GET", path)
        except Refused:
            return None
        except Unreachable as error:
            if error.status:  # a proxy that leads nowhere from there
                return None
            raise
        return self._read_object(data) if data else {}

    def _decode_image(
        self, text: object, answer: Mapping[str, Any] | None = None, instead: bytes = b"", asked: str = ""
    ) -> bytes:
        """Return an image that came as base64.

        Args:
            text: the base64.
            answer: what else came with it.
            instead: what is returned if there is no image, since it was paid for. Then secrets are only blotted out.
            asked: texts of the request. What they have in them is not a secret in the image.

        Raises:
            Refused: there is no image, or a secret is in it.
        """
        image = read_base64(text)
        if instead:
            return self._redactor.blot(image or instead)
        if isinstance(text, str) and text.startswith(("http://", "https://")):
            what = f"{self.url} answered with the address of an image, which imagegen does not fetch"
            hint = (
                f"set the server so that it answers with the image itself; this one is at {self._redactor.line(text)}"
            )
            raise Refused(what, hint, HTTPStatus.OK, answer)
        if not image:
            raise Refused(f"{self.url} answered without an image", "look at its own log", HTTPStatus.OK, answer)
        if self._redactor.for_answer_to(asked).is_in(image):
            raise Refused(
                f"the image has in it what {self.auth_setting} holds", "do not use this server", HTTPStatus.OK
            )
        return image

    def _send(
        self,
        method: str,
        path: str,
        limit: int = MAX_JSON,
        check: Callable[[], None] | None = None,
        silence_s: float | None = None,
        *,
        keeps_all: bool = False,
        reconnects: bool = False,
        **arguments: Any,
    ) -> bytes:
        """Return the body of a success.

        Args:
            method: of HTTP.
            path: after the server's address.
            limit: bytes of the body that are read.
            check: decides how long it may take, by raising; without one that is WHOLE_S.
            silence_s: seconds until a part of the answer must come, by default ANSWER_S. A server that generates says
                nothing meanwhile; `math.inf` leaves that to `check`.
            keeps_all: return what came of a success even if it is compressed (it is unpacked if it can be) or longer
                than `limit` (then that much of it).
            reconnects: use no connection that was kept: the server may close it at this moment.
            arguments: of `requests`, such as `json`.
        """
        if not (self._auth.isascii() and self._auth.isprintable() and self._auth == self._auth.strip()):
            # requests would say so too, and repeat it
            what = f"{self.auth_setting} is not a valid header value: it has a line break, or is not ASCII"
            raise Refused(what, self._set_auth)
        try:
            with (
                check_while_reading(check or deadline(WHOLE_S, _too_slow)),
                self._session(reconnects=reconnects) as session,
                session.request(
                    method,
                    self.root + path,
                    timeout=(CONNECT_S, ANSWER_S if silence_s is None else min(silence_s, _LONGEST_SILENCE_S)),
                    allow_redirects=False,  # it may lead to another host
                    stream=True,
                    **arguments,
                ) as response,
            ):
                is_success = 200 <= response.status_code < 300
                read = _read_all if keeps_all and is_success else _read_body
                data = b"" if response.is_redirect else read(response, limit)
        except requests.exceptions.SSLError as error:
            raise self._explain_tls(one_line(find_cause(error))) from None
        except requests.exceptions.InvalidURL:
            raise Refused(f"{self.url} is not a valid address", self._check_address) from None
        except requests.exceptions.RequestException as error:
            raise Unreachable(one_line(find_cause(error)), may_have_arrived=may_have_arrived(error)) from None
        except (OSError, ValueError) as error:  # of an address, or of the file of certificates
            what = f"{self.url} cannot be reached: {one_line(str(error))}"
            raise Refused(what, f"correct {self.url_setting}, or REQUESTS_CA_BUNDLE") from None
        if response.status_code in _PASSING:
            said, wait_s = self._redactor.line(f"{response.status_code} {response.reason}", 80), _read_wait(response)
            raise Unreachable(said, response.status_code, self._read_refusal(data), wait_s)
        if not is_success:
            raise self._refused(method, path, response, data)
        return data

    def _explain_tls(self, cause: str) -> Refused:
        """Return why no secure connection stands: it is refused before a request is sent."""
        if "certificate" in cause.lower():
            what = f"the certificate of {self.url} is not accepted: {cause}"
            return Refused(what, "name the CA that signed it: REQUESTS_CA_BUNDLE=/path/to/ca.pem")
        plain = self.url.replace("https:", "http:", 1)
        hint = f"if it speaks plain http, write {plain} ({self.url_setting})"
        return Refused(f"{self.url} does not speak https: {cause}", hint)

    def _refused(self, method: str, path: str, response: requests.Response, data: bytes) -> Refused:
        status, answer = response.status_code, self._read_refusal(data)
        if status in (401, 403, 407):
            said = self._redactor.line(f"{status} {response.reason}", 80)
            refused = self._explain_authorization(f"{self.url} asks for authorization ({said})", status)
            refused.answer = answer or {}
            return refused
        if 300 <= status < 400:
            to = self._redactor.line(response.headers.get("Location", "nowhere"))
            hint = f"set {self.url_setting} to where it is"
            return Refused(f"{self.url} redirects {method} {path} to {to}", hint, status)
        said = self._redactor.line(f"{response.reason}: {data[:4096].decode('utf-8', 'replace')}").rstrip(": ")
        what = f"{method} {path} was answered with {status} {said}"
        return Refused(what, "", status, answer, _read_wait(response))

    def _read_refusal(self, data: bytes) -> Mapping[str, Any] | None:
        """Return the JSON object in the body of a refusal; None if it is not one."""
        return self._read_object(data[:_LONGEST_REFUSAL], is_error=True)

    def _read_object(self, data: bytes, *, is_error: bool = False) -> Mapping[str, Any] | None:
        """Return the JSON object in the body of an answer; None if it is not one."""
        redact = self._redactor.error if is_error else self._redactor.json
        try:
            answer = redact(read_json(data))
        except (ValueError, RecursionError):
            return None
        return answer if isinstance(answer, dict) else None

    def _explain_authorization(self, what: str, status: int) -> Refused:
        variable = self.auth_setting
        if not variable:
            return Refused(f"{what}, which imagegen does not send there", "use a server without it", status)
        if self._auth:
            return Refused(f"{what}, and does not accept {variable}", self._set_auth, status)
        if os.environ.get(variable):
            what += f", and {variable} is sent only to {self.auth_servers or f'the server of {self.url_setting}'}"
            hint = f"set {self.auth_url_setting or self.url_setting} to this one, if you trust it"
            return Refused(what, hint, status)
        return Refused(f"{what}, and {variable} is not set", self._set_auth, status)

    @property
    def _check_address(self) -> str:
        return f"check the address: {self.url_setting}"

    @property
    def _set_auth(self) -> str:
        return f"set {self.auth_setting} to the whole header value, such as 'Bearer …'"

    @contextmanager
    def _session(self, *, reconnects: bool) -> Iterator[Session]:
        """Lend a session: requests does not promise that one is safe to share among threads.

        They are as many as calls at a time, whichever threads make them, and keep a connection each.
        """
        try:
            session = self._idle.pop()
        except IndexError:
            session = Session(self.url, self._auth)
        try:
            if reconnects:
                session.close()
            yield session
        finally:
            self._idle.append(session)


class TooManyValuesError(ValueError):
    """A JSON text would take too much memory."""


def read_json(data: bytes) -> Any:
    """Return the value of a JSON text. Raises TooManyValuesError, another ValueError, and RecursionError."""
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > _MAX_VALUES:
        raise TooManyValuesError(f"has more than {_MAX_VALUES:,} JSON values")
    return json.loads(data)


def list_objects(found: object) -> list[Mapping[str, Any]]:
    """Return the JSON objects in a list; none if it is not a list."""
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def read_base64(text: object) -> bytes:
    """Return the bytes of base64, also if it is in a data URL, has line breaks or lacks its `=`; none if it is not."""
    if not isinstance(text, str):
        return b""
    digits = "".join((text.partition(",")[2] if text.startswith("data:") else text).split()).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return b""


_COMPRESSED = "if a proxy in front of the server compresses answers, have it leave them as they are"


def _read_body(response: requests.Response, limit: int) -> bytes:
    """Return the body. Raises Refused if it is compressed, or longer than `limit` bytes; and errors of `requests`."""
    path, status = response.request.path_url.partition("?")[0], response.status_code
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(f"the answer to {path} is compressed, which nobody asked for", _COMPRESSED, status)
    awaited = _get_length(response)
    too_large = Refused(f"the answer to {path} is larger than {limit // 1024**2} MiB", "", status)
    if awaited > limit:
        raise too_large
    data = io.BytesIO()
    while part := read_available(response):
        data.write(part)
        if data.tell() > limit:
            raise too_large
    if data.tell() < awaited:
        raise requests.exceptions.ConnectionError(f"only {data.tell()} of {awaited} bytes came")
    return data.getvalue()  # not copied once more, as a bytearray would be


def _read_all(response: requests.Response, limit: int) -> bytes:
    """Return the body whatever it is: unpacked if it can be, and `limit` bytes of it at most."""
    data = io.BytesIO()
    while data.tell() < limit and (part := read_available(response)):
        data.write(part[: limit - data.tell()])
    if data.tell() < min(_get_length(response), limit):
        raise requests.exceptions.ConnectionError(f"only {data.tell()} of {_get_length(response)} bytes came")
    with suppress(zlib.error):
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(data.getvalue(), limit) or data.getvalue()
    return data.getvalue()


def _get_length(response: requests.Response) -> int:
    """Return how long the answer says that its body is; 0 if it does not say."""
    said = response.headers.get("Content-Length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0


def _read_wait(response: requests.Response) -> float | None:
    """Return the seconds after which to ask again, as the answer says: retry-after-ms is OpenAI's, and exact."""
    exact, said = response.headers.get("retry-after-ms", ""), response.headers.get("Retry-After", "")
    try:
        wait_s = float(exact) / 1000 if exact else float(said)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(said).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, wait_s) if math.isfinite(wait_s) else None


def _too_slow() -> Unreachable:
    return Unreachable(f"the answer was not complete after {WHOLE_S:g} s")
