"""Sessions of `requests` that follow no redirect and hand no credentials on; and its errors in the system's words."""

from __future__ import annotations

import os
import re

import requests
from requests.auth import AuthBase

from imagegen.backends.address import is_local

__all__ = ["Session", "cause", "open_session"]


class Session(requests.Session):
    """One that leaves redirects alone: even where told not to follow them, requests reads all of one and parses it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, so that there is nothing to prepare."""


def open_session(url: str, auth: str = "") -> Session:
    """A session for one server. auth: the value of the Authorization header, empty for none."""
    session = Session()
    session.auth = _Header(auth)
    if is_local(url):  # no proxy is asked for this very machine
        session.trust_env = False
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    return session


class _Header(AuthBase):
    """The Authorization header as it was given, or none: in any case not what a ~/.netrc says."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        return request


def cause(error: BaseException) -> str:
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
