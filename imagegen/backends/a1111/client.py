"""A1111's HTTP API, /sdapi/v1, as the programs that serve it have it in common."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagegen.backends.json_api import JsonApi, Refused

__all__ = ["Answer", "Client", "Stage"]

_MOST = 256 * 1024**2
"""Bytes of an answer with an image in it, or with the training data of all LoRAs."""
_POLL_S = 5.0
"""Seconds that a server may take to say how far it is."""


@dataclass(frozen=True)
class Stage:
    """What a server generates now.

    Attributes:
        job: which image, as far as it says; empty if none.
        done: from 0 to 1.
        was_stopped: whether somebody interrupted this image, or the last one.
    """

    job: str = ""
    done: float = 0
    was_stopped: bool = False


@dataclass(frozen=True)
class Answer:
    """An image, and what the server says of how it came about; empty if it says nothing."""

    image: bytes
    info: Mapping[str, Any]


class Client(JsonApi):
    """One server. user_and_password: with a colon between them; empty for none."""

    api = "A1111"
    url_setting = "a1111.server.url in the job or in [tool.imagegen]"
    auth_setting = "A1111_AUTH"

    def __init__(self, url: str, user_and_password: str = "") -> None:
        encoded = base64.b64encode(user_and_password.encode("utf-8")).decode("ascii")
        self.auth = f"Basic {encoded}" if user_and_password else ""
        super().__init__(url, self.auth, user_and_password, user_and_password.partition(":")[2])

    @property
    def _set_auth(self) -> str:
        return "set A1111_AUTH to user:password, as the server's --api-auth has them"

    def get(self, path: str) -> Any:
        """Return the JSON at a path; None if the server has none there."""
        try:
            return self._json("GET", path, object, limit=_MOST)
        except Refused as refused:
            if refused.status in (404, 405, 501) or (not refused.status and refused.may_pass):  # the latter: not JSON
                return None
            raise

    def stage(self) -> Stage | None:
        """Return what the server generates now; None if it does not say."""
        try:
            found = self._json("GET", "/sdapi/v1/progress?skip_current_image=true", silence_s=_POLL_S)
            state, done = found["state"], float(found.get("progress") or 0)
            job = f"{state['job']} {state.get('job_timestamp')}" if state.get("job") else ""
            return Stage(job, done, bool(state.get("interrupted") or state.get("skipped")))
        except (Refused, KeyError, TypeError, ValueError, AttributeError):
            return None

    def task(self, task: str) -> Mapping[str, Any] | None:
        """Return what the server's web UI says of the request with this ID; None if there is no web UI."""
        body = {"id_task": task, "id_live_preview": -1, "live_preview": False}
        try:
            found = self._json("POST", "/internal/progress", silence_s=_POLL_S, json=body)
        except Refused:
            return None
        return found if "active" in found else None

    def generate(self, body: Mapping[str, Any], check: Callable[[], None]) -> Answer:
        """Generate an image. Raises Refused, Unreachable, and what `check` raises."""
        path = "/sdapi/v1/img2img" if "init_images" in body else "/sdapi/v1/txt2img"
        self._session().close()  # a connection that was kept may be closed by the server at this moment
        data = self._send("POST", path, limit=_MOST, check=check, silence_s=math.inf, json=dict(body))
        try:
            answer = json.loads(data)
            info = _read_info(answer.get("info"))
            first = info.get("index_of_first_image")
            text = answer["images"][first if isinstance(first, int) else 0]
            image = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, binascii.Error):
            image, info = b"", {}
        if not image:
            what = f"{self.url} answered without an image, as if it ran out of memory or had no model"
            raise Refused(what, "look at its own log: it says why")
        return Answer(image, info)

    def interrupt(self) -> None:
        """Stop what the server generates, whoever asked for it."""
        self._send("POST", "/sdapi/v1/interrupt")


def _read_info(info: object) -> Mapping[str, Any]:
    """Return what an answer says of its image: JSON in a text, an object, or nothing."""
    try:
        found = json.loads(info) if isinstance(info, str) and info else info
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
