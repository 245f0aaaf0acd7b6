"""Who may ask the server for what, decided before it looks at a request; and what a browser may do with an answer.

A page of any other site can have a browser ask an address on this machine, so being on loopback protects nothing:

- The secret in the address. Without it every address is missing, whether there is something or not.
- Host (DNS rebinding): a name of somebody else's can lead to this machine, and then a browser takes their page and
  this server for the same site. So the name must be one of ours. An IP address is nobody's name.
- Sec-Fetch-Site, where a browser sends it, must not be another site's: an image is not to be embedded there either.
  The page itself may be opened from a link.
- Whatever changes something must come from our own page (Origin) and be JSON, which no form can send.

Sources: Fetch Metadata Request Headers, https://www.w3.org/TR/fetch-metadata/; RFC 6454 section 7 (Origin); RFC 9110
section 7.2 (Host); Content Security Policy Level 3, https://www.w3.org/TR/CSP3/; the Fetch standard, section 3.2 (CORS
lets a page of another site send JSON only if this server agrees, which it never does).
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import traceback
from collections.abc import Collection, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Access", "explain", "read_body"]

HEADERS = {
    # of a page, which has a policy of its own, only the last part counts; anything else runs and loads nothing at all
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer that does not say otherwise."""
_MOST = 1 << 20
"""Bytes that a request may have: a thousand times what the page sends."""
_PATIENCE_S = 30.0
"""Seconds in which the whole of a request must come."""
_SAFE = ("GET", "HEAD")


class Access:
    """An ASGI application in front of another, which gets only what may be asked, with `root_path` set.

    Args:
        app: the one behind.
        secret: the first part of every path.
        names: that `Host` may have, with the port if one is needed.
        takes_any_ip: it listens on every address of this machine, so that each of these is a name too.

    """

    def __init__(self, app: ASGIApp, secret: str, names: Collection[str], *, takes_any_ip: bool = False) -> None:
        self._app = app
        self._secret = secret.encode("ascii")
        self._names = frozenset(names)
        self._takes_any_ip = takes_any_ip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refuse(scope)
        if refused:
            status, why = refused
            is_for_a_person = "text/html" in Headers(scope=scope).get("accept", "")
            answer = PlainTextResponse(why, status) if is_for_a_person else JSONResponse({"problem": why}, status)
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send_with_headers)
        else:
            inside = {**scope, "root_path": f"/{self._secret.decode()}"}
            try:
                await self._app(inside, _bounded(receive), send_with_headers)
            except Exception:  # it is answered with 500; nobody else prints it
                traceback.print_exc()

    def _refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return why this is not answered: the status, and words that say nothing about the project."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0].lower(), scope):
            return 403, "this is not the address that doit review has printed"
        first, slash, path = scope["path"][1:].partition("/")
        if not secrets.compare_digest(first.encode("utf-8", "replace"), self._secret) or not slash:
            return 404, "there is nothing at this address: doit review has printed the right one"
        site = headers.get("sec-fetch-site", "none")
        is_opened = not path and scope["method"] in _SAFE and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("same-origin", "none") and not is_opened:
            return 403, "only the page of doit review may ask this"
        if scope["method"] in _SAFE:
            return None
        if headers.getlist("origin") != [f"http://{hosts[0].lower()}"]:
            return 403, "only the page of doit review may ask this"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return 415, "a request that changes something must be JSON"
        length = headers.get("content-length", "0")
        if len(length) > 20 or int(length) > _MOST:  # digits, as HTTP has it: else it does not come this far
            return 413, "the request is too large"
        return None

    def _is_ours(self, host: str, scope: Scope) -> bool:
        if host in self._names:
            return True
        if not self._takes_any_ip or not scope.get("server"):
            return False
        address, port = scope["server"]  # at which this very connection has arrived
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None) or found
        name = f"[{mapped}]" if mapped.version == 6 else str(mapped)
        return host == f"{name}:{port}" or (port == 80 and host == name)


def _bounded(receive: Receive) -> Receive:
    """Return the same, which fails once more than `_MOST` bytes have come."""
    size = 0

    async def read() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > _MOST:
            raise HTTPException(413, "the request is too large")
        return message

    return read


async def read_body(request: Request) -> Mapping[str, Any]:
    """Return the mapping that a request has. Raises HTTPException if it has none."""
    try:
        raw = await asyncio.wait_for(request.body(), _PATIENCE_S)
    except (asyncio.TimeoutError, ClientDisconnect):
        raise HTTPException(408, "the request did not come to its end") from None
    try:
        body = json.loads(raw.decode("utf-8"))
        json.dumps(body, ensure_ascii=False).encode("utf-8")  # half of a character (\ud800) could be written nowhere
    except (ValueError, RecursionError):
        raise HTTPException(400, "the request is not valid JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "the request is not a JSON object")
    return body


async def explain(_request: Request, error: Exception) -> JSONResponse:
    """Answer with what is wrong, as the page shows it."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is called for these alone
    return JSONResponse({"problem": error.detail}, error.status_code, error.headers)
