"""The native HTTP API of `sd-server`. Source of the facts: a real server, stable-diffusion.cpp of July 2026."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from imagegen.backends.json_api import JsonApi, Refused, read_base64

__all__ = ["Capabilities", "Client", "JobState"]

Status = Literal["queued", "generating", "completed", "failed", "cancelled", "gone"]
MAX_ANSWER = 256 * 1024**2
"""Bytes of an answer with an image in it: base64 takes four bytes for three."""
_GONE = (404, 410)
"""What it says of a job that it never had, and of one that it has forgotten."""


@dataclass(frozen=True)
class Capabilities:
    """What a server says of itself. model: the path of its model; empty if it does not say."""

    model: str
    samplers: Sequence[str]
    schedulers: Sequence[str]
    loras: Sequence[str]
    """The paths of the LoRAs in its folder, as a request names them."""


@dataclass(frozen=True)
class JobState:
    """What became of a job. gone: the server knows it no more, or never did."""

    status: Status
    position: int = 0
    """In the queue, from 1."""
    image: bytes = b""
    said: str = ""
    """Why it failed."""


class Client(JsonApi):
    """One server."""

    api = "sd-server"
    url_setting = "sd.server.url in the job or in [tool.imagegen]"

    def capabilities(self) -> Capabilities:
        """Return what the server can. Raises Refused if what answers is not sd-server."""
        try:
            found = self._json("GET", "/sdcpp/v1/capabilities")
        except Refused as refused:
            if refused.status != 404:
                raise
            found = {}
        if not isinstance(found.get("samplers"), list) or not isinstance(found.get("model"), dict):
            raise Refused(f"what answers at {self.url} is not sd-server", self._check_address)
        loras = [one.get("path") for one in found.get("loras") or () if isinstance(one, dict)]
        return Capabilities(
            str(found["model"].get("path") or found["model"].get("name") or ""),
            _texts(found["samplers"]),
            _texts(found.get("schedulers")),
            _texts(loras),
        )

    def submit(self, body: Mapping[str, Any]) -> str:
        """Queue an image and return the ID of its job. Raises Refused; Unreachable if nobody knows."""
        answer = self._json("POST", "/sdcpp/v1/img_gen", json=dict(body))
        job = answer.get("id")
        if not isinstance(job, str) or not job.isascii() or not job.replace("_", "").replace("-", "").isalnum():
            raise Refused("sd-server took the image, and gave no ID of its job", self._check_address)
        return job

    def job(self, job: str) -> JobState:
        """Return what became of a job."""
        try:
            found = self._json("GET", f"/sdcpp/v1/jobs/{job}", limit=MAX_ANSWER)
        except Refused as refused:
            if refused.status in _GONE:
                return JobState("gone")
            raise
        status = found.get("status")
        if status not in get_args(Status):
            raise Refused(f"sd-server says of a job that it is '{str(status)[:40]}'", self._check_address)
        position, error = found.get("queue_position"), found.get("error")
        said = error.get("message") if isinstance(error, dict) else ""
        return JobState(
            status,
            position if isinstance(position, int) else 0,
            _read_image(found) if status == "completed" else b"",
            self._redactor.line(str(said or "")),
        )

    def cancel(self, job: str) -> bool:
        """Take a job out of the queue; return whether it will give no image. One that is running goes on."""
        try:
            found = self._json("POST", f"/sdcpp/v1/jobs/{job}/cancel", limit=MAX_ANSWER)
        except Refused as refused:
            return refused.status in _GONE
        return found.get("status") in ("cancelled", "failed")  # of a completed one it sends the image


def _texts(found: object) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _read_image(job: Mapping[str, Any]) -> bytes:
    """Return the image of a completed job. Raises Refused."""
    try:
        image = read_base64(job["result"]["images"][0]["b64_json"])
    except (KeyError, IndexError, TypeError):
        image = b""
    if not image:
        raise Refused("sd-server says that the image is done, and sends none", "run doit again")
    return image
