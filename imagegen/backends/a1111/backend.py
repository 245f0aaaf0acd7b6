"""The backend `a1111`: each image is one call of a server that the user runs.

What contacts the server is imported where it is used: a run with nothing to do needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imagegen.backends.a1111.section import LOCAL_OPTIONS, OPTIONS, PARAMETERS, recover_section, resolve
from imagegen.backends.base import Backend, Diagnosis, GeneratedImage, GenerationError, Progress, Resolved
from imagegen.errors import Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.a1111.server import Server

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
        self._servers: dict[str, Server | Problem] = {}
        """By its address, what each said of itself, or why it did not."""

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

    def choose_model(self, request: Request) -> str:
        """Return the only checkpoint that the server has, or the one that Draw Things shows."""
        from imagegen.backends.a1111.checks import find_checkpoint

        server = self._require_server(request)
        if isinstance(found := find_checkpoint("", server), Problem):
            raise GenerationError(found.what, found.hint)
        return found.file

    def preflight(self, requests: Sequence[Request]) -> Sequence[Problem]:
        """Compare checkpoint, sampler, scheduler and LoRAs with the server's lists, and the rest with its program."""
        from imagegen.backends.a1111.checks import check_request
        from imagegen.backends.choices import check_each

        def check(request: Request) -> Iterator[Problem]:
            server = self._find_server(request)
            yield from [server] if isinstance(server, Problem) else check_request(request, server)

        return check_each(requests, check)

    def batch_key(self, request: Request) -> Hashable:
        """Return server and checkpoint."""
        return self._url(request), request.model

    def generate(self, request: Request, progress: Progress) -> GeneratedImage:
        """Generate the image at its server."""
        from imagegen.backends.a1111.checks import find_checkpoint
        from imagegen.backends.a1111.generation import generate
        from imagegen.backends.a1111.image import build_body, find_difference

        server = self._require_server(request)
        task = progress.begin_attempt()
        checkpoint = find_checkpoint(request.model, server)
        if isinstance(checkpoint, Problem):
            raise GenerationError(checkpoint.what, checkpoint.hint)
        body = build_body(request, server, checkpoint, progress.file)
        answer = generate(
            server.client,
            body,
            progress,
            task=task if server.program.takes_task else "",
            may_interrupt=request.extra.get("server", {}).get("interrupt"),
        )
        if problem := find_difference(answer, body, checkpoint, server):
            raise GenerationError(problem.what, problem.hint)
        facts = {"server": server.client.url, "seed": body["seed"]}
        told = {key: answer.info[key] for key in _FACTS if isinstance(answer.info.get(key), str)}
        version = "" if server.version else told.pop("version", "")
        return GeneratedImage(answer.image, facts | told, engine=f"{server.title} {version}".rstrip())

    def diagnose(self, requests: Sequence[Request]) -> Sequence[Diagnosis]:
        """Return rows for each server, and what preflight finds."""
        from imagegen.backends.a1111.doctor import describe_server

        rows: list[Diagnosis] = []
        for request in {self._url(request): request for request in requests}.values():
            server = self._find_server(request)
            rows += [] if isinstance(server, Problem) else describe_server(server)
        return [*rows, *super().diagnose(requests)]

    def _url(self, request: Request) -> str:
        url: str = request.extra.get("server", {}).get("url", self.context.settings.a1111_server_url)
        return url.rstrip("/")

    def _require_server(self, request: Request) -> Server:
        """Return the request's server. Raises GenerationError."""
        if isinstance(server := self._find_server(request), Problem):
            raise GenerationError(server.what, server.hint)
        return server

    def _find_server(self, request: Request) -> Server | Problem:
        """Return the request's server, or why it cannot be used. A1111_AUTH is for that of the settings alone."""
        from imagegen.backends.a1111.client import Client
        from imagegen.backends.a1111.server import inspect_server
        from imagegen.backends.json_api import Refused, Unreachable

        url = self._url(request)
        if url not in self._servers:
            auth = os.environ.get("A1111_AUTH", "") if url == self.context.settings.a1111_server_url else ""
            try:
                self._servers[url] = inspect_server(Client(url, auth))
            except Refused as refused:
                self._servers[url] = refused.problem
            except Unreachable as error:
                hint = "start it, or correct a1111.server.url"
                self._servers[url] = Problem("", f"no server answers at {url}: {error}", hint)
        return self._servers[url]


_FACTS = ("sampler_name", "sd_model_name", "sd_model_hash", "version")
"""What is recorded of what a server says."""
