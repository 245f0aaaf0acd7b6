"""The backend `a1111`: each image is one call of a server that the user runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagegen.backends.a1111.section import LOCAL_OPTIONS, OPTIONS, PARAMETERS, recover_section, resolve
from imagegen.backends.base import Backend, GeneratedImage, Progress, Resolved
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.a1111.client import Client

__all__ = ["A1111Backend"]


class A1111Backend(Backend):
    """One object serves a whole run."""

    name = "a1111"
    parameters = PARAMETERS | {
        *("prompt", "negative", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed")
    }
    options: Mapping[str, Any] = OPTIONS
    model_option = "checkpoint"

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}

    def resolve(self, section: Mapping[str, Any]) -> Resolved:
        """Read the reference image, and name the checkpoint."""
        return resolve(section, self.context)

    def recover_section(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options that were recorded."""
        return recover_section(fields)

    def strip_local(self, request: Request) -> Request:
        """Remove what the job says of its own machine."""
        extra = {key: value for key, value in request.extra.items() if key not in LOCAL_OPTIONS}
        return replace(request, extra=extra)

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Compare checkpoint, sampler, scheduler and LoRAs with the server's lists."""
        del requests
        return []

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.a1111.image import build_body, generate

        progress.begin_attempt()
        server = request.extra.get("server", {})
        body = build_body(request, "", progress)
        return generate(self._client(request), body, progress, may_interrupt=server.get("interrupt"))

    def _client(self, request: Request) -> Client:
        """Return the request's server; A1111_AUTH is for that of the settings alone."""
        from imagegen.backends.a1111.client import Client

        trusted = self.context.settings.a1111_server_url
        url = request.extra.get("server", {}).get("url", trusted).rstrip("/")
        if url not in self._clients:
            self._clients[url] = Client(url, os.environ.get("A1111_AUTH", "") if url == trusted else "")
        return self._clients[url]
