"""OpenAI's HTTP API, as far as it is about images; and which program serves it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from imagegen.backends.json_api import JsonApi, Refused, Unreachable

__all__ = ["Client"]

_MAX_ANSWER = 256 * 1024**2
"""Bytes of an answer with an image in it: base64 takes four bytes for three."""


class Client(JsonApi):
    """One server.

    Args:
        url: what stands before /images/generations.
        key: sent as a bearer token; empty for none.
    """

    api = "OpenAI"
    url_setting = "openai.server.url in the job or in [tool.imagegen]"
    auth_setting = "OPENAI_API_KEY"

    def __init__(self, url: str, key: str = "") -> None:
        super().__init__(url, f"Bearer {key}" if key else "", key)

    def models(self) -> list[Mapping[str, Any]]:
        """Return the models that the server lists."""
        found = self._json("GET", "/models").get("data")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def detect_dialect(self) -> str:
        """Return the dialect of the server as far as it tells; empty if it does not."""
        try:
            owners = {one.get("owned_by") for one in self.models()}
        except (Refused, Unreachable):
            return ""
        return next((name for owner, name in _OWNERS.items() if owner in owners), "")

    def generate(
        self, body: Mapping[str, Any], check: Callable[[], None], silence_s: float
    ) -> tuple[bytes, Mapping[str, Any]]:
        """Generate an image; return it and the rest of the answer. Raises Refused, Unreachable, and as `check`."""
        where = "/images/generations"
        data = self._send("POST", where, limit=_MAX_ANSWER, check=check, silence_s=silence_s, json=dict(body))
        try:
            answer = json.loads(data)
            image = base64.b64decode(answer["data"][0]["b64_json"], validate=True)
        except (ValueError, KeyError, IndexError, TypeError, RecursionError, binascii.Error):
            raise Refused(f"{self.url} answered without an image", "look at its own log") from None
        return image, answer


_OWNERS = {"vllm": "vllm", "sglang": "sglang", "lemonade": "lemonade", "local": "sdcpp"}
"""What a server says owns its models → its dialect."""
