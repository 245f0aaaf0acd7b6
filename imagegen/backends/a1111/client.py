"""A1111's HTTP API, /sdapi/v1, as the programs that serve it have it in common; and which program it is."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagegen.backends.json_api import JsonApi, Refused

__all__ = ["Answer", "Checkpoint", "Client", "Stage"]

_MAX_ANSWER = 256 * 1024**2
"""Bytes of an answer with an image in it: base64 takes four bytes for three."""
_ABSENT = (404, 405, 501)
"""What a server says of a list that it does not have."""


@dataclass(frozen=True)
class Checkpoint:
    """One of the server's. title: what a request names."""

    title: str
    name: str = ""
    hash: str = ""

    @property
    def names(self) -> Sequence[str]:
        """What a job may call it: as listed, by its file's name, without its folder or its extension, by its hash."""
        file = self.title.partition(" [")[0].replace("\\", "/")
        base = file.rpartition("/")[2]
        found = (self.title, self.name, file, base, base.rpartition(".")[0], self.hash)
        return list(dict.fromkeys(filter(None, found)))


@dataclass(frozen=True)
class Stage:
    """What a server generates now. job: which image, as far as it says; empty if none."""

    job: str = ""
    step: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Answer:
    """An image, and what the server says of how it came about; empty if it says nothing."""

    image: bytes
    info: Mapping[str, Any]


class Client(JsonApi):
    """One server."""

    api = "A1111"
    url_setting = "a1111.server.url in the job or in [tool.imagegen]"
    auth_setting = "A1111_AUTH"

    def __init__(self, url: str, user_and_password: str = "") -> None:
        password = user_and_password.partition(":")[2]
        encoded = base64.b64encode(user_and_password.encode("utf-8")).decode("ascii")
        super().__init__(url, f"Basic {encoded}" if user_and_password else "", user_and_password, password)

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints."""
        return [
            Checkpoint(
                str(one.get("title") or one.get("model_name") or ""), _text(one, "model_name"), _text(one, "hash")
            )
            for one in self._list("sd-models")
        ]

    def samplers(self) -> list[str]:
        """Return the samplers' names; empty if the server has no list."""
        return [_text(one, "name") for one in self._list("samplers")]

    def schedulers(self) -> Mapping[str, str]:
        """Return the schedulers: what a person sees, by name; empty if the server has no list."""
        return {_text(one, "name"): _text(one, "label") for one in self._list("schedulers")}

    def loras(self) -> list[str]:
        """Return the LoRAs' names."""
        return [_text(one, "name") for one in self._list("loras")]

    def stage(self) -> Stage | None:
        """Return what the server generates now; None if it does not say."""
        try:
            found = self._json("GET", "/sdapi/v1/progress?skip_current_image=true")
        except Refused as refused:
            if refused.status in _ABSENT:
                return None
            raise
        state = found.get("state")
        if not isinstance(state, dict):
            return None
        job = f"{state.get('job') or ''} {state.get('job_timestamp') or ''}" if state.get("job") else ""
        return Stage(job, _whole(state, "sampling_step"), _whole(state, "sampling_steps"))

    def generate(self, path: str, body: Mapping[str, Any], check: Callable[[], None], silence_s: float) -> Answer:
        """Generate an image. path: txt2img or img2img. Raises Refused, Unreachable, and what `check` raises."""
        where = f"/sdapi/v1/{path}"
        data = self._send("POST", where, limit=_MAX_ANSWER, check=check, silence_s=silence_s, json=dict(body))
        try:
            answer = json.loads(data)
            text = answer["images"][0]
            image = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, binascii.Error):
            raise Refused(f"{self.url} answered without an image", "look at its own log") from None
        return Answer(image, _read_info(answer.get("info")))

    def interrupt(self) -> None:
        """Stop what the server generates, whoever asked for it."""
        self._send("POST", "/sdapi/v1/interrupt")

    def _list(self, name: str) -> list[Mapping[str, Any]]:
        try:
            found = self._json("GET", f"/sdapi/v1/{name}", list)
        except Refused as refused:
            if refused.status in _ABSENT:
                return []
            raise
        return [one for one in found if isinstance(one, dict)]


def _read_info(info: object) -> Mapping[str, Any]:
    """Return what an answer says of its image: JSON in a text, an object, or nothing."""
    if isinstance(info, str) and info:
        try:
            info = json.loads(info)
        except (ValueError, RecursionError):
            return {}
    return info if isinstance(info, dict) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _whole(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    return value if isinstance(value, int) else 0
