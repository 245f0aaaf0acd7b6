"""OpenAI's HTTP API, as far as it is about images."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.backends.json_api import JsonApi, Refused

__all__ = ["OK", "Client"]

_MAX_ANSWER = 256 * 1024**2
"""Bytes of an answer with an image in it: base64 takes four bytes for three."""
OK = 200


class Client(JsonApi):
    """One server. url: what stands before /images/generations. key: sent as a bearer token; empty for none."""

    api = "OpenAI"
    url_setting = "openai.server.url in the job or in [tool.imagegen]"
    auth_setting = "OPENAI_API_KEY"

    def __init__(self, url: str, key: str = "") -> None:
        self.root = re.sub(r"(/api)?/v[01]\Z", "", url)
        self._base = url.removeprefix(self.root)
        super().__init__(self.root, f"Bearer {key}" if key else "", key)

    def models(self) -> list[Mapping[str, Any]]:
        """Return what the server says of each of its models, which has an ID."""
        data = self._json("GET", f"{self._base}/models").get("data")
        listed = data if isinstance(data, list) else []
        return [one for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)]

    def look(self, path: str) -> Mapping[str, Any] | None:
        """Return the JSON object at a path from the root: None if there is none, {} if the answer is empty."""
        try:
            data = self._send("GET", path)
            found = self._redactor.json(json.loads(data)) if data else {}
        except (Refused, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def generate(
        self, body: Mapping[str, Any], check: Callable[[], None], silence_s: float
    ) -> tuple[bytes, Mapping[str, Any]]:
        """Generate an image; return it and the rest of the answer.

        Raises:
            Refused, Unreachable: as they say; with status 200 for an answer without an image that can be used.
            Exception: what `check` raises, once the request is sent.
        """
        where = f"{self._base}/images/generations"
        data = self._send("POST", where, limit=_MAX_ANSWER, check=check, silence_s=silence_s, json=dict(body))
        try:
            answer = json.loads(data)
            first = answer.pop("data")[0]
            image = base64.b64decode(first.get("b64_json") or "", validate=True)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, binascii.Error):
            said = self._read_refusal(data)
            raise Refused(f"{self.url} answered without an image", "look at its own log", OK, said) from None
        if not image:
            what = "the address of an image" if first.get("url") else "an empty image"
            raise Refused(f"{self.url} sent {what}, not the image", "check openai.dialect, and its own log", OK)
        if self._redactor.is_in(image):
            raise Refused(f"the image has in it what {self.auth_setting} holds", "do not use this server", OK)
        return image, self._redactor.json(answer)

    def _explain_authorization(self, what: str, status: int) -> Refused:
        if self._auth or not os.environ.get(self.auth_setting):
            return super()._explain_authorization(what, status)
        what += f", and {self.auth_setting} goes only to https://api.openai.com and to the server of OPENAI_BASE_URL"
        return Refused(what, f"if the key is for this server, set OPENAI_BASE_URL={self.url}{self._base}", status)

    @property
    def _set_auth(self) -> str:
        return f"set {self.auth_setting} to a key of this server, and OPENAI_BASE_URL to its address if it isn't OpenAI"
